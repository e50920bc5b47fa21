# Three users at once write good, bad and hostile things into control files.
#
# CONTROL_SECONDS: how long, default 5; CONTROL_SEED: which things.

. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root python3
. "$srcdir/tests/func/writers.sh"
can_view || skip_all "no /dev/fuse"
: "${CONTROL_SECONDS:=5}"
: "${CONTROL_SEED:=$(date +%s)}"
echo "# CONTROL_SEED=$CONTROL_SEED"

# A mistake in here cannot hurt the machine.
chmod 755 "$T"
mount --bind "$T" "$T" && later "umount -l '$T'" && cd "$T"
if mount -o remount,bind,ro / 2>/dev/null; then
	later "mount -o remount,bind,rw /"
fi

mkdir -m 755 "$T/grants"
new_repo repo >/dev/null

control
stop
kept=$(echo "$T"/state/repo-*)
uid=10001
for name in one two three; do
	mkdir -m 755 "$T/grants/$name"
	echo "$name" >"$T/grants/$name/file"
	chown -R $uid "$T/grants/$name"
	mkdir -m 700 "$kept/writers/$name"
	printf 'owner %s\ngrant %s\n' $uid "$T/grants/$name" \
		>"$kept/writers/$name/registration"
	uid=$((uid + 1))
done

try "it is served" control
play() {
	timeout $((CONTROL_SECONDS + 60)) python3 \
		"$srcdir/tests/func/control_random.py" \
		"$C/writers" "$T/grants" "$CONTROL_SECONDS" "$CONTROL_SEED"
}
try "C2, C3, E1, E4: each is told the truth, and nobody sees another's" play
cat "$T/try.log"
try "it answers still" test "$(cat "$C/version")" = 1
cp "$C/writers/one/declare" "$T/before"
try "it ends in good order" stop
try "... and has nothing to report" test ! -s "$T/control.log"
cat "$T/control.log"
control
cp "$C/writers/one/declare" "$T/after"
try "C1: what was accepted outlasts it" cmp "$T/before" "$T/after"
stop

finish
