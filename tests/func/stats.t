#!/bin/sh
#
# Goal: the mount tells what it has been asked for, exactly and in every kind
# of mount, and asking changes nothing; and the kernel asks as little as the
# mount was made for.
#
# Needs root, /dev/fuse and python3.  Runs the program in $ASOF (default
# ./asof).

set -u

ASOF=${ASOF:-./asof}
case $ASOF in
/*) ;;
*) ASOF=$(pwd)/$ASOF ;;
esac

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 0
}

[ "$(id -u)" -eq 0 ] || skip_all "not root"
[ -c /dev/fuse ] || skip_all "no /dev/fuse"
command -v python3 >/dev/null || skip_all "no python3"
if [ -z "${ASOF_TEST_NAMESPACE-}" ] && unshare -m true 2>/dev/null; then
	ASOF_TEST_NAMESPACE=1
	export ASOF_TEST_NAMESPACE
	exec unshare -m --propagation private sh "$0" "$@"
fi

# What the kernel has at hand it loses when another test drops the caches of
# the machine: then all of it is done again.
if [ -z "${STATS_OUT-}" ]; then
	out=$(mktemp "${TMPDIR:-/tmp}/asof-stats.XXXXXX") || exit 1
	trap 'rm -f "$out" "$out.dropped"' EXIT
	for try in 1 2 3 4 5; do
		rm -f "$out.dropped"
		STATS_OUT=$out sh "$0" >"$out"
		code=$?
		[ $code -ne 0 ] && [ -e "$out.dropped" ] || break
	done
	cat "$out"
	exit $code
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/asof-stats.XXXXXX") || exit 1
chmod 711 "$tmp"
m=$tmp/m

clean_up()
{
	cd /
	umount -l "$m" 2>/dev/null
	rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

ASOF_CACHE_DIR=$tmp/cache
ASOF_STATE_DIR=$tmp/state
ASOF_WRITERS_D=$tmp/writers.d
ASOF_RUN_DIR=$tmp/run
export ASOF_WRITERS_D
ASOF_REPOSITORY=$tmp/repo
LC_ALL=C.UTF-8
export ASOF_CACHE_DIR ASOF_STATE_DIR ASOF_RUN_DIR ASOF_REPOSITORY LC_ALL

count=0
failed=0

# report STATUS NAME
report()
{
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $count - $2"
	sed 's/^/# /' "$tmp/out" "$tmp/err" 2>/dev/null | head -n 20
}

# is NAME EXPECTED GOT
is()
{
	printf 'expected: %s\n' "$2" >"$tmp/err"
	printf 'got:      %s\n' "$3" >"$tmp/out"
	[ "$2" = "$3" ]
	report $? "$1"
}

# exits CODE NAME WORD...
exits()
{
	want=$1
	name=$2
	shift 2
	"$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
	[ "$code" -eq "$want" ] || echo "code $code" >>"$tmp/err"
	[ "$code" -eq "$want" ]
	report $? "$name"
}

# How often so far: asked KIND, and the bytes: given KIND
asked()
{
	"$ASOF" mount --stats --json "$m" | python3 -c '
import json, sys
print(json.load(sys.stdin)[sys.argv[1]]["requests"])' "$1"
}

given()
{
	"$ASOF" mount --stats --json "$m" | python3 -c '
import json, sys
print(json.load(sys.stdin)[sys.argv[1]]["bytes"])' "$1"
}

unmount()
{
	cd /
	[ "$(asked forget)" -eq 0 ] || : >"$STATS_OUT.dropped"
	umount "$m" 2>"$tmp/err" || umount -l "$m"
}

mkdir -p "$m" "$tmp/src/d"
for i in 1 2 3 4 5 6 7 8 9 10; do
	head -c 1000 /dev/urandom >"$tmp/src/d/f$i"
done
head -c 4000000 /dev/urandom >"$tmp/src/large"
"$ASOF" init >/dev/null 2>&1
"$ASOF" backup -q "$tmp/src" >/dev/null 2>&1 ||
	{ echo "Bail out! backup failed"; exit 1; }
tree=latest:$tmp/src

# --- one tree ------------------------------------------------------------------

"$ASOF" mount --at "$tree" "$m" >/dev/null 2>&1
"$ASOF" mount --stats "$m" >"$tmp/before"
is "asking is not counted" "$(cat "$tmp/before")" "$("$ASOF" mount --stats "$m")"
ls "$m/d" >/dev/null
for i in 9 7 5 3 1; do cat "$m/d/f$i" >/dev/null; done
is "a read for each small file" 5 "$(asked read)"
is "its bytes" 5000 "$(given read)"
is "one open, and never again" 1 "$(asked open)"
is "one opendir, and never again" 1 "$(asked opendir)"
ls -l "$m/d" >/dev/null
asks=$(asked getxattr)
getfattr -d "$m/d/f1" >/dev/null 2>&1
ls -lR "$m" >/dev/null
is "xattrs are asked for once where there are none" "$asks" "$(asked getxattr)"
is "and it can still be asked for counts" 5 "$(asked read)"
# In order: after three, the rest is given before it is asked for.
cat "$m"/d/f2 "$m"/d/f4 "$m"/d/f6 >/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ "$(asked push)" -gt 0 ] && break
	sleep 0.1
done
sleep 0.1
cat "$m"/d/* >/dev/null
reads=$(asked read)
pushes=$(asked push)
[ "$reads" -le 9 ] && [ $((reads + pushes)) -ge 10 ]
report $? "what is read in order is not asked for"
"$ASOF" mount --stats "$m" >"$tmp/before"
cat "$m"/d/* >/dev/null
ls -lR "$m" >/dev/null
is "what the kernel has at hand it does not ask for" \
	"$(cat "$tmp/before")" "$("$ASOF" mount --stats "$m")"
is "one name on the way was looked up; the rest it learned from listings" "1 0" \
	"$(asked lookup) $(asked readdir)"
is "any directory of the mount will do" "$(cat "$tmp/before")" \
	"$("$ASOF" mount --stats "$m/d")"
exits 2 "a file will not" "$ASOF" mount --stats "$m/d/f1"
if command -v setpriv >/dev/null; then
	cp "$ASOF" "$tmp/asof"
	exits 1 "another user is not told" setpriv --reuid 65534 \
		--clear-groups "$tmp/asof" mount --stats "$m"
fi
unmount

"$ASOF" mount --at "$tree" "$m" >/dev/null 2>&1
dd if="$m/large" of=/dev/null bs=128k iflag=direct 2>/dev/null
sleep 0.3
is "nothing is foreseen for who reads past the kernel's cache" "0 4000000" \
	"$(asked push) $(given read)"
unmount

# --- all generations -----------------------------------------------------------

"$ASOF" mount --allow-other "$m" >/dev/null 2>&1
for i in 9 7 5; do cat "$m/latest$tmp/src/d/f$i" >/dev/null; done
is "reads in a mount of all are counted" 3 "$(asked read)"
readlink "$m/latest" >/dev/null
is "virtual names are asked for" 1 "$([ "$(asked lookup)" -gt 0 ] && echo 1)"
if [ -x "$tmp/asof" ]; then
	exits 0 "who is let in is told" setpriv --reuid 65534 --clear-groups \
		"$tmp/asof" mount --stats "$m"
fi
unmount

# --- misuse --------------------------------------------------------------------

exits 2 "what is no mount is said to be none" "$ASOF" mount --stats "$m"
exits 2 "so is what is not there" "$ASOF" mount --stats "$tmp/none"
exits 2 "--stats does not mount" "$ASOF" mount --stats --at 1 "$m"
exits 2 "--json is for --stats" "$ASOF" mount --json "$m"

echo "1..$count"
[ $failed -eq 0 ]
