#!/bin/sh
# A large file of which a few places have changed and are declared: what is
# read, stored and needed follows these places, not the file; and what is
# restored, and shown by a mount, is the file.
#
# PARTIAL_SIZE says how long it is (bytes; 20 GiB), PARTIAL_PLACES how many
# places of 8 KiB change (200).
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
: "${PARTIAL_SIZE:=21474836480}"
: "${PARTIAL_PLACES:=200}"
begin
partial=$builddir/tests/func/partial20g
[ -x "$partial" ] || skip_all "there is no $partial"

# --- the file and its writer ---------------------------------------------------

mkdir src writers.d
db=$T/src/db

# It says what is in `declare`; its stamps are 1, 2, 3 and so on.
cat >writers.d/mydb <<END
#!/bin/sh
while read -r event id rest; do
	case \$event in
	component | previous-stamp) continue ;;
	identify)
		echo 'writer mydb'
		echo 'schema incremental differential timestamped'
		echo 'restore-method restore-if-can-replace'
		echo 'component main database selectable=yes'
		echo 'database-files main $T/src db'
		echo end ;;
	prepare-backup) cat '$T/declare' ;;
	esac
	echo "ok \$id"
done
END
chmod 755 writers.d/mydb
backups=0

# change SEED: other bytes in places of its own.
change() {
	"$partial" change "$db" "$PARTIAL_SIZE" "$PARTIAL_PLACES" "$1"
}

# made TYPE [STAMP SEED ...]: a backup; the changes since STAMP are declared.
made() {
	type=$1 since=${2-}
	backups=$((backups + 1))
	echo "backup-stamp main $backups" >declare
	if [ $# -gt 1 ]; then
		shift 2
		"$partial" ranges ranges "$PARTIAL_SIZE" "$PARTIAL_PLACES" "$@" ||
			return 1
		echo "partial-file main $db file=$T/ranges since=$since" >>declare
	fi
	"$partial" backup "$ASOF_REPOSITORY" "$type" "$T/src" >figures
	code=$?
	cat figures
	return "$code"
}

# --- figures -------------------------------------------------------------------

value() { sed -n "s/^$1 //p" "$T/figures"; }
is() { below "$1" $(($2 + 1)) && [ "$(value "$1")" -eq "$2" ]; }
# below NAME NUMBER: the figure is smaller.
below() {
	echo "$1 is $(value "$1"), and must be below $2"
	[ "$(value "$1")" -lt "$2" ]
}

# follows CHANGES: all figures are those of so many times the places, of which
# PARTIAL_PLACES are new.
follows() {
	n=$(($1 * PARTIAL_PLACES))
	sed 's/^/# /' figures
	try "its writer succeeded, and it is read by ranges" \
		eval 'is succeeded 1 && is partial 1'
	try "nearly all of $n places are declared" \
		eval "below declared $((n * 8192 + 1)) &&
			[ \$(value declared) -gt $((n * 8192 * 9 / 10)) ]"
	try "G2: at most 1.1 times what was declared is read" \
		below read $(($(value declared) * 11 / 10 + 1))
	try "less than 10 MB is stored for 200 places" \
		below stored $((10000000 * PARTIAL_PLACES / 200 + 1))
	[ "${ASOF_SANITIZED-no}" = no ] || return 0
	try "in less than a second of a processor" below cpu_ms 1000
	try "and 64 MB" below kib 65536
}

restored() {
	rm -rf "$T/out" && asof restore "latest:$T/src/db" --to "$T/out" &&
		"$partial" same "$db" "$T/out/db"
}
mounted() {
	view view && "$partial" same "$db" "view/latest$db"
	code=$?
	umount view
	return "$code"
}
identical() {
	try "G1: what is restored is the file" restored
	if can_view && [ "$(id -u)" -eq 0 ]; then
		try "G1: so is what a mount shows" mounted
	else
		skip "G1: so is what a mount shows" "needs root and /dev/fuse"
	fi
}

# --- what is asked ---------------------------------------------------------------

new_repo repo >/dev/null
try "a large file with few data" \
	"$partial" make "$db" "$PARTIAL_SIZE" "$((2 * PARTIAL_PLACES))" 5
try "a first backup" made full
try "reads it whole" is partial 0
identical

try "$PARTIAL_PLACES places change" change 5
try "an incremental" made incremental 1 5
follows 1
identical

try "they change again, and again" eval '
	change 7 && made incremental 2 7 && is base 2 && is partial 1 &&
	change 9 && made incremental 3 9 && is base 3 && is partial 1'
try "and once more" change 11
try "a differential behind three incrementals" \
	made differential 1 5 7 9 11
try "A4: compares with the full" is base 1
follows 4
identical

try "all of it is sound" asof check
finish
