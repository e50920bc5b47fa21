#!/bin/sh
#
# Goal: the command line keeps its word: exit codes, messages on standard
# error that name the thing, results on standard output, JSON that parses,
# help for everything, completion that completes.
#
# Needs python3 for the JSON; runs the program in $ASOF (default ./asof).

set -u

ASOF=${ASOF:-./asof}
case $ASOF in
/*) ;;
*) ASOF=$(pwd)/$ASOF ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/asof-cli.XXXXXX") || exit 1
trap 'chmod -R u+rwx "$tmp" 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

ASOF_CACHE_DIR=$tmp/cache
ASOF_STATE_DIR=$tmp/state
ASOF_WRITERS_D=$tmp/writers.d
TZ=UTC
LC_ALL=C.UTF-8
export ASOF_CACHE_DIR ASOF_STATE_DIR ASOF_WRITERS_D TZ LC_ALL
unset ASOF_REPOSITORY

# --- helpers: every one is one TAP line ---------------------------------------

count=0
failed=0

# report STATUS NAME: one line; on failure with what the program said.
report()
{
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $count - $2"
	echo "# code $code"
	sed 's/^/# out: /' "$tmp/out" | head -n 12
	sed 's/^/# err: /' "$tmp/err" | head -n 12
}

skip()
{
	count=$((count + 1))
	echo "ok $count - # SKIP $1"
}

# run WORD...: the program; leaves $code, $tmp/out and $tmp/err.
run()
{
	"$ASOF" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
}

# exits CODE NAME WORD...
exits()
{
	want=$1
	name=$2
	shift 2
	run "$@"
	[ "$code" -eq "$want" ]
	report $? "$name: exit $want"
}

# says TEXT: the last run said it on standard error.
says()
{
	grep -qF -- "$1" "$tmp/err"
	report $? "says: $1"
}

# prints TEXT: the last run printed it on standard output.
prints()
{
	grep -qF -- "$1" "$tmp/out"
	report $? "prints: $1"
}

silent()
{
	[ ! -s "$tmp/err" ]
	report $? "$1: nothing on standard error"
}

empty()
{
	[ ! -s "$tmp/out" ]
	report $? "$1: nothing on standard output"
}

# json NAME EXPRESSION: standard output is JSON, of which it is true (as d).
json()
{
	python3 -c '
import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8"))
sys.exit(0 if eval(sys.argv[2]) else 1)' "$tmp/out" "$2" 2>>"$tmp/err"
	report $? "$1: $2"
}

# jsonl NAME EXPRESSION: the same for one object a line, d being their list.
jsonl()
{
	python3 -c '
import json, sys
d = [json.loads(s) for s in open(sys.argv[1], encoding="utf-8")]
sys.exit(0 if eval(sys.argv[2]) else 1)' "$tmp/out" "$2" 2>>"$tmp/err"
	report $? "$1: $2"
}

# All that there are, by the program's own word.
commands=$("$ASOF" help |
	sed -n '/^Commands:$/,/^$/s/^  \([a-z]*\) .*/\1/p')

# --- help ---------------------------------------------------------------------

code=0
exits 2 "no command"
says "asof: which command? (see asof help)"
empty "no command"
exits 0 "help" help
silent "help"
for c in init backup restore mount control show writer session help; do
	grep -q "^  $c " "$tmp/out"
	report $? "help lists $c"
done
exits 0 "--help" --help
exits 0 "-h" -h
exits 0 "--version" --version
prints "asof "
exits 0 "-V after a command" ls -V
for c in $commands; do
	exits 0 "$c --help" "$c" --help
	prints "usage: asof $c"
	prints "--help"
	silent "$c --help"
	[ "$(awk 'length($0) > 80' "$tmp/out" | wc -l)" -eq 0 ]
	report $? "$c --help fits into 80 columns"
	cp "$tmp/out" "$tmp/first"
	run help "$c"
	cmp -s "$tmp/out" "$tmp/first"
	report $? "help $c is the same"
done
exits 2 "help of no command" help nonsense

# --- wrong command lines --------------------------------------------------------

exits 2 "an unknown command" frobnicate
says "asof: unknown command frobnicate (see asof help)"
exits 2 "a command with a slip" bakup
says "did you mean backup?"
exits 2 "an unknown command of bytes" "$(printf 'a\033[31mb')"
says 'a\x1b[31mb'
exits 2 "an unknown option" backup --foo
says "asof: backup: unknown option --foo (see asof backup --help)"
exits 2 "an option with a slip" backup --exlude x
says "did you mean --exclude?"
exits 2 "an unknown letter" ls -lZ 1
says "asof: ls: unknown option -Z"
exits 2 "an option before the command" --foo backup
exits 2 "an option without its value" backup --type
says "--type needs a value: --type TYPE"
exits 2 "a flag with a value" backup --wait=yes /
says "--wait takes no value"
exits 2 "an unknown type" backup --type partial /
says "--type is full, incremental, differential, log or copy, not partial"
exits 2 "an empty value" backup --set= /
exits 2 "a number too high" backup --level 20 /
exits 2 "a size that is none" mount --cache lots /
exits 2 "an operand missing" cat
says "asof: cat: GEN:PATH ... is missing"
exits 2 "an operand too many" stats x
says "asof: stats: x is one operand too many"
exits 2 "--json where there is none" completion bash --json
exits 2 "a shell that we do not know" completion tcsh
for c in init backup restore mount generations show ls cat stats check forget
do
	case $c in
	init | generations | stats | check) set -- ;;
	restore) set -- 1 --to "$tmp/x" ;;
	*) set -- 1 ;;
	esac
	exits 2 "$c without a repository" "$c" "$@"
	says "use -r DIR or set ASOF_REPOSITORY"
done
exits 2 "a repository that is none" stats -r /
exits 2 "a repository that is not there" stats -r "$tmp/none"
says "$tmp/none"

# --- init -----------------------------------------------------------------------

exits 0 "init" init -r "$tmp/repo" --json
json "init" 'd["repository"].endswith("/repo") and len(d["id"]) == 32'
exits 2 "init over a repository" init -r "$tmp/repo"
says "$tmp/repo"
exits 1 "init below nothing" init -r "$tmp/no/where"
exits 0 "init -q" init -q -r "$tmp/second"
silent "init -q"
empty "init -q"

ASOF_REPOSITORY=$tmp/repo
export ASOF_REPOSITORY

exits 0 "generations of nothing" generations --json
json "no generations" 'd == []'
exits 0 "generations of nothing" generations
says "no generations yet"
exits 1 "show latest of nothing" show latest
exits 0 "stats of nothing" stats --json
json "stats of nothing" 'd["generations"] == 0 and d["packs"] == 0'
exits 0 "check of nothing" check
exits 2 "backup of what is not there" backup "$tmp/nothing"
says "$tmp/nothing"

# --- backup ---------------------------------------------------------------------

src=$tmp/src
mkdir -p "$src/dir/deep"
echo "first" >"$src/a"
echo "second" >"$src/dir/b"
: >"$src/empty"
ln "$src/a" "$src/dir/a-again"
ln -s ../a "$src/dir/link"
mkfifo "$src/fifo"
touch -d 2001-02-03T04:05:06.5Z "$src/a"
odd=$(printf 'odd\377name')
echo "odd" >"$src/$odd"
echo "esc" >"$src/$(printf 'esc\033[31m')"
dd if=/dev/urandom of="$src/random" bs=1024 count=300 2>/dev/null
truncate -s 1M "$src/hole"
touch "$src/leave.o"
sync "$src"

exits 0 "backup" backup "$src" --exclude '*.o' --comment "the first"
prints "generation 1 of set "
prints " files read ("
says "this one is full"
! grep -q "$(printf '\r')" "$tmp/err"
report $? "there is no progress line without a terminal"
echo "changed" >>"$src/dir/b"
exits 0 "backup --json" backup --json -e '*.o' "$src"
json "backup" 'd["generation"] == 2 and d["base"] == 1 and d["errors"] == 0'
json "backup" 'd["type"] == "incremental" and len(d["id"]) == 32'
json "backup" 'd["effective_type"] == "incremental"'
json "backup" 'd["files_read"] >= 1 and d["files"] >= 7'
json "backup" 'd["files_kept"] + d["files_read"] == d["files"]'
json "backup" 'isinstance(d["seconds"], float)'
exits 0 "backup -q" backup -q -t copy -s other -e '*.o' "$src"
silent "backup -q"
empty "backup -q"
exits 2 "a set's name that is none" backup -s "a/b" "$src"
exits 2 "a pattern that is none" backup -e '[' "$src"
exits 0 "the repository may stand before the command" -r "$tmp/second" \
	backup "$src" -q
exits 0 "and behind it" generations -r "$tmp/second" --json
json "the other repository" 'len(d) == 1'

# Root may read everything, so somebody else has to try.
mkdir "$tmp/private"
echo secret >"$tmp/private/secret"
echo open >"$tmp/private/open"
chmod 0 "$tmp/private/secret"
as=
if [ "$(id -u)" -eq 0 ]; then
	as="setpriv --reuid=65534 --regid=65534 --clear-groups"
	chmod 755 "$tmp"
	mkdir "$tmp/theirs"
	chown 65534:65534 "$tmp/theirs" "$tmp/private" "$tmp/private"/*
fi
if $as "$ASOF" --version >"$tmp/out" 2>"$tmp/err"; then
	mkdir -p "$tmp/theirs"
	their()
	{
		ASOF_CACHE_DIR=$tmp/theirs/cache \
		ASOF_STATE_DIR=$tmp/theirs/state $as "$ASOF" "$@" \
			-r "$tmp/theirs/repo" >"$tmp/out" 2>"$tmp/err"
		code=$?
	}
	their init
	their backup "$tmp/private" --json
	[ "$code" -eq 3 ]
	report $? "a file that cannot be read: exit 3"
	says "asof: $tmp/private/secret: "
	json "a file that cannot be read" 'd["errors"] == 1 and d["files"] == 2'
	their show latest --errors
	prints "$tmp/private/secret"
	their show latest --errors --json
	jsonl "errors" '[x["kind"] for x in d] == ["error"]'
	their cat "latest:$tmp/private/secret"
	[ "$code" -eq 1 ]
	report $? "cat of what could not be read: exit 1"
	their cat "latest:$tmp/private/open"
	prints "open"
else
	skip "cannot become another user"
fi

# --- generations and show ---------------------------------------------------------

exits 0 "generations" generations
prints "incremental"
prints "the first"
[ "$(wc -l <"$tmp/out")" -eq 4 ]
report $? "generations prints a line each and a head"
exits 0 "generations --json" generations --json
json "generations" '[g["generation"] for g in d] == [1, 2, 3]'
json "generations" '[g["type"] for g in d] == ["full", "incremental", "copy"]'
json "generations" 'd[0]["comment"] == "the first"'
json "generations" 'd[0]["time"].endswith("Z") and d[0]["bytes"] > 1300000'
exits 0 "generations --set" generations --set other --json
json "generations of a set" '[g["generation"] for g in d] == [3]'
exits 0 "generations of no set" generations -s none --json
json "generations of no set" 'd == []'
exits 0 "generations of no set" generations -s none
says "asof: there is no generation of the set none"
exits 2 "a set of a reserved name" backup -s all "$src"
says "not latest, current or all"

exits 0 "show" show 2
prints "source         $src"
prints "exclude        *.o"
exits 0 "show --json" show --json latest~1
json "show" 'd["generation"] == 2 and d["bases"][0]["generation"] == 1'
json "show" 'd["excludes"] == ["*.o"]'
json "show" "d['sources'][0]['resolved'] == '$src'"
exits 0 "show --files" show 2 --files
prints "$src/dir/b"
exits 0 "show --files --json" show 2 --files --json
jsonl "files" "'$src/dir/b' in [x['path'] for x in d]"
jsonl "files" 'all(x["kind"] == "read" and x["reason"] for x in d)'
exits 1 "a number that is not there" show 77
says "77"
exits 1 "a set that is not there" show none@latest
exits 1 "a day before all" show @1999-01-01
exits 2 "a name that is none" show la/test
exits 2 "show of a path" show 2:/etc

# --- ls ---------------------------------------------------------------------------

exits 0 "ls" ls "2:$src"
prints "dir"
prints 'odd\xffname'
prints 'esc\x1b[31m'
LC_ALL=C sort -c "$tmp/out" 2>/dev/null
report $? "ls is sorted by bytes"
! grep -q leave.o "$tmp/out"
report $? "ls does not show what was left out"
exits 0 "ls of the top" ls 2
exits 0 "ls -l" ls -l "2:$src"
grep -q '^prw' "$tmp/out"
report $? "ls -l shows a FIFO's mode"
grep -q '^-rw.* 2 .* 6 2001-02-03 04:05 a$' "$tmp/out"
report $? "ls -l shows links, size and time"
exits 0 "ls -l of a link" ls -l "2:$src/dir/link"
prints "$src/dir/link -> ../a"
exits 0 "ls -d" ls -d "2:$src"
[ "$(cat "$tmp/out")" = "$src" ]
report $? "ls -d prints the directory itself"
exits 0 "ls -R" ls -R "2:$src"
prints "$src/dir/deep"
exits 0 "ls -0" ls -0 "2:$src"
tr '\0' '\n' <"$tmp/out" | LC_ALL=C grep -qF "$odd"
report $? "ls -0 prints the bytes of a name"
exits 0 "ls --json" ls -R --json 2
jsonl "ls" "'$src/dir/b' in [x['path'] for x in d]"
inside=$(find "$src" ! -name leave.o | wc -l)
above=$(echo "${src%/*}" | tr -cd / | wc -c)
jsonl "ls" "len(d) == $inside + $above"
jsonl "ls" "[bytes.fromhex(x['path_hex'])[-8:] for x in d if 'path_hex' in x] \
	== [b'odd\\xffname']"
jsonl "ls" "[x['target'] for x in d if x['type'] == 'symlink'] == ['../a']"
jsonl "ls" "[x['mtime'] for x in d if x['path'] == '$src/a'] \
	== ['2001-02-03T04:05:06.500000000Z']"
jsonl "ls" "len({x['inode'] for x in d if x['path'] in
	('$src/a', '$src/dir/a-again')}) == 1"
exits 1 "ls of what is not there" ls "2:$src/nothing"
says "$src/nothing"

# --- cat ----------------------------------------------------------------------------

exits 0 "cat" cat "2:$src/random"
cmp -s "$tmp/out" "$src/random"
report $? "cat gives the bytes"
exits 0 "cat of a hole" cat "2:$src/hole"
cmp -s "$tmp/out" "$src/hole"
report $? "cat gives zeros for a hole"
exits 0 "cat of an older generation" cat "1:$src/dir/b"
[ "$(cat "$tmp/out")" = "second" ]
report $? "cat gives what was there then"
exits 0 "cat of several" cat "2:$src/a" "2:$src/dir/b"
[ "$(wc -l <"$tmp/out")" -eq 3 ]
report $? "cat gives one after the other"
exits 1 "cat of a directory" cat "2:$src"
says "is a directory"
exits 1 "cat of a link" cat "2:$src/dir/link"
says "is a symbolic link to ../a"
exits 1 "cat of what is not there" cat "2:$src/none"

# --- restore --------------------------------------------------------------------------

exits 2 "restore to nowhere" restore 2
says "--to"
exits 1 "restore of what is not there" restore "2:$src/none" --to "$tmp/t0"
[ ! -e "$tmp/t0" ]
report $? "and nothing was made"
exits 0 "restore" restore 2 --to "$tmp/t1"
prints "restored from generation 2"
diff -r --no-dereference --exclude=leave.o --exclude=fifo "$src" \
	"$tmp/t1$src" >"$tmp/out" 2>&1
report $? "restore gives the tree"
exits 0 "restore of a path" restore "2:$src/dir" --to "$tmp/t2" --json
json "restore" 'd["failed"] == 0 and d["generation"] == 2'
[ -f "$tmp/t2/dir/b" ]
report $? "restore of a path makes its last name"
exits 0 "restore of a directory's contents" restore -q "2:$src/dir/" \
	--to "$tmp/t3"
empty "restore -q"
[ -f "$tmp/t3/b" ]
report $? "restore of a path with a slash makes what it holds"
exits 1 "restore over files" restore "2:$src/dir/" --to "$tmp/t3"
says "left as they are, unless --existing or --in-place says otherwise"
echo mine >"$tmp/t3/b"
exits 0 "restore --existing keep" restore "2:$src/dir/" --to "$tmp/t3" \
	--existing keep
[ "$(cat "$tmp/t3/b")" = mine ]
report $? "keep keeps"
exits 0 "restore --existing replace" restore "2:$src/dir/" --to "$tmp/t3" \
	--existing=replace --verify
cmp -s "$tmp/t3/b" "$src/dir/b"
report $? "replace replaces"

# --- stats, check, forget ---------------------------------------------------------------

exits 0 "stats" stats
prints "generations  3"
exits 0 "stats --json" stats --json
json "stats" 'd["generations"] == 3 and d["packs"] > 0 and d["ratio"] > 0'
exits 0 "check" check
prints "no damage found"
exits 0 "check --quick" check --quick
exits 0 "check of one" check 2
exits 1 "check of none" check 77
exits 0 "check --json" check --json
json "check" 'd["damaged"] == 0 and d["problems"] == [] and d["data"] is True'
exits 0 "forget" forget latest latest~1 --json
json "forget" 'd["forgotten"] == [3, 2]'
exits 1 "forget again" forget 2
exits 1 "forget of one that is there and one that is not" forget 1 2
exits 0 "what is left" generations --json
json "forget forgets all or nothing" '[g["generation"] for g in d] == [1]'
mv "$tmp/repo/generations/2.forgotten" "$tmp/repo/generations/2"
exits 0 "a forgotten one can be taken back" show 2

# --- damage ---------------------------------------------------------------------------

cp -r "$tmp/second" "$tmp/bad"
python3 - "$tmp/bad/packs" <<'END'
import os, sys
d = sys.argv[1]
name = max(os.listdir(d), key=lambda n: os.path.getsize(os.path.join(d, n)))
path = os.path.join(d, name)
os.chmod(path, 0o600)
with open(path, "r+b") as f:
    f.seek(200)
    byte = f.read(1)
    f.seek(200)
    f.write(bytes([byte[0] ^ 1]))
END
exits 4 "check of a damaged pack" check -r "$tmp/bad"
exits 4 "the same as JSON" check -r "$tmp/bad" --json
json "check" 'd["damaged"] > 0 and d["problems_left_out"] == 0'
json "check" 'd["damaged"] == len([p for p in d["problems"] if p["kind"] == "damage"])'
json "check" 'all(p["where"] and p["what"] for p in d["problems"])'
cp -r "$tmp/second" "$tmp/bad2"
chmod u+w "$tmp/bad2/generations/1"
echo junk >"$tmp/bad2/generations/1"
exits 4 "generations with a damaged record" generations -r "$tmp/bad2" --json
json "a damaged record" 'd[0]["damaged"] is True and d[0]["why"]'
exits 4 "show of a damaged record" show 1 -r "$tmp/bad2"
exits 0 "forget of a damaged record" forget 1 -r "$tmp/bad2"

# --- standard files ---------------------------------------------------------------------

"$ASOF" generations >/dev/full 2>"$tmp/err"
code=$?
: >"$tmp/out"
[ "$code" -eq 1 ]
report $? "a full device: exit 1"
says "asof: standard output: No space left on device"
"$ASOF" cat "1:$src/random" >/dev/full 2>"$tmp/err"
code=$?
[ "$code" -eq 1 ]
report $? "a full device under cat: exit 1"
"$ASOF" generations >&- 2>"$tmp/err"
code=$?
[ "$code" -eq 1 ]
report $? "a closed standard output: exit 1"
"$ASOF" backup -q "$src" >&- 2>&- <&-
code=$?
[ "$code" -eq 0 ]
report $? "closed standard files do not hinder a backup"
python3 - "$ASOF" "1:$src/random" >"$tmp/out" 2>"$tmp/err" <<'END'
import os, subprocess, sys
r, w = os.pipe()
os.close(r)
p = subprocess.run([sys.argv[1], "cat", sys.argv[2]], stdout=w,
                   stderr=subprocess.PIPE)
sys.stderr.buffer.write(p.stderr)
sys.exit(p.returncode != 1 or p.stderr != b"")
END
code=$?
report $code "a reader that hung up: exit 1, not a word, no signal"

# --- busy and interrupted ------------------------------------------------------------------

run show --json latest
set_id=$(python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["set_id"])' "$tmp/out")
python3 - "$ASOF" "$src" "$tmp/repo/sessions/set-$set_id" >"$tmp/out" \
	2>"$tmp/err" <<'END'
import fcntl, os, signal, subprocess, sys
asof, src, lock = sys.argv[1:]
fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
busy = subprocess.run([asof, "backup", src], stderr=subprocess.PIPE)
print("busy", busy.returncode)
for number in signal.SIGTERM, signal.SIGINT:
    p = subprocess.Popen([asof, "backup", "--wait", src],
                         stderr=subprocess.PIPE, text=True)
    for line in p.stderr:
        if "waiting" in line:
            break
    p.send_signal(number)
    rest = p.stderr.read()
    print(number.name, p.wait(), "interrupted" in rest)
END
code=$?
prints "busy 5"
prints "SIGTERM 143 True"
prints "SIGINT 130 True"

# --- completion ---------------------------------------------------------------------------

for shell in bash zsh fish; do
	exits 0 "completion $shell" completion $shell
	cp "$tmp/out" "$tmp/completion.$shell"
	if command -v $shell >/dev/null; then
		$shell -n "$tmp/completion.$shell" 2>"$tmp/err"
		report $? "the $shell script parses"
	else
		skip "no $shell"
	fi
done
if [ -f "$here/../../doc/asof.bash" ]; then
	cmp -s "$tmp/completion.bash" "$here/../../doc/asof.bash"
	report $? "doc/asof.bash is what completion bash prints"
fi

# offer WORD...: what bash offers for the last of the words.
offer()
{
	PATH=$(dirname "$ASOF"):$PATH bash -c '
		. "$1"
		shift
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_asof
		printf "%s\n" "${COMPREPLY[@]}"
	' bash "$tmp/completion.bash" asof "$@" >"$tmp/out" 2>"$tmp/err"
	code=$?
}
if command -v bash >/dev/null; then
	offer ba
	prints "backup"
	offer backup --exc
	prints "--exclude-caches"
	offer backup --type d
	prints "differential"
	offer ls -l lat
	prints "latest"
	offer help sta
	prints "stats"
	offer writer re
	prints "reset"
	offer init -r "$tmp/re"
	prints "$tmp/repo"
	[ "$(basename "$ASOF")" = asof ] && {
		offer show ''
		grep -qx 1 "$tmp/out"
		report $? "generations are completed"
	}
else
	skip "no bash"
fi

# --- called by mount(8) ------------------------------------------------------------------------

ln -s "$ASOF" "$tmp/mount.fuse.asof"
"$tmp/mount.fuse.asof" >"$tmp/out" 2>"$tmp/err"
code=$?
[ $code -eq 2 ]
report $? "mount.fuse.asof without operands: exit 2"
"$tmp/mount.fuse.asof" "$tmp/none" "$tmp" -o rw,noauto >"$tmp/out" 2>"$tmp/err"
code=$?
[ $code -eq 2 ]
report $? "mount.fuse.asof of no repository: exit 2"
says "$tmp/none"
exits 1 "mount --at what is not there" mount --at 77 "$tmp"
exits 2 "mount on a descriptor that is not open" mount --ready-fd 77 "$tmp"

echo "1..$count"
[ "$failed" -eq 0 ]
