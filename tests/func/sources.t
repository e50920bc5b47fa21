#!/bin/sh
# What is backed up: sources of every kind and way of writing, what is left
# out by patterns and tags, and which file systems are entered.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin

# All paths of the newest generation below $T.
paths() {
	asof ls -R latest >/dev/null || return 1
	sed -n "s|^$T/||p" "$T/stdout"
}

# holds PATH ...: these are in the newest generation, below $T.
holds() {
	paths >paths.now || return 1
	for p; do
		grep -Fqx -e "$p" paths.now || {
			echo "$p is missing in:" && cat paths.now
			return 1
		}
	done
}

# lacks PATH ...: these are not, and it is not for want of a listing.
lacks() {
	paths >paths.now && [ -s paths.now ] || return 1
	for p; do
		! grep -Fqx -e "$p" paths.now || {
			echo "$p is there"
			return 1
		}
	done
}

# A tree to choose from.
mkdir -p a/in/deep b c cache/sub
for f in a/1.c a/1.o a/keep.o a/in/2.c a/in/2.o a/in/deep/3.o b/b c/c \
	cache/big cache/sub/big "a/sp ace"; do
	echo "$f" >"$f"
done
echo 'Signature: 8a477f597d28d172789f06886806bc55' >cache/CACHEDIR.TAG
new_repo repo >/dev/null

# --- ways of writing ---------------------------------------------------------

try "two sources" backup a b
try "both are there" holds a a/1.c a/in/deep/3.o b b/b
try "their neighbours are not" lacks c c/c cache

one_set() {
	backup b a && first=$(field set) && field_is base 1 &&
		backup ./a "$T/b/" && field_is set "$first" &&
		backup b/../a b//. a && field_is set "$first"
}
try "order and way of writing do not found another set" one_set
(cd a/in && asof backup -q ../../c >"$T/log" 2>&1)
try "a path relative to the working directory" holds c/c
try "that lacks what was not named" lacks a

try "a source inside another" backup a a/in
try "is there once" holds a/in/deep/3.o
try "and nothing of it is twice" [ "$(paths | sort | uniq -d | wc -l)" -eq 0 ]
try "the other way round" backup a/in a
try "is the same" holds a/1.c a/in/deep/3.o

try "a single file" backup a/1.c
try "is there" holds a/1.c
try "without its neighbours" lacks a/1.o a/in
restored_file() {
	rm -rf out && asof restore latest --to out && cmp "out$T/a/1.c" a/1.c
}
try "and comes back" restored_file

ln -s a to-a
ln -s a/1.c to-file
try "a link to a directory is followed" backup to-a
try "to what it holds" holds a/1.c a/in/2.c
try "show tells what was typed" asof show latest
try "and what it means" printed "typed as  *to-a"
try "a link with a slash behind it" backup to-a/
try "is followed as well" holds a/1.c
try "a link to a file is followed" backup to-file
try "to the file" holds a/1.c

# Never nothing in silence: the data, or a refusal.
through_link() {
	! backup to-a/in || holds a/in/2.c || holds to-a/in/2.c
}
try "a source below a link is stored, or refused" through_link

mkfifo fifo
ln -s nowhere dangling
try "a fifo as a source" backup fifo
try "is there" holds fifo
try "what is inside links is a link" backup a dangling/../b

# --- what is not there -------------------------------------------------------

count() { asof generations && grep -c '^ *[0-9]' "$T/stdout"; }
before=$(count | tail -n 1)
try "a missing source is the caller's mistake" must_fail 2 asof backup none
try "named in one sentence" said_only 'none.*No such file'
try "one that is there does not help it" must_fail 2 asof backup a none
try "a link that leads nowhere" must_fail 2 asof backup dangling
try "is named too" said_only dangling
try "an empty name" must_fail 2 asof backup ''
try "no name" must_fail 2 asof backup
try "nothing was made of these" [ "$(count | tail -n 1)" = "$before" ]

# --- patterns ----------------------------------------------------------------

try "a pattern without a slash" backup a -e '*.o'
try "matches at any depth" lacks a/1.o a/in/2.o a/in/deep/3.o
try "and nothing else" holds a/1.c a/in/2.c a/in/deep
try "a pattern taken back" backup a -e '*.o' -e '!keep.o'
try "comes back" holds a/keep.o
try "alone" lacks a/1.o
try "the last one decides" backup a -e '!keep.o' -e '*.o'
try "in the order given" lacks a/keep.o
try "an anchored pattern" backup a -e '/1.*'
try "starts at the source" lacks a/1.c a/1.o
try "and does not go down" holds a/in/2.o
try "a pattern of a directory" backup a -e 'in/'
try "leaves out all beneath" lacks a/in a/in/2.c a/in/deep/3.o
try "two stars" backup a -e 'in/**/*.o'
try "go through directories" lacks a/in/2.o a/in/deep/3.o
try "from where they start" holds a/1.o a/in/2.c
try "an absolute pattern" backup a b -e "$T/a/in"
try "starts at the root" lacks a/in
try "of that source" holds a/1.c b/b
try "a name with a blank" backup a -e 'sp ace'
try "is a pattern" lacks 'a/sp ace'
try "a source itself" backup a -e a
try "is not left out" holds a/1.c

printf '# objects\n\n*.o\n!keep.o\n' >patterns
try "patterns from a file" backup a -E patterns
try "work" lacks a/1.o a/in/2.o
try "all of them" holds a/keep.o a/1.c
try "show tells the patterns" asof show latest
try "as they were" printed 'exclude  *!keep.o'
try "a missing file of patterns" must_fail 1 asof backup a -E none
try "is named" said_only none
try "a pattern that means nothing" must_fail 2 asof backup a -e '[a'
try "is named too" said_only '\[a'

grow() {
	backup -s excl a -e '*.o' && backup -s excl a && field_is base "$1"
}
try "without the pattern, in the same set" grow "$((G + 1))"
try "all is there again" holds a/1.o a/in/2.o

# --- tags and flags ----------------------------------------------------------

try "a cache is ordinary" backup cache a
try "unless one says so" holds cache/big cache/sub/big
try "caches left out" backup --exclude-caches cache a
try "but a source is what one asked for" holds cache/big
mkdir d && cp -r cache d/ && cp -r cache d/no-cache &&
	echo Signature: >d/no-cache/CACHEDIR.TAG
try "a cache inside a source" backup --exclude-caches d
try "keeps the tag alone" lacks d/cache/big d/cache/sub
try "which is there" holds d/cache d/cache/CACHEDIR.TAG
try "a tag that says nothing is none" holds d/no-cache/big

mkdir e e/no && echo x >e/yes && echo x >e/no/file && echo x >e/no-file
if command -v chattr >/dev/null && chattr +d e/no e/no-file 2>/dev/null; then
	try "the no-dump flag is nothing" backup e
	try "unless one says so" holds e/no/file e/no-file
	try "no-dump left out" backup --exclude-nodump e
	try "is left out" lacks e/no e/no/file e/no-file
	try "alone" holds e/yes
else
	skip "the no-dump flag" "no such flag here"
fi

# --- the repository and its mounts -------------------------------------------

mkdir f && echo x >f/file && new_repo f/repo >/dev/null
inside() {
	backup f && said 'repository' && holds f/file f/repo &&
		lacks f/repo/config f/repo/packs
}
try "the repository is not in its own backup, with a note" inside
try "nor the next time" inside
export ASOF_REPOSITORY="$T/repo"

# --- other file systems ------------------------------------------------------

if [ "$(id -u)" -eq 0 ] && can_mount; then
	mkdir -p g/mem g/proc g/bind g/view && echo x >g/file
	mount_later -t tmpfs none "$T/g/mem" && echo x >g/mem/file
	mount_later -t proc none "$T/g/proc"
	mount_later --bind "$T/b" "$T/g/bind"
	try "file systems mounted inside" backup g
	try "are no trouble" field_is errors 0
	try "belong to it" holds g/file g/mem/file g/bind/b
	try "but not the kernel's own" lacks g/proc/self g/proc/version
	try "whose directory is there" holds g/proc
		back() {
		rm -rf out && asof restore "$G:$T/g/" --to out &&
			cmp g/mem/file out/mem/file && [ -d out/proc ]
	}
	try "they come back as one" back
	try "on one file system" backup -x g
	try "the others are empty" lacks g/mem/file g/proc/self
	try "but there" holds g/file g/mem g/proc
	try "a source that is a mount" backup -x g/mem
	try "is entered" holds g/mem/file
	if can_view; then
		try "a mount of asof" view g/view
		try "inside a source" backup g
		try "is noticed" said 'mount of asof'
		try "and not entered" lacks g/view/latest g/view/generations
	else
		skip "a mount of asof is not entered" "no /dev/fuse"
	fi
else
	skip "other file systems" "cannot mount"
fi

try "nothing is damaged" sound
finish
