#!/bin/sh
# Writers that write and declare at random, honest ones and liars, live ones and
# programs: every generation holds what was there, and audits find who lies.
#
# WRITERS_SEEDS: how many, default 2; WRITERS_ROUNDS: backups each, default 12;
# WRITERS_SEED: the first, default the time.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin python3
: "${WRITERS_SEEDS:=2}"
: "${WRITERS_ROUNDS:=12}"
: "${WRITERS_SEED:=$(date +%s)}"

# A mistake in here cannot hurt the machine.
if [ "${ASOF_FUNC_MOUNTS-}" = own ]; then
	mount --bind "$T" "$T" && later "umount -l '$T'" && cd "$T"
	if mount -o remount,bind,ro / 2>/dev/null; then
		later "mount -o remount,bind,rw /"
	fi
fi

play() { # SEED [OPTION ...]
	seed=$1
	shift
	rm -rf work && mkdir work &&
		timeout -k 5 $((LIMIT + 10 * WRITERS_ROUNDS)) \
			python3 "$srcdir/tests/writer/property" --asof "$ASOF" \
			--work "$T/work" --seed "$seed" \
			--rounds "$WRITERS_ROUNDS" "$@"
}

seed=$WRITERS_SEED
while [ "$seed" -lt $((WRITERS_SEED + WRITERS_SEEDS)) ]; do
	echo "# seed $seed"
	try "G1: a program declares since its stamp" play "$seed" --program
	try "B11: a program that lies is found out" play "$seed" --program --lies
	if can_view && [ "${ASOF_FUNC_MOUNTS-}" = own ]; then
		try "G1: a live writer declares all day" play "$seed"
		try "B11: a live one that lies is found out" play "$seed" --lies
	else
		skip "live writers" "no /dev/fuse, or not root"
	fi
	seed=$((seed + 1))
done

finish
