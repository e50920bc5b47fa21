#!/bin/sh
# doc/writing-a-writer.md: each example in it is run, and does what the text says.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin flock python3 paste
. "$srcdir/tests/func/writers.sh"

export ASOF_RUN_DIR="$T/run"
mkdir -m 755 run writers.d srv

# --- the examples ---------------------------------------------------------------

# example NAME: what the document has of it, with places of ours.
example() {
	echo "$1" >>used
	sed -n "/^<!-- example: $1 -->\$/,/^\`\`\`\$/p" \
		"$srcdir/doc/writing-a-writer.md" | sed '1,2d;$d' |
		sed "s,/srv,$T/srv,g; s,/run/asof/[a-z]*-1a2b3c4d,$C,g"
}
C=/nowhere
# program NAME: it is a writer from now on, and no other is.
program() {
	nobody
	example "$1" >"writers.d/$1" && [ -s "writers.d/$1" ] &&
		chmod 755 "writers.d/$1"
}
nobody() {
	for old in writers.d/*; do
		[ ! -e "$old" ] || asof writer remove "${old##*/}" >/dev/null
		rm -f "$old"
	done
}
# script NAME: run it, as a person would.
script() {
	example "$1" >"script.$1"
	[ -s "script.$1" ] && sh "script.$1"
}
listed() {
	grep -o '^<!-- example: [a-z-]* -->$' "$srcdir/doc/writing-a-writer.md" |
		sed 's/.*: //; s/ -->//'
}

# --- what is asked of a backup ------------------------------------------------------

made() { asof backup --json "$@" srv; }
number() { field generation; }
# same PATH [GEN]: the generation has just what is in srv/PATH now.
same() {
	rm -rf out
	asof restore "${2-latest}" --to out && diff -r "out$T/srv/$1" "srv/$1"
}
logged() { asof writer log "$1" && printed "$2"; }

export ASOF_REPOSITORY="$T/repo"
asof init >/dev/null
cp stderr init.log
try "a repository" test -e repo

# --- 1. three lines -------------------------------------------------------------------

mkdir srv/notes && echo one >srv/notes/a && mkdir srv/notes/d && echo two >srv/notes/d/b
try "three lines of shell" program notes
try "are a writer" made
try "whose component succeeds" has succeeded 1
try "as asof show says" tells 'component notes: succeeded'
try "with all of its files" same notes
refuses() { asof writer log "$1" && ! grep -q refused "$T/stdout"; }
try "nothing that it says is refused" refuses notes
mkdir other
try "a backup of something else" asof backup --json other
try "has no writers" has writers 0
chmod go+w writers.d/notes
try "who may be written to by others is not run" must_fail 3 made --require-writers
try "and told of, with the reason" said 'notes failed.*writers.d/notes: it may be written by others'
try "as its log is, too" logged notes 'not run: .*may be written by others'
chmod -x,go-w writers.d/notes
try "who is not executable is no writer" made
try "and not there" has succeeded 0

nobody
printf '#!/bin/sh\nread -r event id rest && echo "ok $id"\n' >writers.d/mute
chmod 755 writers.d/mute
try "who has no document" made
try "is left out, and told so" said 'mute is left out: it has handed in no doc'

# --- 2. saying no -------------------------------------------------------------------------

mkdir srv/careful && echo one >srv/careful/1.db
try "a careful writer" program careful
try "succeeds" made
try "all of it" has succeeded 1
touch srv/careful/rebuilding
try "or says no" must_fail 3 made
try "which is told, with its reason" said 'the index is being rebuilt'
try "its files are there as plain files" same careful
g=$(asof generations >/dev/null; wc -l <"$T/stdout")
try "or nothing is made" must_fail 1 made --writer-failure=abort
asof generations >/dev/null
try "at all" [ "$g" -eq "$(wc -l <"$T/stdout")" ]
try "nothing that it says is refused" refuses careful
rm srv/careful/rebuilding

# --- 3. what changed ------------------------------------------------------------------------

mkdir srv/ledger && head -c 1000000 /dev/urandom >srv/ledger/data
example ledger-write >ledger-write
put() { sh ledger-write "$@"; }
try "a ledger" program ledger
try "is read whole at first" made
try "all of it" has bytes_read 1000000
put 8192 'twelve bytes'
put 500000 'some more'
try "then what was written" made
try "is declared" has bytes_read 8192
try "and all of it is right" same ledger/data
put 4096 'again'
try "an incremental" made
try "reads the new only" has bytes_read 4096
try "and is right" same ledger/data
try "a differential" made -t differential
try "reads all since the full" has bytes_read 12288
try "and is right" same ledger/data
put 0 x
try "a backup that says so is audited" made --audit 100
lies() { grep -q audit: "$T/stderr"; }
try "and no lie is found" must_fail 1 lies
printf lie | dd of=srv/ledger/data bs=1 seek=90000 conv=notrunc status=none
put 0 y
try "one that hides something, too" made --audit 100
try "the first byte of the lie is named" said 'audit: byte 9000[0-2] changed'
try "and all is right" same ledger/data
rm srv/ledger/changes.*
put 12288 z
try "who has lost his lists" made
try "says nothing, and all is read" has bytes_read 1000000
try "so it is right" same ledger/data
try "nothing that it says is refused" refuses ledger
released() { flock -n srv/ledger/lock true; }
try "and its lock is free" released

# That of README.md, with a program that knows the changes.
nobody
cat >ledger-changes <<END
#!/bin/sh
[ -z "\$1" ] || echo "partial-file ledger $T/srv/ledger/data 0:4096 since=\$1"
echo "backup-stamp ledger \$(date +%s%N)"
END
chmod 755 ledger-changes
sed -n '/^```sh$/,/^```$/p' "$srcdir/README.md" | sed '1d;$d' |
	sed "s,/srv,$T/srv,; s,ledger-changes,$T/&," >writers.d/ledger
chmod 755 writers.d/ledger
try "the writer of README.md" made
try "is one from its first backup on" has succeeded 1
try "and in the next" made
try "has what it did not declare left alone" has bytes_read 4096
try "nothing that it says is refused" refuses ledger

# --- 4. growing and shrinking -------------------------------------------------------------------

mkdir srv/spool && head -c 500000 /dev/urandom >srv/spool/queue
try "a queue" program spool
try "is read whole at first" made
head -c 10000 /dev/urandom >>srv/spool/queue
try "what was appended" made
few() { [ "$(of_writers bytes_read)" -le 20000 ]; }
try "is read, and little else" few
try "and is right" same spool
truncate -s 200000 srv/spool/queue
try "what is cut" made
try "needs no word" few
try "to be right" same spool
echo 100000 >>srv/spool/cuts
truncate -s 100000 srv/spool/queue
head -c 300000 /dev/urandom >>srv/spool/queue
try "what is cut and grows again" made
try "is right with one" same spool
cp srv/spool/queue srv/spool/new && mv srv/spool/new srv/spool/queue
try "a new file in its place" made
try "is read whole" has bytes_read 400000
try "nothing that it says is refused" refuses spool

# --- 5. whole files ---------------------------------------------------------------------------------

mkdir -p srv/mail/box && head -c 5000 /dev/urandom >srv/mail/box/1
head -c 7000 /dev/urandom >srv/mail/2
touch -d '2020-01-01' srv/mail/2 srv/mail/box/1
try "a mail store" program mail
try "is read whole at first" made
sleep 1.1
head -c 300 /dev/urandom >srv/mail/box/3
try "then new mail" made
some() { [ "$(of_writers bytes_read)" -ge 300 ]; }
try "is read" some
try "and all is right" same mail
sleep 1.1
try "a third time" made
echo changed >srv/mail/2
touch -d '2020-01-01' srv/mail/2
try "one that changed its date back" made
try "is right, too" same mail
try "nothing that it says is refused" refuses mail

# --- 6. control files --------------------------------------------------------------------------------------

live() {
	example live-events >events.sh
	sh events.sh >events.log 2>&1 &
	voice=$!
	for _ in $(seq 50); do
		[ -e "/proc/$voice/fd/0" ] && readlink /proc/$voice/fd/* |
			grep -q events && return 0
		sleep 0.05
	done
}
in_mounts() { can_view && [ "${ASOF_FUNC_MOUNTS-}" = own ]; }
pending() { cat "$C/writers/shop/declare" >read && contains read "$1"; }

live_tests() {
	nobody
	mkdir srv/shop
	head -c 300000 /dev/urandom >srv/shop/a.db
	head -c 300000 /dev/urandom >srv/shop/b.db
	try "control files" control
	try "have a README" contains "$C/README" 'mkdir writers/shop'
	try "a writer is registered" script live-register
	try "with its document" contains "$C/writers/shop/metadata" \
		'database-files db'
	try "who is not there" made
	try "is absent" has absent 1
	live
	try "who reads events takes part" made
	try "and succeeds" has succeeded 1
	try "with its stamp" tells 'stamp *[0-9]'
	try "it writes, and says so" script live-declare
	try "which is listed" pending 'open partial-file db .*8192:11'
	try "an incremental" made
	try "still reads what nothing was said of" some
	try "and is right" same shop
	try "again" script live-declare
	try "both files, as one" script live-transaction
	try "are listed" pending 'open partial-file db .*/b.db'
	try "an incremental" made
	# 0-4096, 8192-12288; 4096-8192, 65536-69632
	try "reads what was declared" has bytes_read 16384
	try "and is right" same shop
	try "a differential knows all of it, too" made -t differential
	try "and is right" same shop
	printf behind | dd of=srv/shop/b.db bs=1 seek=100 conv=notrunc \
		status=none
	try "who writes behind a declaration" made
	try "proves nothing" some
	try "but all is right" same shop
	try "in doubt" script live-gap
	try "one says so" pending 'gap db'
	script live-refused >said 2>&1
try "what is not in the language" test -s said
	try "is refused with a sentence" contains said 'refused'
	try "a backup behind a gap" made
	try "tells what was refused" said \
		'writer shop: .* was refused.*a colon is missing'
	whole() { [ "$(of_writers bytes_read)" -ge 300000 ]; }
	try "reads all" whole
	try "and is right" same shop
	try "it stops in good order" stop
	wait "$voice"
	try "and the writer's loop ends" test $? -eq 0
}
if in_mounts; then
	live_tests
else
	skip "control files" "no /dev/fuse, or not root"
fi

# --- 7. freeze and thaw -------------------------------------------------------------------------------------------

mkdir srv/frozen && echo data >srv/frozen/data
try "a writer that freezes" program frozen
try "is right without a snapshot" made
try "and succeeds" has succeeded 1
try "nothing that it says is refused" refuses frozen
free() { flock -n srv/frozen/lock true; }
held() { ! free; }
session() { # STEP ...: of a requester that waits for a line in `go`
	rm -f go && mkfifo go
	timeout 30 "$builddir/tests/func/control_session" "$ASOF_REPOSITORY" \
		"$repository" "$@" <go >phases 2>&1 &
	session=$!
	exec 8>go
}
on() { echo >&8; }
over() { exec 8>&-; wait "$session"; }
repository=$(sed -n 's/.*, id //p' init.log)
freezing() {
	session snapshot identify component=frozen:db prepare ready line \
		freeze line thaw line post-snapshot copied complete
	try "it is not frozen before" soon contains phases '^ready ok'
	try "its application goes on" free
	on
	try "freeze" soon contains phases '^freeze ok'
	try "holds it" held
	on
	try "thaw" soon contains phases '^thaw ok'
	try "lets it go" free
	on
	over
	session snapshot identify component=frozen:db prepare ready freeze line
	try "frozen once more" soon contains phases '^freeze ok'
	try "it is held" held
	kill -9 "$session"
	try "whose requester is killed goes on" soon free
	over
	sed -i 's/-w 10/-w 1/' writers.d/frozen
	flock srv/frozen/lock sleep 5 &
	busy=$!
	sleep 0.2
	session snapshot identify component=frozen:db prepare ready freeze
	try "a transaction that does not end" soon contains phases 'frozen=failed'
	over
	kill "$busy"
}
if in_mounts && [ -x "$builddir/tests/func/control_session" ]; then
	control && freezing
	stop
else
	skip "freeze" "no /dev/fuse, not root, or control_session is not built"
fi

# --- 8. logs ---------------------------------------------------------------------------------------------------------

# The database: a sum in `data`, which has what the logs up to `upto` say; log/N
# is a number to be added.  Restored, it plays the logs behind `upto` back.
jdb=srv/journaled
mkdir -p $jdb/data $jdb/log
echo 0 >$jdb/data/sum && echo 0 >$jdb/data/upto
n=0
add() { n=$((n + 1)) && echo "$1" >$jdb/log/$(printf %03d $n); }
checkpoint() { # the logs so far are in the data
	echo $(($(cat $jdb/data/sum) + $1)) >$jdb/data/sum && echo $n >$jdb/data/upto
}
recovered() { # DIR: what it is after recovery
	sum=$(cat "$1/data/sum") upto=$(cat "$1/data/upto")
	for log in "$1"/log/*; do
		[ -e "$log" ] || continue
		no=${log##*/}
		while [ "${no#0}" != "$no" ]; do no=${no#0}; done
		[ "$no" -le "$upto" ] || {
			[ "$no" -eq $((upto + 1)) ] || { echo "log $no is next to $upto"; return 1; }
			sum=$((sum + $(cat "$log"))) upto=$no
		}
	done
	echo "$sum"
}
segments() { ls $jdb/log | wc -l; }
# Generation $1 is worth $2, given back to the writer.
worth() {
	rm -rf $jdb && mkdir -p $jdb/data $jdb/log
	asof restore "$1" --writer journaled || return 1
	got=$(recovered $jdb)
	[ "$got" = "$2" ] && return 0
	echo "generation $1 is worth $got and not $2"
	return 1
}
jmade() { asof backup --json "$@" $jdb; }

try "a database with logs" program journaled
add 1
sed -i 's/^	backup-complete)/	post-copy) echo "fail $id fatal \\"no\\""; continue ;;\n&/' \
	writers.d/journaled
try "a backup that fails" must_fail 3 jmade
try "truncates nothing" [ "$(segments)" -eq 1 ]
program journaled
try "a full" jmade -t full
full=$(number)
try "truncates what it has" [ "$(segments)" -eq 0 ]
add 10
checkpoint 11
add 100
try "a copy" jmade -t copy
try "truncates nothing" [ "$(segments)" -eq 2 ]
try "an incremental" jmade
incremental=$(number)
try "reads the logs and no data" has bytes_read 7
try "and truncates them" [ "$(segments)" -eq 0 ]
add 1000
try "a log backup" jmade -t log
log1=$(number)
try "reads the new log" has bytes_read 5
try "and truncates it" [ "$(segments)" -eq 0 ]
add 10000
try "another" jmade -t log
log2=$(number)
try "nothing that it says is refused" refuses journaled
try "the full is worth what it was" worth "$full" 1
try "the incremental, with the logs since the full" worth "$incremental" 111
try "the log backup, with those since the full, too" worth "$log1" 1111
try "and the next" worth "$log2" 11111
try "a later one is forgotten" asof forget "$log2"
try "which changes nothing" worth "$log1" 1111
try "all the earlier ones are forgotten" asof forget "$full" "$incremental"
try "A3: which changes nothing, too" worth "$log1" 1111

# --- 9, 10. a complete one ---------------------------------------------------------------------------------

toy=srv/toydb
mkdir -p $toy/log && head -c 800000 /dev/urandom >$toy/data
page() { # NUMBER: other bytes
	echo "$(($1 * 4096)):4096" >>$toy/changes
	head -c 4096 /dev/urandom |
		dd of=$toy/data bs=4096 seek="$1" conv=notrunc status=none
	echo "page $1" >>"$toy/log/$1"
}
logs() { [ "$(ls $toy/log | wc -l)" -eq "$1" ]; }
tmade() { asof backup --json "$@" $toy; }
page 1
try "a complete writer" program toydb
try "has a full" tmade -t full
try "which succeeds" has succeeded 1
try "and truncates the log" logs 0
page 2
try "an incremental" tmade
try "reads a page and the log" has bytes_read 4103
try "and truncates it" logs 0
try "and is right" same toydb/data
page 3
cp -a $toy/log toy.log
try "a differential" tmade -t differential
try "reads two pages and the log" has bytes_read 8199
try "and truncates nothing" logs 1
try "a copy" tmade -t copy
try "neither" logs 1
try "an audit" tmade --audit 100
g=$(number)
try "finds no lie" must_fail 1 lies
try "nothing that it says is refused" refuses toydb
cp -a $toy toy.kept
page 9 && page 10
exec 7>$toy/running && flock -n 7
try "a restore while it runs" must_fail 1 asof restore "$g" --writer toydb
try "is refused" said 'toydb is running'
try "and changes nothing" logs 2
exec 7>&-
try "a restore of one that does not" asof restore "$g" --writer toydb
try "brings the data back" cmp $toy/data toy.kept/data
try "and the log that belongs to it" diff -r $toy/log toy.log
try "and it knows that it has to recover" test -e $toy/recover-logs
page 4
try "a backup behind a restore" tmade
try "reads all" has bytes_read 800014
try "and is right" same toydb/data
page 5
try "and the next one what was declared" tmade
try "and that alone" has bytes_read 4103
toy_free() { flock -n $toy/lock true; }
toy_freezing() {
	session snapshot identify component=toydb:db prepare ready line freeze \
		line thaw post-snapshot copied complete
	try "with a snapshot it goes on" soon contains phases '^ready ok'
	try "until freeze" toy_free
	on
	try "which it knows, too" soon contains phases '^freeze ok'
	try "and holds still" must_fail 1 toy_free
	on
	try "until thaw" soon contains phases '^complete ok'
	try "then it goes on" toy_free
	over
}
if in_mounts && [ -x "$builddir/tests/func/control_session" ]; then
	control && toy_freezing
	stop
else
	skip "a snapshot" "no /dev/fuse, not root, or control_session is not built"
fi

every_one() {
	listed | sort >all
	sort -u used | diff - all
}

# --- none was left out ------------------------------------------------------------------------------------------

if in_mounts; then
	try "every example of the document was run" every_one
else
	skip "every example of the document" "some were not"
fi
finish
