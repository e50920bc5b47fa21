# What the functional tests have in common.  A test is POSIX shell that says
# TAP: it begins with
#
#	. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
#	begin [root] [TOOL ...]
#
# has lines like
#
#	try "a missing source is the caller's mistake" must_fail 2 backup /none
#
# and ends with `finish`.  $T is a fresh directory; it, and what `later` was
# told, is gone in the end, however the end comes.
#
# From outside: ASOF (the program), srcdir and builddir (tops of the source
# and build trees), TMPDIR, CC.  LIMIT is how many seconds one run may take.

export LC_ALL=C TZ=UTC
umask 022
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
: "${builddir:=$srcdir/build}"
: "${ASOF:=$builddir/asof}"
: "${LIMIT:=60}"
tests=0 bad=0 at_end=

# --- beginning and end -------------------------------------------------------

# Skip all of it unless we are root (if it says so) and the tools are there.
# Root goes on in mounts of its own, so that nothing stays mounted however
# hard the test is killed.
begin() {
	if [ "$(id -u)" -eq 0 ] && [ -z "${ASOF_FUNC_MOUNTS-}" ] &&
		unshare -m true 2>/dev/null; then
		ASOF_FUNC_MOUNTS=own exec unshare -m --propagation private \
			sh "$0"
	fi
	for tool; do
		case $tool in
		root) [ "$(id -u)" -eq 0 ] || skip_all "needs root" ;;
		*) command -v "$tool" >/dev/null || skip_all "needs $tool" ;;
		esac
	done
	case $ASOF in /*) ;; *) ASOF=$PWD/$ASOF ;; esac
	[ -x "$ASOF" ] || skip_all "there is no $ASOF"
	T=$(mktemp -d "${TMPDIR:-/tmp}/asof-func.XXXXXX") || exit 99
	T=$(cd "$T" && pwd -P)
	trap cleanup EXIT
	trap 'exit 99' HUP INT TERM
	export ASOF_CACHE_DIR="$T/cache" ASOF_RUN_DIR="$T/run"
	# Writers of this machine are no part of any test.
	export ASOF_STATE_DIR="$T/state" ASOF_WRITERS_D="$T/writers.d"
	cd "$T" || exit 99
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

# A command for the end; the last one told is done first.
later() {
	at_end="$*
$at_end"
}

cleanup() {
	trap - EXIT
	cd /
	eval "$at_end" >/dev/null 2>&1
	# A process of ours that is just ending takes its mount with it.
	for pause in 0.2 1 3 0; do
		rm -rf --one-file-system "$T" 2>/dev/null && break
		sleep "$pause"
	done
}

finish() {
	echo "1..$tests"
	[ "$bad" -eq 0 ]
	exit
}

# --- one test ----------------------------------------------------------------

# try TEXT COMMAND...: ok if the command says 0; else its output is shown.
try() {
	text=$1
	shift
	tests=$((tests + 1))
	if "$@" >"$T/try.log" 2>&1; then
		echo "ok $tests - $text"
		return 0
	else
		code=$?
	fi
	bad=$((bad + 1))
	echo "not ok $tests - $text"
	echo "# exit $code: $*"
	head -n 30 "$T/try.log" | tr -c '\n -~' '?' | cut -c 1-300 |
		sed 's/^/# /'
	return 1
}

skip() {
	tests=$((tests + 1))
	echo "ok $tests - $1 # SKIP $2"
}

# --- running the program -----------------------------------------------------

# Output and messages are kept in $T/stdout and $T/stderr, and shown by try.
asof() {
	timeout -k 5 "$LIMIT" "$ASOF" "$@" >"$T/stdout" 2>"$T/stderr"
	asof_code=$?
	head -n 20 "$T/stdout" "$T/stderr"
	return "$asof_code"
}

# must_fail CODE COMMAND...: it ends with just this code.
must_fail() {
	want=$1
	shift
	"$@"
	got=$?
	[ "$got" -eq "$want" ] && return 0
	echo "exit code $got instead of $want"
	return 1
}

# said PATTERN, printed PATTERN: the last run's messages, its output.
said() { contains "$T/stderr" "$1"; }
printed() { contains "$T/stdout" "$1"; }

contains() {
	grep -aq -e "$2" "$1" && return 0
	echo "no $2 in:"
	cat "$1"
	return 1
}

# The last run's messages are one sentence, and it matches.
said_only() {
	said "$1" && [ "$(wc -l <"$T/stderr")" -eq 1 ]
}

# A field of the last run's --json output, of one value.
field() {
	sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" \
		"$T/stdout" | head -n 1
}

# field_is NAME VALUE
field_is() {
	[ "$(field "$1")" = "$2" ] && return 0
	echo "$1 is $(field "$1") instead of $2"
	return 1
}

# new_repo NAME: a repository $T/NAME, which is the one from now on.
new_repo() {
	export ASOF_REPOSITORY="$T/$1"
	asof init
}

# A backup; $G becomes its number.
backup() {
	asof backup --json "$@"
	backup_code=$?
	G=$(field generation)
	return "$backup_code"
}

sound() { asof check; }

# --- comparing ---------------------------------------------------------------

# helper NAME: build tests/func/NAME.c, if nobody has; its path is $helper.
helper() {
	helper=$builddir/tests/func/$1
	[ -x "$helper" ] && return 0
	helper=$T/$1
	[ -x "$helper" ] && return 0
	${CC:-cc} -O1 -I "$srcdir" -o "$helper" "$srcdir/tests/func/$1.c" ||
		skip_all "cannot compile $1.c"
}

# facts DIR FILE [OPTION ...]: all that there is to say about a tree.
facts() {
	facts_dir=$1 facts_file=$2
	shift 2
	helper facts
	timeout "$LIMIT" "$helper" "$@" "$facts_dir" >"$facts_file"
}

# same_facts FILE FILE: shows where they differ.
same_facts() {
	cmp -s "$1" "$2" && return 0
	diff "$1" "$2" | cut -c 1-200 | head -n 30
	return 1
}

# Two trees are the same in everything, as facts.c and rsync see it.
same_tree() {
	facts "$1" "$T/facts.a" && facts "$2" "$T/facts.b" &&
		same_facts "$T/facts.a" "$T/facts.b" && same_to_rsync "$1" "$2"
}

# same_to_rsync A B [OPTION ...]: it would have nothing to do.
same_to_rsync() {
	rsync_a=$1 rsync_b=$2
	shift 2
	timeout "$LIMIT" rsync -n -aHAXSi --checksum --delete --numeric-ids \
		--devices --specials "$@" "$rsync_a/" "$rsync_b/" \
		>"$T/rsync.log" 2>&1 && [ ! -s "$T/rsync.log" ] && return 0
	head -n 30 "$T/rsync.log"
	return 1
}

# same_generation GEN PATH COPY: restored, its PATH is what COPY is.
same_generation() {
	rm -rf "$T/same"
	asof restore "$1" --to "$T/same" -q && same_tree "$T/same$2" "$3"
}

# --- file systems ------------------------------------------------------------

# disk NAME SIZE [OPTION ...]: a new ext4 of its own, mounted at $T/NAME.
disk() {
	disk_dir=$T/$1 disk_size=$2
	shift 2
	mkdir -p "$disk_dir" && truncate -s "$disk_size" "$disk_dir.img" &&
		mkfs.ext4 -q -b 4096 "$@" "$disk_dir.img" &&
		mount_later -o loop "$disk_dir.img" "$disk_dir"
}

# mount_later WORD ...: mount(8), to be undone in the end; the last word is
# where.
mount_later() {
	mount "$@" || return 1
	for where; do :; done
	case $where in /*) ;; *) where=$PWD/$where ;; esac
	later "umount '$where' || umount -l '$where'"
}

# Can the machine mount anything here?
can_mount() {
	mkdir -p "$T/.probe" && mount -t tmpfs none "$T/.probe" 2>/dev/null &&
		umount "$T/.probe"
}

# view NAME [OPTION ...]: asof mount at $T/NAME, to be undone in the end.
view() {
	view_dir=$T/$1
	shift
	mkdir -p "$view_dir"
	asof mount "$view_dir" "$@" || return 1
	later "umount '$view_dir' || umount -l '$view_dir'"
}

can_view() { [ -r /dev/fuse ] && [ -w /dev/fuse ]; }
