#!/bin/sh
# doc/format.md is enough to read a repository: a reader that was written from
# it alone, and knows nothing of asof's code, lists the same names with the same
# metadata as find(1), and reads the same bytes as sha256sum(1).
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin python3 zstd find xargs sort sha256sum setfattr

# Something of each form: all forms of content and of map items, maps, trees,
# link tables and lists with inner nodes.
make_source() {
	mkdir -p src/empty src/many src/links src/odd && cd src || return 1
	: >nothing
	echo short >short
	head -c 40000000 /dev/urandom >long
	seq 400000 >text
	head -c 9000000 /dev/zero >zeros
	truncate -s 30M holes
	for at in 4 9 10 20; do
		seq 9000 | dd of=holes bs=1M seek="$at" conv=notrunc 2>/dev/null
	done
	truncate -s 100M hole
	seq 3000 | sed 's/.*/echo & >many\/a-long-enough-name-&/' | sh
	seq 300 | sed 's/.*/ln many\/a-long-enough-name-& links\/&/' | sh
	ln -s ../short odd/symlink
	mkfifo odd/fifo
	echo odd >"odd/$(printf 'new\nline \377')"
	chmod 4751 odd/fifo
	touch -d '1999-12-31 23:59:59.123456789' short odd
	setfattr -n user.short -v value short 2>/dev/null
	setfattr -n user.long -v "$(seq -s, 900)" text 2>/dev/null
	cd ..
}

change_source() {
	cd src && echo longer >>text && rm long nothing && mv short shorter &&
		seq 2000 | sed 's/.*/echo & >many\/new-&/' | sh
	cd ..
}

# What the reader says, of all that is beneath the source.
reader() {
	timeout -k 5 "$LIMIT" python3 "$srcdir/tests/golden/reader.py" "$@" \
		>said || return 1
	tr '\0\n' '\n\0' <said | grep -a "[ /]$T/src\(/\|\$\)" | sort
}

same_sums() {
	reader --sums repo "$1" >sums.reader || return 1
	find "$T/src" -type f -print0 | xargs -0 sha256sum -z |
		tr '\0\n' '\n\0' | sort >sums.find
	same_facts sums.find sums.reader && [ -s sums.find ]
}

same_listing() {
	reader repo "$1" >list.reader || return 1
	find "$T/src" \
		\( -type f -printf '%y %m %U %G %s %T@ %p\0' \) -o \
		\( -type l -printf '%y %m %U %G %l %T@ %p\0' \) -o \
		-printf '%y %m %U %G - %T@ %p\0' |
		tr '\0\n' '\n\0' | sort >list.find
	same_facts list.find list.reader && [ -s list.find ]
}

# The reader's own checks are worth something only if they can fail.
refuses_damage() {
	cp -r repo damaged || return 1
	pack=$(ls -S damaged/packs | head -n 1)
	count=$(($(stat -c %s "damaged/packs/$pack") - 52)) # in its footer
	was=$(od -An -tu1 -j "$count" -N 1 "damaged/packs/$pack")
	printf "\\$(printf %o $((was ^ 1)))" |
		dd of="damaged/packs/$pack" bs=1 seek="$count" conv=notrunc \
			2>/dev/null
	must_fail 1 reader --sums damaged
}

refuses_loss() {
	cp -r repo less && rm "less/packs/$pack" &&
		must_fail 1 reader --sums less
}

try "a source of everything" make_source
try "a repository" new_repo repo
try "a full backup" backup "$T/src"
try "full: the listing is find's" same_listing 1
try "full: the contents are the source's" same_sums 1
try "the source changes" change_source
try "an incremental backup" backup "$T/src"
try "incremental: the listing is find's" same_listing 2
try "incremental: the contents are the source's" same_sums 2
try "a differential backup" backup -t differential "$T/src"
try "differential: the contents are the source's" same_sums 3
try "a damaged pack is noticed" refuses_damage
try "a missing pack is noticed" refuses_loss
finish
