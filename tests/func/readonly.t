#!/bin/sh
# Nothing in a mount can be changed: every system call that changes something,
# asked of everything that a mount has in it, is refused, and the view is the
# same after as before.  The judges are readonly.c and facts.c.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root mount umount setfattr getfattr "${CC:-cc}"
can_view || skip_all "no /dev/fuse"
helper facts
helper readonly
readonly=$helper

# The names for what a mount has in it; $1 is where the source is shown.
stored() {
	echo "file:$1/file file:$1/hard file:$1/empty dir:$1/d link:$1/link" \
		"dirlink:$1/dirlink fifo:$1/fifo"
}

# refuses PLACE ...: in a folder of its own, with a limit for what might wait.
refuses() {
	timeout -s KILL "$LIMIT" "$readonly" "$T/outside" "$@"
}

# looks DIR FILE: all that there is to see.
looks() { facts "$1" "$2" && [ "$(wc -l <"$2")" -gt 10 ]; }

same_look() { looks "$1" "$T/look.b" && same_facts "$2" "$T/look.b"; }

mkdir src src/d src/d/sub outside
head -c 20000 /dev/urandom >src/file
setfattr -n user.one -v 1 src/file src/d
setfattr -n trusted.one -v 1 src/file 2>/dev/null
: >src/empty
ln src/file src/hard
ln -s file src/link
ln -s d src/dirlink
ln -s nowhere src/dangling
mkfifo src/fifo
echo inside >src/d/inside
new_repo repo >/dev/null
try "a backup" backup -s zoo "$T/src"

# --- everything ---------------------------------------------------------------

try "the mount answers" view view
shown=view/generations/1$T/src
looks view look.a
# shellcheck disable=SC2046
try "what is stored: every change is refused" refuses $(stored "$shown")
try "a generation's own directory" refuses dir:view/generations/1
try "the mount's root" refuses root:view
try "the virtual directories" refuses dir:view/generations dir:view/by-time \
	dir:view/by-set dir:view/by-set/zoo dir:view/by-type \
	dir:view/by-type/full
try "the virtual links" refuses dirlink:view/latest \
	"dirlink:$(ls -d view/by-time/*)" dirlink:view/by-set/zoo/1 \
	dirlink:view/by-set/zoo/latest dirlink:view/by-type/full/1
try "through a name that is a link" \
	refuses "file:view/latest$T/src/file" "dir:view/latest$T/src/d"
try "all of it is what it was" same_look view look.a

# --- one tree -----------------------------------------------------------------

try "a mount of one tree answers" view tree --at 1
looks tree look.tree
# shellcheck disable=SC2046
try "one tree: every change is refused" refuses $(stored "tree$T/src")
try "its root" refuses root:tree
try "all of it is what it was" same_look tree look.tree

try "a mount of one folder answers" view folder --at "1:$T/src"
looks folder look.folder
# shellcheck disable=SC2046
try "one folder: every change is refused" refuses $(stored folder) root:folder
try "all of it is what it was" same_look folder look.folder

# --- by way of another mount ----------------------------------------------------

mkdir bound
mount_later --bind "$T/view" "$T/bound"
mount -o remount,bind,rw "$T/bound"
# shellcheck disable=SC2046
try "a bind mount that is told to be writable is not" \
	refuses $(stored "bound/generations/1$T/src") root:bound

# --- remounted by force ---------------------------------------------------------

# Whoever may mount can tell the kernel that it is no longer read-only (-i:
# without asking the program): then the program is asked, and refuses.
changes_one_by_one() {
	for change in "touch new" "touch file" "mkdir new" "rm -f file" \
		"rmdir d/sub" "mv file other" "ln file other" "ln -s x other" \
		"chmod 600 file" "chown 1 file" "truncate -s 1 file" \
		"dd if=/dev/zero of=file bs=1 count=1 conv=notrunc" \
		"dd if=/dev/zero of=file bs=512 count=1 seek=9 conv=notrunc" \
		"dd if=/dev/zero of=file bs=4096 count=1 oflag=direct" \
		"fallocate -l 1M file" "setfattr -n user.x -v 1 file" \
		"setfattr -x user.one file" "mkfifo new" "cp link new"; do
		# shellcheck disable=SC2086
		(cd "$1" && timeout 5 $change) </dev/null 2>/dev/null || continue
		echo "it was done: $change"
		return 1
	done
}
if mount -i -o remount,rw "$T/view" 2>try.log; then
	try "remounted writable: every change fails" \
		changes_one_by_one "$shown"
	try "all of it is what it was" same_look view look.a
	try "and can be read-only again" mount -i -o remount,ro "$T/view"
else
	skip "remounted writable" "the kernel refuses"
fi
finish
