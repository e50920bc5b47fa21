/*
 * fuzz_entry - an entry; the first byte says whether it is a record's top.
 *
 * What decodes has only this one encoding, and skimming agrees with it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "src/engine/entry.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void
check_xattrs(const struct entry *en)
{
	struct rd r = xattr_first(en);
	struct buf b = { 0 };
	struct xattr x;
	unsigned n = 0;

	for (; xattr_next(&r, &x); n++)
		xattr_put(&b, &x);
	MUST(n == en->xattrs);
	MUST(b.len == en->xattr_len);
	MUST(n == 0 || memcmp(b.data, en->xattr_bytes, b.len) == 0);
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool top = size > 0 && data[0] & 1;
	struct entry_skim skim;
	struct err e = { 0 };
	struct buf b = { 0 };
	struct entry en;
	bool skimmed;

	if (size == 0)
		return 0;
	data++;
	size--;
	skimmed = entry_skim(data, size, &skim);
	if (entry_decode(data, size, top, &en, &e) < 0) {
		MUST(e.kind == ERR_CORRUPT && e.text[0] != '\0');
		return 0;
	}
	MUST(skimmed != top);
	if (!top) {
		MUST(skim.inodes == entry_inodes(&en));
		MUST(skim.dir == (en.type == ENTRY_DIR));
	}
	MUST(en.content.holes <= en.size);
	check_xattrs(&en);
	MUST(entry_encode(&en, &b, NULL) == 0);
	MUST(b.len == size && memcmp(b.data, data, size) == 0);
	buf_clear(&b);
	return 0;
}
