/*
 * preface - lines that come in front of a requester's message and belong to it.
 *
 *	volume PATH, grant PATH, service NAME, outcome W C yes|no ...,
 *	place W C DIR PLACE
 */
#ifndef ASOF_WRITER_PREFACE_H
#define ASOF_WRITER_PREFACE_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct grammar_line;
struct round_outcome;
struct round_place;

/* Copies, each of which stays where it is. */
struct words {
	char **v;
	size_t count;
};
int words_keep(struct words *w, const char *s, struct err *e);
bool words_have(const struct words *w, const char *s);
void words_clear(struct words *w);

/* All-zero is none. */
struct preface {
	struct words volume, grant, service;
	struct round_outcome *outcome;
	size_t outcomes;
	struct round_place *place;
	size_t places;
	struct words text; /* of outcomes and places */
};

/* 1: the line is none of them. */
int preface_take(struct preface *p, const struct grammar_line *l,
		 struct err *e);
void preface_clear(struct preface *p);

#endif
