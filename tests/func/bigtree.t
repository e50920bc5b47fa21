#!/bin/sh
# A mount of many entries and of a long file, small enough for every day; the
# real thing is tests/soak/bigtree.
: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
export srcdir
exec sh "$srcdir/tests/soak/bigtree" -n 30000 -g 5
