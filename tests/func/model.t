#!/bin/sh
# What the model of requesters and writers says, with the whole program: writers
# are programs in writers.d.  The ids in front of titles are the rows of
# doc/conformance.md.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin dd cmp touch

# --- writers -------------------------------------------------------------------

# writer NAME: hands in w/NAME/document, runs w/NAME/on-EVENT, then answers ok,
# or `fail ID` and what is in w/NAME/fail-EVENT.  It keeps what it hears.
writer() {
	mkdir -p "w/$1"
	cat >"writers.d/$1" <<END
#!/bin/sh
W=$T/w/$1
while read -r event id rest; do
	printf '%s\n' "\$event \$id \$rest" >>\$W/heard
	case \$event in
	identify) cat \$W/document ;;
	previous-stamp) stamp=\$rest && continue ;;
	component | base) continue ;;
	esac
	[ ! -e \$W/on-\$event ] || . \$W/on-\$event
	if [ -e \$W/fail-\$event ]; then
		echo "fail \$id \$(cat \$W/fail-\$event)"
	else
		echo "ok \$id"
	fi
done
END
	chmod 755 "writers.d/$1"
	asof writer add "$1" --grant "$T" >/dev/null
}

# document NAME SCHEMA, the lines behind the restore method on standard input.
document() {
	{
		echo "writer $1"
		echo "schema $2"
		echo 'restore-method restore-if-can-replace'
		cat
		echo end
	} >"w/$1/document"
}

# on NAME EVENT, shell on standard input; says NAME LINE in prepare-backup.
on() { cat >"w/$1/on-$2"; }
says() { printf "printf '%%s\\\\n' '%s'\n" "$2" >>"w/$1/on-prepare-backup"; }
quiet() { rm -f w/*/on-* w/*/fail-* w/*/heard; }
heard() { contains "w/$1/heard" "$2"; }
unheard() { ! grep -q -e "$2" "w/$1/heard"; }

# --- backups -------------------------------------------------------------------

all="incremental differential copy timestamped last-modify"
made() { asof backup --json "$@" src; }
# Bytes that were read, of everything.
read_is() {
	n=$(sed -n 's/^ *"bytes_read": \([0-9]*\),*$/\1/p' "$T/stdout" | tail -n 1)
	[ "$n" = "$1" ] && return 0
	echo "$n bytes were read and not $1"
	return 1
}
tells() { asof show latest --writers && printed "$1"; }
record() { asof session latest && printed "$1"; }
# in_it PATH FILE: the newest generation has at PATH what FILE has.
in_it() { asof cat "latest:$1" >/dev/null && cmp stdout "$2"; }
not_in_it() { must_fail 1 asof ls "latest:$1"; }
bytes() { head -c "$2" /dev/urandom >"$1"; }

export ASOF_STATE_DIR="$T/state" ASOF_RUN_DIR="$T/run"
export ASOF_WRITERS_D="$T/writers.d"
mkdir -m 755 w state run writers.d
try "a repository" new_repo repo

# --- logs: who may truncate, and when --------------------------------------------

writer logs
mkdir -p src/logs
document logs "$all log" <<END
component main database selectable=yes recovery=log
database-files main $T/src/logs *.db
log-files main $T/src/logs *.log
END
# It truncates as the model wants it: in backup-complete and nowhere else.
truncating() {
	quiet
	cat >w/logs/on-backup-complete <<END
case \$rest in
*type=copy* | *type=differential*) ;;
*component=main\ succeeded=yes*) : >$T/src/logs/1.log ;;
esac
END
	echo x >src/logs/a.db
	echo entry >src/logs/1.log
}
cut_off() { [ ! -s src/logs/1.log ]; }
kept() { [ -s src/logs/1.log ]; }
echo entry >entry
for type in full incremental log; do
	truncating
	try "CW-02, CW-10, CW-13: a $type backup" made -t "$type"
	try "lets the writer truncate its log" cut_off
	try "which the generation has" in_it "$T/src/logs/1.log" entry
done
for type in differential copy; do
	truncating
	try "CW-06, CW-16: a $type backup" made -t "$type"
	try "leaves it to the writer, which does not" kept
	try "because it is told the type" heard logs "^backup-complete .*type=$type"
done
truncating
echo 'fatal "no"' >w/logs/fail-post-copy
try "AB-11: where the component did not succeed" must_fail 3 made
try "CW-51, SD-02: there is only a shutdown" unheard logs '^backup-complete'
try "CW-50: which always comes" heard logs '^backup-shutdown'
try "so that nothing is truncated" kept
rm writers.d/logs
asof writer remove logs >/dev/null

# --- what a writer is told in time ------------------------------------------------

writer db
mkdir src/db src/db/deep src/db/deep/empty
plain() {
	document db "$all" <<END
component main database selectable=yes
database-files main $T/src/db *.db
END
}
plain
quiet
bytes src/db/a.db 100000
bytes src/db/b.db 50000
bytes src/db/not 3000
sleep 1.1
says db 'backup-stamp main "a\tb \\ \"\xff\x01"'
try "BI-02: a full backup" made -t full
try "W-25, PF-02: says whether declared ranges are used" \
	heard db '^prepare-backup .*partial-files=yes'
try "CW-20: of which type it is" heard db '^prepare-backup .*type=full'
try "CW-26: and that there is no snapshot" heard db '^prepare-backup .*snapshot=none'
quiet
says db 'backup-stamp main two'
try "an incremental" made
try "W-47, GL-01: hands the stamp back, byte for byte" \
	heard db '^previous-stamp main "a\\tb \\\\ \\"\\xff\\x01"$'
try "W-17, W-35, Q-36: a required file set is read whole, changed or not" \
	read_is 150000
quiet
says db 'backup-stamp main copy'
try "CW-15: a copy" made -t copy
quiet
says db "partial-file main $T/src/db/a.db 0:10"
says db 'backup-stamp main three'
try "W-48, SC-02: is no base; the next one has the stamp before it" made
try "two" heard db '^previous-stamp main two$'

# --- partial files ------------------------------------------------------------------

try "TW-07: one of a pattern's files by ranges, the others whole" read_is 54096
quiet
mkdir src/aside
bytes src/aside/new 8192
mkdir outside
bytes outside/more 4096
says db 'backup-stamp main four'
says db "partial-file main $T/src/aside/new 0:10 since=three"
says db "partial-file main $T/outside/more 0:10 since=three metadata=\"mine: 7\""
try "W-29, TW-08: files of no file set" made
try "CW-43: are added" in_it "$T/src/aside/new" src/aside/new
try "CR-17: from anywhere on a file system of the session" \
	in_it "$T/outside/more" outside/more
try "PF-10, CW-59: a file's metadata are kept" record '^metadata "mine: 7"$'
quiet
# 2 ranges: 0:10 and 100:20.
printf '\002\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\012\0\0\0\0\0\0\0\144\0\0\0\0\0\0\0\024\0\0\0\0\0\0\0' \
	>outside/ranges
says db 'backup-stamp main five'
says db "partial-file main $T/src/db/a.db File=$T/outside/ranges since=four"
says db "partial-file main $T/src/db/b.db none since=four"
echo "rm $T/outside/ranges" | on db post-copy
try "PF-07, CR-12, CR-13: a ranges file" made
try "says what is read" read_is 4096
try "PF-08, CR-14: is kept in the generation" record '^ranges "0:10,100:20"$'
try "and not needed any more" [ ! -e outside/ranges ]
quiet
says db 'backup-stamp main six'
try "another base" made -t full
quiet
says db "differenced-file main $T/src/db *.db"
says db "partial-file main $T/src/db/a.db 0:10 since=six"
says db 'backup-stamp main six'
try "Q-22: a file that is partial and differenced" made
try "is told of" said 'partial and as differenced'
try "Q-23: and differenced: nothing changed" read_is 0

# --- differenced files ----------------------------------------------------------------

quiet
mkdir src/times src/times/below
echo old >src/times/old
sleep 1.1
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
sleep 1.1
echo new >src/times/new
echo deep >src/times/below/new
says db 'backup-stamp main seven'
try "a base behind the time" made -t full
quiet
says db "differenced-file main $T/src/times * newer=$now"
says db "differenced-file main $T/src/db *.db"
try "W-34, TW-11, CW-33: files of no file set, since a time" made
try "are read, unchanged or not, others not" read_is 4
quiet
says db "differenced-file main $T/src/times * recursive newer=$now"
says db "differenced-file main $T/src/db *.db"
try "Q-29: and beneath, if it says so" made
try "too" read_is 9
quiet
on db prepare-backup <<END
echo backup-stamp main $now
END
try "CW-34: a stamp that is a time" made
quiet
on db prepare-backup <<END
echo "differenced-file main $T/src/times * newer=\$stamp"
echo "differenced-file main $T/src/db *.db newer=\$stamp"
END
try "is the time since when" made
try "files are read" read_is 4
quiet
says db "differenced-file main $T/src/db a.*"
try "CW-38, TW-10: one that is not the file set" made
asof writer log db >/dev/null
try "is refused" printed 'refused.*differenced-file'

# --- file sets -----------------------------------------------------------------------------

quiet
mkdir src/alt
echo copied >src/alt/a.db
document db "$all" <<END
component main file-group selectable=yes
files main $T/src/db *.db alternate=$T/src/alt
exclude $T/src/db b.*
END
try "AP-02, TW-05: with an alternate path" made
try "AB-03, BS-07: files are read there" in_it "$T/src/db/a.db" src/alt/a.db
try "BS-05, BS-06: excludes are about the default path" not_in_it "$T/src/db/b.db"
echo there >src/alt/only.db
echo no >src/alt/b.db
try "AP-02: a file that is at the alternate path only" made
try "is read there" in_it "$T/src/db/only.db" src/alt/only.db
try "in place of what is not excluded" not_in_it "$T/src/db/b.db"
rm src/alt/b.db
mv src/db db.away
try "AP-02: without the other directory" made
try "it is read all the same" in_it "$T/src/db/only.db" src/alt/only.db
mv db.away src/db
rm src/alt/only.db
rm -rf out
rm src/db/b.db
printf 'x%s' "$(tail -c +2 src/alt/a.db)" >src/alt/a.db
cp src/alt/a.db a.then
says db 'backup-stamp main alt'
try "a base for ranges of it" made
quiet
bytes src/alt/a.db 8192
says db "partial-file main $T/src/db/a.db 0:8192 since=alt"
try "CW-42: declared bytes" made
try "are those of the alternate path" in_it "$T/src/db/a.db" src/alt/a.db
quiet
try "AP-04, RS-03: restored" asof restore latest --to out
try "they are where they belong" cmp "out$T/src/db/a.db" src/alt/a.db
document db "$all" <<END
component main file-group selectable=yes
files main $T/outside/set * recursive
files main $T/outside/flat *
END
mkdir -p outside/set/deep/empty outside/flat/deep
echo 1 >outside/set/deep/1
ln -s 1 outside/set/deep/link
echo 1 >outside/flat/1
echo 2 >outside/flat/deep/2
try "DC-11: a recursive file set" made -W db
rm -rf out
try "comes" asof restore latest --to out
try "with all that is beneath" cmp "out$T/outside/set/deep/1" outside/set/deep/1
try "empty directories, too" [ -d "out$T/outside/set/deep/empty" ]
try "MP-02, MP-03: links are links" [ "$(readlink "out$T/outside/set/deep/link")" = 1 ]
try "DC-12: another one" cmp "out$T/outside/flat/1" outside/flat/1
try "without what is beneath" [ ! -e "out$T/outside/flat/deep/2" ]
document db "$all log" <<END
component main database selectable=no
database-files main $T/src/db a.* backup=full
log-files main $T/src/db *.log
END
echo l >src/db/1.log
try "CW-30: of a component that is always there" made -t full
cp src/db/a.db a.then
bytes src/db/a.db 100000
try "a file set that this type does not want" made
try "is taken as it was" in_it "$T/src/db/a.db" a.then
try "CW-12: and in a log backup" made -t log
log=$(field generation)
log_is() { asof cat "$log:$1" >/dev/null && cmp stdout "$2"; }
try "the same" log_is "$T/src/db/a.db" a.then
try "BC-01: the record has what was chosen" asof session "$log"
try "and no more" printed '^component main log succeeded'

quiet
document db "$all" <<END
component main file-group selectable=yes
files main $T/src/late made created
files main $T/src/late *.new
END
mkdir src/late
echo 'echo 1 >$T/src/late/made; echo 2 >$T/src/late/2.new' |
	sed "s,\$T,$T,g" | on db prepare-backup
try "BI-09, FL-06: files that come to be in prepare-backup" made -t full
try "BD-04: are in it, a named one" in_it "$T/src/late/made" src/late/made
try "and one of a pattern" in_it "$T/src/late/2.new" src/late/2.new

quiet
document db "$all" <<END
component main database selectable=yes
component main/part database selectable=no
database-files main $T/src/db *.nothing
database-files main/part $T/src/db a.db
END
try "DC-14: and of a pattern that fits nothing" made -t full
rm src/db/a.db
try "SP-05: a member's file that is missing" must_fail 3 made
try "fails the set" tells 'component main: did not succeed'
bytes src/db/a.db 100000

# --- the document ---------------------------------------------------------------------------

plain
quiet
on db prepare-backup <<END
echo 'writer db'
echo 'restore-method custom'
echo 'component other database selectable=yes'
echo end
END
try "BI-07, FL-04, WM-08: a document behind identify" made
asof writer log db >/dev/null
try "is none" printed 'refused.*restore-method custom'
try "the generation has the one of identify" asof session latest -f documents/db
try "as it was" printed '^restore-method restore-if-can-replace$'
try "WM-09, AB-08: and the session's record" record '^session '
quiet
echo 'retryable "not today"' >w/db/fail-identify
try "BI-05, TW-13: who fails at identify" must_fail 3 made
try "is told of" said 'not today'
try "and it is in the record" tells 'failed at identify'
try "and asked nothing more" unheard db 'prepare-backup'
quiet
try "TW-14: and another time may not" made

# --- two writers -------------------------------------------------------------------------------

writer app
mkdir src/app
echo 1 >src/app/1
document app "$all" <<END
component files file-group selectable=yes
files files $T/src/app *
dependency files db main
END
quiet
try "DP-01: a dependency" asof backup src/app -s dependency
try "takes its other side into the backup" heard db '^component main '
cp -a src then
rm src/app/1 src/db/a.db
try "DP-03: and into the restore" asof restore dependency@latest --writer app
try "both" cmp src/db/a.db then/db/a.db
try "are back" cmp src/app/1 then/app/1
try "and both were told" heard db '^post-restore .*outcome=all'
sed -i 's,^dependency.*,dependency files cache //far/main,' w/app/document
quiet
try "DP-04: what is on another machine" asof backup --json src/app -s far
try "DP-04: the person is told of, before anything is read" \
	said 'another machine, which is not in this backup: cache //far/main'
try "DP-04: and so is the writer" \
	heard app '^prepare-backup .*remote="cache //far/main"'
echo 'fatal "far has no backup"' >w/app/fail-post-copy
try "DP-04: who has it backed up and cannot" \
	must_fail 3 asof backup --json src/app -s far
try "DP-04: fails" tells 'far has no backup'
quiet
try "DP-04: a restore" asof restore far@latest~1 --writer app
try "DP-04: tells the writer, too" \
	heard app '^pre-restore .*remote="cache //far/main"'
mv w/app/document w/app/keep
sed /dependency/d w/app/keep >w/app/document
quiet
says db 'backup-stamp main one'
says app 'backup-stamp files one'
try "a backup of both" asof backup --json src -s both
quiet
says db "partial-file main $T/src/db/a.db none since=one"
says app "partial-file files $T/src/app/1 0:1 since=one"
says app "differenced-file files $T/src/db * recursive"
try "Q-18: what both declare" asof backup --json src -s both
try "API-15: counts, and not what one says of the other's" read_is 2
try "and that is told" said 'where another component has files'
quiet
cp src/db/a.db a.then
on app post-copy <<END
echo "differenced-file files $T/src/db * recursive"
echo "partial-file files $T/src/db/a.db 0:1"
echo late >>$T/src/db/a.db
END
try "API-15: nor what it says of them late" asof backup --json src -s both
rm -rf out
try "when the other has said its last word" asof restore both@latest --to out
try "is heard" cmp "out$T/src/db/a.db" a.then
quiet
cp src/db/a.db a.then
echo label >label
says app "attach files $T/src/db/a.db from=$T/label"
try "B9: nor can it hand something over" asof backup --json src -s both
rm -rf out
try "in their place" asof restore both@latest --to out
try "which stays as it was" cmp "out$T/src/db/a.db" a.then
asof writer log app >/dev/null
try "and is refused" printed 'refused: attach .*: a file of writer db'
rm a.then label
quiet
rm -r src/app
quiet
try "RP-04: who has nothing to get back" asof restore both@latest --writer app
try "is asked who it is" heard db '^identify'
try "and nothing more" unheard db restore
quiet
try "BD-02, DC-06: a writer may be left out" made --writer db
try "that is asked nothing more" unheard app 'prepare-backup'
rm writers.d/app
asof writer remove app >/dev/null

try "a backup without writers" made --no-writers
try "RN-01: has no record" must_fail 1 asof session latest
try "and gives nothing back to them" must_fail 2 asof restore latest --writer db

# --- a snapshot, which is a copy -----------------------------------------------------

cat >provider <<END
#!/bin/sh
case \$1 in
create)
	while read -r source; do
		copy=\$(mktemp -d $T/snap.XXXXXX)
		cp -a "\$source/." "\$copy/" || exit 1
		printf '%s\t%s\n' "\$source" "\$copy"
	done
	rm -rf $T/src/db $T/src/times ;;
destroy) rm -rf $T/snap.* ;;
esac
END
chmod 755 provider
bytes src/db/a.db 100000
bytes src/db/b.db 5000
echo 1 >src/times/one
rm -rf then
cp -a src then
quiet
says db 'backup-stamp main before'
try "a base for a snapshot" made -t full
quiet
says db "partial-file main $T/src/db/a.db 0:10 since=before"
says db "differenced-file main $T/src/times *"
try "TW-04: declared files that are deleted behind the snapshot" \
	made --snapshot "command:$T/provider"
try "are as they were in it" in_it "$T/src/db/a.db" then/db/a.db
try "the differenced ones, too" in_it "$T/src/times/one" then/times/one
rm -rf src
cp -a then src

# --- what a writer does in a restore --------------------------------------------------------------

quiet
says db 'backup-metadata main "layout 3"'
echo "cksum <$T/src/db/a.db >$T/w/db/sum" >>w/db/on-prepare-backup
plain
try "CW-58: a backup with private data" made -t full
quiet
on db pre-restore <<END
case \$rest in *'backup-metadata="layout 3"'*) ;; *) : >\$W/fail-pre-restore ;; esac
case \$rest in *additional-restores=no*) last=yes ;; *) last=no ;; esac
echo 'restore-metadata main "from before"'
END
on db post-restore <<END
[ "\$(cksum <$T/src/db/a.db)" = "\$(cat \$W/sum)" ] && echo verified >>\$W/heard
[ "\$last" = no ] || echo recovered >>\$W/heard
END
bytes src/db/a.db 10
try "CW-58, CW-60: it has them back" asof restore latest --writer db --additional-restores
try "CW-52, PF-16, TW-01: it verifies what came" heard db '^verified'
try "CW-53, RC-02, RI-05: and waits while more follows" unheard db '^recovered'
try "RI-04, CR-20: when nothing is said" asof restore latest --writer db
try "it recovers" heard db '^recovered'

finish
