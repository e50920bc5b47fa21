#!/bin/sh
# Several at once: backups of different sets, of the same one, beside mounts,
# checks and restores; machines with caches of their own; and generations
# that are forgotten without harm to the others.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin "${CC:-cc}" ps
helper facts

# same_as GEN PATH FACTS: restored, it is what these facts tell.
same_as() {
	rm -rf got
	asof restore "$1:$T/$2/" --to got --numeric-ids >/dev/null &&
		facts got facts.got -H && same_facts "$3" facts.got
}

# in_background NAME WORD...: a run of its own; its end is told by `ended`.
in_background() {
	bg_name=$1
	shift
	timeout -k 5 "$LIMIT" "$ASOF" "$@" >"$bg_name.out" 2>"$bg_name.err" &
	eval "pid_$bg_name=\$!"
}

ended() {
	eval "wait \$pid_$1"
	ended_code=$?
	[ "$ended_code" -eq "$2" ] && return 0
	echo "$1 ended with $ended_code" && cat "$1.out" "$1.err"
	return 1
}

# within SECONDS COMMAND...: it comes true in time.
within() {
	within_left=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$within_left" -gt 0 ] || return 1
		within_left=$((within_left - 1))
		sleep 0.1
	done
}

# --- different sets at once --------------------------------------------------

mkdir a b common
head -c 12000000 /dev/urandom >common/shared
for d in a b; do
	cp common/shared "$d/shared" && head -c 8000000 /dev/urandom >"$d/own"
	for i in $(seq 300); do echo "$d $i" >"$d/$i"; done
	facts "$d" "facts-$d" -H
done
new_repo repo >/dev/null

at_once() {
	in_background a backup -s set-a a
	in_background b backup -s set-b b
	ended a 0 && ended b 0
}
try "two backups of different sets at once" at_once
try "the one is whole" same_as set-a@latest a facts-a
try "and the other" same_as set-b@latest b facts-b
try "they are two generations" asof ls 2
try "nothing is damaged" sound
try "once more, as incrementals" at_once
try "four of them" asof ls 4

beside() {
	in_background a backup -t full a b
	in_background b check
	in_background c restore "set-b@latest:$T/b/" --to beside
	in_background d stats
	ended a 0 && ended b 0 && ended c 0 && ended d 0 &&
		touch -r b beside && facts beside facts.got -H &&
		same_facts facts-b facts.got
}
try "a backup beside a check and a restore" beside

# --- the same set ------------------------------------------------------------

# Slow by its work, and then stopped in the midst of it.
mkdir slow && seq 1500000 >slow/text && facts slow facts-slow -H
new_repo busy >/dev/null
in_background slow backup -s one --level 19 --threads 1 slow
locked() { ls busy/sessions/set-*; }
try "a slow backup has begun" within 20 locked
# The child of timeout(1) is the one that works.
worker=$(ps -o pid= --ppid "$pid_slow" 2>/dev/null | tr -d ' ')
kill -STOP "$worker" 2>/dev/null
try "another of the same set finds it busy" must_fail 5 asof backup -s one slow
try "and says so in one sentence" said_only 'set one'
try "another set does not mind" backup -s two b
in_background waits backup -s one --wait slow
try "one that waits says so" within 10 grep -q waiting waits.err
kill -CONT "$worker" 2>/dev/null
try "the first ends" ended slow 0
try "then the one that waited" ended waits 0
try "which is an incremental on the first" contains waits.out 'incremental on'
try "all is whole" same_as one@latest slow facts-slow

rush() {
	for i in 1 2 3 4; do in_background "r$i" backup -s rush -w b; done
	for i in 1 2 3 4; do ended "r$i" 0 || return 1; done
	asof generations -s rush && [ "$(grep -c rush stdout)" -eq 4 ]
}
try "four that wait for each other" rush
try "nothing is damaged" sound

# --- a mount beside them -----------------------------------------------------

export ASOF_REPOSITORY="$T/repo"
# Reading goes on while there are new generations.
beside_mount() {
	touch go
	(
		while [ -e go ]; do
			cmp -s a/shared "view/generations/1$T/a/shared" ||
				cmp -s b/shared \
					"view/generations/1$T/b/shared" ||
				touch differs
		done
	) &
	reader=$!
	echo new >a/new && backup -s set-a a
	beside_code=$?
	rm go && wait "$reader"
	[ "$beside_code" -eq 0 ] && [ ! -e differs ]
}
if can_view && can_mount; then
	try "a mount" view view
	try "a backup while it is read" beside_mount
	try "the new generation is in it before long" within 10 \
		test -e "view/generations/$G$T/a/new"
	try "with its content" cmp a/new "view/generations/$G$T/a/new"
	newest() { [ "$(readlink view/latest)" = "generations/$G" ]; }
	try "and is the latest" within 10 newest
	try "one is forgotten" asof forget "$G"
	gone() { ! ls view/generations | grep -qx "$G"; }
	try "and is gone from the mount" within 10 gone
	try "the others are there" cmp a/shared \
		"view/by-set/set-a/latest$T/a/shared"
	umount view
else
	skip "a mount beside backups" "cannot mount"
fi

# --- two machines ------------------------------------------------------------

new_repo shared >/dev/null
mkdir c
in_turn() {
	for i in 1 2 3 4 5 6; do
		export ASOF_CACHE_DIR="$T/cache-$((i % 2))"
		head -c 300000 /dev/urandom >"c/noise-$i"
		facts c "facts-c-$i" -H
		sleep 0.1 # old enough to be trusted the next time
		backup c && [ "$G" -eq "$i" ] && field_is files_read 1 ||
			return 1
	done
}
try "two caches in turn: each reads what is new only" in_turn
each_whole() {
	for i in 1 2 3 4 5 6; do
		same_as "$i" c "facts-c-$i" || return 1
	done
}
try "all is whole to the one" each_whole
export ASOF_CACHE_DIR="$T/cache-1"
try "and to the other" each_whole
both_at_once() {
	export ASOF_CACHE_DIR="$T/cache-0"
	in_background a backup -s m0 a
	export ASOF_CACHE_DIR="$T/cache-1"
	in_background b backup -s m1 b
	ended a 0 && ended b 0 && facts a facts-a -H &&
		same_as m0@latest a facts-a && same_as m1@latest b facts-b
}
try "both at once" both_at_once
try "nothing is damaged" sound
export ASOF_CACHE_DIR="$T/cache"

# --- forgetting --------------------------------------------------------------

new_repo whole >/dev/null
mkdir d
for i in 1 2 3 4 5; do
	head -c 200000 /dev/urandom >"d/noise-$i"
	echo "$i" >d/changes
	rm -f "d/noise-$((i - 2))"
	facts d "facts-d-$i" -H
	case $i in
	1 | 4) backup -t full d ;;
	3) backup -t differential d ;;
	*) backup d ;;
	esac >/dev/null
done
mkdir copy
forget_one() {
	rm -rf copy && cp -a whole copy && export ASOF_REPOSITORY="$T/copy"
	asof forget "$1" || return 1
	must_fail 1 asof ls "$1" >/dev/null || return 1
	for i in 1 2 3 4 5; do
		[ "$i" -eq "$1" ] || same_as "$i" d "facts-d-$i" || return 1
	done
	sound && backup d && [ "$G" -eq 6 ] && same_as 6 d facts-d-5 && sound
}
for k in 1 2 3 4 5; do
	try "generation $k forgotten: the others are what they were" \
		forget_one "$k"
done
bring_back() {
	mv copy/generations/5.forgotten copy/generations/5 &&
		same_as 5 d facts-d-5 && sound
}
try "what was forgotten can be taken back" bring_back
forget_all() {
	asof forget 1 2 3 4 5 6 && backup d && [ "$G" -eq 7 ] &&
		field_is effective_type full && same_as 7 d facts-d-5 && sound
}
try "all forgotten: the next is full, with a new number" forget_all
nothing_half() {
	must_fail 1 asof forget 7 99 && asof ls 7
}
try "when one name is wrong nothing is forgotten" nothing_half
finish
