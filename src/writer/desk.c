/*
 * A party is made for every registration that is not dormant and stays until it
 * is taken away.  Registrations lie in one array, which moves when one comes or
 * goes: the parties' pointers into it are set anew then.
 *
 * A journal or a log that cannot be opened does not stop the others: that writer
 * has none, its statements are refused, and a backup finds no journal to
 * compare with and reads whole.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/party.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sorted.h"
#include "src/writer/desk_internal.h"
#include "src/writer/metadata.h"
#include "src/writer/partylog.h"
#include "src/writer/pen.h"
#include "src/writer/refuse.h"
#include "src/writer/value.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOCK_NAME "lock"

/* How often one owner's writers may be taken away before a new start. */
#define FORMERS_MAX 4096

#define SHOWN(name) path_show_in((char[PATH_SHOW_LEN]){ 0 }, name, strlen(name))

/* --- one party -------------------------------------------------------------- */

/* All but the memory of the party itself. */
static void
release_party(struct party *p)
{
	metadata_free(p->document);
	p->document = NULL;
	buf_clear(&p->document_text);
	journal_abandon(p->journal);
	p->journal = NULL;
	(void)io_close(p->journalfd, "journal", NULL);
	p->journalfd = -1;
	mailbox_clear(&p->mailbox);
	partylog_close(p);
}

static void
free_party(struct party *p)
{
	if (p == NULL)
		return;
	release_party(p);
	if (p->removed && p->registration != NULL) {
		registration_clear(p->registration);
		mem_free(p->registration);
	}
	mem_free(p->name);
	mem_free(p);
}

/* The document that was kept, unless it does not hold any more. */
static void
load_document(struct party *p, int dirfd)
{
	struct buf text = { 0 };
	struct metadata *m = NULL;
	struct err e = { 0 };
	int rc;

	rc = io_read_file(dirfd, DESK_DOCUMENT, METADATA_LEN_MAX, &text, &e);
	if (rc == 0)
		rc = metadata_parse(&m, text.data, text.len, &e);
	if (rc == 0)
		rc = desk_judge_document(p, m, &e);
	if (rc == 0) {
		p->document = m;
		p->document_text = text;
		return;
	}
	metadata_free(m);
	buf_clear(&text);
	if (rc > 0)
		return;
	party_log(p, "the document that was kept is left out: %s", e.text);
	party_gap(p, NULL, NULL, "the writer's document was lost");
}

static struct party *
make_party(struct desk *d, struct registration *r, struct err *e)
{
	struct party *p = mem_zalloc(sizeof(*p));
	struct err why = { 0 };
	int dir = -1;

	if (p == NULL || (p->name = mem_strdup(r->name)) == NULL) {
		mem_free(p);
		(void)err_nomem(e);
		return NULL;
	}
	p->desk = d;
	p->registration = r;
	p->journalfd = -1;
	p->logfd = -1;
	dir = registry_dir(&d->registry, p->name, e);
	if (dir < 0) {
		free_party(p);
		return NULL;
	}
	/* A log is for people: without one everything else goes on. */
	(void)partylog_open(p, dir, &why);
	pen_open(p);
	load_document(p, dir);
	(void)io_close(dir, p->name, NULL);
	return p;
}

/* --- all of them ------------------------------------------------------------ */

static int
cmp_name(const void *name, const void *party)
{
	struct party *const *p = party;

	return strcmp(name, (*p)->name);
}

/* The place of the name, or where it would be. */
static size_t
place_of(const struct desk *d, const char *name, bool *found)
{
	return sorted_place(name, d->party, d->parties, sizeof(struct party *),
			    cmp_name, found);
}

struct party *
desk_find(struct desk *d, const char *name)
{
	bool found;
	size_t i = place_of(d, name, &found);

	return found ? d->party[i] : NULL;
}

bool
desk_is_writing(const struct desk *d)
{
	size_t i;

	for (i = 0; i < d->parties; i++)
		if (d->party[i]->pen_served != d->party[i]->pen_drawn)
			return true;
	return false;
}

/* The registry has moved. */
static void
relink(struct desk *d)
{
	size_t i;

	for (i = 0; i < d->parties; i++)
		d->party[i]->registration =
			registry_find(&d->registry, d->party[i]->name);
}

/* Room for one more, so that to come in cannot fail. */
static int
reserve(struct desk *d, struct err *e)
{
	struct party **v =
		mem_resize(d->party, d->parties + 1, sizeof(struct party *));

	if (v == NULL)
		return err_nomem(e);
	d->party = v;
	return 0;
}

static void
enter(struct desk *d, struct party *p)
{
	bool found;
	size_t i = place_of(d, p->name, &found);

	memmove(&d->party[i + 1], &d->party[i],
		(d->parties - i) * sizeof(struct party *));
	d->party[i] = p;
	d->parties++;
}

static void
take_out(struct desk *d, struct party *p)
{
	bool found;
	size_t i = place_of(d, p->name, &found);

	d->parties--;
	memmove(&d->party[i], &d->party[i + 1],
		(d->parties - i) * sizeof(struct party *));
}

void
desk_changed(struct desk *d, struct party *p)
{
	(void)pthread_cond_broadcast(&d->changed);
	if (d->wake != NULL && p != NULL)
		d->wake(d->wake_ctx, p);
}

static int
make_lock(struct desk *d, struct err *e)
{
	pthread_condattr_t attr;
	int rc;

	if (pthread_mutex_init(&d->lock, NULL) != 0)
		return err_nomem(e);
	if (pthread_condattr_init(&attr) != 0) {
		(void)pthread_mutex_destroy(&d->lock);
		return err_nomem(e);
	}
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	rc = pthread_cond_init(&d->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (rc == 0)
		return 0;
	(void)pthread_mutex_destroy(&d->lock);
	return err_nomem(e);
}

/* Nobody else has this state. */
static int
take_lock(struct desk *d, struct err *e)
{
	int rc;

	d->lockfd =
		io_open(d->statefd, LOCK_NAME, O_RDWR | O_CREAT, 0600, NULL, e);
	if (d->lockfd < 0)
		return -1;
	rc = io_lock(d->lockfd, true, LOCK_NAME, e);
	if (rc > 0)
		return err_set(e, ERR_BUSY,
			       "repository %s: another process serves its "
			       "writers",
			       SHOWN(d->repository));
	return rc;
}

static int
make_parties(struct desk *d, struct err *e)
{
	struct party *p;
	size_t i;

	for (i = 0; i < d->registry.count; i++) {
		if (d->registry.v[i].dormant)
			continue;
		if (reserve(d, e) < 0)
			return -1;
		p = make_party(d, &d->registry.v[i], e);
		if (p == NULL)
			return err_prefix(e, "writer %s",
					  d->registry.v[i].name);
		enter(d, p);
	}
	return 0;
}

/* Free it; journals that are still open have not come to a clean stop. */
static void
free_desk(struct desk *d)
{
	size_t i;

	for (i = 0; i < d->parties; i++)
		free_party(d->party[i]);
	for (i = 0; i < d->formers; i++)
		free_party(d->former[i]);
	mem_free(d->party);
	mem_free(d->former);
	registry_clear(&d->registry);
	(void)io_close(d->lockfd, LOCK_NAME, NULL);
	(void)io_close(d->statefd, "state", NULL);
	(void)pthread_cond_destroy(&d->changed);
	(void)pthread_mutex_destroy(&d->lock);
	mem_free(d->name);
	mem_free(d->repository);
	mem_free(d);
}

int
desk_open(const char *repository, const uint8_t repository_id[16],
	  struct desk **out, struct err *e)
{
	struct desk *d = mem_zalloc(sizeof(*d));
	struct buf name = { 0 };
	int rc = -1;

	if (d == NULL)
		return err_nomem(e);
	d->statefd = -1;
	d->lockfd = -1;
	d->registry.dirfd = -1;
	d->uid = geteuid();
	d->journal_quota = PARTY_JOURNAL_QUOTA;
	d->root = d->uid == 0;
	memcpy(d->repository_id, repository_id, sizeof(d->repository_id));
	if (make_lock(d, e) < 0) {
		mem_free(d);
		return -1;
	}
	registry_name(repository, repository_id, &name);
	d->name = mem_strdup(buf_str(&name));
	d->repository = mem_strdup(repository);
	if (buf_ok(&name, e) < 0)
		goto out;
	if (d->name == NULL || d->repository == NULL) {
		(void)err_nomem(e);
		goto out;
	}
	d->statefd = registry_open_state(repository, repository_id, e);
	if (d->statefd < 0 || take_lock(d, e) < 0 ||
	    registry_load(d->statefd, &d->registry, e) < 0)
		goto out;
	(void)pthread_mutex_lock(&d->lock);
	rc = make_parties(d, e);
	(void)pthread_mutex_unlock(&d->lock);
out:
	buf_clear(&name);
	if (rc < 0)
		free_desk(d);
	else
		*out = d;
	return rc;
}

void
desk_close(struct desk *d)
{
	size_t i;

	if (d == NULL)
		return;
	(void)pthread_mutex_lock(&d->lock);
	for (i = 0; i < d->parties; i++)
		pen_close(d->party[i]);
	(void)pthread_mutex_unlock(&d->lock);
	free_desk(d);
}

void
party_begin_busy(struct party *p)
{
	p->busy++;
}

void
party_end_busy(struct party *p)
{
	if (--p->busy == 0 && p->removed)
		(void)pthread_cond_broadcast(&p->desk->changed);
}

/* --- coming and going ------------------------------------------------------- */

/* Does this user run the desk, or is he root? */
static bool
is_master(const struct desk *d, uid_t caller)
{
	return caller == 0 || (!d->root && caller == d->uid);
}

bool
party_may(const struct party *p, uid_t caller)
{
	if (!registry_uid_ok(caller) || p->removed)
		return false;
	return caller == 0 || caller == p->registration->owner;
}

/* Other grants, other services for a writer that is there. */
static int
change(struct party *p, const struct registration *what, struct err *e)
{
	struct registration next = *what;
	struct err why = { 0 };

	if (p->session != NULL)
		return refuse_set(e, EBUSY, "writer %s takes part in a session",
				  SHOWN(p->name));
	next.timeouts = p->registration->timeouts;
	next.dormant = false;
	if (registry_save(&p->desk->registry, &next, e) < 0)
		return -1;
	party_log(p, "what it may name, or its services, changed");
	if (p->document != NULL &&
	    desk_judge_document(p, p->document, &why) < 0) {
		party_log(p, "its document is not granted any more: %s",
			  why.text);
		metadata_free(p->document);
		p->document = NULL;
		buf_clear(&p->document_text);
		party_gap(p, NULL, NULL, "what the writer may name changed");
	}
	desk_changed(p->desk, p);
	return 0;
}

/* May this caller register that? */
static int
judge_caller(struct desk *d, uid_t caller, const struct registration *what,
	     const struct registration *old, struct err *e)
{
	size_t former = 0;
	size_t i;

	if (!registry_uid_ok(caller) || !registry_uid_ok(what->owner))
		return refuse_set(e, EPERM, "a user without a number here");
	if (!d->root && what->owner != d->uid)
		return refuse_set(e, EPERM, "here are writers of user %u only",
				  (unsigned)d->uid);
	if (is_master(d, caller))
		return 0;
	if (old == NULL || !old->dormant || old->owner != caller ||
	    what->owner != caller || what->grants > 0 || what->services > 0)
		return refuse_set(e, EPERM,
				  "writer %s: to be registered by user %u "
				  "first",
				  SHOWN(what->name), (unsigned)d->uid);
	for (i = 0; i < d->formers; i++)
		former += d->former[i]->registration->owner == caller;
	if (former >= FORMERS_MAX)
		return refuse_set(e, EDQUOT,
				  "registered and taken away too often");
	return 0;
}

/* Into the registry: a new one, or one that its owner had taken away. */
static int
admit(struct desk *d, uid_t caller, const struct registration *what,
      struct registration *old, struct err *e)
{
	struct registration again = { 0 };
	int rc;

	if (old == NULL)
		return registry_add(&d->registry, what, e);
	/* Also when that was cut short the last time. */
	if (registry_sweep(&d->registry, what->name, e) < 0)
		return -1;
	if (registration_copy(&again, is_master(d, caller) ? what : old, e) < 0)
		return -1;
	again.dormant = false;
	rc = registry_save(&d->registry, &again, e);
	registration_clear(&again);
	return rc;
}

/* Is what was kept of a writer of this name still being removed? */
static bool
is_leaving(const struct desk *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->formers; i++)
		if (d->former[i]->leaving &&
		    strcmp(d->former[i]->name, name) == 0)
			return true;
	return false;
}

int
desk_register(struct desk *d, uid_t caller, const struct registration *what,
	      struct party **out, struct err *e)
{
	struct registration *old = registry_find(&d->registry, what->name);
	struct party *p = desk_find(d, what->name);
	const char *fault = value_writer_fault(what->name);
	const bool back = old != NULL;

	if (fault != NULL)
		return refuse_set(e, EINVAL, "%s: %s", SHOWN(what->name),
				  fault);
	if (p != NULL && is_master(d, caller) &&
	    what->owner == p->registration->owner &&
	    what->grants + what->services > 0) {
		*out = p;
		return change(p, what, e);
	}
	if (p != NULL)
		return refuse_set(e, EEXIST, "there is a writer %s",
				  SHOWN(what->name));
	if (judge_caller(d, caller, what, old, e) < 0)
		return -1;
	if (is_leaving(d, what->name))
		return refuse_set(e, EBUSY, "writer %s is being taken away",
				  SHOWN(what->name));
	if (reserve(d, e) < 0)
		return -1;
	if (admit(d, caller, what, old, e) < 0) {
		relink(d);
		return -1;
	}
	relink(d);
	p = make_party(d, registry_find(&d->registry, what->name), e);
	if (p == NULL) {
		if (back)
			(void)registry_retire(&d->registry, what->name, NULL);
		else
			(void)registry_remove(&d->registry, what->name, NULL);
		relink(d);
		return -1;
	}
	enter(d, p);
	party_log(p, "registered by user %u", (unsigned)caller);
	desk_changed(d, p);
	*out = p;
	return 0;
}

/* Among the former ones, where it needs a registration of its own. */
static int
prepare_leaving(struct desk *d, const struct party *p,
		struct registration **copy, struct err *e)
{
	struct party **v = mem_resize(d->former, d->formers + 1,
				      sizeof(struct party *));
	struct registration *r = mem_zalloc(sizeof(*r));

	if (v != NULL)
		d->former = v;
	if (v == NULL || r == NULL ||
	    registration_copy(r, p->registration, e) < 0) {
		mem_free(r);
		return err_nomem(e);
	}
	*copy = r;
	return 0;
}

/* When nobody is at work on it any more, with the lock released. */
static void
remove_files(struct desk *d, struct party *p)
{
	struct err e = { 0 };

	p->leaving = true;
	while (p->busy > 0)
		(void)pthread_cond_wait(&d->changed, &d->lock);
	release_party(p);
	(void)pthread_mutex_unlock(&d->lock);
	/* What stays is swept before anybody has this name again. */
	(void)registry_sweep(&d->registry, p->name, &e);
	(void)pthread_mutex_lock(&d->lock);
	p->leaving = false;
}

int
desk_unregister(struct desk *d, uid_t caller, struct party *p, struct err *e)
{
	struct registration *copy = NULL;
	int rc;

	if (p->removed)
		return refuse_set(e, ENOENT, "no writer %s", SHOWN(p->name));
	if (!party_may(p, caller) && !is_master(d, caller))
		return refuse_set(e, EPERM, "writer %s is another user's",
				  SHOWN(p->name));
	if (p->session != NULL)
		return refuse_set(e, EBUSY, "writer %s takes part in a session",
				  SHOWN(p->name));
	if (prepare_leaving(d, p, &copy, e) < 0)
		return -1;
	rc = is_master(d, caller) ? registry_remove(&d->registry, p->name, e)
				  : registry_retire(&d->registry, p->name, e);
	if (rc < 0 && registry_find(&d->registry, p->name) != NULL) {
		registration_clear(copy);
		mem_free(copy);
		return -1;
	}
	p->removed = true;
	p->registration = copy;
	d->former[d->formers++] = p;
	take_out(d, p);
	relink(d);
	mailbox_gone(&p->mailbox);
	desk_changed(d, p);
	remove_files(d, p);
	return rc;
}
