#!/bin/sh
# Giving data back to their writers: a program in writers.d/ that notes what it
# is told, backups of its files, and restores where its restore method says.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin

export ASOF_STATE_DIR="$T/state" ASOF_RUN_DIR="$T/run"
export ASOF_WRITERS_D="$T/writers.d"
mkdir -m 755 state run writers.d
mkdir data data/sub data/empty log other plain

# --- the writer ---------------------------------------------------------------

# document METHOD: what it says of itself from now on.
document() {
	cat >"$T/document" <<END
writer db
schema incremental last-modify timestamped new-target
restore-method $1
component c database selectable=yes
component c/log file-group selectable=no selectable-for-restore
component d file-group selectable=yes
database-files c $T/data * recursive
files c/log $T/log *
files d $T/other *
exclude $T/data *.tmp recursive
alternate-location $T/data * recursive to=$T/alt
alternate-location $T/log * to=$T/alt-log
alternate-location $T/other * to=$T/alt-other
end
END
}

cat >writers.d/db <<END
#!/bin/sh
while read -r event id rest; do
	echo "\$event \$rest" >>'$T/told'
	case \$event in
	identify) cat '$T/document' ;;
	prepare-backup)
		echo 'backup-stamp c "mark 7"'
		if [ -e '$T/prepare' ]; then sh '$T/prepare'; fi ;;
	pre-restore)
		if [ -e '$T/pre' ]; then sh '$T/pre'; fi
		if [ -e '$T/refuse' ]; then
			echo "fail \$id fatal \"not today\""
			continue
		fi ;;
	esac
	echo "ok \$id"
done
END
chmod 755 writers.d/db
document restore-if-can-replace

fill() {
	seq 1 40000 >data/big
	echo one >data/one
	echo x >data/x.tmp
	echo deep >data/sub/deep
	echo 1 >log/1
	echo other >other/o
	echo plain >plain/p
	chmod 640 data/one
	touch -d '2020-02-02 02:02:02' data/big data/one data/sub/deep log/1
}
fill
mkdir keep
copy_all() { cp -a data log other plain keep/; }
copy_all

told() {
	contains "$T/told" "$1"
}
# Of the last run.
forget_told() { : >"$T/told"; }
restore_writer() {
	forget_told
	asof restore latest --writer "$@"
}
# A file is as it was, time and mode too.
back() {
	cmp "$1" "$T/keep/${2-$1}" &&
		[ "$(stat -c '%Y %a %s' "$1")" = \
			"$(stat -c '%Y %a %s' "$T/keep/${2-$1}")" ]
}
all_back() {
	back data/big && back data/one && back data/sub/deep && back log/1 &&
		[ -d data/empty ]
}
gone() { [ ! -e "$1" ]; }
spoil() {
	rm -rf alt alt-log alt-other new data log pre refuse
	mkdir data log
	echo wrong >data/big
	echo stays >data/foreign
}

# --- where files go -----------------------------------------------------------

try "a repository" new_repo repo
try "the writer is registered" asof writer add db -g "$T"
try "a backup with it" backup "$T/data" "$T/log" "$T/other" "$T/plain"

spoil
try "RN-02, RM-01: a component goes back" restore_writer db:c
try "all of its files are as they were" all_back
try "what was not in the generation stays" grep -qx stays data/foreign
try "TW-02: excluded files do not come back" gone data/x.tmp
try "the writer was asked who it is" told '^identify'
try "RP-05: told before" told '^pre-restore .*component=c additional-restores=no'
try "with its stamp" told 'stamp="mark 7"'
try "RC-01: told after, with the outcome" told '^post-restore .*component=c outcome=all'

spoil
rm -r other
try "SR-02: a member alone" restore_writer db:c/log
try "is back" back log/1
try "SR-03: and nothing else of its set" grep -qx wrong data/big
try "the writer knows which" told 'subcomponents=c/log'

spoil
try "a writer, all of it" restore_writer db
try "has all back" all_back
try "of its other component too" back other/o

spoil
rm data/big
mkdir data/big
try "TW-06: one file in the way" restore_writer db:c
try "sends all to the alternate location" back alt/one data/one
try "and this one" back alt/big data/big
try "and those of other file sets" back alt-log/1 log/1
try "and touches nothing where they were" gone data/one
try "RS-06: the writer is told where they went" told 'outcome="all alternate"'

spoil
echo here >data/one
document restore-if-not-there
try "the document in the generation counts, not today's" restore_writer db:c
try "so it is replaced" back data/one
document restore-if-can-replace

spoil
touch refuse
try "a writer that fails in pre-restore" must_fail 1 restore_writer db:c
try "is quoted" said 'not today'
try "and keeps what it has" grep -qx wrong data/big

spoil
cat >pre <<END
echo 'restore-target c alternat'
END
try "RT-02: a target that is none" must_fail 1 restore_writer db:c
try "is no reason to write anything" grep -qx wrong data/big
cat >pre <<END
echo begin
echo 'restore-target c alternate'
END
try "nor is one that was not committed" must_fail 1 restore_writer db:c
try "and nothing has changed" grep -qx wrong data/big

spoil
cat >pre <<END
echo 'restore-target c alternate'
END
try "RT-02: the writer asks for alternate locations" restore_writer db:c
try "and gets them" back alt/one data/one

spoil
cat >pre <<END
echo 'restore-metadata c "for later"'
END
try "CW-60: what is said before" restore_writer db:c
try "is handed back behind" \
	told '^post-restore .*outcome=all restore-metadata="for later"'

spoil
cat >pre <<END
echo 'restore-target c directed'
echo 'directed-target c $T/data/big 0:10 $T/data/copy 5:10'
END
try "DT-01: a directed target" restore_writer db:c
directed() {
	[ "$(tail -c 10 data/copy)" = "$(head -c 10 keep/data/big)" ] &&
		[ "$(stat -c %s data/copy)" -eq 15 ]
}
try "goes where it was directed" directed
try "and its source stays away" grep -qx wrong data/big
try "the others are restored as ever" back data/one

spoil
try "NT-01: a new target" restore_writer db:c --new-target "db:c:$T/data=$T/new"
try "overrides all other places" back new/sub/deep data/sub/deep
try "for its file sets only" back log/1
try "the writer is told" told "new-targets=\"$T/data=$T/new\""

spoil
try "RO-01: options" restore_writer db:c --restore-option 'db:c:"a"="b"' \
	--additional-restores
try "are handed on" told 'option="\\"a\\"=\\"b\\""'
try "RI-03: and that more follows" told 'additional-restores=yes'

spoil
try "a dry run" restore_writer db:c --dry-run
try "says what would happen" said 'would go where they belong'
try "does not" grep -qx wrong data/big
no_pre() { ! grep -q pre-restore told; }
try "and tells nobody" no_pre

spoil
cp -a keep/data/big data/big
printf changed | dd of=data/big bs=1 seek=70000 conv=notrunc status=none
inode=$(stat -c %i data/big)
try "in place" restore_writer db:c --in-place
try "a file is as it was" back data/big
try "and is the same file" [ "$(stat -c %i data/big)" = "$inode" ]

spoil
ln -s keep data/sub
rm -rf keep/deep
try "a link on the way" restore_writer db:c
try "is not followed" gone keep/deep
rm -f data/sub

# --- services -----------------------------------------------------------------

# A service manager of ours in place of the machine's: in mounts of our own.
manager=/usr/bin/systemctl
own_manager() {
	[ "${ASOF_FUNC_MOUNTS-}" = own ] && [ -e "$manager" ] && can_mount
}
if own_manager; then
	cat >systemctl <<END
#!/bin/sh
[ -e '$T/data/one' ] && there=there || there=not
echo "\$* \$there" >>'$T/calls'
END
	chmod 755 systemctl
	mount_later --bind "$T/systemctl" "$manager"
	try "a writer with a service" asof writer add svc -g "$T" --service my.service
	sed "s,$T/document,$T/document2,; s,$T/told,$T/told2," writers.d/db >writers.d/svc
	chmod 755 writers.d/svc
	cat >document2 <<END
writer svc
restore-method stop-restore-start
component s file-group selectable=yes
files s $T/plain * recursive
end
END
	rm -f pre
	try "a backup with it" backup "$T/plain"
	rm -rf plain/p
	try "SV-02: a restore that stops it" asof restore latest --writer svc
	try "brings the files back" back plain/p
	around() {
		[ "$(cut -d' ' -f1-3 calls | tr '\n' ,)" = \
			'stop -- my.service,start -- my.service,' ]
	}
	try "and stops and starts it around that" around
	rm -rf writers.d/svc data log
	cp -a keep/data keep/log .
	try "the other backup is the latest again" backup "$T/data" "$T/log" \
		"$T/other" "$T/plain"
else
	skip "services" "no mounts of our own, or no $manager"
fi

# --- another user's writer ----------------------------------------------------

if [ "$(id -u)" -eq 0 ] && id daemon >/dev/null 2>&1; then
	chmod 711 "$T"
	mkdir theirs theirs/data
	cat >theirs/document <<END
writer theirs
restore-method restore-if-can-replace
component t file-group selectable=yes
files t $T/theirs/data * recursive
end
END
	cat >writers.d/theirs <<END
#!/bin/sh
while read -r event id rest; do
	echo "\$event \$(id -un)" >>'$T/theirs/told'
	[ "\$event" != identify ] || cat '$T/theirs/document'
	echo "ok \$id"
done
END
	chmod 755 writers.d/theirs
	seq 1 5000 >theirs/data/f
	chown -R daemon theirs
	cp -a theirs keep/
	try "root registers another user's writer" \
		asof writer add theirs --owner daemon --grant "$T/theirs"
	try "a backup of it" backup "$T/theirs"
	rm -r theirs/data/f
	try "E2: root gives it back" asof restore latest --writer theirs
	try "as it was" back theirs/data/f
	try "and it is that user's" [ "$(stat -c %U theirs/data/f)" = daemon ]
	mkdir roots
	rm -r theirs/data
	ln -s ../roots theirs/data
	try "E2: a link out of the grant" \
		must_fail 1 asof restore latest --writer theirs
	try "leads nowhere" gone roots/f
	rm theirs/data
	mkdir -m 755 theirs/data
	echo root >theirs/data/f
	try "E2: what that user may not replace" \
		must_fail 1 asof restore latest --writer theirs
	try "stays" grep -qx root theirs/data/f
	mkdir own own/data own/writers.d
	cat >own/writers.d/own <<END
#!/bin/sh
while read -r event id rest; do
	case \$event in identify) cat <<DOCUMENT
writer own
restore-method restore-if-can-replace
component c file-group selectable=yes
files c $T/own/data *
end
DOCUMENT
	;; esac
	[ "\$event" = component ] || echo "ok \$id"
done
END
	chmod 755 own/writers.d/own
	seq 1 100 >own/data/f
	chown -R daemon own
	his() {
		setpriv --reuid daemon --clear-groups env ASOF_STATE_DIR="$T/own/state" \
			ASOF_RUN_DIR="$T/own/run" ASOF_CACHE_DIR="$T/own/cache" \
			ASOF_WRITERS_D="$T/own/writers.d" \
			ASOF_REPOSITORY="$T/own/repo" "$ASOF" "$@"
	}
	mkdir own/run && chown daemon own/run
	chmod 755 "$T"
	try "a user's own repository" his init
	try "E2: a user's own writer needs no grants to be backed up" \
		his backup "$T/own/data"
	rm own/data/f
	try "E2: nor to be given back" his restore latest --writer own
	seq 1 100 >as.it.was
	try "as it was" cmp own/data/f as.it.was
	chmod 711 "$T"
	rm -rf writers.d/theirs data log
	cp -a keep/data keep/log .
	try "the other backup is the latest once more" backup "$T/data" \
		"$T/log" "$T/other" "$T/plain"
else
	skip "another user's writer" "needs root and a user daemon"
fi

# --- refusals -----------------------------------------------------------------

try "no such writer" must_fail 2 asof restore latest --writer nobody
try "no such component" must_fail 2 asof restore latest --writer db:nothing
try "a place does not go with a writer" \
	must_fail 2 asof restore latest --writer db --to "$T/x"
try "nor does a path" must_fail 2 asof restore latest:/x --writer db
try "its options are for writers" \
	must_fail 2 asof restore latest --to "$T/x" --dry-run
mv writers.d/db elsewhere
spoil
try "RP-03: a writer that does not listen" must_fail 1 restore_writer db:c
try "gets nothing back" grep -qx wrong data/big
try "and it is said why" said 'nobody listens'
try "its files are there as plain files" asof restore latest --to "$T/plainly"
try "all of them" cmp "plainly$T/data/big" keep/data/big
mv elsewhere writers.d/db

# --- declared in part ---------------------------------------------------------

rm -rf data log && cp -a keep/data keep/log .
printf changed | dd of=data/big bs=1 seek=100 conv=notrunc status=none
cp data/big keep/changed
# Several generations have the same stamp: the base is named by its id.
asof show latest --json >/dev/null
base=$(sed -n 's/^ *"id": "\([0-9a-f]*\)",*$/\1/p' "$T/stdout" | head -n 1)
cat >prepare <<END
echo 'partial-file c $T/data/big 0:4096 since=@$base'
END
try "PF-14: an incremental with a declared file" \
	backup "$T/data" "$T/log" "$T/other" "$T/plain"
rm prepare
tr 0-9 x <keep/changed >data/big
try "ranges only" restore_writer db:c --ranges-only
merged() {
	[ "$(head -c 4096 data/big | cksum)" = \
		"$(head -c 4096 keep/changed | cksum)" ] &&
		[ "$(tail -c +4097 data/big | cksum)" = \
			"$(tail -c +4097 keep/changed | tr 0-9 x | cksum)" ]
}
try "TW-09: other bytes stay as they are" merged
try "without it the whole file comes back" restore_writer db:c
try "as it was" cmp data/big keep/changed

# --- another instance -----------------------------------------------------------

# instance NAME: a program that tells what it is told.
instance() {
	cat >"writers.d/$1" <<END
#!/bin/sh
while read -r event id rest; do
	echo "$1 \$event \$rest" >>'$T/told'
	[ "\$event" != identify ] || cat '$T/document-$1'
	if [ "\$event" = prepare-backup ] && [ -e '$T/fail-$1' ]; then
		echo "fail \$id fatal no"
		continue
	fi
	echo "ok \$id"
done
END
	chmod 755 "writers.d/$1"
	cat >"document-$1" <<END
writer $1
schema new-target restore-with-move
restore-method restore-if-can-replace
component c file-group selectable=yes
files c $T/$1 *
end
END
	mkdir "$1"
}
instance many@one
echo many >many@one/f
try "an instance" asof writer add many@one -g "$T"
try "is backed up" backup "$T/many@one"
instance many@two
try "there is a second one" asof writer add many@two -g "$T"
rm many@one/f
forget_told
try "API-51: not to where the first has its files" must_fail 1 \
	asof restore latest --writer many@one --to-writer many@two
try "nothing goes" gone many@one/f
try "API-51: a component goes to another instance" \
	asof restore latest --writer many@one --to-writer many@two \
	--new-target "many@one:c:$T/many@one=$T/many@two"
try "to a place of its own" grep -qx many many@two/f
try "which is told" told '^many@two pre-restore .*from-writer=many@one'
first_not_told() { ! grep '^many@one [pb]' told; }
try "and the first one is not" first_not_told
rm -rf writers.d/many@one writers.d/many@two

# --- dependencies --------------------------------------------------------------

instance app
instance base
sed "s,^end,dependency c base c\nend," document-app >document-with
mv document-with document-app
echo app >app/f
echo base >base/f
try "a writer" asof writer add app -g "$T"
try "and one that it depends on" asof writer add base -g "$T"
try "are backed up" backup "$T/app" "$T/base"
rm app/f base/f
forget_told
try "DP-01: the one that depends" asof restore latest --writer app
try "brings the other one" grep -qx base base/f
try "and that is said" said 'base:c: goes back, too'
rm app/f base/f
try "DP-01: the one that is depended on" asof restore latest --writer base
try "brings who depends on it" grep -qx app app/f
touch fail-base
try "a backup in which one fails" must_fail 3 backup "$T/app" "$T/base"
rm app/f base/f
try "DP-03: without the other side" must_fail 2 asof restore latest --writer app
try "it does not go back" gone app/f
try "and it is said why" said 'goes back with base:c only'
rm -rf writers.d/app writers.d/base

# --- carried file sets --------------------------------------------------------

cat >document <<END
writer db
schema incremental timestamped
restore-method restore-if-not-there
component c database selectable=yes
database-files c $T/data * recursive backup=full
log-files c $T/log *
end
END
rm -rf data log && cp -a keep/data keep/log .
cat >document-e <<END
writer e
restore-method restore-if-can-replace
component c file-group selectable=yes
files c $T/e *
end
END
mkdir e
echo e >e/1
sed "s,$T/document,$T/document-e,; s,$T/refuse,$T/none,; s,$T/pre',$T/none'," \
	writers.d/db >writers.d/e
chmod 755 writers.d/e
try "another writer" asof writer add e -g "$T"
try "A3: a full backup" backup --type full "$T/data" "$T/log" "$T/e"
full=$G
echo 2 >log/2
cp -a log/2 keep/log/2
try "an incremental that carries the data" backup "$T/data" "$T/log" "$T/e"
spoil
rm -r data log e/1
touch refuse
try "an image that fails" must_fail 1 restore_writer db:c --writer e
try "ends its component" gone log
once() {
	[ "$(grep -c "^pre-restore .*generation=$full " told)" -eq 1 ] &&
		[ "$(grep -c "^pre-restore" told)" -eq 2 ]
}
try "before the next image" once
try "and nobody else" grep -qx e e/1
rm refuse
spoil
rm -r data log
try "RI-02: a restore replays both" restore_writer db:c
replayed() {
	[ "$(grep -c '^pre-restore' told)" -eq 2 ] &&
		grep '^pre-restore' told | head -n 1 |
		grep "additional-restores=yes generation=$full " &&
		grep '^pre-restore' told | tail -n 1 |
		grep "additional-restores=no generation=$G "
}
try "in order, and says that more follows" replayed
try "the data are there" all_back
try "and the later logs" back log/2
try "A3: the full may be forgotten" asof forget "$full"
spoil
rm -r data log
try "the restore replays it all the same" restore_writer db:c
try "both, in order" replayed
try "A3: the data are there" all_back
try "A3: and the later logs" back log/2

finish
