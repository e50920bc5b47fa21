/*
 * strings - copies of strings that are given back together.
 *
 * All-zero is none.  One thread at a time.
 */
#ifndef ASOF_WRITER_STRINGS_H
#define ASOF_WRITER_STRINGS_H

struct err;
struct strings_block;

struct strings {
	struct strings_block *last;
};

int strings_keep(struct strings *l, const char *s, const char **out,
		 struct err *e);
void strings_clear(struct strings *l);

#endif
