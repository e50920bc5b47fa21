#!/bin/sh
# A large file of which a few places have changed and are declared: what is
# read, stored and needed follows these places, not the file; and what is
# restored is the file.
#
# PARTIAL_SIZE says how long it is (bytes; 20 GiB), PARTIAL_PLACES how many
# places of 8 KiB change (200).
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
: "${PARTIAL_SIZE:=21474836480}"
: "${PARTIAL_PLACES:=200}"
begin
partial=$builddir/tests/func/partial20g
[ -x "$partial" ] || skip_all "there is no $partial"

value() { sed -n "s/^$1 //p" "$T/figures"; }
# below NAME NUMBER: the figure is smaller.
below() {
	echo "$1 is $(value "$1"), and must be below $2"
	[ "$(value "$1")" -lt "$2" ]
}
declared() {
	"$partial" backup "$T/repo" "$T/src/db" "$PARTIAL_PLACES" "$1" \
		>"$T/figures"
	code=$?
	cat "$T/figures"
	return "$code"
}
restored() {
	rm -rf "$T/out" && asof restore "latest:$T/src/db" --to "$T/out" &&
		"$partial" same "$T/src/db" "$T/out/db"
}

new_repo repo >/dev/null
mkdir src
try "a large file with few data" \
	"$partial" make src/db "$PARTIAL_SIZE" "$((2 * PARTIAL_PLACES))" 5
try "a first backup" declared 0
try "reads it whole" [ "$(value partial)" -eq 0 ]
try "and is the file" restored

try "$PARTIAL_PLACES places change" \
	"$partial" change src/db "$PARTIAL_SIZE" "$PARTIAL_PLACES" 5
try "they are declared" declared 5
try "and read as such" [ "$(value partial)" -eq 1 ]
try "G2: at most 1.1 times what was declared is read" \
	below read $((PARTIAL_PLACES * 8192 * 11 / 10 + 1))
try "less than 10 MB is stored for 200 of them" \
	below stored $((10000000 * PARTIAL_PLACES / 200 + 1))
if [ "${ASOF_SANITIZED-no}" = no ]; then
	try "in less than a second of a processor" below cpu_ms 1000
	try "and 64 MB" below kib 65536
fi
try "G1: what is restored is the file" restored
try "all of it is sound" asof check
finish
