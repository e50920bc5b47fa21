/*
 * pass.c
 *
 * Who is there, what do they want, decide, write, tell.  Whoever was told of the
 * beginning is told of the end, however it went.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/pass.h"

#include "base/buf.h"
#include "base/mem.h"
#include "src/engine/view.h"
#include "src/requester/restore_words.h"

#include <string.h>

bool
pass_is_first(const struct pass *p, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (!p->unit[k].failed && strcmp(p->unit[k].taker, p->unit[i].taker) == 0)
			return false;
	return !p->unit[i].failed;
}

int
pass_firsts(const struct pass *p, bool **out, struct err *e)
{
	bool *first = mem_array(p->units + 1, sizeof(*first));
	size_t i;

	if (first == NULL)
		return err_nomem(e);
	for (i = 0; i < p->units; i++)
		first[i] = pass_is_first(p, i);
	*out = first;
	return 0;
}

void
pass_fail_writer(struct pass *p, const char *name, const struct err *why)
{
	size_t i;

	for (i = 0; i < p->units; i++) {
		struct err copy = *why;

		if (!p->unit[i].failed &&
		    strcmp(p->unit[i].taker, name) == 0)
			unit_give_up(p, &p->unit[i], &copy);
	}
}

/* --- telling the writers ---------------------------------------------------- */

/* What became of it, and a second word if it is not where it was. */
static const char *
status_of(const struct unit *u)
{
	bool alternate = u->verdict == VERDICT_ALTERNATE;

	if (u->verdict == VERDICT_STAGED && u->done)
		return "none staged"; /* where it belongs nothing has changed */
	if (u->done)
		return alternate ? "all alternate" : "all";
	if (!u->touched)
		return "none";
	return alternate ? "failed alternate" : "failed";
}

static int
tell_outcomes(struct pass *p, struct err *e)
{
	struct round_outcome *v = mem_array(p->units + 1, sizeof(*v));
	size_t n = 0;
	size_t i;
	int rc;

	if (v == NULL)
		return err_nomem(e);
	for (i = 0; i < p->units; i++) {
		const struct unit *u = &p->unit[i];

		if (!u->registered || !u->told)
			continue;
		v[n].writer = u->taker;
		v[n].component = u->pick->component;
		v[n].succeeded = u->done;
		v[n].restore = status_of(u);
		v[n].metadata = u->metadata;
		n++;
	}
	rc = client_complete(p->client, p->scene.gen->record.id,
			     p->scene.gen->number, v, n, e);
	mem_free(v);
	return rc;
}

/* --- the phases ------------------------------------------------------------- */

static int
announce(struct pass *p, struct unit *u, struct err *e)
{
	const struct dossier_component *c = u->component;
	const struct restore_words words = {
		.pick = u->pick,
		.component = c,
		.options = p->o,
		.generation = p->scene.gen->number,
		.more = !u->last || p->o->additional,
		.moved = u->moved,
	};
	struct round_component k = {
		.writer = u->taker,
		.component = u->pick->component,
		.type = c->effective,
		.base_id = p->scene.gen->record.id,
		.base_number = p->scene.gen->number,
		.previous_stamp = c->stamp,
		.previous_len = c->stamp_len,
	};
	struct buf text = { 0 };
	int rc;

	restore_words(&words, &text);
	k.restore = buf_str(&text);
	rc = buf_ok(&text, e);
	if (rc == 0)
		rc = client_component(p->client, &k, e);
	buf_clear(&text);
	return rc;
}

static int
begin(struct pass *p, struct err *e)
{
	const struct record *rec = &p->scene.gen->record;
	const struct round_begin b = {
		.kind = ROUND_RESTORE,
		.type = p->scene.dossier.type,
		.set = rec->set,
	};
	bool live;

	if (client_open(p->o->repository, rec->repository_id, p->o->cancel,
			&p->client, &live, e) < 0 ||
	    client_begin(p->client, &b, e) < 0)
		return -1;
	return client_identify(p->client, e);
}

static int
prepare(struct pass *p, struct err *e)
{
	size_t i;

	for (i = 0; i < p->units; i++)
		if (!p->unit[i].failed && p->unit[i].told &&
		    announce(p, &p->unit[i], e) < 0)
			return -1;
	if (client_prepare(p->client, e) < 0)
		return -1;
	for (i = 0; i < p->units; i++)
		if (!p->unit[i].failed)
			unit_judge(p, &p->unit[i]);
	return asked_listen(p, e);
}

static int
run_phases(struct pass *p, struct err *e)
{
	struct err why = { 0 };
	size_t i;
	int rc;

	if (begin(p, e) < 0)
		return -1;
	for (i = 0; i < p->units; i++) {
		if (unit_learn(p, &p->unit[i], e) < 0)
			return -1;
		unit_judge(p, &p->unit[i]);
	}
	if (p->o->dry_run)
		return putback_all(p, e);
	if (prepare(p, e) < 0)
		return -1;
	rc = putback_all(p, &why);
	/* However it went, who was told of the beginning is told of the end. */
	if (tell_outcomes(p, &why) < 0)
		rc = -1;
	for (i = 0; rc == 0 && i < p->units; i++)
		unit_judge_end(p, &p->unit[i]);
	putback_restart(p);
	if (rc < 0)
		err_move(e, &why);
	return rc;
}

/* Images build on each other: behind one that failed comes none. */
static void
note_failed(const struct pass *p, const struct unit *u)
{
	p->out->failed++;
	u->pick->failed = true;
	if (!u->last)
		unit_tell(p, u, "nor is what later generations have of it");
}

static void
count(const struct pass *p)
{
	const struct unit *u;
	size_t i;

	for (i = 0; i < p->units; i++) {
		u = &p->unit[i];
		p->out->components++;
		if (u->done)
			u->pick->went = u->verdict;
		if (u->failed)
			note_failed(p, u);
		else if (p->o->dry_run)
			continue;
		else if (u->verdict == VERDICT_STAGED)
			p->out->staged++;
		else
			p->out->restored++;
	}
}

int
pass_run(struct pass *p, struct err *e)
{
	int rc = run_phases(p, e);

	if (rc == 0)
		count(p);
	return rc;
}
