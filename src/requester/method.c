/*
 * Two questions, asked one after the other: do the files fit where they were,
 * and if not, do they fit where the document says that they may go instead?
 * A method or a target skips one of them or answers it.  What "fit" means
 * differs only for restore-if-not-there, where nothing may be there.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/method.h"

#include "base/err.h"

#include <inttypes.h>
#include <stddef.h>

static const char *
or_unknown(const char *s)
{
	return s != NULL ? s : "?";
}

/* Do all of them fit there?  The sentence says which one does not. */
static int
fits(enum metadata_method method, const struct method_places *p,
     struct err *e)
{
	if (method == METHOD_RESTORE_IF_NOT_THERE && p->there > 0)
		return err_set(e, ERR_USAGE,
			       "%s is there, and the writer's files go back "
			       "only where none of them is",
			       or_unknown(p->first));
	if (p->stuck > 0)
		return err_set(e, ERR_USAGE,
			       "%" PRIu64 " file%s cannot be put there: %s",
			       p->stuck, p->stuck == 1 ? "" : "s",
			       or_unknown(p->why));
	return 0;
}

/* Can all of them go to their alternate locations? */
static int
fits_alternate(enum metadata_method method, const struct method_facts *f,
	       struct err *e)
{
	if (f->unmapped > 0)
		return err_set(e, ERR_USAGE,
			       "%" PRIu64
			       " of its %" PRIu64
			       " files have no alternate location: %s",
			       f->unmapped, f->files, or_unknown(f->lost));
	if (fits(method, &f->alternate, e) < 0)
		return err_prefix(e, "in the alternate location");
	return 0;
}

static int
decide_alternate(enum metadata_method method, const struct method_facts *f,
		 enum method_verdict *out, struct err *e)
{
	if (fits_alternate(method, f, e) < 0)
		return -1;
	*out = VERDICT_ALTERNATE;
	return 0;
}

/* At home; else, if the target leaves it open, in the alternate location. */
static int
decide_home(enum metadata_method method, enum statement_target target,
	    const struct method_facts *f, enum method_verdict *out,
	    struct err *e)
{
	*out = VERDICT_HOME;
	if (fits(method, &f->home, e) == 0)
		return 0;
	if (target == TARGET_ORIGINAL_LOCATION)
		return -1;
	if (fits_alternate(method, f, NULL) < 0)
		return f->unmapped < f->files
			       ? err_prefix(e, "and not all can go to the "
					       "alternate location either")
			       : -1;
	err_clear(e);
	*out = VERDICT_ALTERNATE;
	return 0;
}

/*
 * Alternate locations and restores at the next start exclude each other: what
 * is swapped in later was decided about now.
 */
static int
decide_reboot(enum metadata_method method, enum statement_target target,
	      const struct method_facts *f, enum method_verdict *out,
	      struct err *e)
{
	if (target == TARGET_ALTERNATE)
		return err_set(e, ERR_USAGE,
			       "the writer asks for alternate locations, and "
			       "its restore method, at the next start, has "
			       "none");
	*out = VERDICT_STAGED;
	if (method == METHOD_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE &&
	    fits(method, &f->home, NULL) == 0)
		*out = VERDICT_HOME;
	return 0;
}

int
method_decide(enum metadata_method method, enum statement_target target,
	      const struct method_facts *f, enum method_verdict *out,
	      struct err *e)
{
	struct err why = { 0 };
	enum method_verdict verdict = VERDICT_HOME;
	int rc;

	switch (method) {
	case METHOD_RESTORE_AT_REBOOT:
	case METHOD_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE:
		rc = decide_reboot(method, target, f, &verdict, &why);
		break;
	case METHOD_CUSTOM:
		rc = err_set(&why, ERR_USAGE,
			     "the writer restores in a way of its own, which "
			     "nobody else knows: restore its files to another "
			     "place with --to, and go on as its manual says");
		break;
	case METHOD_RESTORE_TO_ALTERNATE_LOCATION:
		if (target == TARGET_ORIGINAL_LOCATION)
			rc = decide_home(method, target, f, &verdict, &why);
		else
			rc = decide_alternate(method, f, &verdict, &why);
		break;
	default:
		if (target == TARGET_ALTERNATE)
			rc = decide_alternate(method, f, &verdict, &why);
		else
			rc = decide_home(method, target, f, &verdict, &why);
		break;
	}
	if (rc < 0) {
		err_move(e, &why);
		return -1;
	}
	*out = verdict;
	return 0;
}

bool
method_stops_before(enum metadata_method method)
{
	return method == METHOD_STOP_RESTORE_START;
}

bool
method_restarts_after(enum metadata_method method)
{
	return method == METHOD_RESTORE_STOP_START;
}

bool
method_tells(enum metadata_events events)
{
	return events != EVENTS_NEVER;
}
