/*
 * A component has a base of its own, which may be another generation than that
 * of plain files.  Mostly it is the same; then the entry is at hand, because
 * the walk goes in step with the base.  Else it is looked up by its path.  An
 * entry of another generation names a file system by the table of that
 * generation's record, so it is translated before anything is compared.
 *
 * Entries that are carried lose their link identity: the inode numbers are of
 * another day, and one of them may belong to somebody else by now.  They are
 * racy then: if the file is there, linked, the next own test must not take them
 * for it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/claimed.h"

#include "base/path.h"
#include "base/src.h"
#include "src/engine/scan.h"
#include "src/engine/view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

int
claimed_ask(struct backup *b, struct slice *sl, struct item *it,
	    const char *path, const struct statx *st, struct err *e)
{
	struct claim c = { .kind = CLAIM_NONE };
	struct item_claim *ic;

	it->claim = NULL;
	if (b->claims->find(b->claims, path, st, &c, e) < 0)
		return -1;
	if (c.kind == CLAIM_NONE)
		return 0;
	ic = arena_take(&sl->arena, sizeof(*ic));
	if (ic == NULL)
		return err_nomem(e);
	memset(ic, 0, sizeof(*ic));
	ic->claim = c;
	it->claim = ic;
	return 0;
}

bool
claimed_trusted(const struct backup *b, const struct view_gen *g)
{
	return g->number > b->lost_until && g->number != b->damaged_base;
}

/* The entry into the slice, with the file systems of this run. */
static int
take_base(struct backup *b, struct slice *sl, struct item_claim *ic,
	  const struct entry *en, const struct record *from, struct err *e)
{
	struct entry own = *en;
	struct buf encoded = { 0 };
	const uint8_t *bytes = en->bytes;
	size_t len = en->len;
	uint32_t fs = (uint32_t)en->fs;
	bool unlink = ic->claim.kind == CLAIM_CARRIED &&
		      (en->flags & ENTRY_LINKED) != 0;
	int rc = -1;

	if (from != NULL && backup_fs_of(b, from, en->fs, &fs, e) < 0)
		return -1;
	if (fs != en->fs || unlink) {
		own.bytes = NULL;
		own.fs = fs;
		if (unlink) {
			own.flags &= ~ENTRY_LINKED;
			own.flags |= ENTRY_RACY;
			own.nlink = 1;
		}
		if (entry_encode(&own, &encoded, e) < 0)
			goto out;
		bytes = encoded.data;
		len = encoded.len;
	}
	bytes = arena_copy(&sl->arena, bytes, len);
	if (bytes == NULL) {
		err_nomem(e);
		goto out;
	}
	rc = entry_decode(bytes, len, false, &ic->base, e);
	ic->has_base = rc == 0;
out:
	buf_clear(&encoded);
	return rc;
}

static bool
is_plain_base(const struct backup *b, const struct view_gen *g)
{
	return b->base != NULL &&
	       memcmp(b->base->id, g->record.id, sizeof(g->record.id)) == 0;
}

int
claimed_base(struct backup *b, struct slice *sl, struct item *it,
	     const char *path, const struct entry *plain, struct err *e)
{
	struct item_claim *ic = it->claim;
	struct view_gen *g = ic->claim.base;
	struct err why = { 0 };
	struct node n;
	int rc;

	if (g == NULL)
		return 0;
	if (!claimed_trusted(b, g) && ic->claim.kind != CLAIM_CARRIED) {
		ic->base_lost = true;
		return 0;
	}
	if (is_plain_base(b, g) && plain != NULL)
		return take_base(b, sl, ic, plain, NULL, e);
	rc = view_path(g, path, &n, &why);
	if (rc == 1)
		return 0;
	if (rc == 0) {
		rc = take_base(b, sl, ic, &n.entry, &g->record, &why);
		node_clear(&n);
	}
	if (rc == 0)
		return 0;
	if (!scan_is_lost(&why)) {
		err_move(e, &why);
		return -1;
	}
	ic->base_lost = true;
	err_clear(&why);
	return 0;
}

/* --- judging ------------------------------------------------------------------ */

static bool
at_or_after(struct statx_timestamp t, struct ts when)
{
	return ts_cmp((struct ts){ .sec = t.tv_sec, .nsec = t.tv_nsec },
		      when) >= 0;
}

/* May the file be put together from its base and declared ranges? */
static struct plan
plan_ranges(const struct plan_input *in, const struct item_claim *ic)
{
	const struct entry *base = in->base;
	uint32_t doubt = ENTRY_UNREADABLE;
	struct plan p = { .read = true, .reason = PLAN_RANGES };

	if (!ic->claim.log_recovery)
		doubt |= ENTRY_TORN;
	if (base == NULL)
		p.reason = PLAN_NEW;
	else if (base->type != ENTRY_FILE || !S_ISREG(in->now->stx_mode))
		p.reason = PLAN_TYPE;
	else if ((base->flags & doubt) != 0)
		p.reason = PLAN_DOUBT;
	else if (!plan_same_identity(in))
		p.reason = PLAN_IDENTITY;
	return p;
}

static struct plan
plan_whole(const struct item_claim *ic)
{
	struct plan p = { .read = true, .reason = ic->claim.reason };

	if (p.reason == PLAN_UNCHANGED || p.reason >= PLAN_REASONS)
		p.reason = PLAN_REQUIRED;
	return p;
}

struct plan
claimed_plan(const struct backup *b, struct item *it)
{
	struct item_claim *ic = it->claim;
	struct plan_input in = {
		.type = GEN_INCREMENTAL,
		.now = &it->st,
		.fs = it->fs,
		.base = ic->has_base ? &ic->base : NULL,
	};
	struct plan p;

	(void)b;
	if (ic->claim.kind == CLAIM_WHOLE)
		return plan_whole(ic);
	if (ic->claim.kind == CLAIM_RANGES)
		p = plan_ranges(&in, ic);
	else
		p = plan_file(&in);
	if (!p.read && ic->claim.kind == CLAIM_SINCE &&
	    (at_or_after(it->st.stx_mtime, ic->claim.newer) ||
	     at_or_after(it->st.stx_ctime, ic->claim.newer))) {
		p.read = true;
		p.reason = PLAN_SINCE;
	}
	if (in.base == NULL && ic->base_lost)
		p.reason = PLAN_NO_BASE;
	else if (in.base == NULL && ic->claim.base == NULL)
		p.reason = PLAN_FIRST;
	ic->partial = p.reason == PLAN_RANGES;
	return p;
}

/* --- entries and places ---------------------------------------------------------- */

static struct statx_timestamp
timestamp(struct ts t)
{
	struct statx_timestamp out = { .tv_sec = t.sec, .tv_nsec = t.nsec };

	return out;
}

void
claimed_stat(const struct entry *en, struct statx *out)
{
	memset(out, 0, sizeof(*out));
	out->stx_mask = STATX_BASIC_STATS;
	out->stx_mode = (uint16_t)(entry_type_mode(en->type) | en->mode);
	out->stx_uid = en->uid;
	out->stx_gid = en->gid;
	out->stx_size = en->size;
	out->stx_ino = en->ino;
	out->stx_nlink = 1;
	out->stx_mtime = timestamp(en->mtime);
	out->stx_ctime = timestamp(en->ctime);
	out->stx_atime = timestamp(en->atime);
}

int
claimed_open_parent(const struct standins *standins, const char *path,
		    const char **name, struct err *e)
{
	const struct standin *s = standin_above(standins, path);
	char part[PATH_NAME_MAX + 1];
	const char *at;
	size_t pos = s != NULL ? strlen(s->source) : 0, len;
	int fd = src_open(AT_FDCWD, s != NULL ? s->place : "/",
			  O_DIRECTORY | O_PATH, e);

	while (fd >= 0 && path_next(path, &pos, &at, &len)) {
		int next;

		*name = at;
		if (path[pos] == '\0')
			return fd;
		if (len > PATH_NAME_MAX) {
			src_close(fd);
			errno = ENAMETOOLONG;
			return err_source(e, "open");
		}
		memcpy(part, at, len);
		part[len] = '\0';
		next = src_open(fd, part, O_DIRECTORY | O_PATH, e);
		src_close(fd);
		fd = next;
	}
	if (fd >= 0) {
		src_close(fd);
		return err_set(e, ERR_SOURCE, "the path names no file");
	}
	return -1;
}

const struct standins *
claimed_standins(const struct backup *b, const struct item_claim *ic)
{
	return ic->live ? NULL : b->standins;
}

int
claimed_open_from(struct backup *b, const struct standins *in,
		  const struct claim *c, struct err *e)
{
	const char *name = NULL;
	int dir;
	int fd;

	if (b->claims->open != NULL)
		return b->claims->open(b->claims, in, c->from_owner, c->from,
				       e);
	dir = claimed_open_parent(in, c->from, &name, e);
	if (dir < 0)
		return -1;
	fd = src_open(dir, name, 0, e);
	src_close(dir);
	return fd;
}

/* --- telling --------------------------------------------------------------------- */

void
claimed_tell(struct backup *b, const struct item *it, const char *path)
{
	const struct item_claim *ic = it->claim;
	struct claims *c = b->claims;
	const char *why = ic->why;

	if (ic->nobodys)
		return;
	if (why == NULL && it->gone)
		why = "vanished while it was to be read";
	if (why == NULL)
		why = it->error;
	if (c->read != NULL && it->state == ITEM_FILE)
		c->read(c, ic->claim.owner, path, ic->read, ic->partial);
	c->outcome(c, ic->claim.owner, path, why, ic->torn);
}
