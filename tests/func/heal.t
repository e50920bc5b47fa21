#!/bin/sh
# Bit rot heals: check notes what is damaged in packs, the next backup of any
# type stores it anew from the source, and then all generations are whole
# again, wherever they are read.  What the source does not have any more stays
# lost, and is told as lost.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin python3 zstd rsync setfattr
helper facts

DATA=1 TREE=2 MAP=3 LINKS=4

# frames REPO KIND: "PACK OFFSET STORED-LENGTH" of each frame of that kind, as
# the reader that is made from doc/format.md alone sees them; of the largest
# pack first.
frames() {
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$srcdir/tests/golden python3 -c '
import sys, reader
repo = reader.Repository(sys.argv[1])
found = {place[1:4] for (kind, _), place in repo.places.items()
         if kind == int(sys.argv[2])}
for frame in sorted(found, key=lambda f: (-len(repo.packs[f[0]]), f)):
    print(*frame)
' "$1" "$2"
}

# rot KIND [COUNT]: a wrong bit in the middle of frames of that kind, of all
# of them or only so many.
rot() {
	frames "$ASOF_REPOSITORY" "$1" >frames && head -n "${2-1000}" frames \
		>rotten && [ -s rotten ] || return 1
	while read -r pack at len; do
		flip "$ASOF_REPOSITORY/packs/$pack" $((at + len / 2)) || return 1
	done <rotten
}

# flip FILE OFFSET: another byte there.
flip() {
	old=$(od -An -tu1 -j "$2" -N 1 "$1") &&
		printf '%b' "\\0$(printf %o $((old ^ 16)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# --- a repository ------------------------------------------------------------

# Nodes of trees come back only if nobody changes a directory above the source
# meanwhile, as happens all the time in a directory for temporary files.  In
# memory, because there is much to sync.
if can_mount; then
	S=/mnt
	mount_later -t tmpfs none /mnt && mount_later -t tmpfs none "$T" &&
		cd "$T"
else
	S=$T
fi
mkdir "$S/src" && cd "$S"
mkdir -p src/text src/many src/deep/er
for i in 1 2 3 4 5; do
	seq "$i" 3000 >"src/text/$i"
	head -c 30000 /dev/urandom >"src/text/noise-$i"
done
seq 300 | sed 's/.*/echo & >src\/many\/&/' | sh
head -c 600000 /dev/urandom >src/deep/mapped
head -c 5000000 /dev/urandom >src/deep/er/two-levels
ln src/deep/mapped src/deep/er/link
mkdir src/attr && head -c 6000 /dev/urandom >value
setfattr -n user.big -v "0x$(od -An -v -tx1 value | tr -d ' \n')" \
	src/attr 2>/dev/null

# Read once, and older than a tick: from here on nothing in it changes by
# itself, so that whoever reads it again makes the same trees of it.
cd "$T"
cp -a "$S/src" copy-1 && sleep 1.1

new_repo plain >/dev/null
backup "$S/src" >/dev/null && backup "$S/src" >/dev/null &&
	cp -a cache cache-plain
try "the repository is whole" sound

# fresh NAME: that repository again, with a cache that knows it.
fresh() {
	rm -rf hurt cache && cp -a "$1" hurt && cp -a "cache-$1" cache
	export ASOF_REPOSITORY="$T/hurt"
}

notes() { ls "$ASOF_REPOSITORY/damaged" 2>/dev/null | wc -l; }

# Generation 1 and 2 and the newest are what they were.
# Whatever generations there are: the first two are copy-1, the rest $newest.
newest=copy-1
all_whole() {
	for g in "$ASOF_REPOSITORY"/generations/*; do
		copy=$newest
		[ "${g##*/}" -gt 2 ] || copy=copy-1
		same_generation "${g##*/}" "$S/src" $copy || return 1
	done
}

found() {
	must_fail 4 asof check && [ "$(notes)" -gt 0 ] && said "pack " &&
		said "the next backup stores anew"
}

healed() { asof check && printed "no damage found"; }

# heals REPO TEXT TYPE ROT ...: found, stored anew by a backup, and all is
# whole.
heals() {
	heals_repo=$1 heals_text=$2 heals_type=$3
	shift 3
	fresh "$heals_repo"
	try "$heals_text, type $heals_type" "$@"
	try "... is found and noted" found
	try "... stored anew" backup -t "$heals_type" "$S/src"
	try "... and healed: check" healed
	try "... a quick one" asof check --quick
	try "... all generations" all_whole
	rm -rf cache
	try "... and with a fresh cache" healed
}

# What is in trees and tables comes back where the source has not changed.
[ "$S" = "$T" ] || for type in incremental differential full; do
	heals plain "nodes of trees" $type rot $TREE
done
heals plain "the table of hard links" incremental rot $LINKS

# Nobody has looked for it: what a backup meets itself, it does not refer to.
if [ "$S" != "$T" ]; then
	for type in incremental differential full; do
		fresh plain
		try "nodes of trees, not noted, type $type" rot $TREE
		try "... a backup meets them" backup -t $type "$S/src"
		try "... and can be restored" \
			same_generation latest "$S/src" copy-1
	done
	# A sector that the disk does not give any more is as bad.
	preload=$T/badsector.so
	${CC:-cc} -O1 -shared -fPIC -o "$preload" \
		"$srcdir/tests/func/badsector.c" || preload=
	unreadable() {
		frames "$ASOF_REPOSITORY" $TREE >frames &&
			read -r BAD_FILE BAD_AT BAD_LEN <frames &&
			export BAD_FILE BAD_AT BAD_LEN
	}
	# With the disk's fault in the way of a command.
	faulty() { LD_PRELOAD=$preload "$@"; }
	for type in incremental full; do
		fresh plain
		try "nodes of trees cannot be read, type $type" unreadable
		try "... which stops no backup" \
			faulty asof backup -t $type "$S/src"
		try "... says so" said "pack "
		try "... and can be restored" \
			faulty asof restore -q latest --to "$T/got"
		try "... whole" diff -r "$T/got$S/src" copy-1
		rm -rf got
	done
	unset BAD_FILE BAD_AT BAD_LEN
else
	skip "nodes of trees, not noted" "cannot mount"
fi

# A byte so far from the end of the largest pack: its footer, its directory.
from_end() {
	largest=$(ls -S "$ASOF_REPOSITORY"/packs/* | head -n 1)
	flip "$largest" $(($(stat -c %s "$largest") - $1))
}
if [ "$S" != "$T" ]; then
	heals plain "the footer of a pack" incremental from_end 20
	heals plain "a block of a pack's directory" incremental from_end 140
else
	skip "nodes of trees, and a pack's directory" "cannot mount"
fi

# The source has grown: only what the new backup has as well comes back.
rm -rf cache && cp -a cache-plain cache && cp -a plain grown
export ASOF_REPOSITORY="$T/grown"
echo more >"$S/src/text/new" &&
	head -c 200000 /dev/urandom >"$S/src/many/second" &&
	cp -a "$S/src" copy-2 && newest=copy-2 && sleep 1.1
backup "$S/src" >/dev/null && mv cache cache-grown
for type in incremental differential full; do
	heals grown "data" $type rot $DATA
	heals grown "nodes of maps" $type rot $MAP
done
heals grown "one frame of data" incremental rot $DATA 1

# --- from elsewhere -----------------------------------------------------------

# The other machine knew the packs before they rotted.
elsewhere() {
	ASOF_CACHE_DIR=$T/cache-b
	"$@"
	elsewhere_code=$?
	ASOF_CACHE_DIR=$T/cache
	return $elsewhere_code
}
fresh grown
elsewhere asof stats >/dev/null
rot $DATA
try "data: one machine finds it" found
try "... another makes a backup" elsewhere backup "$S/src"
try "... the first one finds it healed" healed
try "... and all generations" all_whole

fresh grown
rot $DATA
asof check >/dev/null &
elsewhere backup "$S/src" >/dev/null
wait
try "data: a check beside a backup, and another backup" backup "$S/src"
try "... heal it" healed
try "... all generations" all_whole

if can_mount; then
	fresh grown
	rot $DATA
	mkdir read-only && mount_later --bind hurt read-only &&
		mount -o remount,bind,ro read-only
	export ASOF_REPOSITORY="$T/read-only"
	try "a repository that is read-only: found" must_fail 4 asof check
	try "... that it is not noted is said" said "could not be noted"
	try "... there is no note" [ "$(notes)" -eq 0 ]
	try "... a quick check knows nothing" asof check --quick
else
	skip "a repository that is read-only" "cannot mount"
fi

# soon COMMAND ...: before long it is so.
soon() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		! "$@" || return 0
		sleep 0.5
	done
	"$@"
}

if can_view; then
	fresh grown
	rot $DATA
	view m >/dev/null
	seen=$T/m/generations/1$S/src
	try "in a mount: a damaged file" must_fail 2 \
		cmp copy-1/deep/er/two-levels "$seen/deep/er/two-levels"
	try "... is noted" found
	try "... a backup" backup "$S/src"
	try "... and it can be read there" \
		soon cmp copy-1/deep/er/two-levels "$seen/deep/er/two-levels"
	try "... all of it" diff -r copy-1 "$seen"
else
	skip "in a mount" "there is no /dev/fuse"
fi

# --- what cannot come back ---------------------------------------------------

# only_lost PATH...: check names just these, of the first three generations.
only_lost() {
	must_fail 4 asof check || return 1
	for g in 1 2 3; do
		for path; do
			said "^asof: $g:$S/src/$path: " || return 1
		done
	done
	[ "$(grep -c "^asof: [0-9]*:" stderr)" -eq $(($# * 3)) ]
}

same_file() {
	asof cat "$1:$S/src/$2" >/dev/null && cmp "$T/stdout" "$T/copy-1/$2"
}

# Generations 1, 2 and 3 are what they were.
all_old() {
	same_generation 1 "$S/src" copy-1 && same_generation 2 "$S/src" copy-1 &&
		same_generation 3 "$S/src" copy-2
}

fresh grown
rot $DATA >/dev/null
try "data that the source has changed meanwhile" found
head -c 600000 /dev/urandom >"$S/src/text/replaced"
cp -p "$S/src/deep/er/two-levels" . &&
	head -c 600000 /dev/urandom >"$S/src/deep/er/two-levels"
try "... a backup" backup "$S/src"
try "... old generations have lost that file" only_lost deep/er/two-levels
try "... reading it fails" must_fail 4 asof cat "1:$S/src/deep/er/two-levels"
try "... its other files come back" same_file 1 deep/mapped
cp -a "$S/src" copy-3
try "... the new one is whole" same_generation latest "$S/src" copy-3
try "... the next one looks again, and is whole" backup "$S/src"
try "... (it says so)" said "packs are damaged"
try "... (whole)" same_generation latest "$S/src" copy-3
cp -p two-levels "$S/src/deep/er" && rm "$S/src/text/replaced"
try "... the file comes back: a backup" backup "$S/src"
try "... all is whole" healed
try "... all old generations" all_old
try "... and the next one need not look" backup "$S/src"
try "... (it does not say so)" must_fail 1 said "packs are damaged"

# --- notes -------------------------------------------------------------------

note_of() {
	ls -d "$ASOF_REPOSITORY"/damaged/* | head -n 1
}

fresh grown
cp -a hurt/packs packs-good
rot $DATA 1
try "a note whose damage goes away" found
rm -rf hurt/packs && cp -a packs-good hurt/packs
try "... is removed" healed
try "... (and that is said)" said "good now"
try "... there is none" [ "$(notes)" -eq 0 ]

fresh grown
rot $DATA 1
found >/dev/null
noted=$(note_of)
for how in "flip $noted 40" "truncate -s 20 $noted" "truncate -s 0 $noted" \
	"ln -sf $T/value $noted"; do
	rm -rf hurt cache && cp -a grown hurt && cp -a cache-grown cache
	rot $DATA 1
	found >/dev/null
	noted=$(note_of)
	$how
	try "a note that cannot be read ($how): quick check" must_fail 4 \
		asof check --quick
	try "... says so" said "note of damage cannot be read"
	try "... a backup takes all of the pack for lost" backup "$S/src"
	try "... and stores it anew" [ "$(field chunks_new)" -gt 300 ]
	try "... check makes the note anew" healed
	try "... so that it can be read" asof check --quick
	try "... all generations" all_old
done

fresh grown
rot $DATA 1
found >/dev/null
rm -rf hurt/damaged && echo x >hurt/damaged
try "no directory of notes but a file: a backup refuses" \
	must_fail 1 backup "$S/src"
try "... restoring does not" must_fail 4 asof restore latest --to "$T/got" -q
rm -rf got

finish
