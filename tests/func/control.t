# Control files: what a writer can say by files, and what it is told.
#
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root python3
. "$srcdir/tests/func/writers.sh"
can_view || skip_all "no /dev/fuse"

mkdir -m 755 "$T/src" "$T/his"
chown 12345 "$T/his"
chmod 755 "$T"
ME=12345 OTHER=23456

# --- tools ---------------------------------------------------------------------

say() { timeout "$LIMIT" python3 "$srcdir/tests/func/control_say.py" "$@"; }

# says WORDS FILE STEP ...: the steps give just this.
says() {
	want=$1
	shift
	got=$(say "$@")
	[ "$got" = "$want" ] && return 0
	echo "said: $got"
	echo "want: $want"
	return 1
}

# ended: nobody has the state any more, which is given up last of all.
ended() { flock -n "$T"/state/repo-*/lock true; }

# register NAME UID GRANT: as root's word, before it is started.
register() {
	kept=$(echo "$T"/state/repo-*)/writers/$1
	mkdir -m 700 -p "$kept" &&
		printf 'owner %s\ngrant %s\n' "$2" "$3" >"$kept/registration"
}

document() { # NAME DIR
	cat <<END
writer $1
schema incremental
restore-method restore-if-can-replace
component db database selectable=yes
component a/b%c file-group selectable=yes
component a/b%c/part file-group selectable=no
database-files db $2 "*" recursive
end
END
}

# one document PATTERN is what is read back
reads() { cat "$1" >"$T/read" && contains "$T/read" "$2"; }
lacks() { cat "$1" >"$T/read" && ! contains "$T/read" "$2"; }

# --- coming and going (C1) -------------------------------------------------------

new_repo repo >/dev/null
id=$(sed -n 's/.*, id //p' "$T/stderr")
try "C1: control files are served in the run directory, with a README and a version" \
	control
try "the version is 1" reads "$C/version" '^1$'
try "the README tells how to declare" reads "$C/README" partial-file
try "C1: a second process for the same repository is told that one is there" \
	must_fail 5 asof control
try "C1: others may come in, with no rights but those of their writers" \
	says "ok open '1\\n'" "$C/version" "mkdir:$T/x" "@$ME" r read
rmdir "$T/x"
try "C1: a signal ends it, and takes the mount and its directory away" stop
try "... its directory is gone" test ! -e "$C"
try "... and all of it in the run directory" \
	sh -c "! ls '$T/run' | grep -v '^snapshot.lock$'"

control
try "C1: an unmount ends it" sh -c "umount '$C'"
try "... in good order" ends

control
keeper=$(pgrep -P "$pid" asof-keeper)
kill -9 "$keeper"
sleep 0.3
kill -9 "$(pgrep -P "$pid" asof-keeper)" "$pid"
wait "$pid" 2>/dev/null
soon sh -c "! ls '$C' 2>/dev/null"
try "C1: a mount that nobody serves is taken away by the next" control
try "... and this one answers" reads "$C/version" 1
kill -9 "$pid"
wait "$pid" 2>/dev/null
try "a killed process leaves no mount behind" \
	soon sh -c "! grep -q '$C ' /proc/self/mountinfo"
rmdir "$C" 2>/dev/null

mkdir -p "$T/tree/control" && echo x >"$T/tree/file"
control --dir "$T/tree/control"
mkdir "$W/shop"
try "a backup does not descend into control files" backup "$T/tree"
try "... and takes what is beside them" asof cat "latest:$T/tree/file"
try "... but nothing of them" sh -c \
	"! '$ASOF' ls -R latest | grep -q 'control/'"
rmdir "$W/shop"
stop
mkdir "$T/here"
try "control files can be where the person says" control --dir "$T/here"
try "... there" test -d "$T/here/writers"
try "C1: ... and a link leads to them from the run directory" \
	reads "$(echo "$T"/run/repo-????????)/version" '^1$'
kill -9 "$pid"
wait "$pid" 2>/dev/null
soon sh -c "! grep -q '$T/here ' /proc/self/mountinfo"
try "C1: a link that a killed process left is no hindrance" control
try "... for control files in its place" reads "$(echo "$T"/run/repo-????????)/version" '^1$'
stop
control --dir "$T/here"
stop
try "... and the link goes with them" \
	sh -c "! ls '$T/run' | grep -v '^snapshot.lock$'"
mkdir "$T/his/mine"
try "C1: not beneath a directory in which another user could exchange it" \
	must_fail 2 asof control --dir "$T/his/mine"
try "... which is said" said "somebody else"
rmdir "$T/his/mine"
try "C1: it says where they are" sh -c \
	"'$ASOF' control --dir '$T/here' | grep -q ': $T/here\$'"
umount "$T/here"
soon sh -c "! ls '$T/run' | grep -v '^snapshot.lock$'"
try "a directory that was there is left" test -d "$T/here"
touch "$T/here/file"
try "one that is not empty is refused" must_fail 2 asof control --dir "$T/here"
try "so is one in the repository" must_fail 2 asof control --dir "$T/repo/x"
rm -r "$T/here"

register mine $ME "$T/his"
register other $OTHER "$T/none"
control

# --- registering -----------------------------------------------------------------

try "mkdir registers a writer" mkdir "$W/shop"
try "... once" says EEXIST x "mkdir:$W/shop"
try "... with a good name" says "EINVAL EINVAL" x "mkdir:$W/.x" "mkdir:$W/a b"
try "E1: a user may not register what root has not" \
	says EPERM x "@$ME" "mkdir:$W/his"
try "E1: nor take away another's" says EPERM x "@$ME" "rmdir:$W/shop"
try "no directory is made elsewhere" \
	says "EPERM EPERM EPERM" x "mkdir:$C/x" "mkdir:$C/sessions/x" \
	"mkdir:$W/shop/x"
try "a writer's own directory has what it should" sh -c \
	"[ \"\$(ls '$W/shop' | tr '\n' ' ')\" = 'answer components declare events log metadata ' ]"

# --- the document (C3) -----------------------------------------------------------

document shop "$T/src" >"$T/doc"
try "C3: a document is taken by the write that brings its end" \
	cp "$T/doc" "$W/shop/metadata"
try "... and read back in its normal form" \
	reads "$W/shop/metadata" '^component db database selectable=yes$'
try "C3: in pieces, it counts when its last line is whole" sh -c "
	{ head -n 3 '$T/doc'; sleep 0.1; sed -n '4,\$p' '$T/doc' |
		sed 's/shop.*/&/; s/selectable=yes\$/& caption=pieces/'; } |
		dd of='$W/shop/metadata' obs=7 conv=notrunc 2>/dev/null"
try "... it did" reads "$W/shop/metadata" caption=pieces
try "C3: without its end it is nothing" \
	says "open 12 ok" "$W/shop/metadata" t '=writer shop\n' close
try "... and the old one stays" reads "$W/shop/metadata" caption=pieces
try "C3: a refused one fails the write and changes nothing" \
	says "open EINVAL 0" "$W/shop/metadata" t '=writer shop\nend\n' =
try "... the old one stays" reads "$W/shop/metadata" caption=pieces
try "C3: one whose beginning was taken fails its handle when it is refused" \
	says "open 12 EINVAL EINVAL" "$W/shop/metadata" t '=writer shop\n' \
	'=end\n' '=# again\n'
try "a document of more than a mebibyte is refused" \
	says "open 1000000 EDQUOT" "$W/shop/metadata" t '*100000x# comment\n' \
	'*10000x# comment\n'
try "C3: a shell that flushes before it writes does no harm" \
	sh -c "cat '$T/doc' >'$W/shop/metadata'"

# --- components (C9) -------------------------------------------------------------

K=$W/shop/components
try "C9: components have one directory each, odd bytes as %XX" sh -c \
	"[ \"\$(ls '$K' | tr '\n' ' ')\" = 'a%2Fb%25c db ' ]"
try "C6: outside a session there is no previous stamp and no base" sh -c \
	"[ \"\$(ls '$K/db')\" = pending ]"
try "C8: a stamp that was never set is not there" \
	says ENOENT "$K/db/stamp" r
try "nothing else can be made beside it" \
	says "EPERM EPERM" x "create:$K/db/other" "create:$K/db/base"

# --- declarations (C2) -----------------------------------------------------------

head -c 65536 /dev/urandom >"$T/src/data"
D=$W/shop/declare
line="partial-file db $T/src/data 0:10"
len=$((${#line} + 1))
try "one echo is a declaration" sh -c "echo '$line' >'$D'"
try "... and is listed" reads "$D" "open $line"
try "... and logged" reads "$W/shop/log" "accepted: $line"
try "... and pending for its component" reads "$K/db/pending" "$line"
try "... for no other" lacks "$K/a%2Fb%25c/pending" "$line"
try "C2: a line may come in pieces" \
	says "open 13 $((len - 13))" "$D" w '=partial-file ' "=${line#* }\n"
try "C2: write counts up to the last accepted line and an unfinished one behind" \
	says "open $((len + 7))" "$D" a "=$line\npartial"
try "C2: a refused line stops the count in front of it" \
	says "open $len" "$D" w "=$line\npartial-file none /x 1:1\n$line\n"
try "C2: if it is the first, the write fails and nothing is taken" \
	says "open ENOENT $len" "$D" w "=partial-file none /x 1:1\n$line\n" \
	"=$line\n"
try "C2: if its head came earlier, the handle fails from then on" \
	says "open 13 ENOENT ENOENT open $len" "$D" w '=partial-file ' \
	"=none /x 1:1\n" "=$line\n" w "=$line\n"
try "C2: a line that is too long is refused" \
	says "open EMSGSIZE" "$D" w '*70000xa'
try "C2: an unfinished line at the end is refused" sh -c \
	"printf 'partial-file db /unfinished' >'$D'; sleep 0.2
	cat '$W/shop/log' >'$T/read'; grep -q 'refused: .*unfinished' '$T/read'"
try "a comment and an empty line mean nothing" says "open 4" "$D" w '=#x\n\n'
try "nonsense is refused" says "open EINVAL" "$D" w '=nonsense\n'
try "what the schema does not have is refused" \
	says "open ENOTSUP" "$D" w "=differenced-file db $T/src x\n"

# --- transactions ----------------------------------------------------------------

tline="partial-file db $T/src/data 4096:1"
tlen=$((${#tline} + 1))
try "C2: nothing of a transaction counts before its commit" \
	says "open $((6 + tlen)) open" "$D" w "=begin\n$tline\n" file:"$D" r
try "C3: closed before, it is aborted" lacks "$D" "open $tline"
try "C2: with its commit, all of it does" \
	says "open $((6 + tlen + 7))" "$D" w "=begin\n$tline\ncommit\n"
try "... it does" reads "$D" "open $tline"
try "C2: a refused line fails it: commit is EINVAL" \
	says "open 6 ENOENT $tlen EINVAL" "$D" w '=begin\n' \
	'=partial-file none /x 1:1\n' "=$tline\n" '=commit\n'

# --- what means nothing (C7) -----------------------------------------------------

try "C7: >, >>, offsets, truncate, chmod, utime and fsync mean nothing" \
	says "open ok ok ok ok $len" "$D" t truncate chmod utime fsync \
	"=$line\n"
try "C7: a file cannot be made longer, or somebody else's" \
	says "open EINVAL EPERM" "$D" w truncate5 chown
try "C7: create, unlink, rename, link and symlink are not permitted" \
	says "EPERM EPERM EPERM EPERM EPERM" x "create:$W/shop/x" \
	"unlink:$W/shop/log" "rename:$W/shop/log:$W/shop/x" \
	"link:$W/shop/log:$W/shop/x" "symlink:x:$W/shop/x"
try "C7: nothing can be mapped" says "open ENODEV" "$W/shop/log" r mmap
try "C7: the log has its true size" sh -c \
	"[ \$(stat -c %s '$W/shop/log') -eq \$(cat '$W/shop/log' | wc -c) ]"
try "C7: ... so that it can be followed" sh -c "
	tail -n 0 -s 0.1 -f '$W/shop/log' >'$T/tail' & t=\$!
	sleep 0.5; echo '# x' >'$D'; echo '$line' >'$D'; sleep 0.7; kill \$t
	grep -q accepted '$T/tail'"
try "C7: a listing is as it was at a handle's first read" sh -c "
	exec 3<'$D'; head -c 10 <&3 >/dev/null
	echo 'gap db /later' >'$D'; cat <&3 >'$T/read'; ! grep later '$T/read'"

# --- events (C4) -----------------------------------------------------------------

E=$W/shop/events
try "C4: events is read only, answer written only" \
	says "EACCES EACCES EACCES" "$E" w rw file:"$W/shop/answer" r
try "C4: without waiting there is EAGAIN" says "open EAGAIN 0" "$E" n read poll
try "C4: events cannot be sought" says "open ESPIPE" "$E" n seek
try "C4: a second reader finds it busy" \
	says "open EBUSY ok open" "$E" n r close n
try "C4: a reader that waits is told of a signal" sh -c "
	timeout -s ALRM 5 python3 -c '
import os, signal
signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(InterruptedError()))
try:
	os.read(os.open(\"$E\", os.O_RDONLY), 10)
except InterruptedError:
	print(\"interrupted\")
' >'$T/read'; grep -q interrupted '$T/read'"
cat "$E" >"$T/events" &
reader=$!
sleep 0.2
try "C4: one that waits can be killed" sh -c "kill -9 $reader; sleep 0.2
	! kill -0 $reader 2>/dev/null || ! grep -q '^State:.D' /proc/$reader/status"
wait "$reader" 2>/dev/null
try "C5: an answer to nothing is refused" \
	says "open EINVAL" "$W/shop/answer" w '=ok 1\n'
try "C5: so is what is no answer" \
	says "open EINVAL EINVAL" "$W/shop/answer" w '=maybe\n' '=fail 1 so\n'

mkdir "$W/short"
cat "$W/short/events" >"$T/events" &
reader=$!
python3 - "$W/short/log" "$W/shop/events" >"$T/poll" <<'END' &
import os, select, sys
fd = os.open(sys.argv[2], os.O_RDONLY)
p = select.poll()
p.register(fd, select.POLLIN)
print("first", p.poll(0), flush=True)
print("then", [(e & select.POLLHUP) != 0 for _, e in p.poll(20000)], flush=True)
print("read", os.read(fd, 100), flush=True)
END
poller=$!
soon grep -q first "$T/poll"
try "a writer is taken away by rmdir" rmdir "$W/short"
try "C4: its reader sees the end" sh -c "
	for i in \$(seq 50); do kill -0 $reader 2>/dev/null || exit 0; sleep 0.1; done
	exit 1"
wait "$reader"
try "... and nothing was read" test ! -s "$T/events"
exec 7>"$D" 6<"$W/shop/log"
try "a writer is taken away while files of it are open" rmdir "$W/shop"
wait "$poller"
try "C4: who polls is woken, and hears of the end" grep -q "then \[True\]" \
	"$T/poll"
try "... and reads it" grep -q "read b''" "$T/poll"
try "what is open says that it is gone" sh -c \
	"! echo '$line' >&7 && ! cat <&6" 2>/dev/null
mkdir "$W/shop"
try "... and does not come back with another of that name" sh -c \
	"! echo '$line' >&7 && ! cat <&6" 2>/dev/null
exec 7>&- 6<&-
cp "$T/doc" "$W/shop/metadata"

# --- stamps (C8) -----------------------------------------------------------------

S=$K/db/stamp
try "C8: a stamp of more than 64 KiB is refused" \
	says "open EMSGSIZE" "$S" c '*65537xs'
try "C8: one with a NUL is refused" says "open EINVAL" "$S" c '=a\x00b'
try "C8: outside a session there is none to be read" says ENOENT "$S" r

# --- rights (E1) -----------------------------------------------------------------

M=$W/mine
document mine "$T/his" >"$T/doc.mine"
head -c 9999 /dev/urandom >"$T/his/data"
chown $ME "$T/his/data"
his="partial-file db $T/his/data 0:1"
hislen=$((${#his} + 1))
cp "$T/doc.mine" "$M/metadata"
try "E1: the owner may declare" says "open $hislen" "$M/declare" "@$ME" w "=$his\n"
try "E1: what is another's cannot be opened" \
	says "EACCES EACCES EACCES EACCES EACCES EACCES" "$M/declare" \
	"@$OTHER" w r file:"$M/metadata" r file:"$M/log" r \
	file:"$M/events" n file:"$M/answer" w
try "E1: nor can its components be seen" \
	says "EACCES EACCES" "$M/components" "@$OTHER" r \
	file:"$M/components/db/pending" r
try "E1: root's writers are no user's" \
	says "EACCES EACCES" "$W/shop/metadata" "@$ME" r file:"$W/shop/declare" w
try "E1: whoever writes, the opener is judged: a descriptor that was given away" \
	says "open $hislen" "$M/declare" "@$ME" w "@$OTHER" "=$his\n"
try "E1: ... and one that was kept" \
	says "open $len" "$D" w "@$OTHER" "=$line\n"
try "E2: a path that was not granted is not permitted" \
	says "open EPERM" "$M/declare" "@$ME" w \
	"=partial-file db $T/src/data 0:1\n"
try "E1: access(2) says the same" sh -c "
	setpriv --reuid $OTHER --clear-groups test ! -r '$M/log' &&
	setpriv --reuid $ME --clear-groups test -r '$M/log' &&
	setpriv --reuid $ME --clear-groups test ! -w '$M/log'"
try "E1: chmod and truncate are the owner's" \
	says "EPERM EACCES" "$M/declare" "@$OTHER" chmod t

# --- limits (E4) -----------------------------------------------------------------

opens=$(seq 64 | sed 's/.*/r/')
opened=$(seq 64 | sed 's/.*/open/' | tr '\n' ' ')
try "E4: a user may have 64 handles, and no more" \
	says "${opened}EMFILE" "$C/version" "@$ME" $opens r
try "... which are free again later" says open "$C/version" "@$ME" r
begins=$(for i in $(seq 9); do printf '%s\n' w '=begin\n'; done)
begun=$(seq 8 | sed 's/.*/open 6/' | tr '\n' ' ')
try "E4: a user may have 8 transactions, and no more" \
	says "${begun}open EDQUOT" "$M/declare" "@$ME" $begins

# --- sessions (C4, C5, C6, C8, C10) ------------------------------------------------

# requester STEP ...: phases of a session; what came of each is in $T/phases.
requester() {
	timeout 30 "$builddir/tests/func/control_session" "$ASOF_REPOSITORY" \
		"$id" "$@" >"$T/phases" 2>&1
}

# writer FUNCTION: reads events of shop and calls it for each; $event, $no and
# $rest are what it says, $T/heard has them all.
writer() {
	: >"$T/heard"
	(
		while read -r event no rest; do
			echo "$event $no $rest" >>"$T/heard"
			"$1"
		done <"$E"
	) >"$T/writer.log" 2>&1 &
	writer=$!
	sleep 0.3
}
dismiss() { kill "$writer" 2>/dev/null; wait "$writer" 2>/dev/null; }
answer() { echo "ok $no" >"$W/shop/answer"; }
phase() { contains "$T/phases" "$1"; }
heard() { contains "$T/heard" "$1"; }
# keep NAME says ...; was NAME: it was so.
keep() {
	keep=$T/kept.$1
	shift
	"$@" >"$keep" 2>&1 && echo good >>"$keep"
}
was() { contains "$T/kept.$1" '^good$'; }

session_tests() {
	requester_all="begin identify component=shop:db:previous prepare copied complete"
	writer answer
	requester $requester_all
	dismiss
	try "C4: a session is led through events and answers" phase '^complete ok'
	try "D1: ... each in its place" sh -c "[ \"\$(cut -d ' ' -f 1 '$T/heard' |
		tr '\n' ' ')\" = 'identify prepare-backup post-copy backup-complete backup-shutdown ' ]"
	try "D3: an event says how many milliseconds are left" \
		heard '^identify .* left=[0-9]'
	try "C10: a registered writer that does not read events is absent" \
		phase '^identify ok.* mine=absent'

	writer look
	requester $requester_all
	dismiss
	try "C6: a writer's session is a link to the session's directory" \
		grep -q '^../../sessions/[0-9a-f]*$' "$T/link"
	try "C6: ... that tells its id" sh -c \
		"[ \"\$(cat '$T/session/id')\" = \"\$(sed 's,.*/,,' '$T/link')\" ]"
	try "C6: ... the type, the set, the snapshot, whether partial files are taken" \
		sh -c "cd '$T/session' && [ \"\$(cat type set snapshot partial-files |
			tr '\n' ' ')\" = 'incremental tests none yes ' ]"
	try "C6: ... the volumes, as words" sh -c \
		"[ \"\$(tr '\n' ' ' <'$T/session/volumes')\" = '/ \"/a b\" ' ]"
	try "C6: ... and milliseconds until the deadline" \
		grep -Eq '^[0-9]+$' "$T/session/deadline"
	try "C6: the previous stamp is the base's, byte for byte" sh -c \
		"[ \"\$(od -An -c '$T/previous-stamp' | tr -d ' \n')\" = previous ]"
	try "C6: and the base is named" grep -q '^0102030000' "$T/base"
	try "C8: a stamp that was never set is not there; the last one wins" was stamp
	try "C8: metadata may be set once" was meta
	try "a writer in a session cannot be taken away" was rmdir
	try "C8: behind the edit window a stamp is refused" was late
	try "C6: behind the session there is none" test ! -e "$W/shop/session"

	writer leave
	requester begin identify component=shop:db prepare &
	requester=$!
	wait "$writer"
	no=$(sed -n 's/^identify \([0-9]*\) .*/\1/p' "$T/heard")
	cp "$T/heard" "$T/heard.1"
	writer answer
	wait "$requester"
	dismiss
	try "C4: an event whose reader went away comes again, under the same id" \
		sh -c "grep -q '^identify $no ' '$T/heard'"
	try "C4: ... once, and can be answered" phase '^prepare ok.*shop=taking'

	writer mistaken
	requester begin identify component=shop:db prepare
	dismiss
	try "C5: an answer to what was never delivered is refused" was never
	try "C5: what was answered cannot be answered again" was twice
	try "C5: an earlier event's answer is stale" was stale
	try "C5: a writer may fail" phase '^prepare .*shop=failed'

	python3 - "$E" "$W/shop/answer" >"$T/poll" <<'END' &
import os, select, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
p = select.epoll()
p.register(fd, select.EPOLLIN)
print("before", p.poll(0), flush=True)
print("woken", [bits == select.EPOLLIN for _, bits in p.poll(10)], flush=True)
text = b""
while not text.endswith(b"\n"):
    text += os.read(fd, 3)
print("line", text, flush=True)
try:
    os.read(fd, 3)
except BlockingIOError:
    print("no more", flush=True)
with open(sys.argv[2], "w") as f:
    f.write("ok %s\n" % text.split()[1].decode())
END
	poller=$!
	soon grep -q before "$T/poll"
	requester begin identify
	wait "$poller"
	try "C4: an event wakes who polls" grep -q 'woken \[True\]' "$T/poll"
	try "C4: a short read keeps the rest" \
		grep -q "line b'identify [0-9]* session=.*left=[0-9]*" "$T/poll"
	try "C4: ... and then there is EAGAIN" grep -q 'no more' "$T/poll"

	writer slow
	requester begin identify component=shop:db prepare &
	requester=$!
	soon grep -q prepare-backup "$T/heard"
	try "a server that is told to end in a session does so" stop
	wait "$requester"
	try "... and the requester is told" test $? -ne 0
	dismiss
	control
}

look() {
	case $event in
	prepare-backup)
		cp -r "$W/shop/session/." "$T/session"
		readlink "$W/shop/session" >"$T/link"
		cp "$K/db/previous-stamp" "$K/db/base" "$T"
		keep stamp says "ENOENT open 2 open 5 ok open '1\\n2\\n'" \
			"$S" r c '=x\n' c '=1\n2\n\n' close r read
		keep rmdir says EBUSY x "rmdir:$W/shop"
		keep meta says "open 24 EEXIST" "$D" w \
			'=backup-metadata db meta\n' \
			'=backup-metadata db other\n'
		;;
	backup-complete) keep late says "open EBUSY" "$S" c '=late' ;;
	esac
	answer
}

leave() { exit; }

mistaken() {
	case $event in
	identify)
		first=$no
		keep never says "open EINVAL" "$W/shop/answer" w '=ok 99999\n'
		keep twice says "open $((${#no} + 4))" \
			"$W/shop/answer" w "=ok $no\nok $no\n"
		;;
	prepare-backup)
		keep stale says "open ESTALE" "$W/shop/answer" w "=ok $first\n"
		echo "fail $no retryable \"not now\"" >"$W/shop/answer"
		;;
	*) answer ;;
	esac
}

slow() {
	[ "$event" != prepare-backup ] || sleep 5
	answer
}

mkdir "$T/session"
if [ -x "$builddir/tests/func/control_session" ]; then
	session_tests
else
	skip "sessions" "control_session is not built"
fi

# --- the end ---------------------------------------------------------------------

cat "$E" >"$T/events" &
reader=$!
sleep 0.2
try "C4: when the server stops, readers see the end" stop
wait "$reader"
try "... without an error" test $? -eq 0
control
try "C3: what was declared outlasts it" reads "$D" "$line"
gaps=$(grep -c 'gap gap #' "$T/read")
try "B3: a clean stop leaves no gap" test "$gaps" -eq 1
kill -9 "$pid"
wait "$pid" 2>/dev/null
rmdir "$C" 2>/dev/null
control
cat "$D" >"$T/read"
try "B3: one that was killed does" \
	test "$(grep -c 'gap gap #' "$T/read")" -gt "$gaps"
stop

# --- requesters --------------------------------------------------------------------

control
try "E1: what is no user's number is not taken for root's" python3 - \
	"$T"/run/*.d/requester <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"hello 1\nregister x owner=4294967295\nregister y owner=root\n")
s.shutdown(socket.SHUT_WR)
said = s.makefile("rb").read().splitlines()
print(said)
sys.exit([line.split()[0] for line in said] != [b"done", b"error", b"error"])
END
try "... and nobody was registered" test ! -e "$W/x" -a ! -e "$W/y"
stop

# --- programs --------------------------------------------------------------------

mkdir -m 777 "$T/ran"
mkdir -m 755 "$T/writers.d"
cat >"$T/writers.d/job" <<END
#!/bin/sh
id -u >>"$T/ran/as"
END
chmod 755 "$T/writers.d/job"
control
asof writer add job --owner 1 --grant "$T/src"
try "E1: an owner may take his program's writer away" \
	says ok x @1 "rmdir:$W/job"
asof backup -q "$T/src" >/dev/null
try "E1: ... and it does not run as somebody else for that" \
	sh -c "[ \"\$(sort -u '$T/ran/as')\" = 1 ]"
try "E1: ... and has the grants that it had" asof writer show job
try "... those" printed "grant $T/src"
rm -r "$T/writers.d"
stop

# --- a file that never opens ------------------------------------------------------

if [ -x "$builddir/tests/func/hanging_fs" ]; then
	mkdir "$T/src/hang"
	"$builddir/tests/func/hanging_fs" "$T/src/hang" >"$T/hanging" &
	hanging=$!
	later "umount -l '$T/src/hang'; kill -9 $hanging"
	soon grep -q ready "$T/hanging"
	control
	python3 - "$D" "$T/src/hang/file" >"$T/refused" 2>&1 <<'END' &
import os, sys, threading, time
fd = os.open(sys.argv[1], os.O_RDWR)
line = "partial-file db %s 0:1\n" % sys.argv[2]
def attempt(what, call, *words):
    try:
        call(*words)
    except OSError as e:
        os.write(1, ("%s: %s\n" % (what, e.strerror)).encode())
def write():
    attempt("written", os.write, fd, line.encode())
def read():
    attempt("read", os.pread, fd, 100, 0)
threading.Thread(target=write, daemon=True).start()
time.sleep(0.5)
for i in range(300):
    threading.Thread(target=read, daemon=True).start()
time.sleep(1000)
END
	hung=$!
	try "E4: who reads a handle that hangs, in many threads, is refused" \
		wait_until 200 grep -q busy "$T/refused"
	try "E4: ... and holds up nobody" timeout 10 cat "$C/version"
	kill -TERM "$pid"
	held=$pid
	try "C1: a writer's file that never opens does not hold up the end for ever" \
		wait_until 400 sh -c "! ls '$C' >/dev/null 2>&1"
	try "C1: ... and who waits for an answer gets an error then" \
		wait_until 100 grep -q "^written:" "$T/refused"
	try "C1: ... nor the next one's beginning" \
		wait_until 50 asof writer list
	kill -9 "$hanging" "$hung"
	umount -l "$T/src/hang"
	wait "$hung" "$held"
	rmdir "$T/src/hang"
else
	skip "a file that never opens" "hanging_fs is not built"
fi

# --- beside a mount (C1) ---------------------------------------------------------

echo x >"$T/src/x"
asof backup -q "$T/src" >/dev/null
view v
try "C1: a mount starts control files and links to them" \
	test -d "$T/v/control/writers"
try "... as a symlink" test -L "$T/v/control"
try "... that is listed" sh -c "ls '$T/v' | grep -q '^control$'"
try "... where shop is" test -d "$T/v/control/writers/shop"
mkdir "$T/v2"
try "C1: a second mount uses those that are there" asof mount "$T/v2"
try "... and links to them, too" test -d "$T/v2/control/writers"
umount "$T/v2"
sleep 0.3
try "... and leaves them" test -d "$T/v/control/writers"
umount "$T/v"
try "C1: they end with the mount that started them" \
	soon sh -c "! ls '$T/run' | grep -v '^snapshot.lock$'"
soon ended
view v
umount "$(readlink "$T/v/control")"
try "C1: the link leads nowhere when they have ended" \
	soon test ! -e "$T/v/control"
soon ended
control --dir "$T/here"
try "... and to where they are when others serve them" \
	reads "$T/v/control/version" '^1$'
stop
control
try "... or again" reads "$T/v/control/version" '^1$'
stop
umount "$T/v"
view v3 --no-control
try "C1: --no-control starts none" test ! -e "$T/v3/control"
umount "$T/v3"
# One that still ends is busy, and that is not said.
soon sh -c "! pgrep -f '[m]ount $T/v'" >/dev/null
chmod 777 "$T/run"
view v4
try "C1: that they cannot be started is no reason not to mount" \
	test -d "$T/v4/latest"
try "... and is said" said "no control files"
umount "$T/v4"

finish
