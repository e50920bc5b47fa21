#!/bin/sh
# Everything that a file system can hold comes back as it was: from every
# type of generation, restored and mounted, on ext4 with large attributes and
# on tmpfs.  The judges are images of the source's file system taken at the
# time, rsync, getfattr, find, and facts.c.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root mount umount mkfs.ext4 fsfreeze rsync getfattr setfattr setfacl \
	setcap chattr find xargs "${CC:-cc}"
can_mount || skip_all "cannot mount"
helper facts
helper torture-tree
tree=$helper

big='-O ea_inode,^has_journal -N 60000'

# What needs tools: lists, capabilities, flags.
dress() {
	mkdir "$1/acl" "$1/acl/plain" "$1/flags" "$1/flags/D" "$1/flags/T" \
		"$1/flags/di" &&
		touch "$1/acl/file" "$1/acl/linked" "$1/acl/plain/file" &&
		ln "$1/acl/linked" "$1/acl/linked-too" &&
		setfacl -m u:1:rwx,g:4242:r,m::rx "$1/acl/file" \
			"$1/acl/linked" &&
		setfacl -m u:2:r,d:u:3:rwx,d:g:4:-,d:o::r "$1/acl" &&
		echo x >"$1/acl/heir" && mkdir "$1/acl/heir-dir" &&
		mkfifo "$1/acl/fifo" &&
		cp /bin/true "$1/acl/capable" &&
		setcap cap_net_raw,cap_chown+ep "$1/acl/capable" &&
		chmod 04711 "$1/acl/fifo"
}

# Flags that the file system has no word for are left out.
set_flags() {
	(
		cd "$1/flags" && echo x >di/file && touch i a d A S linked j &&
			ln linked linked-too || exit 1
		for f in a d A S D T j; do
			chattr "+$f" "$f" 2>/dev/null
		done
		chattr +i i && chattr +i linked && chattr +i di
	)
}

# All but the maps of the files in holes/, which are judged one by one: what
# SEEK_DATA says of blocks that are reserved but not written depends on what
# happens to be in the page cache.
told() {
	facts "$@" && sed '/^\.\/holes\// s/ data=[^ ]*//' "$2" >"$2.told" &&
		mv "$2.told" "$2"
}

# An image of the source's file system as it is now.
keep() {
	sync -f live && fsfreeze -f live || return 1
	cp --sparse=always live.img "kept-$1.img"
	kept=$?
	fsfreeze -u live && [ "$kept" -eq 0 ] && mkdir -p "kept-$1" &&
		mount_later -o loop,ro "kept-$1.img" "kept-$1" &&
		told "kept-$1/src" "facts-$1"
}

# A new, empty file system to restore to.
fresh_target() {
	if mountpoint -q target; then umount target; fi
	# shellcheck disable=SC2086
	rm -f target.img && disk target 1G $big
}

shallow() {
	(
		cd "$1" && find . -path ./deep -prune -o -print0 | sort -z |
			xargs -0 getfattr -h -d -m - -e hex
	) >"$T/getfattr.$2"
}

stated() {
	(
		cd "$1" || exit 1
		find . -path ./deep -prune -o ! -type d -print0 | sort -z |
			xargs -0 stat -c '%n %F %a %u %g %s %t:%T %y' || exit 1
		find . -path ./deep -prune -o -type d -print0 | sort -z |
			xargs -0 stat -c '%n %F %a %u %g %y'
	) >"$T/stat.$2"
}

# same_as_told DIR FACTS [OPTION ...]
same_as_told() {
	dir=$1 f=$2
	shift 2
	told "$dir" facts.b "$@" && same_facts "$f" facts.b
}

same_to_tools() {
	all_same=0
	same_to_rsync "$1" "$2" --exclude=/deep --exclude=/huge || all_same=1
	shallow "$1" a && shallow "$2" b &&
		same_facts "$T/getfattr.a" "$T/getfattr.b" || all_same=1
	stated "$1" a && stated "$2" b &&
		same_facts "$T/stat.a" "$T/stat.b" || all_same=1
	return "$all_same"
}

# one_generation N TYPE BASE
one_generation() {
	try "$2: taken" backup -s torture -t "$2" "$T/live/src"
	try "$2: has number $1" [ "$G" = "$1" ]
	try "$2: compares with $3" field_is base "$3"
}

# shellcheck disable=SC2086
try "an ext4 with everything" disk live 1G $big
mkdir live/outside
try "the tree is made" "$tree" make "$T/live/src" "$T/live/outside"
try "lists and capabilities" dress live/src
try "flags" set_flags live/src
new_repo repo >/dev/null

# --- five generations --------------------------------------------------------

n=1
for g in full:null incremental:1 differential:1 copy:null incremental:2; do
	[ "$n" -eq 1 ] ||
		try "the tree changes" "$tree" change live/src $((n - 1))
	try "an image of it" keep "$n"
	one_generation "$n" "${g%:*}" "${g#*:}"
	n=$((n + 1))
done
try "nothing is damaged" sound

for n in 1 2 3 4 5; do
	try "generation $n: an empty file system" fresh_target
	try "generation $n is restored" asof restore "$n:$T/live/src/" \
		--to "$T/target/src" --numeric-ids
	try "generation $n is what the source was" \
		same_as_told target/src "facts-$n"
	[ "$n" -eq 2 ] || [ "$n" -eq 4 ] ||
		try "generation $n is that to other tools too" \
			same_to_tools "kept-$n/src" target/src
done

same_hole() {
	facts kept-5/src/holes a && facts target/src/holes b &&
		grep "$1" a >map.a && grep "$1" b >map.b &&
		same_facts map.a map.b
}
try "a hole is kept where blocks are reserved behind the end" \
	same_hole hole-and-more
try "a file of one byte that is a hole is kept" same_hole hole-of-a-byte

# --- the same in a mount -----------------------------------------------------

# Asking for 20,000 names takes its time: twice is enough.
if can_view; then
	try "the mount answers" view view --allow-other
	for n in 1 2 3 4 5; do
		dir=view/generations/$n$T/live/src
		case $n in 1 | 5) but= ;; *) but=many ;; esac
		told "kept-$n/src" "facts-$n.view" -F -x "$but"
		try "generation $n in the mount is what the source was" \
			same_as_told "$dir" "facts-$n.view" -F -x "$but"
	done
	try "a generation in the mount is that to other tools too" \
		same_to_tools kept-4/src "view/generations/4$T/live/src"
else
	skip "the mount shows what the source was" "no /dev/fuse"
fi

# --- tmpfs -------------------------------------------------------------------

memory() {
	mkdir -p mem && mount_later -t tmpfs -o size=900m,mode=755 none mem &&
		mkdir mem/outside
}

from_memory() {
	rm -rf mem/target
	asof restore "$1:$T/mem/src/" --to "$T/mem/target" --numeric-ids &&
		told mem/target facts.b && same_facts "mem-$1" facts.b
}

try "a tmpfs" memory
try "the tree is made on tmpfs" "$tree" make "$T/mem/src" "$T/mem/outside"
told mem/src mem-6
try "a full backup of a tmpfs" backup -s memory "$T/mem/src"
try "the tree changes on tmpfs" "$tree" change mem/src 1
told mem/src mem-7
try "an incremental backup of a tmpfs" backup -s memory "$T/mem/src"
try "it compares with the full" field_is base 6
try "the full from tmpfs comes back" from_memory 6
try "the incremental from tmpfs comes back" from_memory 7
finish
