#!/bin/sh
# An image of a disk in a mount is read as a virtual machine would: image.c
# does what qemu does, and qemu-img itself is asked where it is installed.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root mount umount "${CC:-cc}"
can_view || skip_all "no /dev/fuse"
helper image
image=$helper

# 96 MiB: text, noise, and holes; not a whole number of sectors at the end.
make_source() {
	mkdir src && truncate -s 100663296 src/disk &&
		seq 1 3000000 | dd of=src/disk bs=64K seek=16 conv=notrunc &&
		dd if=/dev/urandom of=src/disk bs=64K seek=800 count=320 \
			conv=notrunc &&
		dd if=/dev/urandom of=src/disk bs=4K seek=24000 count=3 \
			conv=notrunc &&
		printf 'the last bytes' >>src/disk && sync -f src
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

if command -v qemu-img >/dev/null; then
	try "qemu-img sees a raw image" sh -c '
		qemu-img info -f raw "$1" | grep -q "file format: raw"' - \
		"$shown"
	try "qemu-img finds no difference" timeout -s KILL "$LIMIT" \
		qemu-img compare -f raw -F raw src/disk "$shown"
	try "qemu-img converts it" sh -c '
		qemu-img convert -f raw -O raw "$1" copy && cmp src/disk copy' \
		- "$shown"
else
	skip "qemu-img" "not installed"
fi
finish
