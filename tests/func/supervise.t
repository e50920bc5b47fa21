#!/bin/sh
# The two processes of a mount: whichever is killed, no dead mount is left; the
# server has no rights, opens nothing else and says so where it cannot be locked
# down; a repository that was away is there again; refusals are one sentence.

. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root python3
can_view || skip_all "no /dev/fuse"
can_mount || skip_all "cannot mount here"

M=$T/m
mkdir "$M" "$T/src"
head -c 3000000 /dev/urandom >"$T/src/big"
head -c 3000000 /dev/urandom >"$T/src/other"
echo first >"$T/src/small"

is_mounted() {
	awk -v d="$M" '$2 == d { found = 1 } END { exit !found }' /proc/mounts
}
is_clear() {
	! is_mounted && [ -z "$(pgrep -f "asof mount .*$M")" ] &&
		ls "$M" >/dev/null
}

# within SECONDS COMMAND...: until it succeeds.
within() {
	left=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.1
	done
}

# serve [OPTION ...]: a mount in the foreground, up when this returns.  Its
# supervisor is $V, its server $S, its keeper $K; what they say is in $T/log.
serve() {
	rm -f "$T/ready"
	mkfifo "$T/ready"
	# No background job of a plain sh: it would ignore SIGINT.
	python3 -c '
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$ASOF" mount -f --ready-fd 3 "$@" \
		"$M" 3>"$T/ready" >"$T/log" 2>&1 </dev/null &
	V=$!
	later "kill -9 $V"
	read -r line <"$T/ready" || return 1
	find_server
}
find_server() {
	S=$(pgrep -x asof-server -P "$V") && K=$(pgrep -x asof-keeper -P "$V")
}

# ended CODE: the supervisor ends so, and nothing is left.
ended() {
	within 15 eval '! kill -0 $V' || { echo "still there"; return 1; }
	wait "$V"
	code=$?
	cat "$T/log"
	[ $code -eq "$1" ] || { echo "code $code"; return 1; }
	within 5 is_clear
}

same() { timeout 10 cmp "$T/src/$1" "$M/latest$T/src/$1"; }
logged() { contains "$T/log" "$1"; }
has() { grep -Eq "$2" "/proc/$1/status"; }

new_repo repo >/dev/null
asof backup -q "$T/src" >/dev/null

# --- killed -------------------------------------------------------------------

killed_server() {
	serve && same big && kill -9 "$S" && ended 1 &&
		logged "^asof: the mount's server ended by signal 9 (Killed)$"
}
try "a server that is killed leaves no mount" killed_server

# (ABRT, because sanitizers make something of their own of SEGV.)
crashed_server() { serve && kill -ABRT "$S" && ended 1 && logged "signal 6"; }
try "nor does one that crashes" crashed_server

killed_busy() {
	serve || return 1
	(cd "$M/latest$T/src" && exec sleep 100) &
	sitter=$!
	while :; do cat "$M/latest$T/src/big" || break; done >/dev/null 2>&1 &
	reader=$!
	sleep 0.3
	kill -9 "$S"
	ended 1
	code=$?
	within 5 eval '! kill -0 $reader' || code=2
	kill -9 $sitter $reader 2>/dev/null
	return $code
}
try "not even with somebody inside and reading, who does not hang" killed_busy

# A thread that gives pages to the kernel may be waiting for one that another
# was about to answer: such a server does not end by itself.  So it is killed at
# several moments, under readers that make the kernel forget what it has.
start_pushing() {
	serve --cache 1M || return 1
	readers=
	for name in big other big; do
		python3 -c '
import os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
while True:
    os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(f, 0, os.SEEK_SET)
    while os.read(f, 131072):
        pass' "$M/latest$T/src/$name" 2>/dev/null &
		readers="$readers $!"
	done
	sleep "0.2$1"
}
readers_end() {
	code=0
	for reader in $readers; do
		within 5 eval '! kill -0 $reader' || code=2
		kill -9 "$reader" 2>/dev/null
	done
	return $code
}
killed_pushing() {
	start_pushing "$1" && kill -9 "$S" && ended 1 && readers_end
}
killed_pushing_often() {
	for moment in 1 2 3 4 5 6 7 8 9 10; do
		killed_pushing "$moment" || return
	done
}
try "nor while it gives the kernel what will be read" killed_pushing_often

# The keeper alone is left.  (Nobody may be there to take the server's status.)
threads_end() { [ "$(ls "/proc/$S/task" 2>/dev/null | wc -l)" -le 1 ]; }
killed_both_pushing() {
	for moment in 1 2 3 4 5 6 7 8 9 10; do
		start_pushing "$moment" || return
		kill -9 "$V" "$S"
		wait "$V" 2>/dev/null
		readers_end || { echo "a reader hangs"; return 1; }
		within 10 is_clear || { echo "there is still a mount"; return 1; }
		within 10 threads_end || { echo "$S does not end"; return 1; }
	done
}
try "nor when the supervisor is killed with it" killed_both_pushing

killed_supervisor() {
	serve && same big && kill -9 "$V"
	wait "$V" 2>/dev/null
	within 10 is_clear && [ -z "$(ls "$T/repo/sessions" | grep -v ^set-)" ]
}
try "a supervisor that is killed leaves no mount, process or session" \
	killed_supervisor

killed_supervisor_busy() {
	serve || return 1
	(cd "$M/latest$T/src" && exec sleep 100) &
	sitter=$!
	sleep 0.2
	kill -9 "$V"
	wait "$V" 2>/dev/null
	within 10 is_clear
	code=$?
	kill -9 $sitter
	return $code
}
try "not even with somebody inside" killed_supervisor_busy

killed_keeper() {
	serve && kill -9 "$K" && within 5 find_server && same big &&
		kill -9 "$V"
	wait "$V" 2>/dev/null
	within 10 is_clear
}
try "a keeper that is killed has a successor" killed_keeper

killed_daemon() {
	asof mount "$M" && is_mounted || return 1
	for S in $(pgrep -f "asof mount $M"); do
		[ "$(cat "/proc/$S/comm")" != asof-server ] || kill -9 "$S"
	done
	within 10 is_clear
}
try "in the background it is the same" killed_daemon

cut_connection() {
	serve || return 1
	mkdir -p "$T/conn"
	mount -t fusectl none "$T/conn" || return 1
	echo 1 >"$T/conn/$(mountpoint -d "$M" | cut -d: -f2)/abort"
	code=$?
	umount "$T/conn"
	[ $code -eq 0 ] && ended 0
}
if grep -q fusectl /proc/filesystems; then
	try "a connection that is cut leaves no mount" cut_connection
else
	skip "a connection that is cut leaves no mount" "no fusectl"
fi

# --- told to end --------------------------------------------------------------

signalled() { serve && same big && kill -"$1" "$V" && ended 0; }
for signal in INT TERM HUP; do
	try "SIG$signal ends it in good order" signalled $signal
done
server_told() { serve && kill -TERM "$S" && ended 0; }
try "SIGTERM to the server alone does, too" server_told
unmounted() { serve && same big && umount "$M" && ended 0; }
try "and an umount from outside" unmounted

mounted_again() {
	serve && umount "$M" && first=$V && serve && sleep 1 &&
		! kill -0 "$first" 2>/dev/null && same big && kill "$V" &&
		ended 0
}
try "one that was unmounted does not take its successor's mount away" \
	mounted_again

stuck() {
	serve && kill -STOP "$S" && kill -TERM "$V" && sleep 0.3 &&
		! is_mounted && kill -TERM "$V" && ended 1 &&
		logged "did not end and was killed"
}
try "a server that does not answer is unmounted at once, then killed" stuck

# --- told when ready ----------------------------------------------------------

not_ready() {
	mkfifo "$T/not" && {
		"$ASOF" mount -f --ready-fd 3 "$T/src" 3>"$T/not" \
			2>"$T/stderr" &
	} && read -r line <"$T/not"
	[ $? -ne 0 ] && wait $! 
	[ $? -eq 2 ]
}
try "--ready-fd is closed without a word when it fails" not_ready

cat >"$T/manager.py" <<'PY'
import os, socket, subprocess, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\0" + name[1:] if name[0] == "@" else name)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.settimeout(10)
p = subprocess.Popen(sys.argv[2:], env=dict(os.environ, NOTIFY_SOCKET=name))
def heard():
    word, control, _, _ = s.recvmsg(100, 100)
    return word, int.from_bytes(control[0][2][:4], sys.byteorder)
assert heard() == (b"READY=1", p.pid)
p.terminate()
assert heard() == (b"STOPPING=1", p.pid)
assert p.wait() == 0
PY
for name in "$T/notify" "@asof-test-$$"; do
	try "the service manager hears from the main process ($name)" \
		python3 "$T/manager.py" "$name" "$ASOF" mount -f "$M"
done

# --- locked down --------------------------------------------------------------

# Sanitizers and valgrind need what is forbidden.
serve
same big >/dev/null
if grep -q "not locked down" "$T/log"; then
	skip "lock-down" "$(sed -n 's/^asof: because of //p' "$T/log")"
	kill "$V" && ended 0 >/dev/null
else
	every_thread() {
		for t in /proc/"$S"/task/*; do
			grep -q "^NoNewPrivs:	1$" "$t/status" &&
				grep -q "^Seccomp:	2$" "$t/status" &&
				grep -q "^CapEff:	0*$" "$t/status" &&
				grep -q "^CapPrm:	0*$" "$t/status" || {
				cat "$t/status"
				return 1
			}
		done
	}
	try "all threads of the server: no rights, filtered calls" every_thread
	try "nothing is said of it" test ! -s "$T/log"
	try "the supervisor does not serve" \
		test "$(ls /proc/"$V"/task | wc -l)" -eq 1

	# From within: the server itself is made to call.
	helper inject
	# makes RESULT CALL [ARGUMENT ...]
	makes() {
		want=$1
		shift
		got=$(timeout 20 "$helper" "$S" "$@" 2>&1)
		[ "$got" = "$want" ] && return 0
		# A descriptor is as good as the next.
		[ "$want" = fd ] && [ "$got" -gt 2 ] && return 0
		echo "$* gave $got instead of $want"
		return 1
	}
	here=-100 # AT_FDCWD
	EPERM=-1 EACCES=-13 ENOSYS=-38
	openat=257 O_WRONLY=1 O_RDWR=2 O_CREAT=65
	if [ "$(uname -m)" != x86_64 ]; then
		skip "an intruder" "no registers known for this machine"
	else
	try "it opens what is in the repository" \
		makes fd $openat $here "$T/repo/config" 0
	try "and writes in its cache" \
		makes fd $openat $here "$T/cache/$(ls "$T/cache")/x" $O_CREAT 384
	if grep -q landlock /proc/kallsyms; then
		try "it opens no other file" \
			makes $EACCES $openat $here /etc/passwd 0
		try "not its own program" \
			makes $EACCES $openat $here "$ASOF" 0
		try "not the device anew" \
			makes $EACCES $openat $here /dev/fuse $O_RDWR
		try "it does not write to the repository" makes $EACCES \
			$openat $here "$T/repo/config" $O_WRONLY
		try "nor makes files there" makes $EACCES \
			$openat $here "$T/repo/packs/x" $O_CREAT 384
		try "nor removes any" \
			makes $EACCES 263 $here "$T/repo/config" 0
	fi
	try "it makes no code: mmap" makes $EPERM 9 0 4096 5 34 -1 0
	try "a call that nobody needs is not there: io_uring_setup" \
		makes $ENOSYS 425 1 0
	try "nor clone3" makes $ENOSYS 435 0 0
	try "after all that it serves as before" same other
	# deadly NAME NUMBER ARGUMENT ...
	deadly() {
		shift
		makes "killed 31" "$@" && ended 1 &&
			logged "forbidden system call" && serve
	}
	for call in "execve 59 /bin/sh 0 0" "socket 41 2 1 0" \
		"fork 57" "clone 56 17 0 0 0 0" "ptrace 101 16 1 0 0" \
		"umount 166 $M 2" "x32 0x40000027"; do
		try "an intruder's call kills it, and nothing is left: $call" \
			deadly $call
	done
	fi
	kill "$V" && ended 0 >/dev/null
fi

owned_by_another() {
	cp -a "$T/repo" "$T/theirs" && chown -R 1234 "$T/theirs" &&
		serve -r "$T/theirs" && same big &&
		has "$S" "^CapEff:	0*4$" && kill "$V" && ended 0
}
try "a repository of somebody else's: one right to read, no other" \
	owned_by_another

without() {
	serve --no-sandbox && logged "as asked, .* not locked down" && same big &&
		has "$S" "^Seccomp:	0$" && has "$S" "^CapEff:	0*$" &&
		kill "$V" && ended 0
}
try "--no-sandbox says so, and still drops rights" without

# The server finds it when it is locked down already.  What is damaged is the
# first page of each run; what is before it is looked at earlier.
damaged_index() {
	for run in "$T"/cache/*/run.*; do
		printf damaged | dd of="$run" bs=1 seek=5000 conv=notrunc \
			status=none || return 1
	done
	serve && same big && same other && kill "$V" && ended 0
}
try "a damaged index in the cache is made anew" damaged_index

# --- away and back ------------------------------------------------------------

mkdir "$T/disk" "$T/elsewhere"
moved() {
	mount_later -t tmpfs none "$T/disk" && cp -a "$T/repo" "$T/disk/" &&
		serve -r "$T/disk/repo" && same big &&
		mount --move "$T/disk" "$T/elsewhere" && same other &&
		mount --move "$T/elsewhere" "$T/disk" && same small &&
		kill "$V" && ended 0
}
try "a repository that is moved away and back is read all along" moved

# On a disk that is really gone, and really another when it is back.
gone_and_back() {
	disk usb 64M && cp -a "$T/repo" "$T/usb/" &&
		serve -r "$T/usb/repo" "$@" || return 1
	same big "$@" && sync && cp "$T/usb.img" "$T/again.img" &&
		cut_disk && ! same other || return 1
	mount -o loop "$T/again.img" "$T/usb" && within 15 same other &&
		same small && logged "opened anew"
	code=$?
	kill "$V"
	ended 0 || code=3
	umount "$T/usb" || code=4
	return $code
}
# It is gone for those who have it open, too.
cut_disk() {
	find_loop=$(losetup -n -O NAME -j "$T/usb.img")
	: >"$T/usb.img"
	umount -l "$T/usb"
	echo 3 >/proc/sys/vm/drop_caches
	echo "$find_loop" >/dev/null
}
if [ -b /dev/loop0 ]; then
	try "one whose disk is gone is back with its disk" gone_and_back
else
	skip "one whose disk is gone is back with its disk" "no loop devices"
fi

replaced() {
	cp -a "$T/repo" "$T/copy" && serve -r "$T/copy" && same big &&
		mv "$T/copy" "$T/copy.old" && "$ASOF" init -q -r "$T/copy" &&
		sleep 3 && same other && rm -r "$T/copy" &&
		cp -a "$T/copy.old" "$T/copy" && rm -r "$T/copy.old" &&
		within 5 logged "opened anew" && same small || return 1
	echo second >"$T/src/small"
	asof backup -q -r "$T/copy" "$T/src" &&
		within 5 test -e "$M/generations/2" && same small &&
		kill "$V" && ended 0
}
try "another repository in its place is not taken for it; a copy is" replaced
echo first >"$T/src/small"

one_tree() {
	cp -a "$T/repo" "$T/tree" && serve -r "$T/tree" --at 1 &&
		mv "$T/tree" "$T/tree.old" && cp -a "$T/tree.old" "$T/tree" &&
		rm -r "$T/tree.old" && within 5 logged "opened anew" &&
		cmp "$T/src/big" "$M$T/src/big" && kill "$V" && ended 0
}
try "a mount of one tree finds it again, too" one_tree

# --- refusals -----------------------------------------------------------------

refused() { # PATTERN OPTION ... MOUNTPOINT
	pattern=$1
	shift
	must_fail 2 asof mount "$@" && said_only "$pattern" &&
		! grep -q " $T/[^ ]* fuse.asof " /proc/mounts
}
mkdir "$T/full" && : >"$T/full/file"
try "refused: a file" refused "is not a directory" "$T/full/file"
try "refused: a folder with files" refused "is not empty.*--nonempty" "$T/full"
try "refused: the repository" refused "is the repository itself" "$T/repo"
try "refused: within it" refused "lies in the repository" "$T/repo/sessions"
try "refused: above it" refused "would hide the repository" --nonempty "$T"
twice() {
	serve || return 1
	must_fail 2 asof mount "$M" && said_only "is a mount of asof already" &&
		must_fail 2 asof mount --nonempty "$M" && kill "$V" && ended 0
}
try "refused: a second mount on the first" twice
full() { asof mount -o nonempty "$T/full" && umount "$T/full"; }
try "-o nonempty is enough to cover files" full

# --- mount(8) -----------------------------------------------------------------

PATH=$PATH:/sbin:/usr/sbin
by_table() {
	mkdir "$T/bin" && ln -s "$ASOF" "$T/bin/mount.fuse.asof" &&
		cat >"$T/fstab" <<END || return 1
$T/repo $M fuse.asof at=1,allow_other,_netdev,noauto 0 0
END
	# mount(8) looks for helpers in /sbin.
	mkdir "$T/sbin" && cp -a /sbin/. "$T/sbin/" 2>/dev/null
	ln -sf "$ASOF" "$T/sbin/mount.fuse.asof"
	unshare -m sh -ec 'mount --bind "$1/sbin" "$(readlink -f /sbin)"
		mount -T "$1/fstab" "$2"
		grep " $2 fuse.asof ro,nosuid,nodev,.*allow_other" /proc/mounts
		cmp "$1/src/big" "$2$1/src/big"
		umount "$2"
		mount -t fuse.asof "$1/repo" "$2" -o at=latest,allow_other
		cmp "$1/src/big" "$2$1/src/big"
		umount "$2"' - "$T" "$M" && within 5 is_clear
}
try "a line of fstab, and mount -t fuse.asof" by_table

# --- an ordinary user ---------------------------------------------------------

mkdir -m 755 "$T/user"
mknod -m 666 "$T/user/fuse" c 10 229
cp "$ASOF" "$T/user/asof"
mkdir "$T/user/src" "$T/user/m" "$T/user/cache"
echo mine >"$T/user/src/file"
chown -R 65534:65534 "$T/user/src" "$T/user/m" "$T/user/cache" "$T/user"
chmod 755 "$T"
cat >"$T/user/run" <<'SH'
cd "$1" || exit 1
export ASOF_CACHE_DIR="$1/cache" ASOF_REPOSITORY="$1/repo"
export ASOF_STATE_DIR="$1/asof-state" ASOF_RUN_DIR="$1/asof-run"
./asof init -q && ./asof backup -q src || exit 2
# pid_of NAME: the one of this mount's processes that is called so.
pid_of() {
	for p in $(pgrep -f "asof mount .*$M"); do
		[ "$(cat "/proc/$p/comm")" != "$1" ] || echo "$p"
	done
}
M=$1/m
clear() {
	n=0
	while grep -q " $M " /proc/mounts ||
		pgrep -f "asof mount .*$M" >/dev/null
	do
		n=$((n + 1)); [ $n -lt 100 ] || return 1
		sleep 0.1
	done
	ls m >/dev/null
}
./asof mount "$M" && cat "$M/latest$1/src/file" || exit 3
S=$(pid_of asof-server)
grep -q "^NoNewPrivs:	1" "/proc/$S/status" || exit 4
fusermount3 -u "$M" && clear || exit 5
for who in asof-server asof; do
	./asof mount "$M" && cat "$M/latest$1/src/file" || exit 6
	(cd m && exec sleep 100) &
	sleep 0.2
	kill -9 "$(pid_of $who)"
	clear || exit 7
	kill $!
done
./asof mount -f "$M" &
n=0
until [ -e m/latest ]; do
	n=$((n + 1)); [ $n -lt 100 ] || exit 8
	sleep 0.1
done
kill -TERM $! && wait $! || exit 9
clear || exit 10
./asof mount --allow-other m 2>err && exit 11
grep -q "^asof: .*fuse.conf has a line user_allow_other" err || exit 12
[ "$(wc -l <err)" -eq 1 ] || exit 13
SH
as_user() {
	unshare -m sh -c 'mount --make-rprivate / &&
		mount --bind "$1/fuse" /dev/fuse &&
		: >"$1/../fuse.conf" &&
		{ [ ! -e /etc/fuse.conf ] ||
			mount --bind "$1/../fuse.conf" /etc/fuse.conf; } &&
		exec setpriv --reuid 65534 --regid 65534 --clear-groups \
		sh "$1/run" "$1"' - "$T/user"
}
if [ -u "$(command -v fusermount3)" ] && unshare -m sh -c '
	mount --bind "$1/fuse" /dev/fuse && setpriv --reuid 65534 \
	--regid 65534 --clear-groups test -w /dev/fuse' - "$T/user"; then
	try "a user mounts, unmounts, and no kill leaves a dead mount" as_user
else
	skip "a user mounts" "no mounts for users here"
fi

try "nothing is left" is_clear
finish
