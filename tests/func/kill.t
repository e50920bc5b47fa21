#!/bin/sh
# Killed at any moment, a run leaves nothing to repair: what was published
# stays whole, the rest never was, and the next run goes on.  The cache is
# what it happens to be, stale or gone.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin "${CC:-cc}"
helper facts
rounds=60

# Milliseconds, as a part of a second, that are the same each time.
random_delay() {
	awk -v seed="$1" -v max="$2" \
		'BEGIN { srand(seed); printf "%.3f", rand() * max / 1000 }'
}

# killed SECONDS COMMAND...: 0 if it was; 1 if it had ended before.
killed() {
	killed_after=$1
	shift
	timeout -s KILL "$killed_after" "$ASOF" "$@" >stdout 2>stderr
	# A killed timeout(1) says so itself.
	case $? in 137 | 124) return 0 ;; *) return 1 ;; esac
}

mutate() {
	head -c 3000000 /dev/urandom >"src/noise-$(($1 % 3))"
	seq "$1" 40000 >src/text
	mkdir -p "src/dir-$(($1 % 5))" && rm -rf "src/dir-$((($1 + 2) % 5))"
	for mutate_i in 1 2 3 4 5 6 7 8 9; do
		echo "$1 $mutate_i" >"src/dir-$(($1 % 5))/file-$mutate_i"
	done
	ln -f src/text src/linked
}

# --- init --------------------------------------------------------------------

export ASOF_REPOSITORY="$T/repo"
half_made() {
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		rm -rf repo
		killed "$(random_delay "$i" 12)" init
		asof init || asof generations || return 1
	done
}
try "a repository half made can be made" half_made
rm -rf repo cache
try "a repository" new_repo repo

# --- backup ------------------------------------------------------------------

mkdir src && mutate 0
facts src facts-0 -H
try "a first generation" backup -c round-0 src

# Moments are spread over the time that a run takes here, and a bit more.
begun=$(date +%s%N)
mutate 1
backup -t full -c round-1 src >/dev/null
facts src facts-1 -H
longest=$((($(date +%s%N) - begun) / 1000000))
[ "$longest" -le 300 ] || longest=300

n=2 hits=0
while [ "$n" -le "$rounds" ]; do
	mutate "$n"
	facts src "facts-$n" -H
	case $((n % 10)) in
	3) rm -rf cache ;;
	5) rm -rf cache.old && cp -a cache cache.old 2>/dev/null ;;
	8) [ ! -d cache.old ] || { rm -rf cache && cp -a cache.old cache; } ;;
	esac
	# Every fourth is full, and reads more.
	type=incremental && [ $((n % 4)) -ne 0 ] || type=full
	if killed "$(random_delay "$n" "$longest")" backup -t "$type" \
		-c "round-$n" src; then
		hits=$((hits + 1))
	fi
	[ $((n % 20)) -ne 0 ] || try "after $n rounds: nothing is damaged" sound
	n=$((n + 1))
done
echo "# $hits of $rounds were killed, within $longest ms"
try "some were killed" [ "$hits" -gt 5 ]

# Each of the generations is what the source was in its round.
all_whole() {
	asof generations || return 1
	sed -n 's/^ *\([0-9]*\) .* round-\([0-9]*\)$/\1 \2/p' stdout >list
	[ -s list ] || return 1
	while read -r number round; do
		rm -rf got
		asof restore "$number:$T/src/" --to got --numeric-ids &&
			facts got facts.got -H || return 1
		# The directory is that of the target, but for its times.
		same_facts "facts-$round" facts.got || return 1
	done <list
}
try "what was published is whole" all_whole
echo "# $(wc -l <list) generations"
try "the next backup needs no repair" backup -c round-$rounds src
try "and is whole too" all_whole
try "nothing is damaged" sound
rm -rf cache
try "nor without the cache" sound

# --- signals that can be caught ----------------------------------------------

count() { find repo/generations -type f | wc -l; }

# signalled NUMBER: the exit code tells, and nothing is published; unless it
# came too late.
signalled() {
	before=$(count)
	for round in 1 2 3 4 5 6 7 8; do
		mutate "$round"
		"$ASOF" backup -t full src >stdout 2>stderr &
		pid=$!
		sleep "$(random_delay "$round" "$longest")"
		kill "-$1" "$pid"
		wait "$pid"
		code=$?
		[ "$code" -ne 0 ] || {
			before=$(count)
			continue
		}
		[ "$code" -eq $((128 + $1)) ] || {
			echo "exit code $code" && cat stderr
			return 1
		}
		[ "$(count)" -eq "$before" ] || return 1
	done
}
try "SIGTERM ends it with 143, and nothing is published" signalled 15
try "SIGHUP with 129" signalled 1
try "and nothing is damaged" sound

# --- restore -----------------------------------------------------------------

mutate 99
for i in $(seq 400); do echo "$i" >"src/small-$i"; done
facts src facts-99 -H
try "a generation to restore" backup src
# But for unfinished files, whose names say what they are.
restored_in_the_end() {
	rm -rf got
	for i in 1 2 3 4 5 6 7 8; do
		killed "$(random_delay "$i" "$longest")" restore --to got \
			--existing replace "latest:$T/src/"
	done
	find got -name '.asof-*' -delete
	asof restore "latest:$T/src/" --to got --existing replace &&
		touch -r src got && facts got facts.got -H &&
		same_facts facts-99 facts.got
}
try "a restore killed again and again, and done" restored_in_the_end
kept_as_is() {
	asof restore "latest:$T/src/" --to got --existing keep &&
		[ ! -s stderr ] && facts got facts.got -H &&
		same_facts facts-99 facts.got
}
try "and there is nothing left to do" kept_as_is
finish
