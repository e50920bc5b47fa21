#!/bin/sh
# Damage is found and named, what it does not touch comes back, and wrong
# bytes never do: each restored file is what it was, or it is not there and
# was named.  The local cache is only a cache: whatever happens to it, the
# results stay right.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin "${CC:-cc}" setfattr
helper facts

# flip FILE OFFSET: another byte there.
flip() {
	old=$(od -An -tu1 -j "$2" -N 1 "$1") &&
		printf '%b' "\\0$(printf %o $((old ^ 16)))" |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

zero() {
	dd if=/dev/zero of="$1" bs=1 seek="$2" count="$3" conv=notrunc \
		status=none
}

size_of() { stat -c %s "$1"; }

# --- a repository worth damaging ---------------------------------------------

mkdir -p src/text src/many src/far/away src/attr
for i in 1 2 3 4 5 6 7 8 9; do
	seq "$i" 2000 >"src/text/$i"
	head -c 30000 /dev/urandom >"src/text/noise-$i"
done
for i in $(seq 80); do echo "$i" >"src/many/$i"; done
head -c 600000 /dev/urandom >src/far/large
seq 30000 >src/far/away/long
truncate -s 1M src/far/away/sparse && echo end >>src/far/away/sparse
ln -s nowhere src/far/link
ln src/far/large src/far/large-too
echo x >src/attr/file
head -c 6000 /dev/urandom >value
setfattr -n user.big -v "0x$(od -An -v -tx1 value | tr -d ' \n')" \
	src/attr/file 2>/dev/null

new_repo whole >/dev/null
backup src >/dev/null && facts src facts-1 -H
echo more >>src/text/1 && echo new >src/many/new && rm src/text/2
head -c 100000 /dev/urandom >src/far/second
backup src >/dev/null && facts src facts-2 -H
cp -a cache cache-whole
try "the repository is whole" sound
try "generation 1" [ -s facts-1 ]
try "generation 2" [ -s facts-2 ]

# --- judging -----------------------------------------------------------------

# Directories change when something in them is missing; links are told apart
# by numbers that shift.
plain() { grep -v '^[^ ]* d ' "$1" | sed 's/ link=[0-9]*//'; }

# all_named GEN LIST: these paths, a directory above or the generation itself
# stand in stderr.
all_named() {
	! grep -q "^asof: generation $1: " stderr || return 0
	while read -r lost; do
		p=$T/src${lost#.}
		while [ "$p" != / ] && ! grep -Fq "$p: " stderr; do
			p=$(dirname "$p")
		done
		[ "$p" != / ] || grep -q "^asof: $1:/: " stderr || {
			echo "$lost is lost and not named in:"
			cat stderr
			return 1
		}
	done <"$2"
}

# right_or_absent GEN: restore it and compare.  Says 4 when something is
# missing, 0 when it is all there.
right_or_absent() {
	rm -rf got && mkdir got
	asof restore "$1:$T/src/" --to got --numeric-ids >/dev/null
	right_code=$?
	case $right_code in
	0 | 4) ;;
	*)
		echo "restore of $1 ended with $right_code"
		cat stderr
		return 1
		;;
	esac
	facts got facts.got -H || return 1
	plain "facts-$1" | sort >want.lines
	plain facts.got | sort >got.lines
	# An attribute may be missing, never wrong; named like what is lost.
	{
		cat want.lines
		sed 's/ user\.[^ ]*//' want.lines
	} | sort >right.lines
	comm -13 right.lines got.lines >wrong.lines
	[ ! -s wrong.lines ] || {
		echo "wrong in generation $1:"
		cut -c 1-200 wrong.lines
		return 1
	}
	comm -23 want.lines got.lines | sed 's/ .*//' >lost
	if [ -s lost ]; then
		[ "$right_code" -eq 4 ] || {
			echo "lost, with code $right_code:" && cat lost
			return 1
		}
		all_named "$1" lost || return 1
	elif [ "$right_code" -ne 0 ] && ! grep -q damaged stderr; then
		# A directory's own attributes may be what is lost.
		echo "nothing is lost, yet:" && cat stderr
		return 1
	fi
}

# Nothing may be lost.
all_right() {
	right_or_absent "$1" && [ ! -s lost ] && [ "$right_code" -eq 0 ]
}

# The same, and cat, and what check says of what is lost.
judge() {
	must_fail 4 asof check >log || {
		cat log
		return 1
	}
	cp stderr checked
	for g in 1 2; do
		[ -e "$ASOF_REPOSITORY/generations/$g" ] || continue
		if ! asof show "$g" >/dev/null; then
			said "generation $g" || return 1
			continue
		fi
		right_or_absent "$g" || return 1
		[ -s lost ] || continue
		cp lost lost.keep && cp checked stderr
		all_named "$g" lost.keep || {
			echo "(by check)"
			return 1
		}
		first=$(head -n 1 lost.keep)
		if [ -f "src/$first" ] && [ ! -e "got/$first" ]; then
			cat_is_right "$g" "$first" || return 1
		fi
	done
}

# What cat shows before it fails is right.
cat_is_right() {
	timeout "$LIMIT" "$ASOF" cat "$1:$T/src/$2" >shown 2>stderr
	[ $? -eq 4 ] || {
		echo "cat $2 did not end with 4" && cat stderr
		return 1
	}
	[ "$1" -eq 1 ] || head -c "$(size_of shown)" "src/$2" | cmp - shown
}

# damaged WORDS COMMAND...: on a copy of the repository, judged in turn with
# a cache that knows it from before and without one.
cold=
damaged() {
	words=$1
	shift
	rm -rf hurt cache && cp -a whole hurt && (cd hurt && "$@") || {
		try "$words: made" false
		return
	}
	export ASOF_REPOSITORY="$T/hurt"
	[ -n "$cold" ] || cp -a cache-whole cache
	try "$words${cold:+, without a cache}" judge
	if [ -n "$cold" ]; then cold=; else cold=yes; fi
}

# damaged_in_both: with and without.
damaged_in_both() {
	cold=
	damaged "$@"
	damaged "$@"
}

# --- packs -------------------------------------------------------------------

large=packs/$(ls -S whole/packs | head -n 1)
small=packs/$(ls -S whole/packs | tail -n 1)
# Header, frames, directory and footer; 1,000 is in the first frame.
size=$(size_of "whole/$large")
for at in 0 9 20 50 1000 $((size / 3)) $((size * 4 / 5)) $((size - 2000)) \
	$((size - 500)) $((size - 100)) $((size - 60)) $((size - 40)) \
	$((size - 1)); do
	damaged "a byte at $at of $size of a pack" flip "$large" "$at"
done
size=$(size_of "whole/$small")
for at in 1000 $((size / 2)) $((size - 2000)) $((size - 500)); do
	damaged "a byte at $at of $size of another" flip "$small" "$at"
done
damaged "a block of zeros in it" zero "$small" $((size / 2)) 512
size=$(size_of "whole/$large")
damaged "a block of zeros at its end" zero "$large" $((size - 4096)) 4096
damaged_in_both "a pack cut in half" truncate -s $((size / 2)) "$large"
damaged "a pack one byte short" truncate -s $((size - 1)) "$large"
damaged "a pack one byte long" truncate -s $((size + 1)) "$large"
damaged_in_both "an empty pack" truncate -s 0 "$large"
damaged_in_both "a pack that is gone" rm "$large"
damaged "the other pack gone" rm "$small"
damaged "all packs gone" sh -c 'rm packs/*'
damaged_in_both "a pack under another's name" cp "$large" "$small"

as_link() { mv "$large" elsewhere && ln -s ../elsewhere "$large"; }
as_fifo() { rm "$large" && mkfifo "$large"; }
as_dir() { rm "$large" && mkdir "$large"; }
damaged_in_both "a pack that is a link" as_link
damaged_in_both "a pack that is a fifo" as_fifo
damaged_in_both "a pack that is a directory" as_dir

# --- records -----------------------------------------------------------------

size=$(size_of whole/generations/2)
for at in 0 8 16 60 $((size / 2)) $((size - 1)); do
	damaged "a byte at $at of a record" flip generations/2 "$at"
done
damaged "a record cut off" truncate -s $((size / 2)) generations/2
damaged "an empty record" truncate -s 0 generations/2
damaged "a record under another's number" cp generations/1 generations/2

as_record_fifo() { rm generations/2 && mkfifo generations/2; }
damaged "a record that is a fifo" as_record_fifo

export ASOF_REPOSITORY="$T/hurt"
rm -rf hurt cache && cp -a whole hurt && rm hurt/generations/2
try "a record that is gone: the other is whole" all_right 1

# --- going on with a damaged repository --------------------------------------

# again WHOLE COMMAND ...: a repository that this was done to, and its cache.
again() {
	again_whole=$1
	shift
	rm -rf hurt cache && cp -a "$again_whole" hurt &&
		cp -a "cache-$again_whole" cache && (cd hurt && "$@")
}

# What was lost is stored again, and the new one is whole.
heals() {
	backup src "$@" >/dev/null && facts src facts-3 -H && [ "$G" -eq 3 ] &&
		all_right 3 && asof check --quick 3
}

try "a pack gone" again whole rm "$large"
try "an incremental says that it reads all, and is whole" heals
try "a pack gone" again whole rm "$large"
try "a full is whole" heals -t full
try "a pack gone, and the cache too" again whole rm -r "$large" ../cache
try "a full is whole" heals -t full
try "a record damaged" again whole flip generations/2 100
try "the next one is whole" heals

# All trees of generation 2 are in its own pack, but it needs a file of the
# other one.  Who relies on what is lost hears of it.
mkdir flat && head -c 100000 /dev/urandom >flat/noise
rm -rf cache && new_repo flat-whole >/dev/null && backup flat >/dev/null
echo x >flat/more && backup flat >/dev/null && facts flat facts-flat -H
cp -a cache cache-flat-whole
export ASOF_REPOSITORY="$T/hurt"
large=packs/$(ls -S flat-whole/packs | head -n 1)

flat_is_back() {
	rm -rf got && asof restore "$G:$T/flat/" --to got &&
		facts got facts.got -H && same_facts facts-flat facts.got
}

not_in_silence() {
	backup flat >/dev/null
	grep -q pack stderr || flat_is_back
}

full_heals() {
	backup -t full flat >/dev/null && flat_is_back
}

for how in "gone:rm $large" "gone, and the cache too:rm -r $large ../cache" \
	"cut off:truncate -s 100 $large" \
	"cut off, and the cache gone:eval truncate -s 9 $large; rm -r ../cache"
do
	# shellcheck disable=SC2086
	try "a pack ${how%%:*}" again flat-whole ${how#*:}
	try "an incremental is whole, or says what it relies on" not_in_silence
	try "a full after it is whole" full_heals
done

strangers() {
	echo x >packs/.tmp-1 && echo x >packs/unknown && echo x >unknown &&
		echo x >generations/.tmp-2 && mkdir generations/x
}
try "unknown names and unfinished files" again whole strangers
try "are no damage" sound
try "and in nobody's way" heals

# --- the cache ---------------------------------------------------------------

# Results with that cache: what is there, and a generation more.
cache_is_nothing() {
	all_right 1 && backup src && [ "$G" -eq 3 ] && field_is errors 0 &&
		all_right 3 && asof check --quick
}

spoiled() {
	words=$1
	shift
	rm -rf hurt cache && cp -a whole hurt && cp -a cache-whole cache &&
		"$@" || {
		try "$words: made" false
		return
	}
	try "cache: $words" cache_is_nothing
}

export ASOF_REPOSITORY="$T/hurt"
facts src facts-3 -H
find cache-whole -type f ! -name lock | sort | sed 's/^cache-whole/cache/' \
	>files
runs=0
while read -r f; do
	size=$(size_of "cache-whole${f#cache}")
	what=$(echo "${f##*/}" | sed 's/\.[0-9a-f]*$//')
	if [ "$what" = run ]; then runs=$((runs + 1)); fi
	# One run is as good as the others.
	[ "$what" != run ] || [ "$runs" -eq 1 ] || continue
	spoiled "$what gone" rm "$f"
	spoiled "$what empty" truncate -s 0 "$f"
	[ "$size" -gt 1 ] || continue
	spoiled "$what cut in half" truncate -s $((size / 2)) "$f"
	spoiled "$what longer" truncate -s $((size + 5000)) "$f"
	spoiled "$what all zeros" zero "$f" 0 "$size"
	for at in 0 16 $((size / 4)) $((size / 2)) $((size - 1)); do
		spoiled "$what, byte $at of $size" flip "$f" "$at"
	done
	[ "$size" -gt 8192 ] || continue
	for at in 24 4112 4140 8200 8240 12300 16400; do
		[ "$at" -lt "$size" ] || continue
		spoiled "$what, byte $at of $size" flip "$f" "$at"
	done
	[ "$size" -le 12288 ] || spoiled "$what, a page of zeros" \
		zero "$f" 8192 4096
done <files

spoiled "all gone" rm -r cache
foreign() { rm -r cache/*/cat.* && echo x >"$(echo cache/*/current)"; }
spoiled "a catalogue that is nowhere" foreign
other_files() { for f in cache/*/run.*; do cp "$0" "$f"; done; }
spoiled "runs that are something else" other_files
finish
