#!/bin/sh
#
# Goal: the mount shows what was backed up, whole and exactly; shows nothing
# where it cannot; comes and goes in good order whatever happens.
#
# Needs root, /dev/fuse and python3; rsync, attr, acl and libcap where they
# are.  Runs the program in $ASOF (default ./asof) and the reader in $READCHECK
# (default $builddir/tests/func/readcheck, else made with cc).

set -u

ASOF=${ASOF:-./asof}
case $ASOF in
/*) ;;
*) ASOF=$(pwd)/$ASOF ;;
esac
here=$(cd "$(dirname "$0")" && pwd)

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 0
}

[ "$(id -u)" -eq 0 ] || skip_all "not root"
[ -c /dev/fuse ] || skip_all "no /dev/fuse"
command -v python3 >/dev/null || skip_all "no python3"

# A mount lives as long as any mount namespace has it: in one of our own nobody
# else takes a copy of ours.
if [ -z "${ASOF_TEST_NAMESPACE-}" ] && unshare -m true 2>/dev/null; then
	ASOF_TEST_NAMESPACE=1
	export ASOF_TEST_NAMESPACE
	exec unshare -m --propagation private sh "$0" "$@"
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/asof-mount.XXXXXX") || exit 1
chmod 755 "$tmp"

clean_up()
{
	cd /
	for at in $(awk -v t="$tmp/" 'index($2, t) == 1 { print $2 }' \
		/proc/mounts); do
		umount -l "$at" 2>/dev/null
	done
	# Those of our children that have not been waited for.
	for pid in $(cat "$tmp"/*.pid 2>/dev/null); do
		[ "$(awk '{ print $4 }' "/proc/$pid/stat" 2>/dev/null)" = \
			$$ ] && kill -9 "$pid"
	done
	chattr -R -i "$tmp" 2>/dev/null
	rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

READCHECK=${READCHECK:-${builddir:-.}/tests/func/readcheck}
if [ ! -x "$READCHECK" ]; then
	READCHECK=$tmp/readcheck
	${CC:-cc} -O2 -D_FILE_OFFSET_BITS=64 -o "$READCHECK" \
		"$here/readcheck.c" -lpthread || skip_all "no readcheck"
fi

ASOF_CACHE_DIR=$tmp/cache
ASOF_STATE_DIR=$tmp/state
ASOF_WRITERS_D=$tmp/writers.d
ASOF_RUN_DIR=$tmp/run
export ASOF_WRITERS_D
ASOF_REPOSITORY=$tmp/repo
TZ=UTC
LC_ALL=C.UTF-8
export ASOF_CACHE_DIR ASOF_STATE_DIR ASOF_RUN_DIR ASOF_REPOSITORY TZ LC_ALL
src=$tmp/src
m=$tmp/m
mkdir "$src" "$m"

# --- helpers: each check is one TAP line --------------------------------------

count=0
failed=0
: >"$tmp/out"
: >"$tmp/err"

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
	sed 's/^/# out: /' "$tmp/out" | head -n 12
	sed 's/^/# err: /' "$tmp/err" | head -n 12
}

skip()
{
	count=$((count + 1))
	echo "ok $count - # SKIP $1"
}

# check NAME WORD...: the command must succeed.
check()
{
	name=$1
	shift
	"$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	report $? "$name"
}

# fails NAME WORD...: it must fail.
fails()
{
	name=$1
	shift
	! "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	report $? "$name"
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

# is NAME EXPECTED GOT
is()
{
	printf '%s\n' "$2" >"$tmp/err"
	printf '%s\n' "$3" >"$tmp/out"
	[ "$2" = "$3" ]
	report $? "$1"
}

backup()
{
	"$ASOF" backup -q "$@" >"$tmp/out" 2>"$tmp/err" || {
		cat "$tmp/err" >&2
		echo "Bail out! backup failed"
		exit 1
	}
}

is_mounted()
{
	awk -v d="$1" '$2 == d { found = 1 } END { exit !found }' /proc/mounts
}

# within SECONDS WORD...: until the command succeeds.
within()
{
	left=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}

is_gone()
{
	! kill -0 "$1" 2>/dev/null
}

no_server()
{
	! pgrep -f "^$ASOF mount .*$m" >/dev/null
}

# serve NAME WORD...: a mount in the foreground, up when this returns; its
# process in $pid, what it says in $tmp/NAME.log.
serve()
{
	name=$1
	shift
	rm -f "$tmp/ready"
	mkfifo "$tmp/ready"
	# No background job of a plain sh: it would ignore SIGINT.
	python3 -c '
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$ASOF" mount -f --ready-fd 3 "$@" \
		3>"$tmp/ready" >"$tmp/$name.log" 2>&1 </dev/null &
	pid=$!
	echo $pid >"$tmp/$name.pid"
	read -r line <"$tmp/ready"
}

# ends NAME: the served mount ends by itself, with exit 0 and nothing left.
ends()
{
	within 10 is_gone $pid || kill -9 $pid
	wait $pid
	code=$?
	cp "$tmp/$2.log" "$tmp/err"
	[ $code -eq 0 ] || echo "code $code" >>"$tmp/err"
	[ $code -eq 0 ] && ! is_mounted "$m"
	report $? "$1"
	rm -f "$tmp/$2.pid"
}

drop_caches()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches 2>/dev/null
}

# --- what is backed up --------------------------------------------------------

(
	cd "$src" || exit 1
	: >empty
	echo hello >small
	head -c 100000 /dev/urandom >mid
	head -c 9000000 /dev/urandom >big
	head -c 20000000 /dev/zero | tr '\0' 'x' >run
	truncate -s 10000000 hole
	dd if=/dev/urandom of=sparse bs=64k count=3 seek=7
	dd if=/dev/urandom of=sparse bs=4k count=1 seek=1000 conv=notrunc
	truncate -s 9000000 sparse
	for i in $(seq 1 3 400); do
		dd if=/dev/urandom of=holes bs=4k count=1 seek=$i conv=notrunc
	done
	mkdir d
	ln small hard1
	ln small d/hard2
	ln mid d/mid2
	ln -s small link
	ln -s /nonexistent/dangling d/dangling
	ln -s "$(printf 'x%.0s' $(seq 1 4000))" longlink
	cp /bin/echo program
	mkfifo fifo
	ln fifo d/fifo2
	mknod cdev c 5 1
	mknod bdev b 7 200
	mknod wide c 300 70000
	python3 -c '
import os, socket
socket.socket(socket.AF_UNIX).bind("sock")
for name in (b"new\nline", b"bad\xff\xfeutf", b"tab\tq\"\x27\\ ", b"n" * 255):
    with open(name, "w") as f: f.write("x")
os.mkdir("huge")
for i in range(20000):
    name = "huge/f%05d" % i
    if i % 3: os.symlink("t", name)
    else: open(name, "w").close()
os.utime("small", ns=(1, 2))
os.utime("empty", ns=(-5 * 10**9 + 3, -7 * 10**9 + 999999999))
os.utime("mid", ns=(2**33 * 10**9, 2**33 * 10**9 + 5))
os.mkdir("deep"); os.chdir("deep")
for i in range(200):
    os.mkdir("l%d" % i); os.chdir("l%d" % i)
open("bottom", "w").write("x" * 1000)'
	chown 12345:54321 mid
	chmod 4755 big
	chmod 2750 d
	chmod 1777 deep
	chmod 0 empty
	setfattr -n user.one -v 1 small
	setfattr -n user.long -v "$(head -c 3000 /dev/zero | tr '\0' y)" mid
	setfattr -n trusted.t -v secret big
	setfattr -n user.dir -v q d
	setfattr -n user.empty d
	setfacl -m u:1234:r,g:77:rwx small
	setfacl -d -m u:99:rx d
	setcap cap_net_raw+ep big
	chattr +d big
	exit 0
) >/dev/null 2>&1

"$ASOF" init >/dev/null 2>&1
backup --set zoo "$src"

# --- a mount in the background ------------------------------------------------

exits 0 "the command returns when the mount can be used" \
	"$ASOF" mount "$m"
check "it is mounted" is_mounted "$m"
is "as fuse.asof, read-only, without set-uid and devices" \
	"fuse.asof ro,nosuid,nodev,relatime,user_id=0,group_id=0" \
	"$(awk -v d="$m" '$2 == d { print $3, $4 }' /proc/mounts)"
is "the source is the repository" "$tmp/repo" \
	"$(awk -v d="$m" '$2 == d { print $1 }' /proc/mounts)"
is "names at the top" "by-set by-time by-type control generations latest versions" \
	"$(ls "$m" | tr '\n' ' ' | sed 's/ $//')"
is "latest" generations/1 "$(readlink "$m/latest")"
is "by set" ../../generations/1 "$(readlink "$m/by-set/zoo/1")"
is "latest of a set" ../../generations/1 "$(readlink "$m/by-set/zoo/latest")"
is "by type" ../../generations/1 "$(readlink "$m/by-type/full/1")"
is "other types are there and empty" "" "$(ls "$m/by-type/log")"
is "by time" "$(date -u -d "$(getfattr --only-values --absolute-names \
	-n user.asof.time "$m/generations/1")" +%Y-%m-%dT%H-%M-%SZ)" \
	"$(ls "$m/by-time")"
check "every link leads to the generation" \
	sh -c 'cd "$1" && ls -d by-*/*/*/tmp latest/tmp by-time/*/tmp' - "$m"
is "no other name is there" "2" "$(ls -d "$m/none" "$m/generations/2" \
	"$m/generations/01" "$m/by-set/none" 2>&1 | grep -c "No such file" |
	awk '{ print $1 / 2 }')"
fails "a name of 300 bytes is too long" \
	ls "$m/latest/$(printf 'n%.0s' $(seq 1 300))"
is "and that is what is said" 1 "$(grep -c "too long" "$tmp/err")"

# --- the same as the source ---------------------------------------------------

shown=$m/latest$src

if command -v rsync >/dev/null; then
	rsync -n -aHAXSi --checksum --delete --numeric-ids "$src/" "$shown/" \
		>"$tmp/out" 2>"$tmp/err"
	[ $? -eq 0 ] && [ ! -s "$tmp/out" ]
	report $? "rsync finds no difference"
else
	skip "no rsync"
fi

facts()
{
	(
		cd "$1" || exit 1
		find . ! -type d -printf \
			'%p|%y|%m|%U|%G|%s|%T@|%C@|%l|%n\n'
		find . -type d -printf '%p|%y|%m|%U|%G|%T@|%C@|%n\n'
	) | LC_ALL=C sort
}
facts "$src" >"$tmp/facts.source"
facts "$shown" >"$tmp/facts.shown"
check "find sees the same: types, modes, owners, sizes, times, targets, links" \
	cmp "$tmp/facts.source" "$tmp/facts.shown"

births()
{
	(cd "$1" && find . -exec stat -c '%w %n' {} + | LC_ALL=C sort)
}
if [ "$(printf '6.6\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.6 ]; then
	births "$src" >"$tmp/births.source"
	births "$shown" >"$tmp/births.shown"
	check "statx sees the same times of birth" \
		cmp "$tmp/births.source" "$tmp/births.shown"
	# Another test may make the kernel forget them in between: then again.
	asked() { "$ASOF" mount --stats "$m" | awk '$1 == "statx"'; }
	for _ in 1 2 3 4 5; do
		before=$(asked)
		births "$shown" >"$tmp/births.shown"
		after=$(asked)
		[ "$after" != "$before" ] || break
	done
	is "and the kernel asks for each once" "$after" "$before"
	is "what is only in the mount was never born" "- - - -" \
		"$(stat -c %w "$m" "$m/by-time" "$m/latest" "$m/versions/tmp" |
		tr '\n' ' ' | sed 's/ $//')"
else
	skip "the kernel asks for times of birth since Linux 6.6"
fi

groups()
{
	(
		cd "$1" || exit 1
		find . ! -type d -links +1 -printf '%i %p\n' | LC_ALL=C sort |
			awk '{ i[$1] = i[$1] " " $2 } END { for (k in i) print i[k] }' |
			LC_ALL=C sort
	)
}
is "hard links are the same groups" "$(groups "$src")" "$(groups "$shown")"
is "devices have the same numbers" \
	"$(cd "$src" && stat -c '%n %t %T' cdev bdev wide)" \
	"$(cd "$shown" && stat -c '%n %t %T' cdev bdev wide)"
check "inode numbers are all different but for hard links" sh -c '
	cd "$1" && test "$(find . -links 1 ! -type d -printf "%i\n" |
	sort | uniq -d | wc -l)" -eq 0' - "$shown"
check "inode numbers in listings are those of stat" python3 -c '
import os, sys
for d, dirs, files in os.walk(sys.argv[1]):
    for e in os.scandir(d):
        assert e.inode() == e.stat(follow_symlinks=False).st_ino, e.path' \
	"$m/generations/1"
is "dot and dot-dot have the right numbers" \
	"$(stat -c %i "$shown/d" "$shown")" \
	"$(ls -ai "$shown/d" | awk '$2 == "." || $2 == ".." { print $1 }')"

if command -v getfattr >/dev/null; then
	all_xattrs()
	{
		(cd "$1" && getfattr -R -h -d -m - . 2>/dev/null) |
			LC_ALL=C sort
	}
	is "xattrs are the same" "$(all_xattrs "$src")" "$(all_xattrs "$shown")"
	fails "one that is not there is not there" \
		getfattr -n user.none "$shown/small"
	is "a user does not see the class trusted" "" \
		"$(chmod 711 "$tmp"; setpriv --reuid 65534 --clear-groups \
		getfattr -d -m trusted "$shown/big" 2>/dev/null)"
	is "facts about a generation" "full zoo 1" "$(for n in type set number
	do
		getfattr --only-values --absolute-names -n user.asof.$n \
			"$m/generations/1"
		echo
	done | tr '\n' ' ' | sed 's/ $//')"
	is "each fact that its record holds" "" "$(for n in number id set set_id \
		repository type effective_type time start end host machine \
		tool comment sources file_systems users groups entries inodes \
		bytes xattrs links exceptions files_read bytes_read \
		bytes_stored chunks_new errors incrementals differentials
	do
		getfattr --only-values --absolute-names -n user.asof.$n \
			"$m/generations/1" 2>&1 >"$tmp/fact.$n"
	done)"
	is "the sources, one a line" "$src" "$(cat "$tmp/fact.sources")"
	is "users by number and name" "0 root" "$(head -n 1 "$tmp/fact.users")"
	fails "a full one has no base" getfattr -n user.asof.base \
		"$m/generations/1"
	is "are not listed" "" "$(getfattr -d --absolute-names \
		"$m/generations/1")"
	fails "and are on nothing else" \
		getfattr -n user.asof.type "$shown/small"
	check "the size of a value can be asked for, and must suffice" \
		python3 -c '
import ctypes, errno, os, sys
c = ctypes.CDLL(None, use_errno=True)
path = os.fsencode(sys.argv[1])
assert c.getxattr(path, b"user.one", None, 0) == 1
b = ctypes.create_string_buffer(4)
need = c.listxattr(path, None, 0)
assert need > 8
assert c.listxattr(path, b, 4) == -1
assert ctypes.get_errno() == errno.ERANGE' "$shown/small"
else
	skip "no getfattr"
fi
if command -v getfacl >/dev/null; then
	is "ACLs are the same" \
		"$(cd "$src" && getfacl -n small d 2>/dev/null)" \
		"$(cd "$shown" && getfacl -n small d 2>/dev/null)"
else
	skip "no getfacl"
fi
if lsattr -d "$src/big" 2>/dev/null | cut -c1-20 | grep -q d; then
	is "inode flags are shown" d \
		"$(lsattr "$shown/big" | cut -d' ' -f1 | tr -d -)"
else
	skip "no inode flags here"
fi

for f in empty small mid big run hole sparse holes; do
	check "bytes and holes of '$f', read in all ways" \
		"$READCHECK" file "$src/$f" "$shown/$f" 200
done
check "several readers of one file" \
	"$READCHECK" threads "$src/big" "$shown/big" 4 100
check "several readers of one file with holes" \
	"$READCHECK" threads "$src/sparse" "$shown/sparse" 4 100
is "blocks are those of the data" 0 "$(stat -c %b "$shown/hole")"
is "blocks are rounded up" "$((9000000 / 512 + 1))" \
	"$(stat -c %b "$shown/big")"
exits 0 "20,000 names, and the way back to each" \
	"$READCHECK" dir "$shown/huge" 500
is "are all there" 20002 "$(cat "$tmp/out")"
exits 0 "the way back to virtual names" \
	"$READCHECK" dir "$m/by-type" 20
deep=$(find "$shown/deep" -name bottom)
is "the bottom of 200 directories" "$(tr -d x <"$deep" | wc -c) \
$(wc -c <"$deep")" "0 1000"
check "a program can be run" "$shown/program" "it works"
check "diff finds no difference" diff -r --no-dereference \
	"$src/d" "$shown/d" --exclude 'fifo*'
check "tar reads it all" sh -c 'tar -C "$1" -cf - . | wc -c | grep -q .' - \
	"$shown"
is "df: the bytes of all generations" \
	"$(getfattr --only-values --absolute-names -n user.asof.bytes \
	"$m/generations/1" | awk '{ print int(($1 + 4095) / 4096) * 4 }')" \
	"$(df -k --output=size "$m" | tail -n 1 | tr -d ' ')"

# --- nothing can be changed ---------------------------------------------------

is "every change is refused: the file system is read-only" 10 "$(
	{
		touch "$shown/new"
		touch "$shown/small"
		mkdir "$shown/newdir"
		rm -f "$shown/small"
		rmdir "$shown/d"
		mv "$shown/small" "$shown/other"
		ln "$shown/small" "$shown/other"
		ln -s x "$shown/other"
		chmod 777 "$shown/small"
		echo x >>"$shown/small"
	} 2>&1 | grep -c "Read-only file system")"
if command -v setfattr >/dev/null; then
	fails "xattrs too" setfattr -n user.x -v 1 "$shown/small"
fi

# --- generations come and go --------------------------------------------------

mkdir "$tmp/inside"
ls "$m" "$m/generations" "$m/by-time" "$m/by-set/zoo" >/dev/null
readlink "$m/latest" >/dev/null
ls "$m/generations/2" 2>/dev/null
( cd "$shown/d" && exec sleep 1000 ) &
sitter=$!
echo $sitter >"$tmp/sitter.pid"
echo changed >"$src/small"
backup --set zoo "$src"
check "a new generation appears within 3 seconds" \
	within 3 test -d "$m/generations/2"
is "in the listing" "1 2" "$(ls "$m/generations" | tr '\n' ' ' |
	sed 's/ $//')"
is "as latest" generations/2 "$(readlink "$m/latest")"
is "as the latest of the set" ../../generations/2 \
	"$(readlink "$m/by-set/zoo/latest")"
is "as incremental" 2 "$(ls "$m/by-type/incremental")"
is "with its base" 1 "$(getfattr --only-values --absolute-names \
	-n user.asof.base "$m/generations/2")"
is "by time" 2 "$(ls "$m/by-time" | wc -l)"
is "with the new content" changed "$(cat "$m/latest$src/small")"
is "beside the old one" hello "$(cat "$m/generations/1$src/small")"
ls -lR "$m/by-time/" "$m/by-set/" >/dev/null
ls -l "$m"/by-time/*/ "$m"/by-set/zoo/*/ >/dev/null
is "who sits in a directory stays there, however it is reached" \
	"$m/generations/1$src/d" "$(readlink /proc/$sitter/cwd)"
"$ASOF" forget 1 >/dev/null 2>&1
check "a forgotten one vanishes within 3 seconds" \
	within 3 sh -c '! test -e "$1"' - "$m/generations/1"
is "from the listing" 2 "$(ls "$m/generations")"
is "from the times" 1 "$(ls "$m/by-time" | wc -l)"
is "who sits in it gets an error, and no hang" "Stale file handle" "$(
	cd /proc/$sitter/cwd && timeout 5 cat mid2 2>&1 |
		sed -n 's/.*: \(Stale file handle\)/\1/p')"
kill $sitter
rm -f "$tmp/sitter.pid"
wait $sitter 2>/dev/null

# --- handles ------------------------------------------------------------------

shown=$m/latest$src
if "$READCHECK" save "$shown/mid" "$tmp/handle.linked" 2>/dev/null; then
	"$READCHECK" save "$shown/big" "$tmp/handle.file"
	drop_caches
	check "a file handle opens what the kernel has forgotten" \
		"$READCHECK" load "$m" "$tmp/handle.file" "$src/big"
	umount "$m"
	within 5 no_server
	"$ASOF" mount "$m"
	check "and over a restart" \
		"$READCHECK" load "$m" "$tmp/handle.file" "$src/big"
	check "a linked file's too" \
		"$READCHECK" load "$m" "$tmp/handle.linked" "$src/mid"
else
	skip "no file handles"
fi

umount "$m"
report $? "umount"
check "ends the process" within 5 no_server
is "and the session" "" "$(ls "$tmp/repo/sessions" | grep -v '^set-')"

# --- one tree -----------------------------------------------------------------

"$ASOF" mount --at 2 "$m"
is "--at GEN: the tree itself" "$(ls -A "$src")" "$(ls -A "$m$src")"
is "without virtual names" "" "$(ls -d "$m/latest" "$m/generations" \
	2>/dev/null)"
check "dot-dot of the top is the top" test "$m/." -ef "$m/tmp/../."
check "with xattrs" getfattr -n user.one "$m$src/small"
is "facts" 2 "$(getfattr --only-values --absolute-names \
	-n user.asof.number "$m")"
umount "$m"

"$ASOF" mount --at "zoo@latest:$src" "$m"
is "--at GEN:PATH: a directory" "$(ls -A "$src")" "$(ls -A "$m")"
check "with its content" cmp "$src/big" "$m/big"
is "and its number" "$(stat -c %i "$m" "$m/d/..")" \
	"$(stat -c %i "$m" "$m")"
umount "$m"

"$ASOF" mount --at "2:$src/huge" "$m"
is "a tree without xattrs says so" "Operation not supported" "$(
	getfattr -n user.x "$m/f00000" 2>&1 | sed -n 's/.*: //p')"
is "to listing too" "Operation not supported" "$(
	getfattr -d -m - "$m/f00000" 2>&1 | sed -n 's/.*: //p')"
umount "$m"

exits 1 "a generation that is not there" "$ASOF" mount --at 77 "$m"
exits 1 "a path that is not there" "$ASOF" mount --at 2:/none "$m"
exits 2 "a path to a file" "$ASOF" mount --at "2:$src/mid" "$m"
check "nothing is mounted then" sh -c '! grep -q "$1" /proc/mounts' - "$m"

echo "more" >"$src/more"
backup --set zoo "$src"
"$ASOF" mount --at "3:$src" "$m"
"$ASOF" forget 3 >/dev/null 2>&1
check "one tree stays when its generation is forgotten" \
	cmp "$src/big" "$m/big"
is "all of it" more "$(cat "$m/more")"
umount "$m"

# A repository that cannot be written, as on a read-only medium.
mkdir "$tmp/frozen"
mount --bind "$tmp/repo" "$tmp/frozen"
mount -o remount,bind,ro "$tmp/frozen"
exits 0 "a read-only repository" "$ASOF" mount -r "$tmp/frozen" "$m"
check "is shown like any other" cmp "$src/big" "$m/latest$src/big"
umount "$m"
within 5 no_server
umount "$tmp/frozen"

# --- mountpoints --------------------------------------------------------------

exits 2 "not on a file" "$ASOF" mount "$src/small"
exits 2 "not where there is something" "$ASOF" mount "$src"
exits 2 "not on the repository" "$ASOF" mount --nonempty "$tmp/repo"
exits 2 "not in the repository" "$ASOF" mount --nonempty "$tmp/repo/packs"
exits 2 "not above the repository" "$ASOF" mount --nonempty "$tmp"
mkdir "$tmp/bound"
mount --bind "$tmp/repo" "$tmp/bound"
exits 2 "not on the repository under another name" \
	"$ASOF" mount --nonempty "$tmp/bound"
umount "$tmp/bound"
exits 1 "not on nothing" "$ASOF" mount "$tmp/nothing"
exits 2 "an option that does not exist" "$ASOF" mount -o frobnicate "$m"
is "is named" 1 "$(grep -c "frobnicate" "$tmp/err")"
check "nothing is mounted then" sh -c '! grep -q "$1" /proc/mounts' - "$tmp/"
mkdir "$tmp/full"
: >"$tmp/full/file"
exits 0 "on a full folder when told so" "$ASOF" mount --nonempty "$tmp/full"
umount "$tmp/full"
mkdir "$tmp/odd, name\\"
check "on a path with a comma" sh -c 'cd "$2/odd, name\\" && cd .. &&
	"$1" mount "odd, name\\" && ls "odd, name\\/latest/" &&
	umount "odd, name\\"' - "$ASOF" "$tmp"
exits 0 "noexec is handed on" "$ASOF" mount -o noexec "$m"
is "to the kernel" 1 "$(awk -v d="$m" '$2 == d { print $4 }' /proc/mounts |
	grep -c noexec)"
umount "$m"
ln -s "$ASOF" "$tmp/mount.fuse.asof"
exits 0 "as mount(8) calls it" \
	"$tmp/mount.fuse.asof" "$tmp/repo" "$m" -o rw,at=2
is "read-only all the same, and the tree" "ro 1" "$(awk -v d="$m" \
	'$2 == d { print substr($4, 1, 2) }' /proc/mounts) $(ls -d "$m$src" |
	wc -l)"
umount "$m"

# --- the end ------------------------------------------------------------------

for signal in TERM INT HUP; do
	serve end "$m"
	check "mounted in the foreground" is_mounted "$m"
	kill -$signal $pid
	ends "SIG$signal ends it: exit 0, unmounted" end
done
serve end "$m"
umount "$m"
ends "umount ends it: exit 0" end

serve end "$m"
( cd "$m/latest$src" && exec sleep 1000 ) &
sitter=$!
echo $sitter >"$tmp/sitter.pid"
sleep 0.2
fails "umount says busy while somebody is inside" umount "$m"
kill -TERM $pid
ends "SIGTERM ends it with somebody inside" end
kill $sitter
wait $sitter 2>/dev/null
rm -f "$tmp/sitter.pid"

serve end "$m"
for i in 1 2 3; do
	sh -c 'while cat "$1" >/dev/null 2>&1; do :; done' - \
		"$m/latest$src/big" &
	echo $! >"$tmp/reader$i.pid"
	(
		cd "$m" 2>/dev/null || exit
		while ls -lR . >/dev/null 2>&1; do :; done
	) &
	echo $! >"$tmp/lister$i.pid"
done
sleep 0.5
kill -TERM $pid
ends "SIGTERM ends it in the middle of reading" end
for p in "$tmp"/reader?.pid "$tmp"/lister?.pid; do
	check "and nobody hangs" within 10 is_gone "$(cat "$p")"
	wait "$(cat "$p")" 2>/dev/null
	rm "$p"
done

serve end "$m"
sh -c 'while cat "$1" >/dev/null 2>&1; do :; done' - \
	"$m/latest$src/big" &
reader=$!
echo $reader >"$tmp/reader.pid"
sleep 0.3
umount -l "$m"
( within 5 is_gone $pid || kill $reader )
ends "a lazy umount in the middle of reading ends it too" end
wait $reader 2>/dev/null
rm -f "$tmp/reader.pid"

# (What comes of kill -9: supervise.t.)

# --- told to a service manager ------------------------------------------------

cat >"$tmp/manager.py" <<'PY'
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(10)
env = dict(os.environ, NOTIFY_SOCKET=sys.argv[1])
p = subprocess.Popen(sys.argv[2:], env=env)
assert s.recv(100) == b"READY=1"
p.terminate()
assert p.wait() == 0
PY
check "the service manager is told when it is ready" \
	python3 "$tmp/manager.py" "$tmp/notify" "$ASOF" mount -f "$m"

# --- damage -------------------------------------------------------------------

mkdir "$tmp/vault"
(
	head -c 400000 /dev/urandom
	printf 'HERE-IT-WILL-BREAK'
	head -c 400000 /dev/urandom
) >"$tmp/vault/broken"
head -c 300000 /dev/urandom >"$tmp/vault/whole"
ASOF_REPOSITORY=$tmp/repo2
"$ASOF" init >/dev/null 2>&1
backup "$tmp/vault"
hit=$(grep -obaF HERE-IT-WILL-BREAK "$tmp"/repo2/packs/* | head -n 1)
if [ -n "$hit" ]; then
	pack=$(ls "$tmp"/repo2/packs/* | head -n 1)
	chmod u+w "$pack"
	printf X | dd of="$pack" bs=1 conv=notrunc \
		seek="$(printf '%s' "$hit" | sed 's/^.*packs[^:]*://' |
		cut -d: -f1)" 2>/dev/null
	serve damage "$m"
	shown=$m/latest$tmp/vault
	check "what is beside the damage is whole" \
		cmp "$tmp/vault/whole" "$shown/whole"
	exits 1 "a damaged file cannot be read" cat "$shown/broken"
	is "as EIO" 1 "$(grep -c "Input/output error" "$tmp/err")"
	check "every byte that can be had is right, the others are EIO" \
		python3 -c '
import errno, os, sys
a = open(sys.argv[1], "rb").read()
fd = os.open(sys.argv[2], os.O_RDONLY)
lost = 0
for at in range(0, len(a), 4096):
    try:
        b = os.pread(fd, 4096, at)
        assert b == a[at:at + 4096], at
    except OSError as e:
        assert e.errno == errno.EIO, e
        lost += 1
assert 1 <= lost <= 100000 / 4096, lost
assert 400000 // 4096 * 4096 not in (), lost' \
		"$tmp/vault/broken" "$shown/broken"
	cp "$tmp/damage.log" "$tmp/out"
	check "the log names the file, the offset and the chunk" grep -Eq \
		"/vault/broken: .*offset [0-9]+: chunk [0-9a-f]{64}" \
		"$tmp/damage.log"
	for i in $(seq 1 60); do
		cat "$shown/broken" >/dev/null 2>&1
	done
	lines=$(wc -l <"$tmp/damage.log")
	check "and is not flooded ($lines lines)" test "$lines" -le 41
	umount "$m"
	ends "damage does not hinder the end" damage
	: >"$tmp/repo2/generations/2"
	serve damage "$m"
	is "a damaged record is listed" "1 2" \
		"$(ls "$m/generations" | tr '\n' ' ' | sed 's/ $//')"
	fails "cannot be entered" ls "$m/generations/2/"
	is "that is EIO" 1 "$(grep -c "Input/output error" "$tmp/err")"
	check "and does not hinder the others" \
		cmp "$tmp/vault/whole" "$m/generations/1$tmp/vault/whole"
	cp "$tmp/damage.log" "$tmp/out"
	check "and is said" grep -q "^asof: generation 2: " "$tmp/damage.log"
	umount "$m"
	ends "nor the end" damage
else
	skip "the file's bytes were not found in a pack"
fi
ASOF_REPOSITORY=$tmp/repo

# --- other users --------------------------------------------------------------

chmod 755 "$tmp"
serve others "$m"
fails "root's mount is closed to others" \
	setpriv --reuid 65534 --regid 65534 --clear-groups ls "$m/"
umount "$m"
ends "end" others

mkdir -m 700 "$src/closed"
echo private >"$src/closed/file"
echo public >"$src/public"
chmod 644 "$src/public"
chmod 755 "$src"
backup --set zoo "$src"
serve others --allow-other "$m"
shown=$m/latest$src
user="setpriv --reuid 65534 --regid 65534 --clear-groups"
is "unless it is allowed" public "$($user cat "$shown/public")"
fails "and then modes are kept" $user cat "$shown/closed/file"
if command -v setfacl >/dev/null && getfacl -n "$shown/small" 2>/dev/null |
	grep -q 'user:1234:r--'; then
	chmod 600 "$src/small"
	setfacl -m u:1234:r "$src/small"
	backup --set zoo "$src"
	within 3 test -e "$m/generations/5"
	is "and ACLs" changed "$(setpriv --reuid 1234 --regid 65534 \
		--clear-groups cat "$m/latest$src/small")"
	fails "for all" $user cat "$m/latest$src/small"
fi
umount "$m"
ends "end" others

# --- as a user ----------------------------------------------------------------

# In a private mount namespace, where /dev/fuse is open to all.
mkdir -m 755 "$tmp/user"
mkdir "$tmp/user/m" "$tmp/user/src" "$tmp/user/cache"
echo mine >"$tmp/user/src/file"
mkdir -m 700 "$tmp/user/src/dir"
echo closed >"$tmp/user/src/dir/file"
chmod 000 "$tmp/user/src/dir/file"
mknod -m 666 "$tmp/user/fuse" c 10 229
cp "$ASOF" "$tmp/user/asof"
"$ASOF" init -r "$tmp/user/repo" >/dev/null 2>&1
backup -r "$tmp/user/repo" "$tmp/user/src"
chown -R 65534:65534 "$tmp/user"
cat >"$tmp/user/run.sh" <<'SH'
set -u
cd "$1" || exit 1
export ASOF_CACHE_DIR="$1/cache"
./asof mount -r repo m || exit 10
cat "m/latest$1/src/file" || exit 11
# root's and closed files of one's own backup can be read
cat "m/latest$1/src/dir/file" || exit 12
awk -v d="$1/m" '$2 == d { print $3 }' /proc/mounts
# but not what the backup itself could not read
./asof backup -q --type full -r repo src 2>/dev/null
[ $? -eq 3 ] || exit 20
n=0
until [ -e m/generations/2 ]; do
	n=$((n + 1)); [ $n -lt 50 ] || exit 21
	sleep 0.1
done
[ -f "m/generations/2$1/src/dir/file" ] || exit 22
cat "m/generations/2$1/src/dir/file" 2>err && exit 23
grep -q "Input/output error" err || exit 24
cat "m/generations/2$1/src/file" || exit 25
fusermount3 -u m || exit 13
./asof mount -r repo --allow-other m 2>err && exit 14
grep -q . err || exit 15
./asof mount -f -r repo m &
server=$!
n=0
until [ -e m/latest ]; do
	n=$((n + 1)); [ $n -lt 100 ] || exit 16
	sleep 0.1
done
kill $server
wait $server || exit 17
grep -q "$1/m" /proc/mounts && exit 18
exit 0
SH
if unshare -m sh -c 'mount --bind "$1" /dev/fuse &&
	exec setpriv --reuid 65534 --regid 65534 --clear-groups \
	test -w /dev/fuse' - "$tmp/user/fuse" 2>/dev/null &&
	[ -u "$(command -v fusermount3)" ]; then
	chown 0:0 "$tmp/user/src/dir/file"
	exits 0 "a user mounts, reads all, unmounts" \
		unshare -m sh -c 'mount --make-rprivate / &&
		mount --bind "$1/fuse" /dev/fuse && exec setpriv \
		--reuid 65534 --regid 65534 --clear-groups \
		sh "$1/run.sh" "$1"' - "$tmp/user"
	is "what was backed up" "mine closed fuse.asof mine" \
		"$(tr '\n' ' ' <"$tmp/out" | sed 's/ $//')"
else
	skip "no mounts for users here"
fi

# --- in the end ---------------------------------------------------------------

is "no mount is left" "" "$(awk -v t="$tmp/" 'index($2, t) == 1' /proc/mounts)"
is "no process is left" "" "$(pgrep -f "$tmp" | grep -v "^$$\$" | head -n 3)"
echo "1..$count"
[ $failed -eq 0 ]
