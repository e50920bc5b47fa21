#!/bin/sh
# Backups with a writer, a program in writers.d: what is declared is read and no
# more, every generation is what was there, and whatever goes wrong means that
# more is read and that it is said.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin dd cmp
. "$srcdir/tests/func/writers.sh"

# --- the writer ----------------------------------------------------------------

# It says what is in w/document, and at an event what is in w/on-EVENT, when it
# has run w/run-EVENT; it answers ok, or what is in w/answer-EVENT.  What it
# hears is kept in w/heard.
mkdir w writers.d src src/db
cat >writers.d/mydb <<END
#!/bin/sh
while read -r event id rest; do
	echo "\$event \$id \$rest" >>$T/w/heard
	case \$event in
	identify) cat $T/w/document ;;
	component | previous-stamp | base) continue ;;
	esac
	[ ! -e $T/w/run-\$event ] || sh $T/w/run-\$event
	[ ! -e $T/w/on-\$event ] || cat $T/w/on-\$event
	if [ -e $T/w/answer-\$event ]; then
		echo "fail \$id \$(cat $T/w/answer-\$event)"
	else
		echo "ok \$id"
	fi
done
END
chmod 755 writers.d/mydb

document() {
	{
		echo 'writer mydb'
		echo "schema $1"
		echo 'restore-method restore-if-can-replace'
		cat
		echo end
	} >w/document
}
plain() {
	document 'incremental differential timestamped last-modify copy' <<END
component main database selectable=yes
database-files main $T/src/db *.db
END
}

# say EVENT, with lines on standard input; quiet forgets all of it.
say() { cat >"w/on-$1"; }
fails() { echo "$2" >"w/answer-$1"; }
quiet() { rm -f w/on-* w/run-* w/answer-* w/heard; }
stamped() { echo "backup-stamp main $1" >>w/on-prepare-backup; }
partial() { echo "partial-file main $T/src/db/a.db $*" >>w/on-prepare-backup; }

# change BLOCK...: other bytes in those blocks of 8 KiB.
change() {
	for block; do
		dd if=/dev/urandom of=src/db/a.db bs=8192 count=1 \
			seek="$block" conv=notrunc 2>/dev/null || return 1
	done
}

# --- what is asked of a backup --------------------------------------------------

made() { asof backup --json "$@" src; }
# same [PATH]: the newest generation has just what is in src now.
same() {
	rm -rf out
	asof restore latest --to out && diff -r "out$T/${1-src}" "${1-src}"
}
silent() { asof show latest --writers && ! grep -q "$1" "$T/stdout"; }

head -c 800000 /dev/urandom >src/db/a.db
echo plain >src/file
export ASOF_REPOSITORY="$T/repo"
plain
try "a repository" asof init

# --- what is declared is read -----------------------------------------------------

stamped one
try "a full with a writer" made
try "its component succeeded" has succeeded 1
try "and all of it was read" has bytes_read 800000
try "which is what is there" same
try "its stamp is kept" tells 'stamp *one$'
try "C10: its document is in the generation" asof session latest -f documents/mydb
try "and is the one it gave" printed 'database-files main'

for i in 1 2 3; do
	quiet
	change $i
	case $i in 1) before=one ;; *) before=s$((i - 1)) ;; esac
	partial "$((i * 8192)):8192 since=$before"
	stamped "s$i"
	try "an incremental, number $i" made
	try "reads what was declared and no more" has bytes_declared 8192
	try "of the writer's files nothing else" has bytes_read 8192
	try "and holds all that is there" same
	try "A2: the stamp before was handed to the writer" \
		grep -q "previous-stamp main $before" w/heard
done
quiet
change 4
partial '0x2000:0x8000 since=one'
stamped d1
try "a differential" made -t differential
try "B1: reads all that was declared since" has bytes_declared 32768
try "A2: compares with the full" tells 'differential on 1$'
try "and holds all that is there" same
quiet
stamped s4
partial "32768:8192 since=s3"
try "an incremental behind it" made
try "A4: compares with the incremental before" tells 'incremental on 4$'
try "and holds all that is there" same
quiet
stamped c1
try "a copy reads everything" made -t copy
try "A4: and is nobody's base" tells 'succeeded, copy$'
quiet
stamped s5
partial 'none since=s4'
try "nothing changed" made
try "so nothing is read" has bytes_read 0
try "A4: the copy's stamp was handed to nobody" \
	grep -q 'previous-stamp main s4' w/heard
try "and all is there" same

# --- whatever is missing is read ------------------------------------------------------

quiet
stamped s6
change 7
try "without a declaration" made
try "all of it is read" has bytes_read 800000
quiet
stamped s7
partial 'none since=other'
try "B4: since another stamp" made
try "all of it is read" has bytes_read 800000
try "and it is said why" tells 'read whole'
quiet
stamped s7
partial 'none since=s7'
try "a stamp of the base" made
quiet
stamped s8
partial 'none since=s7'
try "B4: that two generations hold" made
try "is ambiguous: all of it is read" has bytes_read 800000
quiet
stamped s9
partial '800000:1 since=s8'
try "a range beyond the end is the component's failure" must_fail 3 made
try "A1: it did not succeed" tells 'did not succeed'
try "A1: its stamp is not kept" silent 'stamp *s9'
try "A1: its files are there as plain files" same
quiet
stamped s9
try "A1: a generation in which it failed is not its base" must_fail 3 made
try "but the one before it" grep -q 'previous-stamp main s8' w/heard
quiet
stamped s10
change 3
partial '24576:8192 since=s8'
try "B5: a closed line within the file ends it" made
try "and what it names is read" has bytes_declared 8192
try "with what was named beyond the end" same
quiet
stamped s9
partial '800000:1 since=s10'
try "it is wrong again" must_fail 3 made
quiet
stamped s10
try "and then counts until the next full" made -t full

# --- writers that fail ------------------------------------------------------------------

quiet
fails prepare-backup 'retryable "not now"'
change 9
try "A1: who fails at prepare-backup" must_fail 3 made
try "is told of" said 'not now'
try "has plain files" same
try "and is in the session's record" tells 'failed at prepare-backup (retryable)'
quiet
fails prepare-backup 'fatal "a\\x1b[31mred"'
try "what it says is no command to the terminal" must_fail 3 made
try "but told" said 'prepare-backup: a?\[31mred'
quiet
fails identify 'fatal "who am I"'
try "A1: who fails at identify" must_fail 3 made
try "is told of" said 'who am I'
try "and counted" has failed_writers 1
mkdir nobodys
try "A1: if it has files there" asof backup nobodys -s nobodys
printf '#!/bin/sh\nexit 1\n' >writers.d/other
chmod 755 writers.d/other
try "or may have: nobody knows its document" \
	must_fail 3 asof backup nobodys -s nobodys
try "but not when another is asked for" \
	must_fail 3 made --writer mydb
try "which is the one that failed" has failed_writers 1
rm -r writers.d/other nobodys
asof writer remove other >/dev/null
try "A1: nor does --writer-failure=abort" \
	must_fail 1 made --writer-failure=abort
try "it has plain files" same
quiet
stamped s11
partial '73728:8192 since=s10'
fails post-copy 'fatal "no more"'
try "A1: who fails at post-copy" must_fail 3 made
try "has no stamp" silent 'stamp *s11'
try "and what it promised does not count" same
quiet
stamped s12
change 11
partial "none since=s10"
echo "partial-file main $T/src/db/a.db 0:1 since=s10" >w/on-post-copy
fails post-copy 'fatal "no more"'
try "A1: who fails in an event in which he declared" must_fail 3 made
try "has plain files, too, as far as he was believed before" same
quiet
mkdir other.db && echo here >other.db/a.db && echo there >other.db/only.db
echo temporary >src/db/x.tmp && echo label >w/label
document 'copy incremental' <<END
component main database selectable=yes
database-files main $T/src/db * alternate=$T/other.db
exclude $T/src/db *.tmp
END
attach() { echo "attach main $T/src/$1 from=$T/w/label"; }
{ attach db/x.tmp2 && attach db/b/c/label && attach file; } >w/on-prepare-backup
try "a full of excludes and alternate paths" made -s apart
fails post-copy 'fatal "no more"'
try "A1: who fails and has excludes and alternate paths" \
	must_fail 3 made -s apart
try "A1: has plain files: all of them, from their own places" same
rm w/answer-post-copy
echo "partial-file main $T/src/db/a.db 900000:1" >w/on-post-copy
try "A1: who fails when all has been read and handed over" \
	must_fail 3 made -s apart
try "A1: has plain files: nothing else, nothing less" same
rm -r other.db src/db/x.tmp && plain
quiet
stamped s13
partial 'none since=s10'
echo "rm $T/state/*/writers/mydb/journal/journal.*" >w/run-post-copy
try "A1: whose journal is lost on the way" must_fail 3 made
try "has not succeeded" tells 'declared cannot be read'
try "and has plain files" same
quiet
echo "rm $T/state/*/writers/mydb/journal/journal.*" >w/run-prepare-backup
stamped s14
try "A1: whose journal fails" must_fail 3 made
try "keeps nobody from a backup" same
quiet
stamped s15
try "what was lost is read" made
fails prepare-backup 'fatal "never"'
asof generations >/dev/null
cp stdout before
try "--writer-failure=abort makes nothing" \
	must_fail 1 made --writer-failure=abort
try "at all" asof generations
try "not even a record" cmp -s before stdout
try "the writer was told" grep -q abort w/heard
quiet
try "--no-writers asks nobody" made --no-writers
try "nobody was asked" [ ! -e w/heard ]

# --- what comes late -------------------------------------------------------------------

quiet
stamped t1
try "all is read once more" made
quiet
stamped t2
partial 'none since=t1'
cat >w/on-post-copy <<END
partial-file main $T/src/db/a.db 8192:8192 since=t1
attach main $T/src/db/label from=$T/w/label
END
echo label >w/label
change 1
try "D1: what is declared in post-copy is read" made
rm -rf out
try "and what is attached" asof restore latest --to out
try "is where it belongs" cmp "out$T/src/db/label" w/label
try "with the late bytes" cmp "out$T/src/db/a.db" src/db/a.db
try "and is told" tells 'attached'

# --- differenced files --------------------------------------------------------------------

quiet
stamped u1
try "a base for times" made
touch -d '2020-01-01' src/db/a.db
quiet
stamped u2
try "another" made
quiet
echo "differenced-file main $T/src/db *.db" >w/on-prepare-backup
stamped u3
try "B8: without a time the own test decides" made
try "and reads nothing" has bytes_read 0
quiet
echo "differenced-file main $T/src/db *.db newer=2019-01-01T00:00:00Z" \
	>w/on-prepare-backup
stamped u4
try "B8: a time is obeyed" made
try "whatever the own test says" has bytes_read 800000

# --- audits ---------------------------------------------------------------------------------

quiet
stamped v1
try "a base for an audit" made
quiet
stamped v2
change 20 30
partial '163840:8192 since=v1'
try "B11: an audit finds what was not declared" made --audit 100
try "says so" said 'audit'
try "reads all of it" same
try "and does not trust the component" tells 'untrusted'
quiet
stamped v3
partial 'none since=v2'
try "B11: which is read whole the next time" made
try "all of it" has bytes_read 800000
try "and is then trusted again" silent untrusted
quiet
stamped v4
change 5
partial '40960:8192 since=v3'
try "B11: the truth passes an audit" made --audit 100
try "and is all that is read as declared" has bytes_declared 8192
try "and holds all that is there" same

quiet
stamped v5
change 6 7
partial '49152:8192 since=v4'
try "B11: a file that the base has read by ranges, and just now" \
	made --audit 100
try "is audited, too" said 'audit: byte 573[4-9][0-9] changed'
try "with all of it" same
quiet
stamped v6
try "until all was read" made
try "is trusted again" silent untrusted

quiet
document 'incremental timestamped' <<END
component main database selectable=yes
database-files main $T/src/db *.db
database-files main $T/src/kept * backup=full
END
stamped b1
try "B11: a full of a component that will carry" made -t full
quiet
stamped b2
change 8 9
partial '65536:8192 since=b1'
try "B11: it lies" made --audit 100
try "and is not trusted" tells untrusted
quiet
stamped b3
try "B11: when something is carried, not all has been read" made
try "so it is not trusted again" tells untrusted
quiet
stamped b4
try "B11: until a full" made -t full
try "has read all" silent untrusted
plain

# --- members -----------------------------------------------------------------------------------

quiet
stamped w1
try "A8: an exclude that hits a member" must_fail 3 made -e a.db
try "fails it" tells 'excluded by a pattern'
try "A8: and so does one above it" must_fail 3 made -e db/
document incremental <<END
component main database selectable=yes
database-files main $T/src/db *.db
database-files main $T/src/db must.db
END
try "A8: a named file that is missing" must_fail 3 made
try "fails it, too" tells 'must.db'
mkdir other && echo outside >other/log
document incremental <<END
component main database selectable=yes
database-files main $T/src/db *.db
log-files main $T/other *
END
echo nobody >nobodys
try "A8: a file set outside of the sources" made
rm -rf out
try "is added" asof restore latest --to out
try "at its place" cmp "out$T/other/log" other/log
try "and nothing else there" [ ! -e "out$T/nobodys" ]

# --- types ---------------------------------------------------------------------------------------

quiet
document copy <<END
component main database selectable=yes
database-files main $T/src/db *.db
END
try "A4: a base" made -t full
rm -f src/db/label
change 2
ln -s a.db src/db/link.db
echo 'not read' >>src/file
try "A4: a log session" made -t log
log=$(field generation)
try "A4: reads all of who has no log backups" has bytes_read 800000
try "and says so" said 'taken as a full one'
try "A4: as a full" tells 'succeeded, full' "$log"
rm -rf out
try "and what there is" asof restore "$log" --to out
try "is in it" diff -r --no-dereference "out$T/src/db" src/db
try "A5: and nothing else is" must_fail 1 cmp -s "out$T/src/file" src/file
rm src/db/link.db
try "A4: or leaves it out" made -t log --unsupported=skip
try "and says so" tells 'writer mydb: left-out' "$(field generation)"
try "A4: without incrementals a writer has a full" made
try "and says so" said 'taken as a full one'
try "in the record" tells 'took-part, full'
try "A4: --unsupported=skip leaves it out" made --unsupported=skip
try "and says why" said 'writer mydb is left out: its schema has no backups'
try "and says so, too" tells 'left-out'
document 'incremental differential exclusive' <<END
component main database selectable=yes
database-files main $T/src/db *.db
END
try "A7: a full" made -t full
try "A7: and an incremental" made
try "are what they are" tells 'succeeded, incremental'
try "A7: a differential behind an incremental" made -t differential
try "is a full for who does not mix them" tells 'succeeded, full'
try "A7: which does not count as one" made -t differential
try "because a differential is no base" tells 'succeeded, full'
try "A7: an incremental goes on" made
try "as before" tells 'succeeded, incremental'
try "A7: another full" made -t full
try "A7: and an incremental" made
number=$(field generation)
rm -r state
mv writers.d/mydb mydb.then
printf '#!/bin/sh\nexit 1\n' >writers.d/mydb
chmod 755 writers.d/mydb
try "A7: of a writer of which nobody knows a document" must_fail 3 made
try "as much is remembered" asof forget "$number"
mv mydb.then writers.d/mydb
try "A7: as was known before" made -t differential
try "whatever is forgotten" tells 'succeeded, full'

# --- a file of two names -----------------------------------------------------------------------------

quiet
ln src/db/a.db src/db/b.db
plain
stamped t1
try "B6: a full of a file of two names" made -t full
change 3 5
{
	echo "partial-file main $T/src/db/b.db 24576:x"
	echo "partial-file main $T/src/db/a.db 40960:8192"
} >>w/on-prepare-backup
try "B3: a line that is refused of one of them" made
try "B3: is a gap of the other, too" same
rm src/db/b.db

# --- two components, or two writers ------------------------------------------------------------------

quiet
printf 'A\n' >w/a && printf 'B\n' >w/b
document incremental <<END
component one database selectable=yes
component two database selectable=yes
database-files one $T/src/db *.db
database-files two $T/src/db *.other
exclude $T/src/second *.tmp
END
echo "attach one $T/src/label from=$T/w/a" >w/on-prepare-backup
echo "attach two $T/src/label from=$T/w/b" >>w/on-prepare-backup
try "D1: two components attach one file" must_fail 3 made -t full
try "which is that of the first" tells 'component one: succeeded'
try "and the second has failed" tells 'attached by component one, too'
rm -rf out
try "A1: and not" asof restore latest --to out
try "the bytes of the second" cmp "out$T/src/label" w/a
quiet
mkdir src/second && echo keep >src/second/keep && echo no >src/second/no.tmp
sed "s|identify) cat .*|identify) cat $T/w/second ;;|; s|/w/on-|/w/no-|" \
	writers.d/mydb >writers.d/second && chmod 755 writers.d/second
sed "s|^writer .*|writer second|; s|src/db|src/second|; s|^exclude .*|exclude $T/src *.tmp recursive|; s|[*].db|*|" \
	w/document >w/second
try "an exclude of one writer where another has one, too" made -t full
rm -rf out
try "A6: each has what is not excluded" asof restore latest --to out
try "and nothing else" [ ! -e "out$T/src/second/no.tmp" ]
try "but that" [ -e "out$T/src/second/keep" ]
rm -r src/second writers.d/second && asof writer remove second >/dev/null

# --- what is carried --------------------------------------------------------------------------------

quiet
rm -f src/db/label
mkdir src/log && echo one >src/log/1
document 'incremental log timestamped' <<END
component main database selectable=yes
database-files main $T/src/db * backup=full
log-files main $T/src/log *
END
try "A3: a full" made -t full
full=$(field generation)
cp src/db/a.db a.then
change 3
echo more >src/db/new.db
echo two >src/log/2
try "A3: an incremental without the data files" made
rm -rf out
try "is whole all the same" asof restore latest --to out
try "A3: with the data as of the base" cmp "out$T/src/db/a.db" a.then
try "A3: to which nothing is added" [ ! -e "out$T/src/db/new.db" ]
try "and the logs of today" cmp "out$T/src/log/2" src/log/2
try "A3: it names its images" tells "images $full $((full + 1))\$"
rm src/db/a.db
try "A3: what is gone is carried, too" made
rm -rf out
try "as it was" asof restore latest --to out
try "byte for byte" cmp "out$T/src/db/a.db" a.then
echo three >src/log/3
try "A5: a log backup" made -t log
log=$(field generation)
try "is one" tells 'succeeded, log' "$log"
rm -rf out
try "reads the logs" asof restore "$log" --to out
try "all of them" cmp "out$T/src/log/3" src/log/3
try "and carries the data" cmp "out$T/src/db/a.db" a.then
# counted GEN NAMES: so many names are in it, and what a walk counts is unknown.
counted() { asof show "$1" --json && has entries "$2"; }
try "A5: whose names are counted" counted "$log" "$(find out | wc -l)"
rm src/log/3 && mkdir src/log/more && echo four >src/log/more/4
try "A5: and when some have gone and some come" made -t log
try "with nothing said that only a walk knows" printed '"files": null'
rm -rf out
try "A5: it has the logs of now" \
	asof restore "$(field generation)" --to out
try "A5: are counted, too" counted "$((log + 1))" "$(find out | wc -l)"
rm -r src/log/more
cp a.then src/db/a.db

# --- what is made plain again -------------------------------------------------------------------------

mkdir -p src/db/deep/gone
echo gone >src/db/deep/gone/1 && echo gone >src/db/deep/2 && echo stays >src/db/deep/3
sed 's,db \* backup,db * recursive backup,' w/document >w/recursive
mv w/recursive w/document
try "A3: a full of directories" made -t full
rm -r src/db/deep/gone src/db/deep/2
echo new >src/db/deep/4 && ln -s 4 src/db/deep/link && mkdir src/db/new
echo new >src/db/new/5 && echo no >src/db/new/no.tmp
change 11
try "A3: what is gone is carried" made
rm -rf out
try "with the directories" asof restore latest --to out
try "as they were" [ -e "out$T/src/db/deep/gone/1" ]
try "and the new is not added" [ ! -e "out$T/src/db/new/5" ]
fails post-copy 'fatal "no more"'
try "A1: a writer that carries fails at post-copy" \
	must_fail 3 made -e '*.tmp'
rm src/db/new/no.tmp
try "A1: its files are plain ones, and no more than those" same
try "A1: all is sound" asof check
quiet
rm -r src/db/deep src/db/new
sed 's, recursive,,' w/document >w/flat
mv w/flat w/document

# --- what is forgotten ------------------------------------------------------------------------------

# hex GEN: the id of a generation, as names in a session's tree have it.
hex() { asof show "$1" --json >/dev/null && sed -n 's/^ *"id": "\([0-9a-f]*\)",*$/\1/p' "$T/stdout" | head -n 1; }
# kept ID PATH FILE: the newest generation itself has PATH as ID stored it.
kept() { asof session latest -f "images/$1$2" && cmp "$T/stdout" "$3"; }
rm -f src/log/* && echo one >src/log/1 && ln src/log/1 src/log/linked
echo label >w/label
echo "attach main $T/src/db/label from=$T/w/label" >w/on-post-copy
try "A3: a full" made -t full
first=$(field generation)
first_id=$(hex "$first")
quiet
cp src/log/1 log1.then
cp src/db/a.db a.then
rm src/log/1 src/log/linked && echo two >src/log/2
try "A3: a log backup behind it" made -t log
second_id=$(hex "$(field generation)")
rm -rf out
try "A5: has the logs of now" asof restore "$((first + 1))" --to out
try "A5: those that are there" diff -r "out$T/src/log" src/log
try "with the data of its base" cmp "out$T/src/db/a.db" a.then
try "and is sound" asof check
cp src/log/2 log2.then
rm src/log/2 && echo three >src/log/3
try "A3: another, when those logs are gone" made -t log
third=$(field generation)
third_id=$(hex "$third")
rm src/log/3 && echo four >src/log/4
try "A3: the newest log backup" asof show "$third" --writers
try "tells that it has what it stands on" \
	printed "its own copy of generation $first\$"
try "A3: the ones before are forgotten" asof forget "$first" "$((first + 1))"
change 5
try "A3: an incremental carries the data behind forgotten ones" made
last=$(field generation)
try "A3: names all images" \
	tells "images $first $((first + 1)) $third $last\$"
asof generations >/dev/null
numbers=$(sed -n 's/^ *\([0-9][0-9]*\) .*/\1/p' "$T/stdout" | grep -vx "$last")
# shellcheck disable=SC2086
try "A3: all others are forgotten, too" asof forget $numbers
asof generations >/dev/null
try "A3: one is left" [ "$(grep -c "^ *[0-9]" "$T/stdout")" = 1 ]
full=$last
try "A3: which reaches the data that were carried" \
	kept "$first_id" "$T/src/db/a.db" a.then
try "A3: what was attached" kept "$first_id" "$T/src/db/label" w/label
try "A3: the logs of the full" kept "$first_id" "$T/src/log/1" log1.then
try "A3: by all their names" kept "$first_id" "$T/src/log/linked" log1.then
try "A3: and of the log backups" kept "$second_id" "$T/src/log/2" log2.then
echo three >log3.then
try "A3: all of them" kept "$third_id" "$T/src/log/3" log3.then
try "A3: and the records of these sessions" \
	asof session latest -f "records/$first_id/documents/mydb"
try "A3: with what was said in them" printed 'database-files main'
try "A3: all of it is sound" asof check
try "A3: and tells so" tells "its own copy of generation $((first + 1))\$"
cp a.then src/db/a.db

quiet
mkdir src/both
echo a >src/both/a && echo b >src/both/b && echo gone >src/both/b.gone
document incremental <<END
component one database selectable=yes
database-files one $T/src/both a* backup=full
component two database selectable=yes
database-files two $T/src/both b* backup=full
END
try "A3: two components in one directory" made -t full
rm src/both/b.gone
try "A3: of which one has a newer base" must_fail 3 made -t full -e both/b
try "A3: are carried" made
rm -rf out
try "each from its own" asof restore latest --to out
try "with what is gone" grep -q gone "out$T/src/both/b.gone"
rm src/both/*
echo one >src/both/ab && echo one >src/both/a
document incremental <<END
component one database selectable=yes
database-files one $T/src/both a* backup=full
component two database selectable=yes
database-files two $T/src/both *b
END
try "A3: two components that have a file in common" made -t full
echo two >src/both/ab && echo two >src/both/a
try "A3: one wants it carried, one read" made
try "A1: it is as the one that read it says" same
try "A3: so the other carries nothing" silent carried
try "A8: an exclude that hits their file" must_fail 3 made -e both/ab
try "A8: fails the one" tells 'component one: did not'
try "A8: and the other" tells 'component two: did not'
rm -rf src/both

# --- directories that are none any more ------------------------------------------------------------------------

# instead DIR COMMAND...: in the session, that is in its place.
instead() {
	dir=$1
	shift
	echo "mv $dir $dir.then; $*" >w/run-prepare-backup
}
back() { rm -f w/run-prepare-backup && rm "$1" && mv "$1.then" "$1"; }

mkdir src/deep && mv src/db src/deep/db && mkdir other/alt
echo x >other/alt/x.db
document 'incremental log' <<END
component main database selectable=yes
database-files main $T/src/deep/db *.db alternate=$T/other/alt
log-files main $T/src/log *
END
try "a full with all directories" made -t full
for place in src/deep/db src/deep src/log other/alt; do
	instead "$T/$place" ln -s "$T/$place.then" "$T/$place"
	try "B6: a symlink in the place of $place" must_fail 3 made
	try "hides files, and is told of" tells 'main: did not succeed'
	back "$place"
	instead "$T/$place" "echo file >$T/$place"
	try "A1: and so does a file" must_fail 3 made -t full
	back "$place"
done
instead "$T/src/log" "echo file >$T/src/log"
try "A5: in a log backup, too" must_fail 3 made -t log
back src/log
try "in their places they are read" made
mv src/deep/db src/db && rmdir src/deep && rm -r other/alt

mkdir -p src/car/sub src/car/way
for f in sub/a.x way/a.x b.x c.x; do echo "$f" >src/car/$f; done
carrying() {
	document incremental <<END
component main database selectable=yes
database-files main $T/src/car $1 recursive backup=full
END
}
for pattern in '*' '*.x'; do
	carrying "$pattern"
	try "A3: a full of $pattern" made -t full
	mv src/car/sub src/car/sub.then && ln -s sub.then src/car/sub
	try "A3: a symlink is no carried directory" must_fail 3 made
	try "and is said to be none" tells 'sub: it is no directory any more'
	rm -rf out
	try "A1: what is not carried" asof restore latest --to out
	try "is as it is" [ -h "out$T/src/car/sub" ]
	rm src/car/sub && mv src/car/sub.then src/car/sub
	mv src/car/b.x b.then && mkdir src/car/b.x && echo in >src/car/b.x/in
	try "A3: nor is a directory a file" must_fail 3 made
	try "A1: what is in it is not lost" same
	rm -r src/car/b.x && mv b.then src/car/b.x
	instead "$T/src/car" ln -s car.then "$T/src/car"
	try "A3: nor is anything carried into a symlink" must_fail 3 made
	back src/car
	rm src/car/c.x
	try "A3: what is gone is" made
	rm -rf out
	try "and all of it" asof restore latest --to out
	try "is there" grep -q c.x "out$T/src/car/c.x"
	echo c.x >src/car/c.x
done
rm -r src/car

# --- a journal of another day ---------------------------------------------------------------------------------

quiet
plain
stamped x1
try "B1: a full" made -t full
cp -a state state.then
for i in 1 2 3; do
	stamped "y$i"
	try "B1: and what comes behind it, $i" made
done
rm -rf state && mv state.then state
change 15
quiet
stamped z1
partial 122880:8192 since=y3
for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do
	partial "$i:1 since=y3"
done
try "B1: a journal that somebody brought back" made
try "B1: loses nothing" same

# --- who is chosen ---------------------------------------------------------------------------------------

plain
try "A8: --writer names one" made --writer mydb:main
try "A8: one that there is" must_fail 2 made --writer none
try "and a component" must_fail 2 made --writer mydb:none
try "or nobody is asked" must_fail 2 made --writer mydb --no-writers

# --- registered writers --------------------------------------------------------------------------------------

try "a writer is registered" asof writer add lazy --grant "$T/src"
try "and listed" asof writer list
try "with its name" printed lazy
try "heard by its files" printed 'lazy .* files, no document'
try "another one by its program" printed 'mydb .* program$'
try "one that there is not has nothing" must_fail 2 asof writer show none
try "to be shown" said 'there is no writer none'
try "and its grants" asof writer show lazy
try "as they are" printed "grant $T/src"
try "twice is once too often" must_fail 2 asof writer add lazy
try "nothing was decided about it yet" asof writer log lazy
try "it may be waited for" asof writer reset lazy
for d in "$T"/state/*/writers/lazy; do
	sed -e s/mydb/lazy/ -e "s,/src/db,/src/lazy," w/document >"$d/document"
done
mkdir src/lazy && echo lazy >src/lazy/x.db
try "C10: who does not listen is absent" made
try "and told of" tells 'writer lazy: absent'
try "C10: which --require-writers does not like" must_fail 3 made --require-writers
try "its files are there" same
try "a writer is forgotten" asof writer remove lazy
try "and not there" must_fail 2 asof writer show lazy

# --- other people's writers -----------------------------------------------------------------------------------

if [ "$(id -u)" = 0 ] && id daemon >/dev/null 2>&1; then
	chmod 711 "$T"
	mkdir own && echo his >own/x.db && echo label >own/label
	chown -R daemon own
	echo secret >own/secret && chmod 600 own/secret
	cat >writers.d/his <<END
#!/bin/sh
while read -r event id rest; do
	case \$event in
	identify)
		echo 'writer his'
		echo 'restore-method restore-if-can-replace'
		echo 'component main database selectable=yes'
		echo 'database-files main $T/own *.db'
		echo 'end' ;;
	prepare-backup) echo 'attach main $T/own/kept from=$T/own/label' ;;
	post-copy)
		[ ! -e $T/own/swap ] || sh $T/own/swap ;;
	esac
	echo "ok \$id"
done
END
	chmod 755 writers.d/his
	try "E2: a writer of another user's" \
		asof writer add his --owner daemon --grant "$T/own"
	try "hands over what he can read" made -t full own
	rm -rf out
	try "which is kept" asof restore latest --to out
	try "as it was" cmp "out$T/own/kept" own/label
	echo "mv $T/own/secret $T/own/label" >own/swap
	try "E2: what he cannot read is not read for him" \
		must_fail 3 made -t full own
	try "and his component has failed" tells 'may not open it'
	rm -rf out
	try "E2: nothing of it" asof restore latest --to out
	try "is in the backup" [ ! -e "out$T/own/kept" ]
	rm -f own/secret own/label && echo label >own/label
	chown -R daemon own
	ln -s "$T/own" away
	echo "rm $T/own/label; ln -s $T/file $T/own/label" >own/swap
	try "E2: a symlink that comes in between is not followed" \
		must_fail 3 made -t full own
	try "and told of" tells 'symlink is in the path'
	rm -f writers.d/his
fi

# --- other questions -----------------------------------------------------------------------------------------------

try "the record as it is" asof session latest
try "begins with the session" printed '^session [0-9a-f]* '
try "and as JSON" asof session latest --json
try "of one without writers" made --no-writers
try "there is none" must_fail 1 asof session latest
try "and no writers in it" asof show latest --writers
try "why files were read" asof show "$full" --files

finish
