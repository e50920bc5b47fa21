#!/bin/sh
# Goal: what an attempt to break a backup has once found stays mended: lost
# packs noticed by another command first, stores through a mapping into a file
# of the future, cancelling in the middle of a large file, no space in the
# middle of one, a small file that grows, a parent that cannot be listed.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root python3
export ASOF_REPOSITORY="$T/repo"

# --- lost packs ----------------------------------------------------------------

mkdir src
for i in 1 2 3 4; do head -c 300000 /dev/urandom >src/$i; done
try "a repository" asof init
try "a first backup" asof backup -q src
try "a second" asof backup -q src
largest() { ls -S repo/packs/* | head -n 1; }
rm "$(largest)"
try "check names what is lost" must_fail 4 asof check
try "the next backup reads everything, though check noticed first" \
	asof backup -q src
try "and so is whole" asof check latest
whole() { asof restore -q latest:"$T/src" --to out && diff -r src out/src; }
try "byte for byte" whole

# --- a store through a mapping, the time far ahead ------------------------------

cat >mapped.py <<'END'
import mmap, os, subprocess, sys, time
p, asof = sys.argv[1], sys.argv[2]
with open(p, 'wb') as f:
    f.write(b'a' * 8192)
os.sync()
f = open(p, 'r+b')
m = mmap.mmap(f.fileno(), 8192)
for text in (b'one', b'two', b'six'):
    m[0:3] = text
    os.utime(p, (4 * 10**9, 4 * 10**9))
    time.sleep(0.05)
    if text != b'one':
        m[3:6] = text
    subprocess.run([asof, 'backup', '-q', '--set', 'mapped',
                    os.path.dirname(p)], check=True)
got = subprocess.run([asof, 'cat', 'mapped@latest:' + p], check=True,
                     capture_output=True).stdout
sys.exit(got[:6] != b'sixsix')
END
mkdir mapped
case $(stat -f -c %T mapped) in
tmpfs) skip "stores through a mapping are seen" "tmpfs never moves times" ;;
*) try "stores through a mapping are seen, whatever the time says" \
	python3 mapped.py "$T/mapped/file" "$ASOF" ;;
esac

# --- cancelling ------------------------------------------------------------------

mkdir large
truncate -s 1 large/a
cancel() {
	# At level 19 it takes minutes.
	"$ASOF" backup -q --level 19 --set large large 2>err &
	pid=$!
	sleep 0.7
	begun=$(date +%s%N)
	kill -"$1" $pid 2>/dev/null || { echo "it was over already"; return 1; }
	wait $pid
	code=$?
	took=$((($(date +%s%N) - begun) / 1000000))
	echo "exit $code after $took ms"
	[ "$code" -eq "$2" ] && [ "$took" -lt 5000 ]
}
# 300 MB that do not compress.
head -c 300000000 /dev/urandom >large/file
	head -c 300000000 /dev/urandom >large/file
# (A shell's background processes ignore SIGINT; the handler is the same.)
try "SIGTERM in the middle of a large file ends it soon" cancel TERM 143
try "SIGHUP too" cancel HUP 129
nothing() { ! asof generations --set large || [ ! -s "$T/stdout" ] ||
	! grep -q large "$T/stdout"; }
try "and nothing was published" nothing

# --- no space in the middle of a large file -------------------------------------

mkdir tiny
later "umount '$T/tiny'"
mount -t tmpfs -o size=40m none tiny
try "a repository on a small disk" asof init -r tiny/repo
full() {
	must_fail 1 asof backup -q -r tiny/repo large &&
		grep -q 'No space left' "$T/stderr" &&
		! grep -q 'type is unknown' "$T/stderr"
}
try "no space in the middle of a large file is said" full
rm -f large/file

# --- a file that grows once --------------------------------------------------------

mkdir grows
i=0
while [ $i -lt 1500 ]; do
	head -c 100000 /dev/urandom >grows/f$i
	i=$((i + 1))
done
echo 1 >grows/z
grow() {
	"$ASOF" backup -q --set grows grows &
	pid=$!
	head -c 5000000 /dev/urandom >"$T/five"
	sleep 0.05
	cat "$T/five" >grows/z
	wait $pid
	code=$?
	len=$("$ASOF" cat grows@latest:"$T/grows/z" | wc -c)
	echo "exit $code, $len bytes"
	# Before or after it grew, or torn and said so.
	[ "$len" -eq 2 ] || [ "$len" -eq 5000000 ] || [ "$code" -eq 3 ]
}
try "a small file that grows is whole, or said to be torn" grow

# --- a parent that may be passed, not listed -----------------------------------------

mkdir -p closed/home && echo mine >closed/home/file
chmod 711 closed
chown -R 65534:65534 closed/home
chmod 755 "$T"
mkdir their && chown 65534:65534 their
cp "$ASOF" "$T/anyones"	# the build may be where nobody else may go
passing() {
	HOME=$T/their ASOF_CACHE_DIR=$T/their/cache timeout 60 setpriv \
		--reuid 65534 --regid 65534 --clear-groups sh -c '
		cd / && "$0" init -q -r "$1/their/repo" &&
		"$0" backup -q -r "$1/their/repo" "$1/closed/home" &&
		"$0" cat -r "$1/their/repo" latest:"$1/closed/home/file"' \
		"$T/anyones" "$T"
}
try "a parent of the source need not be listable" passing

# --- the repository is no place to restore to --------------------------------------

try "a restore into the repository is refused" must_fail 2 asof restore latest \
	--to repo/packs/out
try "and nothing was made there" test ! -e repo/packs/out
ln -s repo/packs by-link
try "however it is called" must_fail 2 asof restore latest --to by-link/out
finish
