#!/bin/sh
#
# Goal: versions/ in a mount has every path that ever was and each of its
# versions, right and once; follows what comes and goes; stays small.

. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root python3 find diff stat
can_view || skip_all "no /dev/fuse"

S=$T/src
V=$T/m/versions$S
mkdir "$S"

# within SECONDS COMMAND...: until it says 0.
within() {
	left=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		sleep 0.1
	done
}

# is EXPECTED COMMAND...: its output, in one line.
is() {
	want=$1
	shift
	got=$("$@" 2>&1 | tr '\n' ' ' | sed 's/ $//')
	[ "$got" = "$want" ] && return 0
	echo "got: $got"
	echo "not: $want"
	return 1
}

# A file is set to a text with a time of its own.
put() {
	printf '%s\n' "$2" >"$S/$1"
	touch -d "@$((1700000000 + ${3-0}))" "$S/$1"
}

gone() { ! ls -d "$1" >/dev/null 2>&1; }
same_inode() { [ "$(stat -c %i "$1")" = "$(stat -c %i "$2")" ]; }

# --- seven generations of a small tree -----------------------------------------

new_repo repo >/dev/null
put same "never another"
put text one
put away first
put back same
put becomes "a file"
mkdir "$S/was" "$S/dir"
put was/child "a child"
put @home "at home"
put @42 "named like a version"
put @@two two
put dir/linked linked
ln "$S/dir/linked" "$S/dir/other"
ln -s text "$S/link"
mkfifo "$S/fifo"
mknod "$S/null" c 1 3
python3 - "$S" <<'PY'
import os, sys
os.chdir(sys.argv[1])
for name in (b"new\nline", b"bad\xff\xfeutf", b"n" * 255, b"@" + b"n" * 254):
    with open(name, "w") as f: f.write("odd")
PY
backup "$S" --set main >"$T/log" 2>&1 || { cat "$T/log"; exit 99; }

put text two 1
backup "$S" --set main >/dev/null				# 2
rm "$S/away" "$S/back" "$S/becomes"
rm -r "$S/was"
mkdir "$S/becomes"
put becomes/inner inner
put was "a file now"
ln -sfn other "$S/link"
backup "$S" --set main >/dev/null				# 3
put back same
put text one
put dir/linked linked-two 1
backup "$S" --set main >/dev/null				# 4
chmod 600 "$S/text"
backup "$S" --set main >/dev/null				# 5
touch -a -d 2020-01-01 "$S/same"
backup "$S" --set main --type full >/dev/null			# 6
backup "$S" --set main >/dev/null				# 7
try "it can be mounted" view m

try "versions/ is a name at the top" ls -d "$T/m/versions/."
try "the way down leads over every part of the path" \
	is "$(printf %s "$T" | cut -d/ -f2)" \
	sh -c 'ls "$1" | grep -v "^@"' - "$T/m/versions"
try "a file that never changed has one version" is "@1" ls "$V/same"
try "a changed one has each, and a mode is a change" \
	is "@1 @2 @4 @5" ls "$V/text"
try "with the right contents" is "one two one one" \
	sh -c 'cat "$1"/@*' - "$V/text"
try "a deleted one stays" is "@1" ls "$V/away"
try "with its contents" is first cat "$V/away/@1"
try "one made again, the same, is another version" is "@1 @4" ls "$V/back"
try "a symlink's versions are its targets" is "text other" \
	sh -c 'readlink "$1/@1"; readlink "$1/@3"' - "$V/link"
try "a FIFO is one" test -p "$V/fifo/@1"
try "a device is one" is "1 3" stat -c "%t %T" "$V/null/@1"

try "a file that became a directory is both" is "@1 @3 inner" \
	sh -c 'cd "$1" && ls -d @* inner' - "$V/becomes"
try "as a file first" is "a file" cat "$V/becomes/@1"
try "then as a directory" is inner cat "$V/becomes/@3/inner"
try "whose names are there too" is inner cat "$V/becomes/inner/@3"
try "a directory that became a file, likewise" is "@1 @3 child" \
	sh -c 'cd "$1" && ls -d @* child' - "$V/was"
try "its child is there" is "a child" cat "$V/was/child/@1"
try "and it as a file" is "a file now" cat "$V/was/@3"

try "a directory's version is a relative link into the generation" \
	is "$(printf '%s' "$V/dir" | sed "s|^$T/m/||; s|[^/]*|..|g")/generations/1$S/dir" \
	readlink "$V/dir/@1"
try "that leads there" test "$V/dir/@1/" -ef "$T/m/generations/1$S/dir"
try "from the top too" test "$T/m/versions/@2/" -ef "$T/m/generations/2"

for f in same/@1:1/same text/@2:2/text fifo/@1:1/fifo link/@3:3/link \
	null/@1:1/null dir/linked/@1:1/dir/linked dir/other/@4:4/dir/linked; do
	v=${f%:*} g=${f#*:}
	try "version '$v' is the inode of generation ${g%%/*}" same_inode \
		"$V/$v" "$T/m/generations/${g%%/*}$S/${g#*/}"
done
try "all facts about it are the same" is \
	"$(stat -c '%f %h %u %g %s %b %Y %Z' "$T/m/generations/4$S/dir/other")" \
	stat -c '%f %h %u %g %s %b %Y %Z' "$V/dir/other/@4"

# --- names ----------------------------------------------------------------------

try "names that begin with @ have one more" is "@@42 @@@two @@home" \
	sh -c 'cd "$1" && ls -d @@42 @@@two @@home' - "$V"
try "and their contents" is "named like a version two at home" \
	sh -c 'cd "$1" && cat @@42/@1 @@@two/@1 @@home/@1' - "$V"
try "there is no version that the path has not" gone "$V/@42"
try "nor one written otherwise" gone "$V/text/@02"
try "nor a hidden one, that is the same" gone "$V/text/@7"
try "nor any other name" gone "$V/none"
try "nor in a file's directory" gone "$V/text/none"
try "a name as it is, without the doubling, is none" gone "$V/@home"
cat >"$T/odd.py" <<'PY'
import os, sys
os.chdir(os.fsencode(sys.argv[1]))
names = set(os.listdir(b"."))
for name in (b"new\nline", b"bad\xff\xfeutf", b"n" * 255,
        b"@@" + b"n" * 254):
    assert name in names, name
    assert os.listdir(name) == [b"@1"], name
    assert open(name + b"/@1").read() == "odd", name
for e in os.scandir(b"."):
    assert e.inode() == e.stat(follow_symlinks=False).st_ino, e.path
    assert e.is_dir() or e.name.startswith(b"@"), e.path
PY
try "newlines, invalid UTF-8 and the longest names" python3 "$T/odd.py" "$V"
try "the listing is that of all generations together" is "" sh -c '
	for g in "$1"/generations/*; do
		ls "$g$2"
	done | sed "s|^@|@@|" | sort -u >"$3/want"
	ls "$1/versions$2" | grep -v "^@[0-9]*\$" | sort >"$3/got"
	diff "$3/want" "$3/got"' - "$T/m" "$S" "$T"

# --- in use -----------------------------------------------------------------------

try "two versions can be compared" is "1c1 < one --- > two" \
	diff "$V/text/@1" "$V/text/@2"
try "find goes through all of it, once" is "" sh -c '
	find "$1/versions" -print0 >"$2/found" && sort -z "$2/found" |
		uniq -zd' - "$T/m" "$T"
try "and to a depth" is "2" sh -c '
	find "$1/versions" -maxdepth 1 ! -name "@*" | wc -l' - "$T/m"
cp -a "$V/text/@2" "$T/text.restored"
try "cp -a restores a version" is "two" cat "$T/text.restored"
try "as it was" is "$(stat -c '%a %Y %U' "$T/m/generations/2$S/text")" \
	stat -c '%a %Y %U' "$T/text.restored"
cp -a "$V/becomes/@3/" "$T/dir.restored"
try "of a directory, too" diff -r "$S/becomes" "$T/dir.restored"
try "nothing can be changed" sh -c '! touch "$1" && ! rm -f "$2" &&
	! mkdir "$1"' - "$V/new" "$V/text/@1"
try "a directory has no more than its owner may see" is "555" \
	stat -c %a "$V"

# --- generations come and go ----------------------------------------------------

ls "$V/text" "$V" >/dev/null
(cd "$V/text" && exec sleep 100) &
sitter=$!
(cd "$T/m/generations/2$S/dir" && exec sleep 100) &
sitter2=$!
(cd "$V/away" && exec sleep 100) &
sitter3=$!
later "kill $sitter $sitter2 $sitter3"
put text three 3
put later "since 8"
backup "$S" --set main >/dev/null				# 8
try "a new version appears within 2 seconds" within 2 \
	grep -q three "$V/text/@8"
try "in the listing" is "@1 @2 @4 @5 @8" ls "$V/text"
try "and a new name" is "@8" ls "$V/later"
try "who sits there has not been moved" is "$V/text" \
	readlink "/proc/$sitter/cwd"
try "and sees it" is "three" cat "/proc/$sitter/cwd/@8"
try "who sits in a generation neither" is "$T/m/generations/2$S/dir" \
	readlink "/proc/$sitter2/cwd"
asof forget 1 2 4 >/dev/null
try "a forgotten one vanishes within 2 seconds" within 2 gone "$V/away/@1"
try "for who sits there, too" is "" ls "/proc/$sitter3/cwd/"
try "and so does the name" within 2 gone "$V/away"
try "and the next that is the same is shown" is "@3" ls "$V/same"
try "in listings" is "@3 @5 @8" ls "$V/text"
try "who sits in a forgotten generation gets an error" sh -c '
	! timeout 5 cat /proc/$1/cwd/linked' - $sitter2
try "others do not" is "two" cat "/proc/$sitter/cwd/@3"
kill $sitter $sitter2 $sitter3
wait 2>/dev/null
umount "$T/m"

# --- two sets ----------------------------------------------------------------------

new_repo sets >/dev/null
mkdir "$S/a" "$S/b"
put a/x one
put a/@x one
put b/y one
for i in 1 2 3; do
	backup "$S/a" --set a >/dev/null
	backup "$S/b" --set b >/dev/null
done
backup "$S/a" "$S/b" --set both >/dev/null			# 7
put a/x two 1
put a/@x two
backup "$S/b" --set b >/dev/null				# 8
backup "$S/a" --set a >/dev/null				# 9
try "two sets in one mount" view m
W=$T/m/versions$S
try "a set says nothing about what only others hold" is "@1 @9" \
	ls "$W/a/x"
try "wherever it is" is "@2" ls "$W/b/y"
try "but each follows its own" is "@1 @9 two" sh -c '
	ls "$1/@@x" && cat "$1/@@x/@9"' - "$W/a"
try "names of both are together" is "a b" \
	sh -c 'ls "$1" | grep -v @' - "$W"
umount "$T/m"

try "with others let in" view m --allow-other
try "only the owner of the mount may enter" is 500 stat -c %a \
	"$T/m/versions"
chmod 755 "$T"
try "nobody else" sh -c '! setpriv --reuid 65534 --regid 65534 \
	--clear-groups ls "$1/versions/" && setpriv --reuid 65534 \
	--regid 65534 --clear-groups ls "$1/generations/"' - "$T/m"
umount "$T/m"

try "one tree alone has no versions/" view m --at 1
try "really" gone "$T/m/versions"
umount "$T/m"

# --- fifty generations -------------------------------------------------------------

new_repo fifty >/dev/null
rm -rf "$S"
mkdir "$S" "$S/still"
put still/file still
for i in $(seq 1 50); do
	put every "$i" "$i"
	put "only$i" "$i"
	rm -f "$S/only$((i - 1))"
	[ $((i % 10)) -ne 0 ] || put tenth "$i" "$i"
	"$ASOF" backup -q "$S" || exit 99
done
try "fifty generations" view m
try "each changed one is shown" is "50" sh -c 'ls "$1/every" | wc -l' - "$V"
try "with its contents" is "0" sh -c '
	cd "$1/every" && for i in $(seq 1 50); do
		[ "$(cat @$i)" = $i ] || echo $i; done | wc -l' - "$V"
try "one in ten" is "@10 @20 @30 @40 @50" ls "$V/tenth"
try "one that never changed, once" is "@1" ls "$V/still/file"
try "its directory, too" is "@1 file" ls "$V/still"
try "and every name there ever was" is "50" \
	sh -c 'ls "$1" | grep -c only' - "$V"
umount "$T/m"

# --- a small table -------------------------------------------------------------------

new_repo wide >/dev/null
rm -rf "$S"
mkdir "$S"
python3 - "$S" <<'PY'
import os, sys
os.chdir(sys.argv[1])
for i in range(100):
    os.mkdir("d%d" % i)
    for k in range(100):
        open("d%d/%s%d" % (i, "long-name-" * 8, k), "w").close()
PY
"$ASOF" backup -q "$S" || exit 99
view m --cache 1M >/dev/null
server=$(pgrep -f "^$ASOF mount $T/m")
rss() { awk '/^RssAnon/ { print $2 }' "/proc/$server/status"; }
find "$V/d1" "$V/d2" >/dev/null
(cd "$V/d1" && exec sleep 100) &
sitter=$!
later "kill $sitter"
before=$(rss)
try "10,000 directories with room for some hundred" is "20202" \
	sh -c 'find "$1" | wc -l' - "$V"
after=$(rss)
echo "# $before KiB before, $after KiB after"
# A sanitizer keeps what was freed.
if grep -aq -e __asan_init -e __tsan_init "$ASOF"; then
	skip "need no more memory" "a sanitizer is in"
else
	try "need no more memory" test $((after - before)) -lt 1500
fi
try "again" is "20202" sh -c 'find "$1" | wc -l' - "$V"
try "all together in several pieces" is "10000" sh -c '
	cd "$1" && ls -U d*/ | grep -c long' - "$V"
try "who sat there gets an answer" sh -c '
	timeout 5 ls /proc/$1/cwd/ >/dev/null; [ $? -ne 124 ]' - $sitter
try "what is there is right" is "@1 100" sh -c '
	cd "$1/d7" && ls *-97; ls | grep -c long' - "$V"
kill $sitter
wait 2>/dev/null
umount "$T/m"

# --- damage --------------------------------------------------------------------------

new_repo hurt >/dev/null
rm -rf "$S"
mkdir "$S"
put file one
"$ASOF" backup -q "$S" || exit 99
ls "$T/hurt/packs"/* >"$T/packs"
put file two 1
put more more
"$ASOF" backup -q "$S" || exit 99
# Of the second one all is lost but its record.
for p in $(find "$T/hurt/packs" -type f); do
	grep -q "${p##*/}" "$T/packs" || rm -f "$p"
done
rm -rf "$ASOF_CACHE_DIR"
put file three 2
"$ASOF" backup -q "$S" || exit 99
view m >/dev/null
try "versions that are not damaged are shown" is "@1 @3" \
	sh -c 'ls "$1" 2>/dev/null' - "$V/file"
try "and right" is "one three" sh -c 'cat "$1"/@*' - "$V/file"
try "what may have been in the damaged one is an error, not nothing" sh -c '
	ls "$1" 2>"$2/err"; grep -q "Input/output error" "$2/err"' \
	- "$V/none" "$T"
try "a listing is not whole, and says so" sh -c '
	! ls "$1" >"$2/out" 2>"$2/err" && grep -q "^more$" "$2/out" &&
	grep -q "Input/output error" "$2/err"' - "$V" "$T"
umount "$T/m"

finish
