/*
 * granted.c
 *
 * What was granted is a directory by its name; in a snapshot it is another one,
 * at the place that the snapshot has for that name.  A grant above all of the
 * snapshot becomes the snapshot's top: from there on the owner goes by himself.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/granted.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "src/engine/standin.h"
#include "src/writer/resolve.h"

int
granted_regular(struct resolver *r, const struct standin *in,
		const char *path, int *fd, struct err *e)
{
	struct standin copy = *in;
	const struct standins only = { .v = &copy, .count = 1 };
	const char *grant = resolve_grant(r, path);
	struct resolver there = *r;
	struct buf where = { 0 };
	struct buf top = { 0 };
	char *name;
	int rc = -1;

	/* The refusal is the same as outside of a snapshot. */
	if (grant == NULL)
		return resolve_regular(r, path, fd, e);
	if (!path_beneath(grant, in->source))
		grant = in->source;
	if (standin_path(&only, grant, &top, e) < 0 ||
	    standin_path(&only, path, &where, e) < 0)
		goto out;
	name = (char *)top.data;
	there.grant = &name;
	there.grants = 1;
	rc = resolve_regular(&there, buf_str(&where), fd, e);
	/* It may have looked up who the owner is. */
	r->cred = there.cred;
	r->known = there.known;
out:
	buf_clear(&where);
	buf_clear(&top);
	return rc;
}
