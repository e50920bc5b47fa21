#!/bin/sh
# The mount tells what it has been asked for, exactly and in every kind of
# mount, and asking changes nothing; and the kernel asks as little as the mount
# was made for.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"

# What the kernel has at hand it loses when another test drops the caches of
# the machine: then all of it is done again.
if [ -z "${STATS_OUT-}" ]; then
	out=$(mktemp "${TMPDIR:-/tmp}/asof-stats.XXXXXX") || exit 99
	trap 'rm -f "$out" "$out.dropped"' EXIT
	for turn in 1 2 3 4 5; do
		rm -f "$out.dropped"
		STATS_OUT=$out sh "$0" >"$out"
		code=$?
		[ $code -ne 0 ] && [ -e "$out.dropped" ] || break
	done
	cat "$out"
	exit $code
fi

begin root python3
can_view || skip_all "no /dev/fuse"
chmod 711 "$T"
m=$T/m

equal() {
	printf 'expected: %s\ngot:      %s\n' "$1" "$2"
	[ "$1" = "$2" ]
}

all_stats() { "$ASOF" mount --stats "${1-$m}"; }

# How often so far: asked KIND, and the bytes: given KIND
stat_of() {
	"$ASOF" mount --stats --json "$m" | python3 -c '
import json, sys
print(json.load(sys.stdin)[sys.argv[1]][sys.argv[2]])' "$1" "$2"
}
asked() { stat_of "$1" requests; }
given() { stat_of "$1" bytes; }

unmount() {
	[ "$(asked forget)" -eq 0 ] || : >"$STATS_OUT.dropped"
	umount "$m" || umount -l "$m"
}

# Another user, with a copy of the program that he can reach.
cp "$ASOF" asof
other() { setpriv --reuid 65534 --clear-groups "$T/asof" "$@"; }
try_other() {
	if command -v setpriv >/dev/null; then
		try "$@"
	else
		skip "$1" "no setpriv"
	fi
}

mkdir -p src/d
for i in 1 2 3 4 5 6 7 8 9 10; do
	head -c 1000 /dev/urandom >"src/d/f$i"
done
head -c 4000000 /dev/urandom >src/large
new_repo repo >/dev/null
try "a backup" backup src
tree=latest:$T/src

# --- one tree ------------------------------------------------------------------

view m --at "$tree" >/dev/null
all_stats >before
try "asking is not counted" equal "$(cat before)" "$(all_stats)"
ls m/d >/dev/null
for i in 9 7 5 3 1; do cat "m/d/f$i" >/dev/null; done
try "a read for each small file" equal 5 "$(asked read)"
try "its bytes" equal 5000 "$(given read)"
try "one open, and never again" equal 1 "$(asked open)"
try "one opendir, and never again" equal 1 "$(asked opendir)"
ls -l m/d >/dev/null
asks=$(asked getxattr)
getfattr -d m/d/f1 >/dev/null 2>&1
ls -lR m >/dev/null
try "xattrs are asked for once where there are none" \
	equal "$asks" "$(asked getxattr)"
try "and it can still be asked for counts" equal 5 "$(asked read)"
# In order: after three, the rest is given before it is asked for.
cat m/d/f2 m/d/f4 m/d/f6 >/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ "$(asked push)" -gt 0 ] && break
	sleep 0.1
done
sleep 0.1
cat m/d/* >/dev/null
in_order() {
	reads=$(asked read) pushes=$(asked push)
	echo "$reads reads, $pushes pushes"
	[ "$reads" -le 9 ] && [ $((reads + pushes)) -ge 10 ]
}
try "what is read in order is not asked for" in_order
all_stats >before
cat m/d/* >/dev/null
ls -lR m >/dev/null
try "what the kernel has at hand it does not ask for" \
	equal "$(cat before)" "$(all_stats)"
try "one name on the way was looked up; the rest it learned from listings" \
	equal "1 0" "$(asked lookup) $(asked readdir)"
try "any directory of the mount will do" \
	equal "$(cat before)" "$(all_stats m/d)"
try "a file will not" must_fail 2 all_stats m/d/f1
try_other "another user is not told" must_fail 1 other mount --stats "$m"
unmount

view m --at "$tree" >/dev/null
dd if=m/large of=/dev/null bs=128k iflag=direct 2>/dev/null
sleep 0.3
try "nothing is foreseen for who reads past the kernel's cache" \
	equal "0 4000000" "$(asked push) $(given read)"
unmount

# --- all generations -----------------------------------------------------------

view m --allow-other >/dev/null
for i in 9 7 5; do cat "m/latest$T/src/d/f$i" >/dev/null; done
try "reads in a mount of all are counted" equal 3 "$(asked read)"
readlink m/latest >/dev/null
try "virtual names are asked for" [ "$(asked lookup)" -gt 0 ]
try_other "who is let in is told" other mount --stats "$m"
unmount

# --- misuse --------------------------------------------------------------------

try "what is no mount is said to be none" must_fail 2 all_stats "$m"
try "so is what is not there" must_fail 2 all_stats "$T/none"
try "--stats does not mount" must_fail 2 asof mount --stats --at 1 "$m"
try "--json is for --stats" must_fail 2 asof mount --json "$m"
finish
