#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/strings.h"

#include "base/err.h"
#include "base/mem.h"

#include <stddef.h>
#include <string.h>

#define BLOCK_LEN 65536 /* bytes of strings that are allocated at once */

struct strings_block {
	struct strings_block *before;
	size_t used, cap;
	char data[];
};

int
strings_keep(struct strings *l, const char *s, const char **out, struct err *e)
{
	size_t len = strlen(s) + 1;
	size_t cap = len > BLOCK_LEN ? len : BLOCK_LEN;
	struct strings_block *b = l->last;

	if (b == NULL || b->cap - b->used < len) {
		b = mem_alloc(sizeof(*b) + cap);
		if (b == NULL)
			return err_nomem(e);
		b->before = l->last;
		b->used = 0;
		b->cap = cap;
		l->last = b;
	}
	memcpy(b->data + b->used, s, len);
	*out = b->data + b->used;
	b->used += len;
	return 0;
}

void
strings_clear(struct strings *l)
{
	struct strings_block *b = l->last;
	struct strings_block *before;

	for (; b != NULL; b = before) {
		before = b->before;
		mem_free(b);
	}
	l->last = NULL;
}
