#!/bin/sh
# What is read from a mount is what the source has, however it is read:
# randread.c reads files of all shapes at random, with four readers at once,
# and compares.
#
# RANDREAD_OPERATIONS says how many reads (100,000), RANDREAD_SEED which.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
: "${RANDREAD_OPERATIONS:=100000}"
: "${RANDREAD_SEED:=$$}"
LIMIT=$((60 + RANDREAD_OPERATIONS / 500))
begin root mount umount python3 "${CC:-cc}"
can_view || skip_all "no /dev/fuse"
helper randread
randread=$helper

files="tiny page plain text linked sparse combed hollow huge"

make_source() {
	mkdir src && cd src || return 1
	printf 'x' >tiny
	head -c 4096 /dev/urandom >page
	head -c 9000001 /dev/urandom >plain
	seq 1 900000 >text
	ln plain linked
	truncate -s 30000000 hollow
	# Pieces of data of any length; a piece in every other page; and more
	# than 6 GiB with data across 2^31, 2^32 and at the end.
	python3 - <<'PY'
import os, random
random.seed(7)
def piece(f, at, n):
    f.seek(at)
    f.write(random.randbytes(n))
with open("sparse", "wb") as f:
    for i in range(40):
        piece(f, random.randrange(40 << 20), random.randrange(1, 300000))
    f.truncate((40 << 20) + 12345)
with open("combed", "wb") as f:
    for i in range(0, 1200, 2):
        piece(f, i * 4096, 4096)
    f.truncate(1200 * 4096)
with open("huge", "wb") as f:
    piece(f, 0, 5000)
    piece(f, (1 << 31) - 1500000, 3000000)
    piece(f, (1 << 32) - 1500000, 3000000)
    for i in range(60):
        piece(f, random.randrange(6 << 30), random.randrange(1, 200000))
    piece(f, (6 << 30) + 777, 100001)
PY
	made=$?
	cd .. && sync -f src && return "$made"
}

# reads OPERATIONS READERS DIR: the rest of the words are files.
reads() {
	operations=$1 readers=$2 dir=$3
	shift 3
	for f; do
		set -- "$@" "$T/src/$f" "$dir/$f"
		shift
	done
	timeout -s KILL "$LIMIT" "$randread" "$operations" "$readers" \
		"$RANDREAD_SEED" "$@" >"$T/reads.log"
	code=$?
	sed 's/^/# /' "$T/reads.log" >>"$T/told"
	cat "$T/reads.log"
	return "$code"
}
told() {
	cat "$T/told"
	: >"$T/told"
}

try "a source with files of all shapes" make_source
new_repo repo >/dev/null
try "a backup" backup -s shapes "$T/src"
try "the mount answers" view view --cache 16M
: >told
echo "# seed $RANDREAD_SEED"
# shellcheck disable=SC2086
try "$RANDREAD_OPERATIONS reads by four readers" reads \
	"$RANDREAD_OPERATIONS" 4 "view/generations/1$T/src" $files
told
for f in $files; do
	try "$f alone, by one reader" reads 500 1 "view/latest$T/src" "$f"
done
: >told
try "a mount of one folder answers" view folder --at "1:$T/src"
# shellcheck disable=SC2086
try "the same in a mount of one folder" reads 4000 4 folder $files
told
for way in io_uring O_DIRECT; do
	if grep -q "^$way is not" reads.log; then
		skip "$way" "not to be had here"
	fi
done

# The judge can be trusted: one byte that is not so is found.
lie() {
	cp src/page lie && printf 'Q' | dd of=lie bs=1 seek=2000 conv=notrunc &&
		! cmp -s src/page lie &&
		must_fail 1 timeout 60 "$randread" 300 1 1 lie folder/page
}
try "a wrong byte would be found" lie
finish
