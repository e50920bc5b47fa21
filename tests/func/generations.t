#!/bin/sh
# Types and bases, numbers and names, what show, ls, cat and stats say, which
# files are read and why, and that what did not change costs nothing.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin "${CC:-cc}"
helper facts

# is OUTPUT-LINES...: the last run printed just these.
is() {
	printf '%s\n' "$@" >"$T/wanted"
	cmp -s "$T/wanted" "$T/stdout" && return 0
	diff "$T/wanted" "$T/stdout"
	return 1
}

# taken TYPE NUMBER EFFECTIVE BASE [WORD...]: a backup, of src if the words do
# not say another set.
taken() {
	taken_type=$1 taken_number=$2 taken_effective=$3 taken_base=$4
	shift 4
	[ $# -gt 0 ] || set -- -s main
	backup -t "$taken_type" "$@" src &&
		field_is generation "$taken_number" &&
		field_is effective_type "$taken_effective" &&
		field_is base "$taken_base"
}

# --- types and bases ---------------------------------------------------------

mkdir src && echo 1 >src/file
new_repo repo >/dev/null
try "no generations is no error" asof generations
try "the first incremental is full" taken incremental 1 full null
try "and a note says so" said 'no generation to compare with'
try "an incremental is on the full" taken incremental 2 incremental 1
try "without a note" [ ! -s stderr ]
try "a differential is on the full" taken differential 3 differential 1
try "a copy is on nothing" taken copy 4 copy null
try "an incremental skips differential and copy" \
	taken incremental 5 incremental 2
try "the next is on that" taken incremental 6 incremental 5
try "a differential is still on the full" taken differential 7 differential 1
try "a full is on nothing" taken full 8 full null
try "an incremental is on the new full" taken incremental 9 incremental 8
try "a differential too" taken differential 10 differential 8
try "another set has no base here" taken incremental 11 full null -s other
try "nor do the sets mix" taken incremental 12 incremental 9
try "a set named" taken differential 13 differential 11 -s other
try "a copy founds a set" taken copy 14 copy null -s copies
try "and is no base" taken incremental 15 full null -s copies
try "a differential without a full is one" taken differential 16 full null -s d

# --- numbers after forgetting ------------------------------------------------

try "the base is forgotten" asof forget 9 12
try "the one before it is the base" taken incremental 17 incremental 8
try "the full is forgotten" asof forget 8
try "a differential is on the one before" taken differential 18 differential 1
try "all fulls of a set are forgotten" asof forget 11
try "a differential is full again" taken differential 19 full null -s other
try "the newest is forgotten" asof forget latest
try "its number is not used again" taken incremental 20 incremental 17
try "nor listed" asof generations
no_row() { ! grep -q "^ *$1 " stdout; }
try "nor its row" no_row 19

# --- names -------------------------------------------------------------------

number_of() {
	asof show --json "$1" >/dev/null && field_is generation "$2"
}
try "latest" number_of latest 20
try "latest~0" number_of latest~0 20
try "latest~1" number_of latest~1 18
try "latest~3" number_of latest~3 16
try "a number" number_of 7 7
try "a set's latest" number_of copies@latest 15
try "a set's latest~1" number_of copies@latest~1 14
try "a set's number" number_of copies@14 14
try "a number of another set" must_fail 1 asof show copies@13
try "a set of its own naming" number_of main@latest 20
try "a day to come" number_of @2999-01-01 20
try "in a set" number_of copies@2999-01-01 15
try "a day before" must_fail 1 asof show main@1999-12-31
today=$(date +%F)
try "today" number_of "copies@$today" 15

sleep 1.1
between=$(date -u +%FT%T)
sleep 1.1
try "one more" taken incremental 21 incremental 20
try "the second before it" number_of "@$between" 20
try "in Greenwich" number_of "@${between}Z" 20
try "in another zone" number_of "@${between}-01:00" 21
try "in a set" number_of "main@${between}+00:00" 20
elsewhere() { TZ=UTC-5 number_of "@$between" 15; }
# Five hours east, the same words are five hours earlier: before all.
try "local time is that of TZ" must_fail 1 elsewhere

# --- lists -------------------------------------------------------------------

try "a comment" backup -s talk -c 'before the move' src
try "is listed" asof generations -s talk
try "with its generation" printed "^ *$G  .*full  *talk .*before the move\$"
try "alone" [ "$(grep -c '^ *[0-9]' stdout)" -eq 1 ]
try "and shown" asof show talk@latest
shown_all() {
	printed "^generation  *$G\$" && printed '^set  *talk$' &&
		printed '^type  *full$' && printed "^source  *$T/src\$" &&
		printed '^  typed as  *src$' &&
		printed '^files read  *1$' && printed '^errors  *0$' &&
		printed '^comment  *before the move$'
}
try "with all that is known" shown_all
try "show of an incremental" asof show 6
try "tells its base" printed '^base  *5$'
count=$(asof generations | grep -c '^ *[0-9]')
try "stats" asof stats --json
try "count the generations" field_is generations "$count"

# --- ls and cat --------------------------------------------------------------

mkdir -p ls/dir/sub && cd ls || exit 99
printf 'hello\nworld\n' >text && printf '\001\377\n' >"new
line" && : >dir/sub/empty && ln -s text link && ln text dir/other
chmod 4751 text && chmod 640 "new
line" && mkfifo fifo && chmod 1777 dir
truncate -s 100000 hole && printf end >>hole
find . -exec touch -h -d '2020-02-03 04:05:06.7' {} +
cd ..
backup ls >/dev/null
try "ls" asof ls "latest:$T/ls"
try "is in order, and shows odd bytes" is dir fifo hole link 'new\nline' text
try "ls -R" asof ls -R "latest:$T/ls/dir"
try "has whole paths" is "$T/ls/dir/other" "$T/ls/dir/sub" "$T/ls/dir/sub/empty"
try "ls -d" asof ls -d "latest:$T/ls/dir"
try "is the directory" is "$T/ls/dir"
try "ls of a file" asof ls "latest:$T/ls/text"
try "is the file" is "$T/ls/text"
try "ls -0" asof ls -0 "latest:$T/ls"
exact() {
	printf 'dir\0fifo\0hole\0link\0new\nline\0text\0' >wanted
	cmp wanted stdout
}
try "has the exact bytes" exact
try "ls of the top" asof ls latest
try "is the first name" is "$(echo "$T" | cut -d / -f 2)"
if [ "$(id -u)" -eq 0 ]; then
	try "ls -l" asof ls -l "latest:$T/ls"
	d='2020-02-03 04:05'
	try "tells all" is \
		"drwxrwxrwt    3 root root           - $d dir" \
		"prw-r--r--    1 root root           - $d fifo" \
		"-rw-r--r--    1 root root      100003 $d hole" \
		"lrwxrwxrwx    1 root root           4 $d link -> text" \
		"-rw-r-----    1 root root           3 $d new\\nline" \
		"-rwsr-x--x    2 root root          12 $d text"
fi
try "cat" asof cat "latest:$T/ls/text" "latest:$T/ls/dir/other"
try "is the content, one after the other" is hello world hello world
whole_hole() { asof cat "latest:$T/ls/hole" >/dev/null && cmp ls/hole stdout; }
try "holes are zeros" whole_hole
odd_cat() {
	asof cat "latest:$T/ls/new
line" >/dev/null && cmp "ls/new
line" stdout
}
try "an odd name, and odd bytes" odd_cat

# --- what is read, and why ---------------------------------------------------

mkdir -p why/d
for f in size mtime ctime gone keep type d/moved new-inode; do
	seq 1000 >"why/$f"
done
touch -d 2020-01-01 why/*
sleep 0.2
backup why >/dev/null
echo more >>why/size && touch -d 2021-01-01 why/mtime && rm why/gone why/type &&
	ln -s x why/type && chmod 600 why/ctime && mv why/d why/e &&
	echo x >why/new && touch -d 2020-01-01 why/size &&
	cp -p why/new-inode why/tmp && mv why/tmp why/new-inode
sleep 0.1
try "what changed is read" backup why
try "and no more" field_is files_read 6
try "show tells why" asof show --files latest
reasons() {
	sort stdout >told
	printf '%-10s %s\n' ctime "$T/why/ctime" identity "$T/why/new-inode" \
		mtime "$T/why/mtime" new "$T/why/e/moved" new "$T/why/new" \
		size "$T/why/size" >wanted
	grep -v "$T/why/type" told | diff wanted -
}
try "each with its reason" reasons
try "a name that is something else now" asof ls -l "latest:$T/why"
try "is that" printed '^l.*type -> x$'
try "what is gone is gone" must_fail 1 asof ls "latest:$T/why/gone"
try "but not from before" asof ls "latest~1:$T/why/gone"
try "nothing changed: nothing is read" backup why
try "at all" field_is bytes_read 0
secret() {
	printf X | dd of=why/keep bs=1 seek=100 conv=notrunc status=none &&
		touch -d 2020-01-01 why/keep && backup why >/dev/null &&
		field_is files_read 1 &&
		asof cat "latest:$T/why/keep" >/dev/null &&
		cmp why/keep stdout
}
try "a change that size and time do not show is read" secret
# In the same moment as the backup, again and again.
in_haste() {
	for i in 1 2 3 4 5 6 7 8 9; do
		echo "$i" >why/hasty && backup why >/dev/null &&
			echo "$((i + 1))" >why/hasty && backup why >/dev/null &&
			asof cat "latest:$T/why/hasty" >/dev/null &&
			cmp why/hasty stdout || return 1
	done
}
try "a change right after a backup is not missed" in_haste

# --- what did not change costs nothing ---------------------------------------

mkdir large
(cd large && mkdir 1 2 3 4 5 6 7 8 && for d in [1-8]; do
	seq 250 | sed "s|^|$d/|" | while read -r f; do echo "$f" >"$f"; done
done)
head -c 2000000 /dev/urandom >large/noise
backup large >/dev/null
at_most() { [ "$(field bytes_stored)" -lt "$1" ]; }
try "an unchanged tree" backup large
try "is not read" field_is files_read 0
try "and is stored in less than 64 KiB" at_most 65536
try "so is a full one" backup -t full large
try "though all is read" field_is files_read 2001
try "it is stored in less than 64 KiB" at_most 65536
try "and a copy" backup -t copy large
try "that is read" field_is files_read 2001
try "in less than 64 KiB" at_most 65536
# Other directories, same content: names are all that is new.
cp -a large again
try "the same files elsewhere" backup again
try "are stored once" at_most 262144
same_all() {
	facts large facts.a -H && rm -rf got &&
		asof restore "latest~1:$T/large/" --to got >/dev/null &&
		facts got facts.b -H && same_facts facts.a facts.b
}
try "and come back" same_all
try "nothing is damaged" sound
finish
