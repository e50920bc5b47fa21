#!/bin/sh
# What goes wrong is said in one sentence that names the thing, the exit code
# tells how bad it is, the rest goes on, and nothing that was there is harmed.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root setpriv "${CC:-cc}"
chmod 755 "$T"

# One error, on one line.
fails() {
	fails_code=$1 fails_words=$2
	shift 2
	must_fail "$fails_code" asof "$@" && said_only "$fails_words"
}

# byte FILE OFFSET VALUE (octal)
set_byte() {
	printf '%b' "\\0$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

flip() {
	old=$(od -An -tu1 -j "$2" -N 1 "$1") &&
		set_byte "$1" "$2" "$(printf %o $((old ^ 1)))"
}

# --- the command line --------------------------------------------------------

mkdir src src/dir && echo one >src/one && echo two >src/dir/two
new_repo repo >/dev/null
backup src >/dev/null

try "no command" fails 2 command
try "a command that is none" fails 2 'did you mean backup' bakcup src
try "an option that is none" fails 2 -- --frobnicate backup src --frobnicate
try "an option without its value" fails 2 type backup src --type
try "a value that is none" fails 2 half backup --type half src
try "an operand too many" fails 2 extra stats extra
try "an operand too few" fails 2 missing ls
try "a set name that is none" fails 2 latest backup -s latest src
try "a restore to nowhere" fails 2 -- --to restore 1
try "JSON of what has none" fails 2 json cat --json 1:/x
no_repository() { (unset ASOF_REPOSITORY && fails 2 '-r DIR' generations); }
try "no repository at all" no_repository

try "a number that was never given" fails 1 7 ls 7
try "a name that is none" fails 2 gibberish ls gibberish
try "more than there are, back" fails 1 'latest~9' ls latest~9
try "a set that is not there" fails 1 nobody ls nobody@latest
try "a time before all" fails 1 1999 ls @1999-01-01
try "a path that is not there" fails 1 /none ls 1:/none
try "nor to cat" fails 1 /none cat 1:/none
try "nor to restore" fails 1 /none restore 1:/none --to back
try "and nothing was made for it" [ ! -e back ]
try "a directory to cat" fails 1 directory cat "1:$T/src"

full_output() { timeout "$LIMIT" "$ASOF" ls -R 1 >/dev/full 2>"$T/stderr"; }
try "an output that is full" must_fail 1 full_output
try "is named" said_only 'No space left'
pipe_gone() {
	timeout "$LIMIT" "$ASOF" ls -R 1 2>"$T/stderr" | true
	[ ! -s "$T/stderr" ]
}
try "a reader that hangs up is no error" pipe_gone

# --- what is no repository ---------------------------------------------------

mkdir empty && echo x >file
try "a directory that is none" fails 2 empty generations -r empty
try "a file" fails 2 file generations -r file
try "nothing" fails 2 none generations -r none
try "none is made where one is" fails 2 repo init -r repo
try "nor where other things are" fails 2 src init -r src
try "nor below nothing" fails 1 none init -r none/repo

cp -a repo newer
for f in newer/config newer/keys/config.copy; do set_byte $f 8 2; done
try "a repository of a newer version" fails 1 newer generations -r newer
try "is not written to" fails 1 newer backup -r newer src

cp -a repo half && flip half/config 30
one_copy_bad() {
	asof ls -r half 1 && said 'config' && asof backup -q -r half src &&
		said 'config'
}
try "a config of which one copy is damaged works, and is named" one_copy_bad
try "check finds it" must_fail 4 asof check -r half
rm half/config
try "one whose first copy is gone works, and is named" one_copy_bad
cp repo/config half/config && flip half/keys/config.copy 30
try "one whose second copy is damaged works, and is named" one_copy_bad
flip half/config 30
try "with both damaged" fails 4 half generations -r half
try "nothing is made" fails 4 half backup -r half src
truncate -s 5 half/config && : >half/keys/config.copy
try "with both cut off" must_fail 4 asof generations -r half

# --- what cannot be read -----------------------------------------------------

cp "$ASOF" asof.copy && chmod 755 asof.copy
mkdir locked locked/dir locked/sub locked/listed
for f in open shut dir/inside sub/open sub/shut listed/file; do
	echo "$f" >"locked/$f"
done
chmod -R go+rX locked && chmod 700 locked/dir && chmod 744 locked/listed
chmod 600 locked/shut locked/sub/shut
mkdir nobody nobody/cache && chown -R 65534:65534 nobody

# Without any privileges; and what lib.sh expects.
as_nobody() {
	ASOF_CACHE_DIR="$T/nobody/cache" ASOF_STATE_DIR="$T/nobody/state" \
		timeout -k 5 "$LIMIT" setpriv \
		--reuid=65534 --regid=65534 --clear-groups --no-new-privs \
		--bounding-set=-all "$T/asof.copy" "$@" >"$T/stdout" \
		2>"$T/stderr"
	nobody_code=$?
	cat "$T/stdout" "$T/stderr"
	return "$nobody_code"
}

if as_nobody --version >/dev/null; then
	export ASOF_REPOSITORY="$T/nobody/repo"
	try "an ordinary user's repository" as_nobody init
	unreadable_named() {
		must_fail 3 as_nobody backup locked && said "locked/shut: " &&
			said "locked/sub/shut: " && said "locked/dir: " &&
			! said "locked/open" && ! said "locked/sub/open"
	}
	try "what cannot be read is named, and the code is 3" unreadable_named
	chown -R 65534:65534 nobody
	try "show tells it" as_nobody show --errors 1
	try "in full" printed "locked/sub/shut.*Permission denied"
	try "also of a directory" printed "locked/dir.*Permission denied"
	try "ls marks the file" as_nobody ls -l "1:$T/locked"
	try "as it says" printed '^-rw-------!.*shut$'
	try "and the directory" printed '^drwx------!.*dir$'
	try "generations counts them" as_nobody generations
	try "as errors" printed 'errors'
	try "cat cannot show it" must_fail 1 as_nobody cat "1:$T/locked/shut"
	try "and says why" said 'could not be read'
	mkdir nobody/back && chown 65534 nobody/back
	others_restored() {
		must_fail 3 as_nobody restore "1:$T/locked/" --to nobody/back &&
			said "locked/shut: " && said "locked/dir: " &&
			cmp locked/open nobody/back/open &&
			cmp locked/sub/open nobody/back/sub/open &&
			[ ! -e nobody/back/shut ]
	}
	try "restore names it, and the rest is there" others_restored
	shown_as_eio() {
		view view || return 1
		v=view/generations/1$T/locked
		[ "$(stat -c '%a %s' "$v/shut")" = "600 5" ] || return 1
		! cat "$v/shut" >log 2>&1 && grep -q 'Input/output' log &&
			cmp "$v/open" locked/open
		shown=$?
		umount view
		return "$shown"
	}
	if can_view && can_mount; then
		try "in the mount it is an input/output error" shown_as_eio
	else
		skip "in the mount it is an error" "no /dev/fuse"
	fi
	echo longer >>locked/shut && chmod 644 locked/shut
	try "the next time" must_fail 3 as_nobody backup locked
	try "what became readable is read" as_nobody cat "2:$T/locked/shut"
	try "as it is now" printed longer
	chmod 600 locked/shut
	try "and when it is unreadable again" \
		must_fail 3 as_nobody backup locked
	try "the old content is not put in its place" \
		must_fail 1 as_nobody cat "3:$T/locked/shut"
	chmod -R go+rX locked
	try "when all is readable nothing is wrong" as_nobody backup locked
	try "and nothing named" [ ! -s "$T/stderr" ]
	try "an ordinary user's check" as_nobody check
	try "another's repository cannot be written" \
		must_fail 1 as_nobody backup -r "$T/repo" src
	try "which one sentence says" said_only repo
	export ASOF_REPOSITORY="$T/repo"
else
	skip "an ordinary user" "cannot run a program in $T"
fi

# --- what changes meanwhile --------------------------------------------------

head -c 40000000 /dev/urandom >src/large
try "a large file" backup src
sync
touch go
(
	while [ -e go ]; do
		date +%N | dd of=src/large bs=1 conv=notrunc status=none
	done
) &
writer=$!
try "a file that changes while it is read" must_fail 3 asof backup src
try "is named" said "src/large: "
rm go && wait "$writer"
try "alone" [ "$(grep -c "^asof: $T" "$T/stderr")" -eq 1 ]
try "and marked" asof ls -l "latest:$T/src"
try "as torn" printed '~.*large$'
try "later it is read again" backup src
try "once" field_is files_read 1
later_right() { asof ls -l "latest:$T/src" && ! printed '~' >/dev/null &&
	asof restore "latest:$T/src/" --to now && same_tree src now; }
try "and right" later_right
rm -rf now

# Directories that come and go while they are listed.
mkdir churn && touch go
(
	while [ -e go ]; do
		mkdir -p churn/a/b/c churn/d/e && echo x >churn/a/b/c/f
		mv churn/a churn/g && rm -rf churn/g churn/d
	done
) &
writer=$!
churned() {
	for i in 1 2 3 4 5 6 7 8 9 10; do
		asof backup -q -s churn churn src
		case $? in 0 | 3) ;; *) return 1 ;; esac
	done
}
try "directories that vanish are no failure" churned
rm go && wait "$writer"
rm -rf churn src/large
try "and nothing is damaged" sound

# --- a repository that cannot be written -------------------------------------

reading_works() {
	asof generations && asof ls -R 1 && asof show 1 && asof stats &&
		asof cat "1:$T/src/one" && printed one && asof check &&
		asof restore "1:$T/src/one" --to back && cmp back/one src/one &&
		rm -rf back
}
if can_mount; then
	mkdir ro && mount_later --bind repo "$T/ro" &&
		mount -o remount,bind,ro ro
	export ASOF_REPOSITORY="$T/ro"
	try "a read-only repository can be read" reading_works
	export ASOF_CACHE_DIR="$T/cache-2"
	try "also without a cache" reading_works
	export ASOF_CACHE_DIR="$T/cache"
	try "a backup to it fails" fails 1 read-only backup src
	try "so does forgetting" fails 1 read-only forget 1
	export ASOF_REPOSITORY="$T/repo"

	# --- no space --------------------------------------------------------

	try "a small disk" disk small 32M -m 0 -O ^has_journal
	head -c 12000000 /dev/urandom >small/filler
	new_repo small/repo >/dev/null
	try "a backup to a small disk" backup src
	mkdir big && head -c 30000000 /dev/urandom >big/noise
	try "one that does not fit fails" must_fail 1 asof backup -s big big
	try "because of the space" said 'No space left'
	first_intact() {
		asof generations && [ "$(grep -c '^ *[0-9]' stdout)" -eq 1 ] &&
			same_generation 1 "$T/src" src
	}
	try "leaves the first one intact" first_intact
	try "and sound" sound
	rm small/filler && truncate -s 8M big/noise
	try "with room again the next one works" backup -s big big
	try "it is number 2" [ "$G" -eq 2 ]
	try "and right" same_generation 2 "$T/big" big
	try "and sound" sound
	head -c 30000000 /dev/urandom >small/filler 2>/dev/null
	try "reading needs no space" reading_works
	try "a restore to a full disk" must_fail 1 asof restore 2 --to small/out
	try "names what it could not write" said 'No space left'
	rm -f small/filler
	export ASOF_REPOSITORY="$T/repo"

	mkdir tiny && mount_later -t tmpfs -o size=64k none "$T/tiny"
	head -c 100000 /dev/zero >tiny/filler 2>/dev/null
	export ASOF_CACHE_DIR="$T/tiny/cache"
	try "without room for a cache, a backup works" asof backup -q src
	try "and what reads" reading_works
	mkdir gone && mount_later -t tmpfs -o ro none "$T/gone"
	export ASOF_CACHE_DIR="$T/gone/cache"
	try "where no cache can be made, a backup works" asof backup -q src
	try "so does what reads" reading_works
	export ASOF_CACHE_DIR="$T/cache"
else
	skip "read-only and full disks" "cannot mount"
fi

head -c 9000000 /dev/urandom >src/noise
too_large() { (ulimit -f 4096 && fails 1 'File too large' backup src); }
try "a limit on the size of files is a failure like others" too_large
try "after which all is sound" sound
try "and the next backup works" asof backup -q src
few_files() { (ulimit -n 64 && asof backup -q src); }
try "a limit on open files is borne" few_files

# --- things in the way of a restore ------------------------------------------

mkdir back back/dir && echo mine >back/one && echo mine >back/dir/other
refused() {
	must_fail 1 asof restore "latest:$T/src/" --to back &&
		said "src/one: " && cmp src/dir/two back/dir/two &&
		[ "$(cat back/one)" = mine ] &&
		[ "$(cat back/dir/other)" = mine ]
}
try "what is in the way is named and left alone" refused
rm back/dir/two
kept() {
	asof restore "latest:$T/src/" --to back --existing keep &&
		[ ! -s stderr ] && cmp src/dir/two back/dir/two &&
		[ "$(cat back/one)" = mine ]
}
try "kept without a word, if one says so" kept
replaced() {
	asof restore "latest:$T/src/" --to back --existing replace &&
		rm back/dir/other && touch -r src back &&
		touch -r src/dir back/dir &&
		same_tree src back
}
try "or replaced" replaced
try "a target that is a file" fails 1 back/one restore 1 --to back/one
try "a target below nothing" fails 1 none restore 1 --to none/back

nowhere() {
	ASOF_RUN_DIR="$T/none/run" fails 1 'the run directory (ASOF_RUN_DIR' \
		control -f
}
try "a run directory that cannot be is named, and what says where it is" nowhere

try "in the end nothing is damaged" sound
finish
