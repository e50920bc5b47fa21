#!/bin/sh
# Backups of a snapshot: writers are frozen while it is made, it is what is read,
# and it is taken away again, whatever happens.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin python3 cmp
. "$srcdir/tests/func/snapshot.sh"

try "a repository" asof init

# --- what is no provider ---------------------------------------------------------

try "there is one kind of provider" \
	must_fail 2 asof backup --snapshot btrfs src
try "its program has an absolute path" \
	must_fail 2 asof backup --snapshot command:provider src
try "a source that is no directory" \
	must_fail 2 asof backup --snapshot "command:$T/provider" src/file
try "a program that is not there" \
	must_fail 1 asof backup --snapshot "command:$T/none" src

# --- alone --------------------------------------------------------------------------

cp -a src before
echo "rm -r $T/src/*; echo later >$T/src/file" >p/after
try "TW-03: a snapshot, and then all is deleted" made
try "all of it is in the backup" has errors 0
try "TW-04: as it was when the snapshot was made" same before
try "the snapshot is taken away" gone
rm -rf src
cp -a before src
echo "rm -r $T/src" >p/after
try "the source itself is deleted behind the snapshot" made
try "all of it is in the backup" same before
rm -f p/after
cp -a before src
try "B6: a copy has other inodes: all of it is read again" made
try "that is every file" has files_read 4

# --- the order of things --------------------------------------------------------------

again
try "D1: three writers and a snapshot" made
try "all succeed" has succeeded 3
try "D3: frozen level by level, thawed in reverse, and nothing between" \
	sh -c 'grep -E "freeze|thaw|create" events | tr "\n" ,|
		grep -qx "a freeze,b freeze,c freeze,create,c thaw,b thaw,a thaw,"'
try "D1: every event, in its turn" sh -c 'sed -n "s/^a //p" events | tr "\n" ,|
	grep -qx "prepare-backup,prepare-snapshot,freeze,thaw,post-snapshot,post-copy,backup-complete,backup-shutdown,"'
try "A2: a stamp that was said before the freeze is kept" sh -c '"$1" show \
	latest --json --writers | grep -c "\"stamp\": \"s\"" | grep -qx 3' - "$ASOF"
try "D2: prepare-backup tells of it" \
	heard a 'prepare-backup .*snapshot=command snapshot-atomic=no'
try "it is gone" gone

again
echo "echo new >$T/src/b/new; rm $T/src/a/data" >p/after
try "FL-02 W-14: members change behind the snapshot" made
try "their components succeed all the same" has succeeded 3
try "what is stored is the snapshot" same before
rm -r src
cp -a before src

again
writer a front-end '' "$T/outside"
echo there >outside/data
echo "rm $T/outside/data" >p/after
try "A8: a file set outside of the sources" made --writer a
try "is in the snapshot" grep -qx "create $T/outside" p/heard
try "and read from there" has succeeded 1
try "it is in the backup" sh -c '"$1" cat "latest:$2/outside/data" |
	grep -qx there' - "$ASOF" "$T"

again
sed -i "s,^\(.*database-files db .*/src/a \*\)$,\1 alternate=$T/outside," a.script
echo other >outside/data
echo "rm $T/outside/data" >p/after
try "A6: an alternate path" made
try "is in the snapshot, too" grep -qx "create $T/outside" p/heard
try "all succeed" has succeeded 3
try "and is what is read" sh -c '"$1" cat "latest:$2/src/a/data" |
	grep -qx other' - "$ASOF" "$T"

again
try "A2: the next one compares with it" made
try "and the stamp is handed to the writer" heard a '^previous-stamp db s$'

again
touch p/atomic p/confirm
try "D2: one moment for all" made
try "is what writers are told" heard b 'snapshot-atomic=yes'
again
touch p/atomic
try "D2: a promise that is not kept ends the run" made_not 1
try "and says so" said 'promised one moment'
try "all are thawed" thawed a b c
try "nobody is told that it is complete" deaf a '^backup-complete'
try "it is gone" gone

again
mkdir -p outside/deep/way && echo there >outside/deep/way/data
writer a front-end '' "$T/outside/deep/way"
cat >>a.script <<END
on identify
	run until grep -rqs outside/deep/way $T/state; do sleep 0.1; done
	run mv $T/outside/deep $T/outside/other; ln -s other $T/outside/deep
	ok
END
try "E2: a symlink comes into the way to a file set" made_not 3 "--writer a"
try "fails its component" said "did not succeed: .*is no directory"
try "it is not what is snapshotted" \
	sh -c '! grep -q "^create .*/outside/deep" "$1"' - p/heard
rm -rf outside/other outside/deep

again
cat >p/before <<END
env >$T/p/env
pwd >>$T/p/env
ls /proc/self/fd | tr '\n' ' ' >>$T/p/env
END
try "what a provider is given" env SECRET=1 "$ASOF" backup -q \
	--snapshot "command:$T/provider" --no-writers src
try "is two variables, and nothing of ours" sh -c 'cat "$1"
	! grep -q SECRET "$1" && grep -qx LC_ALL=C.UTF-8 "$1" &&
	grep -q ^PATH=/usr/local/sbin: "$1" && grep -qx / "$1" &&
	[ "$(tail -n 1 "$1" | wc -w)" -le 5 ]' - p/env

# --- a snapshot with the inodes of its source ---------------------------------------------

# The source itself is as good as that, while nobody writes.
cat >same <<'END'
#!/bin/sh
[ $1 != create ] || while read -r source; do
	printf '%s\t%s\n' "$source" "$source"
done
END
chmod 755 same
same_inodes() {
	asof backup --json --snapshot "command:$T/same" --set inodes "$@" src
}
again
try "B6: inodes and times are the source's" same_inodes
try "all is read" has succeeded 3
again
try "and the next one" same_inodes --no-writers
try "reads nothing" has files_read 0
again
printf 'x' | dd of=src/b/data bs=1 seek=5000 conv=notrunc 2>/dev/null
rm -rf before
cp -a src before
writer b back-end "prepare-backup:say partial-file db $T/src/b/data 5000:1
	say backup-stamp db s
	ok"
try "B2: a declaration holds on the snapshot" same_inodes
try "all succeed" has succeeded 3
try "and what was declared is read, and its block" has bytes_declared 4096
try "all is there" same before

# --- logs --------------------------------------------------------------------------------

logs() {
	again
	rm writers.d/b writers.d/c
	mkdir -p logs
	sed -i "s,schema .*,& log,
		s,^	database-files .*,&\\
	log-files db $T/logs *," a.script
}
logs
echo one >logs/1
try "a full one" made --set logs -t full
logs
echo two >logs/2
echo "rm $T/logs/*" >p/after
try "A5: logs are taken away behind the snapshot" made --set logs -t log
try "A5: that is no failure" has succeeded 1
rm -rf out
try "A5: and what was in the snapshot" asof restore "$(field generation)" --to out
try "A5: is in the backup" sh -c 'cat "$1"/logs/* | tr "\n" ,| grep -qx one,two,' \
	- "out$T"

# --- what a writer deletes from it ------------------------------------------------------

# leaves WHAT: a has exclude-from-snapshot, and a file that is named by itself,
# which it deletes from the snapshot if it is told to.
leaves() {
	again
	writer a front-end "post-snapshot:run $1
	ok"
	sed -i "s,^	database-files .*,&\\
	database-files db $T/src/a big.tmp\\
	exclude-from-snapshot $T/src/a *.tmp," a.script
}
delete='p=${ASOF_PLACES#*=}; p=${p%?}; rm "${p:?}/big.tmp"'
echo big >src/a/big.tmp
rm -rf before
cp -a src before
leaves true
try "EX-02: declaring is not deleting" made
try "all succeed" has succeeded 3
try "and all is in the backup" same before
leaves "$delete"
try "EX-01: a writer deletes from the snapshot" made
try "and succeeds without its file" has succeeded 3
try "which is where it was" cmp src/a/big.tmp before/a/big.tmp
rm before/a/big.tmp
try "and all but it is in the backup" same before
try "EX-01: a writer is told of its own files" \
	heard b "^post-snapshot .*component=db places=\"$T/src/b=[^=]*/b\" left"
leaves "$delete"
sed -i "/^on prepare-backup/a\\	say partial-file db $T/src/a/big.tmp 0:1" a.script
try "EX-01: what was declared of it" made
try "EX-01: is no reason to fail either" has succeeded 3
leaves "$delete"
sed -i '/exclude-from-snapshot/d' a.script
try "A8: who deletes what it has not excluded" made_not 3
try "A8: fails" has succeeded 2
echo big >before/a/big.tmp
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
	leaves "$delete || echo it is read-only"
	echo "mount --bind \$copy \$copy; mount -o remount,bind,ro \$copy" >p/after
	echo "umount $T/p/snap.*" >p/destroy
	try "EX-03: a snapshot that cannot be written to" made
	try "EX-03: has everything" has succeeded 3
	try "EX-03: and so has the backup" same before
	try "EX-03: the writer could not help it" heard a 'it is read-only'
	rm p/destroy
else
	skip "EX-03: a snapshot that cannot be written to" "needs root"
fi
leaves "$delete"
try "EX-02: of what is no snapshot" same_inodes
try "EX-02: nobody is told" deaf a places=
try "EX-02: and nothing is lost" cmp src/a/big.tmp before/a/big.tmp
rm src/a/big.tmp before/a/big.tmp

# --- what writers can do to it ----------------------------------------------------------

# At each event: the component of b fails there, the others succeed.
for event in prepare-backup prepare-snapshot freeze thaw post-snapshot; do
	again
	writer b back-end "$event:fail retryable not now"
	try "A1: a failure in $event" made_not 3
	try "$event: the others go on" has succeeded 2
	try "$event: its files are kept as files" same before
	try "$event: all are thawed" thawed a b c
	try "$event: a hears the end" heard a '^backup-complete .*succeeded=yes'
	try "$event: it is gone" gone
done
again
writer b back-end "freeze:fail retryable not now"
asof generations --json >/dev/null
n=$(grep -c '"generation"' stdout)
try "nothing is made if failures are to abort" \
	made_not 1 --writer-failure=abort
try "and it is said who" said 'writer b'
try "no generation" generations "$n"
try "all are thawed" thawed a b c
try "nobody is told that it is complete" deaf a '^backup-complete'

again
writer b back-end 'freeze:sleep 30'
try "D3: one hangs in freeze" made_not 3 --window=1
try "the others are thawed and go on" has succeeded 2
try "all others are thawed" thawed a c
try "it is gone" gone
again
try "the next one has all of them again" made
try "all succeed" has succeeded 3
again
writer b back-end 'freeze:sleep 30'
try "D3: one hangs in freeze and that is to abort" \
	made_not 1 '--window=1 --writer-failure=abort'
try "all others are thawed" thawed a c
try "nothing was begun" sh -c '! grep -q create events'
again
try "the next one has all of them again" made

# --- what the provider can do -------------------------------------------------------------

# spoiled TEXT MESSAGE: no backup comes of it, and nothing stays behind.
spoiled() {
	try "$1" made_not 1
	try "that is said" said "$2"
	try "all are thawed" thawed a b c
	try "and told to forget it" heard a '^abort'
	try "D5: nobody is told that it is complete" deaf a '^backup-complete'
	try "it is taken away" gone
}
again
echo 'echo the disk is full >&2; exit 4' >p/before
spoiled "a provider that fails" 'create: exit status 4: the disk is full'
again
echo 'kill -SEGV $$' >p/after
spoiled "one that dies" 'ended by signal 11'
again
echo "sleep 77 & echo \$! >$T/p/sleeper; wait" >p/before
LIMIT=20
try "D3: one that hangs" made_not 1 --window=1
try "all are thawed" thawed a b c
try "nobody is told that it is complete" deaf a '^backup-complete'
try "it is taken away" gone
try "what it started is gone, too" \
	sh -c '! grep "^State:.[^ZX]" "/proc/$(cat p/sleeper)/status"'
# Each has its own seconds; who is named is any whose are over.
again
writer b back-end 'freeze:sleep 2.5
	ok'
echo 'sleep 2.5' >p/after
try "D3: a snapshot that comes when a window has ended" made_not 1 --window=4
try "is of no use" said 'the snapshot came too late: writer [abc]'
try "all are thawed" thawed a b c
try "nobody is told that it is complete" deaf a '^backup-complete'
try "it is taken away" gone
again
echo 'rm -r $T/p/snap.*; exit 3' >p/destroy
try "one that fails to take it away" made
try "is told of" said 'could not be taken away: .* destroy: exit status 3'
try "and the backup is what it was" has succeeded 3
rm p/destroy
again
touch p/atomic
sed 's,^prepare),&	sleep 77,' provider >hanging
chmod 755 hanging
try "one that hangs when it is to promise" asof backup --json \
	--snapshot "command:$T/hanging" --window=1 src
try "has promised nothing" heard a 'snapshot-atomic=no'
try "and all succeed" has succeeded 3
again
echo 'nonsense' >p/output
spoiled "one that prints nonsense" 'nonsense'
again
printf '%s\t%s\n' "$T/src" relative >p/output
spoiled "a path that is not absolute" 'no absolute path'
again
printf '%s\t%s\n' "$T/src" "$T/src/../src" >p/output
spoiled "a path that is not normal" 'plain form'
again
printf '%s\t%s\n' "$T/src" "$T/src/file" >p/output
spoiled "a path that is no directory" 'no directory'
again
ln -s src link
printf '%s\t%s\n' "$T/src" "$T/link/a" >p/output
spoiled "a path with a symlink" 'symbolic link'
again
printf '%s\t%s\n' /etc /etc >p/output
spoiled "a directory that was not asked for" 'not asked for'
again
: >p/output
spoiled "nothing at all" 'did not say'
again
printf '%s\t%s' "$T/src" "$T/src" >p/output
spoiled "half a line" 'no end'
again
echo 'head -c 5000000 /dev/zero | tr "\0" "\n"' >p/after
spoiled "too much" 'more than'

# --- and when it is over --------------------------------------------------------------------

again
echo "sleep 77" >p/before
"$ASOF" backup --snapshot "command:$T/provider" src 2>stderr &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10; do
	grep -q create events 2>/dev/null && break
	sleep 0.3
done
kill -TERM $pid
wait $pid
try "interrupted while it is made: all are thawed" thawed a b c
try "and it is taken away" gone
again
try "the next one works" made
try "with all writers" has succeeded 3
try "and all that is there" same before
try "the repository is good" asof check
finish
