/*
 * plan.c
 *
 * The tests run from what says most to what says least, so that the reason
 * given is the first that a person would name.  What statx could not tell
 * counts as different.  A change of mode, owner, xattrs or number of links
 * moves ctime, so ctime answers for all of them; that a clock tick can hide
 * a change is what the doubtful flags are for.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/plan.h"

#include "base/time.h"

#include <sys/stat.h>

static const struct {
	const char *name;
	const char *text;
} reasons[PLAN_REASONS] = {
	[PLAN_UNCHANGED] = { "unchanged", "unchanged since the base" },
	[PLAN_WHOLE] = { "whole", "every file is read" },
	[PLAN_NEW] = { "new", "not in the base" },
	[PLAN_TYPE] = { "type", "was another type of file in the base" },
	[PLAN_IDENTITY] = { "identity", "another file under the same name" },
	[PLAN_SIZE] = { "size", "its size differs" },
	[PLAN_MTIME] = { "mtime", "its modification time differs" },
	[PLAN_CTIME] = { "ctime", "its change time differs" },
	[PLAN_DOUBT] = { "doubt", "the base is not sure of it" },
	[PLAN_NO_BASE] = { "no-base", "the base's entry cannot be read" },
	[PLAN_REQUIRED] = { "required", "its writer requires it" },
	[PLAN_RANGES] = { "ranges", "the ranges that its writer declared" },
	[PLAN_SINCE] = { "since", "changed since the time of its writer" },
	[PLAN_NO_PROOF] = { "no-proof", "what was declared does not hold" },
	[PLAN_FIRST] = { "first", "its component has no base" },
	[PLAN_UNTRUSTED] = { "untrusted",
			     "its component is not trusted until it is read" },
	[PLAN_ATTACHED] = { "attached", "its writer handed it over" },
	[PLAN_CARRIED] = { "carried", "carried from its component's base" },
};

const char *
plan_reason_text(enum plan_reason r)
{
	if ((unsigned)r >= PLAN_REASONS)
		return "for an unknown reason";
	return reasons[r].text;
}

const char *
plan_reason_name(enum plan_reason r)
{
	if ((unsigned)r >= PLAN_REASONS)
		return "unknown";
	return reasons[r].name;
}

/* Types that do not compare with a base, and any that are not known. */
static bool
reads_everything(enum generation_type type)
{
	switch (type) {
	case GEN_INCREMENTAL:
	case GEN_DIFFERENTIAL:
	case GEN_LOG:
		return false;
	case GEN_FULL:
	case GEN_COPY:
		break;
	}
	return true;
}

static bool
same_time(struct ts then, struct statx_timestamp now)
{
	return then.sec == now.tv_sec && then.nsec == now.tv_nsec;
}

/* Whether statx told this, and it is what the base holds. */
static bool
same_type(const struct statx *now, const struct entry *base)
{
	return (now->stx_mask & STATX_TYPE) != 0 &&
	       entry_type_of_mode(now->stx_mode) == base->type;
}

bool
plan_same_identity(const struct plan_input *in)
{
	const struct statx *now = in->now;
	const struct entry *base = in->base;

	if ((now->stx_mask & STATX_INO) == 0)
		return false;
	if (in->fs != base->fs || now->stx_ino != base->ino)
		return false;
	/* Inode numbers are used again; the time of birth is not. */
	if ((base->flags & ENTRY_BTIME) == 0 ||
	    (now->stx_mask & STATX_BTIME) == 0)
		return true;
	return same_time(base->btime, now->stx_btime);
}

static bool
same_size(const struct statx *now, const struct entry *base)
{
	if (base->type != ENTRY_FILE)
		return true;
	return (now->stx_mask & STATX_SIZE) != 0 && now->stx_size == base->size;
}

static bool
same_mtime(const struct statx *now, const struct entry *base)
{
	return (now->stx_mask & STATX_MTIME) != 0 &&
	       same_time(base->mtime, now->stx_mtime);
}

static bool
same_ctime(const struct statx *now, const struct entry *base)
{
	return (now->stx_mask & STATX_CTIME) != 0 &&
	       same_time(base->ctime, now->stx_ctime);
}

static enum plan_reason
find_reason(const struct plan_input *in)
{
	if (reads_everything(in->type))
		return PLAN_WHOLE;
	if (in->base == NULL)
		return PLAN_NEW;
	if (!same_type(in->now, in->base))
		return PLAN_TYPE;
	if ((in->base->flags & ENTRY_DOUBTFUL) != 0)
		return PLAN_DOUBT;
	if (!plan_same_identity(in))
		return PLAN_IDENTITY;
	if (!same_size(in->now, in->base))
		return PLAN_SIZE;
	if (!same_mtime(in->now, in->base))
		return PLAN_MTIME;
	if (!same_ctime(in->now, in->base))
		return PLAN_CTIME;
	return PLAN_UNCHANGED;
}

struct plan
plan_file(const struct plan_input *in)
{
	struct plan p;

	p.reason = find_reason(in);
	p.read = p.reason != PLAN_UNCHANGED;
	return p;
}
