/*
 * graft_internal - the beginning and the end of a grafter, which are the
 * collector's.
 */
#ifndef ASOF_ENGINE_GRAFT_INTERNAL_H
#define ASOF_ENGINE_GRAFT_INTERNAL_H

struct backup;
struct collected;
struct collector;
struct err;
struct graft;

/* Changes come into out->root_bytes and out->session_bytes with finish. */
int graft_new(struct backup *b, struct collector *c, struct collected *out,
	      struct graft **g, struct err *e);
int graft_finish(struct graft *g, struct err *e);
void graft_free(struct graft *g); /* takes NULL */

#endif
