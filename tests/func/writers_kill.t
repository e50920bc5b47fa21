#!/bin/sh
# The requester, the control process or a writer is killed somewhere in a session:
# nobody stays frozen, and the next backup works.  ROUNDS says how often; more of
# it is tests/writer/killer by itself.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root python3 fusermount3
[ -c /dev/fuse ] || skip_all "needs /dev/fuse"
killer=$(cd "$srcdir" && pwd)/tests/writer/killer
LIMIT=${LIMIT_KILLS:-180}
later "umount -l $T/kill/control"

killed() {
	timeout -k 5 "$LIMIT" "$killer" --asof "$ASOF" --work "$T/kill" \
		--seed "${SEED:-1}" --rounds "${ROUNDS:-8}" -v >kills 2>&1
	code=$?
	tail -n 30 kills
	return $code
}
try "D3 D5: kills at random moments of backups" killed
finish
