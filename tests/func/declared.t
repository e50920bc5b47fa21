#!/bin/sh
# Goal: whatever is written, declared, left undeclared or failed between, every
# generation holds just what was there.  DECLARED_ROUNDS for a longer run.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin python3 diff
: "${DECLARED_ROUNDS:=20}"

for seed in 11 12 13; do
	mkdir "$seed"
	try "random writes, all declared or read, seed $seed" \
		timeout -k 5 $((DECLARED_ROUNDS * 5)) python3 \
		"$srcdir/tests/writer/declared" --asof "$ASOF" \
		--work "$T/$seed" --seed "$seed" --rounds "$DECLARED_ROUNDS"
done
finish
