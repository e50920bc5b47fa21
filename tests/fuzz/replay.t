#!/bin/sh
# Goal: no input that a fuzzer ever found interesting troubles a decoder.
: "${builddir:=.}" "${srcdir:=.}"
n=0
for p in "$builddir"/tests/fuzz/replay_*; do
	case $p in *.o | *.log | *.trs) continue ;; esac
	name=${p##*/replay_}
	corpus=$srcdir/tests/fuzz/corpus/$name
	n=$((n + 1))
	if [ ! -d "$corpus" ]; then
		echo "not ok $n - $name has no corpus"
	elif out=$(timeout 120 "$p" "$corpus" 2>&1); then
		echo "ok $n - $name: $(ls "$corpus" | wc -l) inputs"
	else
		echo "not ok $n - $name"
		echo "$out" | tail -n 20 | sed 's/^/# /'
	fi
done
echo "1..$n"
