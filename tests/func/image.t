#!/bin/sh
# An image of a disk in a mount is read as a virtual machine would: image.c
# does what qemu does, and qemu-img itself is asked where it is installed.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root mount umount "${CC:-cc}"
can_view || skip_all "no /dev/fuse"
helper image
image=$helper

qemu=no
! command -v qemu-img >/dev/null || qemu=yes

# 96 MiB: text, noise, and holes; not a whole number of sectors at the end.
make_source() {
	mkdir src && truncate -s 100663296 src/disk &&
		seq 1 3000000 | dd of=src/disk bs=64K seek=16 conv=notrunc &&
		dd if=/dev/urandom of=src/disk bs=64K seek=800 count=320 \
			conv=notrunc &&
		dd if=/dev/urandom of=src/disk bs=4K seek=24000 count=3 \
			conv=notrunc &&
		printf 'the last bytes' >>src/disk || return
	if [ "$qemu" = yes ]; then
		qemu-img convert -c -f raw -O qcow2 src/disk src/disk.qcow2 ||
			return
	fi
	sync -f src
}

# The shown one, once the kernel has forgotten it.
reads_as() {
	timeout -s KILL "$LIMIT" "$image" src/disk "$1"
}

try "an image with data and holes" make_source
new_repo repo >/dev/null
try "a backup" backup -s disk "$T/src"
try "the mount answers" view view --cache 16M
shown=view/latest$T/src/disk
try "locks, alignment, holes, a guest's reads, a conversion" reads_as "$shown"
cat try.log | sed 's/^/# /'
try "the same where the kernel has some of it" reads_as "$shown"
try "two machines at once" sh -c '
	"$1" src/disk "$2" & "$1" src/disk "$2" && wait $!' - "$image" "$shown"

# The judge can be trusted: one byte that is not so is found.
lie() {
	cp --sparse=always src/disk lie &&
		printf 'Q' | dd of=lie bs=1 seek=70000000 conv=notrunc &&
		must_fail 1 timeout 60 "$image" lie "$shown"
}
try "a wrong byte would be found" lie

# What qemu-img writes is a whole number of sectors.
converts() {
	cp --sparse=always src/disk sectors && truncate -s %512 sectors &&
		timeout -s KILL "$LIMIT" qemu-img convert "$@" -O raw copy &&
		cmp sectors copy
}
compares() {
	timeout -s KILL "$LIMIT" qemu-img compare -f raw src/disk "$@"
}

if [ "$qemu" = yes ]; then
	try "qemu-img sees a raw image" sh -c '
		qemu-img info -f raw "$1" | grep -q "file format: raw"' - \
		"$shown"
	try "qemu-img finds no difference" compares -F raw "$shown"
	try "nor past the cache" compares -F raw -T none "$shown"
	try "qemu-img converts it" converts -f raw "$shown"
	try "and past the cache, by asynchronous reads" \
		converts -T none -f raw "$shown"
	try "qemu-img finds nothing wrong with a compressed qcow2" \
		timeout -s KILL "$LIMIT" qemu-img check "$shown.qcow2"
	try "whose contents are those of the image" \
		compares -F qcow2 "$shown.qcow2"
	try "also when they are converted" converts -f qcow2 "$shown.qcow2"
else
	skip "qemu-img" "not installed"
fi
finish
