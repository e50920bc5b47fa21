/*
 * putback.c
 *
 * A writer's units are written one after the other, each decided as a whole and
 * when its turn comes.  What goes wrong with one ends that one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/pass.h"

#include "base/buf.h"
#include "base/mem.h"
#include "src/engine/view.h"
#include "src/requester/guise.h"
#include "src/requester/service.h"
#include "src/writer/metadata.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
check_cancel(const struct pass *p, struct err *e)
{
	if (p->o->cancel != NULL && *p->o->cancel != 0)
		return err_set(e, ERR_CANCELLED, "restore cancelled");
	return 0;
}

/* --- deciding and writing --------------------------------------------------- */

static enum restore_existing
existing_of(const struct pass *p, const struct unit *u)
{
	/* Nothing was there when we looked; what is there now stays. */
	if (u->document->method == METHOD_RESTORE_IF_NOT_THERE &&
	    u->pick->went == 0)
		return RESTORE_REFUSE;
	return p->o->in_place ? RESTORE_IN_PLACE : RESTORE_REPLACE;
}

static struct delivery
delivery_of(const struct pass *p, struct unit *u)
{
	struct delivery d = {
		.places = &u->places,
		.verdict = u->verdict,
		.existing = existing_of(p, u),
		.piece = u->piece,
		.pieces = u->pieces,
		.repository =
			p->store != NULL ? store_repository(p->store) : NULL,
		.no_owner = geteuid() != 0 || u->places.granted,
		.cancel = p->o->cancel,
		.failed = p->o->failed,
		.ctx = p->o->ctx,
	};

	return d;
}

static void
tell_verdict(const struct pass *p, const struct unit *u,
	     const struct method_facts *f)
{
	uint64_t n = f->files + u->pieces;
	const char *s = n == 1 ? "" : "s";
	const char *go = p->o->dry_run ? "would go" : n == 1 ? "goes" : "go";

	switch (u->verdict) {
	case VERDICT_HOME:
		unit_tell(p, u, "%" PRIu64 " file%s %s where %s", n, s, go,
			  n == 1 ? "it belongs" : "they belong");
		break;
	case VERDICT_ALTERNATE:
		unit_tell(p, u,
			  "%" PRIu64 " file%s %s to the alternate locations", n,
			  s, go);
		break;
	default:
		unit_tell(
			p, u,
			"%" PRIu64
			" file%s %s into %s in each directory: nothing on this "
			"machine puts them in place when it starts, so stop what "
			"uses them and move them yourself",
			n, s, go, u->places.staging);
		break;
	}
}

/* Behind an earlier image, what that one wrote is in nobody's way, ... */
static enum metadata_method
method_of(const struct unit *u)
{
	if (u->pick->went != 0 &&
	    u->document->method == METHOD_RESTORE_IF_NOT_THERE)
		return METHOD_RESTORE_IF_CAN_REPLACE;
	return u->document->method;
}

/* ... and goes to the same place. */
static enum statement_target
target_of(const struct unit *u)
{
	if (u->target == 0 && u->pick->went == VERDICT_ALTERNATE)
		return TARGET_ALTERNATE;
	return u->target;
}

/*
 * At home are the files of the writer that they are from.  Another one has to
 * have another place for them, or to say that this is the place.
 */
static int
check_moved(const struct unit *u, struct err *e)
{
	bool home = u->extras > 0;
	size_t i;

	if (!u->moved || u->verdict != VERDICT_HOME ||
	    u->target == TARGET_ORIGINAL_LOCATION)
		return 0;
	for (i = 0; i < u->document->files.count; i++)
		home |= u->places.set[i].wanted && u->places.set[i].to == NULL;
	return !home ? 0
		     : err_set(e, ERR_USAGE,
			       "its files would go to where %s has them: give "
			       "each directory a --new-target, or %s has to "
			       "say a restore-target",
			       u->pick->writer, u->taker);
}

/* Look, and decide for all files of the component. */
static int
decide(const struct pass *p, struct unit *u, struct err *e)
{
	struct method_facts facts;
	struct delivery d;
	struct buf memory = { 0 };
	int rc;

	rc = asked_add_ranged(p, u, e);
	if (rc == 0)
		rc = places_facts(&u->places, &facts, &memory, e);
	if (rc == 0)
		rc = method_decide(method_of(u), target_of(u), &facts,
				   &u->verdict, e);
	if (rc == 0)
		rc = check_moved(u, e);
	if (rc == 0)
		rc = asked_place_ranged(u, e);
	if (rc == 0) {
		d = delivery_of(p, u);
		rc = deliver_check(&d, e);
	}
	if (rc == 0)
		tell_verdict(p, u, &facts);
	buf_clear(&memory);
	return rc;
}

/*
 * Of what is changed behind the writer's back, nothing is known any more.  Said
 * first: whoever is killed while he writes says nothing afterwards.
 */
static int
leave_gap(const struct pass *p, const struct unit *u, struct err *e)
{
	const char *component = u->pick->component;
	char why[64];

	(void)snprintf(why, sizeof(why), "restored from generation %u",
		       (unsigned)p->scene.gen->number);
	if (u->moved && client_find(p->client, u->pick->writer) != NULL &&
	    client_gap(p->client, u->pick->writer, component, why, e) < 0)
		return -1;
	return client_gap(p->client, u->taker, component, why, e);
}

static int
write_unit(const struct pass *p, struct unit *u, struct err *e)
{
	struct delivery d = delivery_of(p, u);
	int rc;

	if (leave_gap(p, u, e) < 0)
		return -1;
	rc = deliver(&d, e);
	u->touched = d.touched;
	p->out->files += d.files;
	p->out->bytes += d.bytes;
	p->out->damaged += d.damaged;
	if (rc == 0 && d.failures > 0)
		rc = err_set(e, ERR_SYS, "%" PRIu64 " of its files failed",
			     d.failures);
	return rc;
}

static int
restore_unit(const struct pass *p, struct unit *u, struct err *e)
{
	int rc = guise_on(u->owner, e);

	if (rc < 0)
		return -1;
	rc = decide(p, u, e);
	if (rc == 0 && !p->o->dry_run)
		rc = write_unit(p, u, e);
	guise_off();
	u->done = rc == 0;
	return rc;
}

/* Without its service, for as long as it takes. */
static int
restore_writer(struct pass *p, size_t first, struct err *e)
{
	const char *name = p->unit[first].taker;
	struct unit *u;
	struct err why = { 0 };
	size_t i;
	int rc = 0;

	for (i = first; rc == 0 && i < p->units; i++) {
		u = &p->unit[i];
		if (u->failed || strcmp(u->taker, name) != 0)
			continue;
		rc = check_cancel(p, e);
		if (rc < 0 || restore_unit(p, u, &why) == 0)
			continue;
		rc = unit_fail(p, u, &why, e);
	}
	return rc;
}

/* All that the first unit's writer gets, with its service stopped if need be. */
static int
restore_stopped(struct pass *p, size_t first, struct err *e)
{
	const struct unit *u = &p->unit[first];
	enum metadata_method m = u->document->method;
	struct service_stopped stopped;
	struct err why = { 0 };
	int rc;

	if (!method_stops_before(m) && !method_restarts_after(m))
		return restore_writer(p, first, e);
	/* One that is to stop afterwards has to be there before, too. */
	if (service_check(u->service, u->services, &why) < 0) {
		pass_fail_writer(p, u->taker, &why);
		return 0;
	}
	if (p->o->dry_run || !method_stops_before(m))
		return restore_writer(p, first, e);
	if (service_stop(u->service, u->services, p->o->cancel, &stopped,
			 &why) < 0) {
		pass_fail_writer(p, u->taker, &why);
		return 0;
	}
	rc = restore_writer(p, first, e);
	if (service_start(&stopped, &why) < 0)
		pass_fail_writer(p, u->taker, &why);
	return rc;
}

int
putback_all(struct pass *p, struct err *e)
{
	bool *first;
	size_t i;
	int rc = 0;

	if (pass_firsts(p, &first, e) < 0)
		return -1;
	for (i = 0; rc == 0 && i < p->units; i++)
		if (first[i])
			rc = restore_stopped(p, i, e);
	mem_free(first);
	return rc;
}

void
putback_restart(struct pass *p)
{
	size_t i;

	for (i = 0; i < p->units; i++) {
		const struct unit *u = &p->unit[i];
		struct service_stopped stopped;
		struct err why = { 0 };

		if (method_restarts_after(u->document->method) &&
		    pass_is_first(p, i) &&
		    (service_stop(u->service, u->services, p->o->cancel,
				  &stopped, &why) < 0 ||
		     service_start(&stopped, &why) < 0))
			pass_fail_writer(p, u->taker, &why);
	}
}
