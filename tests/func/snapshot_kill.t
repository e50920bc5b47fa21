#!/bin/sh
# A backup of a snapshot is interrupted, or killed, while a writer is at work on
# each event in turn: nobody stays frozen, all hear their end, and the next backup
# is as ever.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin python3 cmp pgrep
. "$srcdir/tests/func/snapshot.sh"

wait_for() { wait_until 400 grep -sq "$1" "$2"; } # PATTERN FILE
# struck SIGNAL EVENT CODE: b is slow in it, and that is when it strikes.  DESK is
# no signal: it strikes the process that talks to writers, which here is a child.
struck() {
	again
	writer b back-end "$2:sleep 1
	ok"
	"$ASOF" backup --snapshot "command:$T/provider" src >stdout 2>stderr &
	pid=$!
	wait_for "^$2 " b.log || return 1
	case $1 in
	DESK) kill -KILL "$(pgrep -P "$pid" | head -n 1)" ;;
	*) kill "-$1" "$pid" ;;
	esac
	wait "$pid"
	code=$?
	cat stderr
	[ "$code" -eq "$3" ] && return 0
	echo "exit status $code instead of $3"
	return 1
}
ended() {
	for w; do
		wait_for '^end' "$w.log" || return 1
	done
}
# last_words EVENT: what all of them heard last.
last_words() {
	for w in a b c; do
		grep -E "^[a-z-]+ [0-9]+ session=" "$w.log" | tail -n 1 |
			grep "^$1 " && continue
		cat "$w.log"
		return 1
	done
}
# What was not begun need not be taken away.
none_left() {
	grep -q '^create ' p/heard || return 0
	gone
}

try "a repository" asof init
for event in prepare-backup prepare-snapshot freeze thaw post-snapshot post-copy \
	backup-complete; do
	code=143
	[ "$event" != backup-complete ] || code=0
	try "interrupted in $event" struck TERM "$event" "$code"
	try "$event: the writers hear their end" ended a b c
	try "D3: $event: all are thawed" thawed a b c
	try "$event: the snapshot is taken away" none_left
	try "killed in $event" struck KILL "$event" 137
	try "$event: the writers hear their end" ended a b c
	try "D3: $event: all are thawed" thawed a b c
	case $event in
	prepare-* | freeze | thaw)
		try "D5: $event: they are told to forget it" last_words abort ;;
	post-copy | backup-complete)
		try "D5: $event: nothing is denied" \
			last_words backup-shutdown ;;
	esac
done
asof generations --json >/dev/null
n=$(grep -c '"generation"' stdout)
for event in prepare-backup freeze post-snapshot post-copy; do
	try "nobody is left to talk to writers in $event" struck DESK "$event" 1
	try "$event: that is said" said 'process that talks to writers has ended'
	try "$event: the writers hear their end" ended a b c
	try "$event: the snapshot is taken away" none_left
done
try "and there is no backup of it" generations "$n"
try "nobody is left to tell of a backup" struck DESK backup-complete 0
try "that is said" said 'could not be told'
try "and it is there" generations $((n + 1))
again
try "the next one works" made
try "with all writers" has succeeded 3
finish
