#!/bin/sh
# doc/examples/sqlite-writer: a database that stands still while it is written
# to.  Whatever is done to it, each generation has it as it was, of what did not
# change nothing is read, and it gets its data back.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin python3
. "$srcdir/tests/func/writers.sh"
python3 -c 'import sqlite3' 2>/dev/null || skip_all "needs python3's sqlite3"
can_view || skip_all "needs /dev/fuse"

mkdir -p "srv/a shop" writers.d
db="$T/srv/a shop/shop.db"

# sql FILE STATEMENT...: each a transaction of its own.
sql() {
	python3 - "$@" <<'END'
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
for statement in sys.argv[2:]:
    for row in c.execute(statement):
        print(*row)
END
}
# churn SEED ROUNDS: an application.  All amounts together are nothing, always.
churn() {
	python3 - "$db" "$@" <<'END'
import os, random, sqlite3, sys
random.seed(int(sys.argv[2]))
c = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
c.execute("PRAGMA synchronous=OFF")     # for speed
for i in range(int(sys.argv[3])):
    if os.path.exists("enough"):
        break
    c.execute("BEGIN IMMEDIATE")
    ids = [row[0] for row in c.execute("SELECT id FROM account")]
    for change in 7, -7:
        c.execute("UPDATE account SET amount = amount + ? WHERE id = ?",
                  (change, random.choice(ids)))
    if random.random() < .3:
        c.execute("INSERT INTO account VALUES (NULL, 0, randomblob(?))",
                  (random.randint(1, 20000),))
    if random.random() < .2:
        c.execute("DELETE FROM account WHERE amount = 0 AND id > ?",
                  (ids[-random.randint(1, 40)],))
    c.execute("COMMIT")
    if random.random() < .02:
        c.execute("VACUUM")
END
}
# stays STATEMENT...: somebody says them, and keeps it open, until it leaves.
stays() {
	rm -f there
	python3 - "$db" "$@" <<'END' &
import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    c.execute(statement).fetchone()
open("there", "w").close()
time.sleep(30)
END
	stayer=$!
	soon test -e there
}
leaves() {
	kill $stayer
	wait $stayer 2>/dev/null
}
dump() { sql "$1" 'SELECT id, amount, hex(note) FROM account'; }

listens() {
	readlink /proc/$1/fd/* | grep -q "$W/shop/events"
}
writer() {
	python3 "$srcdir/doc/examples/sqlite-writer" "$C" shop "$db" \
		2>writer.log &
	writer=$!
	soon listens $writer || { cat writer.log; return 1; }
}
all_end() { stop && wait $writer || cat writer.log; }
made() { asof backup --json "$@" srv; }
reads() { # how much at most
	[ "$(of_writers succeeded)" = 1 ] &&
		[ "$(of_writers bytes_read)" -le "$1" ]
}
brought() { # GEN: what is in it, as a database that somebody opens
	rm -rf out
	asof restore "$1:$T/srv/a shop/" --to out && ls out >names &&
		echo shop.db | cmp - names
}
right() { brought "$1" && dump out/shop.db | cmp - "$2"; }
sane() { # GEN: nobody knows what it was, but it was something
	brought "$1" &&
		[ "$(sql out/shop.db 'PRAGMA integrity_check')" = ok ] &&
		[ "$(sql out/shop.db 'SELECT sum(amount) FROM account')" = 0 ]
}

export ASOF_REPOSITORY="$T/repo"
asof init >/dev/null
sql "$db" 'CREATE TABLE account (id INTEGER PRIMARY KEY, amount, note)' \
	'INSERT INTO account WITH n(i) AS (SELECT 1 UNION ALL
	 SELECT i + 1 FROM n WHERE i < 3000) SELECT i, 0, randomblob(900) FROM n'
try "control files" control
try "a database has a writer" writer

# --- what changed ------------------------------------------------------------

try "it is read whole at first" made
dump "$db" >was
try "and right" right latest was
wholly() { asof show latest --writers && printed 'shop.db: read whole'; }
try "which asof show says" wholly
sql "$db" 'UPDATE account SET amount = amount + 1 WHERE id = 1500' \
	'UPDATE account SET amount = amount - 1 WHERE id = 10'
try "two rows later" made
try "two pages are read" reads 8192
dump "$db" >was
try "and it is right" right latest was
try "nothing later" made
try "no more than those" reads 8192
try "a differential" made -t differential
try "reads the two as well" reads 8192
try "and is right" right latest was

# What is written is read, what is read is right, and what is not told is so.
told() { ! grep -q audit: stderr; }
for seed in 1 2 3 4 5; do
	churn $seed 30
	dump "$db" >was.$seed
	case $seed in 3) type=differential ;; *) type=incremental ;; esac
	try "churn $seed" made -t $type --audit 100
	try "keeps nothing back" told
	try "and is right" right latest was.$seed
done

# --- while it is written to ----------------------------------------------------

churn 77 100000 &
application=$!
for _ in 1 2; do
	try "an application writes on" made --audit 100
	try "and keeps nothing back" told
	try "and each generation is sane" sane latest
done
touch enough
wait $application
rm enough

cat >snap <<'END'
#!/bin/sh
while read -r line; do
	case $1 in
	create) copy=$(mktemp -d "$T/shot.XXXXXX") && cp -a "$line/." "$copy" &&
		printf '%s\t%s\n' "$line" "$copy" ;;
	destroy) rm -rf "${line##*	}" ;;
	esac
done
END
chmod +x snap
export T
try "when it has stopped" made
sql "$db" 'UPDATE account SET note = 7 WHERE id = 9'
dump "$db" >was
try "from a snapshot" made --snapshot "command:$T/snap"
try "has it taken part" reads 100000000
try "and is right, too" right latest was

# --- somebody who reads for long -----------------------------------------------

stays BEGIN 'SELECT count(*) FROM account'
churn 9 5
try "who reads for long hinders it" must_fail 3 made
try "and is told of" said 'somebody reads what it was long ago'
leaves
dump "$db" >was
try "and later hinders nobody" made --audit 100
try "nor hides anything" told
try "and all is right" right latest was

# --- giving it back --------------------------------------------------------------

back() { asof restore "$1" --writer shop; }
sql "$db" 'DELETE FROM account WHERE id > 100'
stays 'SELECT count(*) FROM account'
try "a database in use" must_fail 1 back latest
try "is not replaced" [ "$(sql "$db" 'SELECT max(id) FROM account')" = 100 ]
leaves
try "one that is not" back latest
dump "$db" >now
try "is what it was" cmp now was
churn 10 10
dump "$db" >was
try "a backup behind it" made --audit 100
try "is right" right latest was
kill -STOP $writer
head -c 100000 /dev/urandom >"$db"
kill -CONT $writer
try "one that is broken" back latest
dump "$db" >now
try "can be had back, too" cmp now was

# --- when it is not there ----------------------------------------------------------

try "it ends with the control files" all_end
churn 11 10
try "and when they are back" control
churn 12 10
try "begins again" writer
dump "$db" >was
try "by having all read" made --audit 100
try "and is right" right latest was
churn 13 1
dump "$db" >was
try "and then what changed" made --audit 100
try "and no more" reads 200000
try "is right, too" right latest was
try "nothing was refused" must_fail 1 grep refused "$C/writers/shop/log"
try "the end" all_end
finish
