/*
 * versions.c
 *
 * A node is in the table while the kernel knows it, a request holds it, or
 * another node is beneath it; so the way from any node to the top is always
 * there.  What is computed for it belongs to one version of the list of
 * generations; with another list it is computed anew when it is asked for,
 * from the parent's, up to the top, whose history the list has.
 *
 * Nodes without children are leaves, and those alone can go.  They are in
 * one of two queues by last use: `leaves`, and `asked`, which the kernel was
 * asked to forget.  What the kernel forgets is freed at once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/versions.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/time.h"
#include "fuse/attr.h"
#include "fuse/history.h"
#include "fuse/inode.h"
#include "fuse/reply.h"
#include "fuse/report.h"
#include "fuse/stored.h"
#include "src/engine/view.h"
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BUCKETS 4096 /* a power of two */

/* A path of more parts is longer than a symlink's target can be. */
#define DEPTH_MAX (PATH_MAX / 2)

/* Names of one directory may have this part of what may be computed. */
#define NAMES_SHARE 2

/* The kernel has this many times the room to forget what it was asked to. */
#define PATIENCE 4

#define MODE_ALL   0555
#define MODE_OWNER 0500

enum queue_kind {
	IN_NONE,
	IN_LEAVES,
	IN_ASKED
};

struct vnode {
	uint64_t id;  /* for the kernel, never given twice */
	uint64_t ino; /* for people, a hash of the path */
	struct vnode *parent;
	unsigned depth;  /* of versions/ itself: 0 */
	uint32_t number; /* a link into this generation; 0: a directory */

	/* The table's lock guards all below but the name. */
	uint64_t lookups; /* of the kernel, not yet forgotten */
	unsigned refs;    /* requests that hold it */
	unsigned children;
	enum queue_kind queue;
	struct vnode *older, *newer; /* in the queue */
	struct vnode *next_by_id, *next_by_name;

	struct history *history;        /* or NULL */
	struct history_names *names;    /* or NULL */
	struct ts computed;             /* the list's version for these two */
	struct vnode *staler, *fresher; /* by use, of those that have any */

	size_t name_len; /* as in the generations; of a link 0 */
	char name[];
};

struct queue {
	struct vnode *oldest, *newest;
};

struct versions {
	struct chunk_reader *reader;
	size_t limit;
	uint64_t generation; /* for handles: of this mount, not another */

	pthread_mutex_t lock; /* guards all below */
	struct vnode *top;
	uint64_t last_id;
	size_t len;       /* memory of all nodes */
	size_t asked_len; /* of those in the queue `asked` */
	struct queue leaves, asked;
	struct vnode *by_id[BUCKETS], *by_name[BUCKETS];
	size_t computed_len;
	struct vnode *stalest, *freshest;
	void (*on_crowd)(void *ctx);
	void *on_crowd_ctx;
};

/* --- names ---------------------------------------------------------------- */

/* "NAME", or "@@NAME" when that begins with "@". */
static const char *
show_name(char out[VERSIONS_NAME_LEN], const void *name, size_t len)
{
	size_t at = 0;

	if (len > 0 && *(const char *)name == '@')
		out[at++] = '@';
	memcpy(out + at, name, len);
	out[at + len] = '\0';
	return out;
}

static const char *
show_number(char out[VERSIONS_NAME_LEN], uint32_t number)
{
	(void)snprintf(out, VERSIONS_NAME_LEN, "@%" PRIu32, number);
	return out;
}

static const char *
show_node(char out[VERSIONS_NAME_LEN], const struct vnode *n)
{
	if (n->number != 0)
		return show_number(out, n->number);
	return show_name(out, n->name, n->name_len);
}

/* A version's number as it is written here, or 0. */
static uint32_t
parse_number(const char *s)
{
	uint32_t n = 0;

	if (*s == '0')
		return 0;
	for (; *s >= '0' && *s <= '9' && n <= RECORD_NUMBER_MAX; s++)
		n = n * 10 + (uint32_t)(*s - '0');
	return *s == '\0' && n <= RECORD_NUMBER_MAX ? n : 0;
}

/* The number shown for a name in a directory. */
static uint64_t
shown_ino(uint64_t dir, const char *shown)
{
	uint8_t text[sizeof(dir) + VERSIONS_NAME_LEN];
	size_t len = strlen(shown);
	uint64_t h;

	memcpy(text, &dir, sizeof(dir));
	memcpy(text + sizeof(dir), shown, len);
	hash_plain(text, sizeof(dir) + len, &h, sizeof(h));
	return ROOT_INO_VERSION | (h & (ROOT_INO_VERSION - 1));
}

/*
 * Append the path in the generations, with a slash before each name; nothing
 * for the top.  The way up needs no lock: a node that is held keeps it.
 */
static int
add_path(const struct vnode *n, struct buf *out, struct err *e)
{
	const struct vnode *up;
	size_t end = out->len;
	size_t len = 0;

	for (up = n; up->parent != NULL; up = up->parent)
		len += up->number == 0 ? up->name_len + 1 : 0;
	if (len == 0)
		return 0;
	if (buf_extend(out, len) == NULL)
		return err_nomem(e);
	end += len;
	for (up = n; up->parent != NULL; up = up->parent) {
		if (up->number != 0)
			continue;
		end -= up->name_len;
		memcpy(out->data + end, up->name, up->name_len);
		out->data[--end] = '/';
	}
	return 0;
}

/* As reply_errno. */
static int
error_of(const struct fs *fs, const struct vnode *n, struct err *why)
{
	struct buf path = { 0 };
	char shown[PATH_SHOW_LEN] = "";

	if (add_path(n, &path, NULL) == 0 && path.len > 0)
		(void)path_show_in(shown, path.data, path.len);
	(void)err_prefix(why, "versions%s", shown);
	buf_clear(&path);
	return reply_errno(fs, n->ino, why);
}

static void
reply_error(fuse_req_t req, const struct vnode *n, struct err *why)
{
	(void)fuse_reply_err(req, error_of(fuse_req_userdata(req), n, why));
}

/* --- queues; all with the lock held ----------------------------------------- */

static size_t
size_of(const struct vnode *n)
{
	return sizeof(*n) + n->name_len + 1;
}

static struct queue *
queue_of(struct versions *v, enum queue_kind kind)
{
	return kind == IN_ASKED ? &v->asked : &v->leaves;
}

static void
leave_queue(struct versions *v, struct vnode *n)
{
	struct queue *q = queue_of(v, n->queue);

	if (n->queue == IN_NONE)
		return;
	*(n->newer != NULL ? &n->newer->older : &q->newest) = n->older;
	*(n->older != NULL ? &n->older->newer : &q->oldest) = n->newer;
	if (n->queue == IN_ASKED)
		v->asked_len -= size_of(n);
	n->queue = IN_NONE;
}

/* As the one used last. */
static void
enter_queue(struct versions *v, struct vnode *n, enum queue_kind kind)
{
	struct queue *q = queue_of(v, kind);

	n->queue = kind;
	n->newer = NULL;
	n->older = q->newest;
	*(q->newest != NULL ? &q->newest->newer : &q->oldest) = n;
	q->newest = n;
	if (kind == IN_ASKED)
		v->asked_len += size_of(n);
}

/* It is used: the youngest leaf, if it is one. */
static void
touch(struct versions *v, struct vnode *n)
{
	leave_queue(v, n);
	if (n->children == 0 && n->parent != NULL)
		enter_queue(v, n, IN_LEAVES);
}

/* --- what was computed; all with the lock held ------------------------------- */

static size_t
computed_size(const struct vnode *n)
{
	size_t len = 0;

	if (n->history != NULL)
		len += history_size(n->history);
	if (n->names != NULL)
		len += history_names_size(n->names);
	return len;
}

static void
forget_computed(struct versions *v, struct vnode *n)
{
	if (n->history == NULL && n->names == NULL)
		return;
	*(n->fresher != NULL ? &n->fresher->staler : &v->freshest) = n->staler;
	*(n->staler != NULL ? &n->staler->fresher : &v->stalest) = n->fresher;
	v->computed_len -= computed_size(n);
	history_unref(n->history);
	history_names_unref(n->names);
	n->history = NULL;
	n->names = NULL;
}

/* Takes both references; either may be NULL. */
static void
keep_computed(struct versions *v, struct vnode *n, struct history *h,
	      struct history_names *names, struct ts version)
{
	forget_computed(v, n);
	if (h == NULL && names == NULL)
		return;
	n->history = h;
	n->names = names;
	n->computed = version;
	n->fresher = NULL;
	n->staler = v->freshest;
	*(v->freshest != NULL ? &v->freshest->fresher : &v->stalest) = n;
	v->freshest = n;
	v->computed_len += computed_size(n);
	while (v->computed_len > v->limit && v->stalest != n)
		forget_computed(v, v->stalest);
	if (v->computed_len > v->limit)
		forget_computed(v, n);
}

/* References to what there is for this list; NULL where there is nothing. */
static void
find_computed(struct versions *v, struct vnode *n, struct ts version,
	      struct history **h, struct history_names **names)
{
	*h = NULL;
	*names = NULL;
	if (ts_cmp(n->computed, version) != 0)
		return;
	if (n->history != NULL)
		*h = history_ref(n->history);
	if (n->names != NULL)
		*names = history_names_ref(n->names);
	if (n->history == NULL && n->names == NULL)
		return;
	/* To the front. */
	*(n->fresher != NULL ? &n->fresher->staler : &v->freshest) = n->staler;
	*(n->staler != NULL ? &n->staler->fresher : &v->stalest) = n->fresher;
	n->fresher = NULL;
	n->staler = v->freshest;
	*(v->freshest != NULL ? &v->freshest->fresher : &v->stalest) = n;
	v->freshest = n;
}

/* --- the table; all with the lock held ----------------------------------------- */

static struct vnode **
bucket_by_id(struct versions *v, uint64_t id)
{
	return &v->by_id[id & (BUCKETS - 1)];
}

/* The number shown is a hash of the path. */
static struct vnode **
bucket_by_name(struct versions *v, uint64_t ino)
{
	return &v->by_name[ino & (BUCKETS - 1)];
}

static struct vnode *
find_by_id(struct versions *v, uint64_t id)
{
	struct vnode *n = *bucket_by_id(v, id);

	while (n != NULL && n->id != id)
		n = n->next_by_id;
	return n;
}

static struct vnode *
find_by_name(struct versions *v, const struct vnode *parent, uint64_t ino,
	     uint32_t number, const void *name, size_t len)
{
	struct vnode *n = *bucket_by_name(v, ino);

	for (; n != NULL; n = n->next_by_name)
		if (n->parent == parent && n->number == number &&
		    n->name_len == len && memcmp(n->name, name, len) == 0)
			return n;
	return NULL;
}

static void
take_out(struct versions *v, struct vnode *n)
{
	struct vnode **p = bucket_by_id(v, n->id);

	while (*p != n)
		p = &(*p)->next_by_id;
	*p = n->next_by_id;
	p = bucket_by_name(v, n->ino);
	while (*p != n)
		p = &(*p)->next_by_name;
	*p = n->next_by_name;
	leave_queue(v, n);
	forget_computed(v, n);
	v->len -= size_of(n);
}

/* Free it, and those above that were only there for it. */
static void
free_unused(struct versions *v, struct vnode *n)
{
	while (n->parent != NULL && n->lookups == 0 && n->refs == 0 &&
	       n->children == 0) {
		struct vnode *up = n->parent;

		take_out(v, n);
		mem_free(n);
		up->children--;
		n = up;
		if (n->children == 0)
			touch(v, n);
	}
}

static void
unref(struct versions *v, struct vnode *n)
{
	n->refs--;
	free_unused(v, n);
}

/* Too full even so: the oldest go, whatever the kernel thinks. */
static void
drop_oldest(struct versions *v)
{
	const enum queue_kind order[] = { IN_ASKED, IN_LEAVES };
	size_t i;

	for (i = 0; i < 2; i++) {
		struct vnode *n = queue_of(v, order[i])->oldest;

		while (n != NULL && v->len > v->limit * PATIENCE) {
			struct vnode *newer = n->newer;

			if (n->refs == 0) {
				n->lookups = 0;
				free_unused(v, n);
			}
			n = newer;
		}
	}
}

static bool
is_crowded(const struct versions *v)
{
	return v->len - v->asked_len > v->limit;
}

/* Hold the child; made when it is not there.  NULL: out of memory. */
static struct vnode *
get_child(struct versions *v, struct vnode *parent, uint32_t number,
	  const void *name, size_t len)
{
	char shown[VERSIONS_NAME_LEN];
	struct vnode *n;
	uint64_t ino;

	ino = shown_ino(parent->ino, number != 0 ? show_number(shown, number)
						 : show_name(shown, name, len));
	n = find_by_name(v, parent, ino, number, name, len);
	if (n == NULL) {
		n = mem_zalloc(sizeof(*n) + len + 1);
		if (n == NULL)
			return NULL;
		n->id = ROOT_INO_VERSION | ++v->last_id;
		n->ino = ino;
		n->parent = parent;
		n->depth = parent->depth + 1;
		n->number = number;
		n->name_len = len;
		memcpy(n->name, name, len);
		n->next_by_id = *bucket_by_id(v, n->id);
		*bucket_by_id(v, n->id) = n;
		n->next_by_name = *bucket_by_name(v, ino);
		*bucket_by_name(v, ino) = n;
		v->len += size_of(n);
		parent->children++;
		touch(v, parent);
	}
	n->refs++;
	touch(v, n);
	return n;
}

/* --- the table, from outside ------------------------------------------------ */

int
versions_new(struct store *st, size_t limit, struct versions **out,
	     struct err *e)
{
	struct versions *v = mem_zalloc(sizeof(*v));
	struct vnode *top = mem_zalloc(sizeof(*top) + 1);

	if (v == NULL || top == NULL) {
		mem_free(v);
		mem_free(top);
		return err_nomem(e);
	}
	v->reader = store_reader(st);
	v->limit = limit;
	v->generation = time_monotonic_ns() | 1;
	v->top = top;
	top->id = ROOT_INO_VERSIONS;
	top->ino = ROOT_INO_VERSIONS;
	top->lookups = 1; /* it stays */
	*bucket_by_id(v, top->id) = top;
	(void)pthread_mutex_init(&v->lock, NULL);
	*out = v;
	return 0;
}

void
versions_free(struct versions *v)
{
	struct vnode *next;
	struct vnode *n;
	size_t i;

	if (v == NULL)
		return;
	for (i = 0; i < BUCKETS; i++) {
		for (n = v->by_id[i]; n != NULL; n = next) {
			next = n->next_by_id;
			history_unref(n->history);
			history_names_unref(n->names);
			mem_free(n);
		}
	}
	(void)pthread_mutex_destroy(&v->lock);
	mem_free(v);
}

void
versions_forget(struct versions *v, uint64_t node, uint64_t count)
{
	struct vnode *n;

	if (node == ROOT_INO_VERSIONS)
		return;
	(void)pthread_mutex_lock(&v->lock);
	n = find_by_id(v, node);
	if (n != NULL) {
		n->lookups -= count < n->lookups ? count : n->lookups;
		free_unused(v, n);
	}
	(void)pthread_mutex_unlock(&v->lock);
}

void
versions_on_crowd(struct versions *v, void (*fn)(void *ctx), void *ctx)
{
	if (v == NULL)
		return;
	(void)pthread_mutex_lock(&v->lock);
	v->on_crowd = fn;
	v->on_crowd_ctx = ctx;
	(void)pthread_mutex_unlock(&v->lock);
}

bool
versions_next_old(struct versions *v, uint64_t *parent,
		  char name[VERSIONS_NAME_LEN])
{
	struct vnode *n = NULL;

	(void)pthread_mutex_lock(&v->lock);
	/* Some more than needed, so as not to be back for each one. */
	if (v->len - v->asked_len > v->limit - v->limit / 4)
		n = v->leaves.oldest;
	if (n != NULL) {
		leave_queue(v, n);
		enter_queue(v, n, IN_ASKED);
		*parent = n->parent->id;
		(void)show_node(name, n);
	}
	(void)pthread_mutex_unlock(&v->lock);
	return n != NULL;
}

int
versions_dirs(struct versions *v, uint64_t **out, size_t *count, struct err *e)
{
	uint64_t *all;
	const struct vnode *n;
	size_t found = 0;
	size_t i;

	(void)pthread_mutex_lock(&v->lock);
	all = mem_array(v->len / sizeof(*n) + 1, sizeof(*all));
	for (i = 0; all != NULL && i < BUCKETS; i++)
		for (n = v->by_id[i]; n != NULL; n = n->next_by_id)
			if (n->number == 0)
				all[found++] = n->id;
	(void)pthread_mutex_unlock(&v->lock);
	if (all == NULL)
		return err_nomem(e);
	*out = all;
	*count = found;
	return 0;
}

/* Hold a node; NULL when there is none. */
static struct vnode *
hold(struct versions *v, uint64_t id)
{
	struct vnode *n;

	(void)pthread_mutex_lock(&v->lock);
	n = find_by_id(v, id);
	if (n != NULL) {
		n->refs++;
		touch(v, n);
	}
	(void)pthread_mutex_unlock(&v->lock);
	return n;
}

static void
release(struct versions *v, struct vnode *n)
{
	(void)pthread_mutex_lock(&v->lock);
	unref(v, n);
	(void)pthread_mutex_unlock(&v->lock);
}

/* --- computing -------------------------------------------------------------- */

/* A history_damage.fn: said with the path, not more often than is good. */
static void
tell_damage(void *ctx, uint32_t number, const struct err *why)
{
	const struct vnode *n = ctx;
	struct buf path = { 0 };
	char shown[PATH_SHOW_LEN] = "/";

	if (!report_has_room())
		return;
	if (add_path(n, &path, NULL) == 0 && path.len > 0)
		(void)path_show_in(shown, path.data, path.len);
	report_line("generation %" PRIu32 ": %s: %s", number, shown, why->text);
	buf_clear(&path);
}

/* Number the chains of the generations; returns how many. */
static uint32_t
number_chains(const struct root_list *l, uint32_t *chain)
{
	uint32_t chains = 0;
	size_t i;
	size_t k;

	for (i = 0; i < l->gens; i++) {
		const struct root_gen *g = &l->gen[i];

		for (k = i; k-- > 0;)
			if (!l->gen[k].damaged && l->gen[k].log == g->log &&
			    memcmp(l->gen[k].set_id, g->set_id,
				   sizeof(g->set_id)) == 0)
				break;
		chain[i] = k < i ? chain[k] : chains++;
	}
	return chains;
}

/* The history of the top directory. */
static int
top_history(const struct root_list *l, struct history **out, struct err *e)
{
	struct history_event *state = mem_array(l->gens + 1, sizeof(*state));
	uint32_t *chain = mem_array(l->gens + 1, sizeof(*chain));
	uint32_t chains;
	size_t n = 0;
	int rc = -1;
	size_t i;

	if (state == NULL || chain == NULL) {
		err_nomem(e);
		goto out;
	}
	chains = number_chains(l, chain);
	for (i = 0; i < l->gens; i++) {
		const struct root_gen *g = &l->gen[i];
		struct history_event *s = &state[n];

		if (g->damaged)
			continue;
		s->number = g->number;
		s->chain = chain[i];
		s->type = ENTRY_DIR;
		s->ordinal = 1;
		s->tree = g->tree;
		memcpy(s->version, g->version, sizeof(s->version));
		n++;
	}
	rc = history_new(state, n, chains, out, e);
out:
	mem_free(chain);
	mem_free(state);
	return rc;
}

/* A reference to the history of the node. */
static int
get_history(struct versions *v, struct vnode *n, const struct root_list *l,
	    struct history **out, struct err *e)
{
	struct history_damage damage = { .fn = tell_damage, .ctx = n->parent };
	struct history_names *names;
	struct history *up = NULL;
	int rc;

	(void)pthread_mutex_lock(&v->lock);
	find_computed(v, n, l->version, out, &names);
	(void)pthread_mutex_unlock(&v->lock);
	history_names_unref(names);
	if (*out != NULL)
		return 0;
	if (n->parent == NULL) {
		rc = top_history(l, out, e);
	} else {
		rc = get_history(v, n->parent, l, &up, e);
		if (rc == 0)
			rc = history_child(up, v->reader, n->name, n->name_len,
					   &damage, out, e);
		history_unref(up);
	}
	if (rc < 0)
		return -1;
	(void)pthread_mutex_lock(&v->lock);
	keep_computed(v, n, history_ref(*out), NULL, l->version);
	(void)pthread_mutex_unlock(&v->lock);
	return 0;
}

/* A reference to the names behind a place in the directory. */
static int
get_names(struct versions *v, struct vnode *n, struct history *h,
	  const struct root_list *l, uint64_t from, struct history_names **out,
	  struct err *e)
{
	struct history_damage damage = { .fn = tell_damage, .ctx = n };
	struct history_names *have;
	struct history *known;

	(void)pthread_mutex_lock(&v->lock);
	find_computed(v, n, l->version, &known, &have);
	(void)pthread_mutex_unlock(&v->lock);
	history_unref(known);
	if (have != NULL && have->from <= from && from < have->to) {
		*out = have;
		return 0;
	}
	history_names_unref(have);
	if (history_names(h, v->reader, from, v->limit / NAMES_SHARE, &damage,
			  out, e) < 0)
		return -1;
	(void)pthread_mutex_lock(&v->lock);
	keep_computed(v, n, history_ref(h), history_names_ref(*out),
		      l->version);
	(void)pthread_mutex_unlock(&v->lock);
	return 0;
}

/* --- attributes ------------------------------------------------------------- */

static void
stat_common(const struct fs *fs, uint64_t ino, struct ts time, struct stat *out)
{
	struct timespec t = { .tv_sec = time.sec, .tv_nsec = time.nsec };

	memset(out, 0, sizeof(*out));
	out->st_ino = ino;
	out->st_nlink = 1; /* of directories: not counted */
	out->st_uid = fs->uid;
	out->st_gid = fs->gid;
	out->st_mtim = t;
	out->st_ctim = t;
	out->st_atim = t;
}

/* The mtime makes the kernel read a listing again. */
static void
stat_dir(const struct fs *fs, const struct root_list *l, uint64_t ino,
	 struct stat *out)
{
	stat_common(fs, ino, l->version, out);
	out->st_mode = S_IFDIR | (fs->allow_other ? MODE_OWNER : MODE_ALL);
	out->st_size = attr_dir_size(0);
}

void
versions_stat_top(const struct fs *fs, const struct root_list *l,
		  struct stat *out)
{
	stat_dir(fs, l, ROOT_INO_VERSIONS, out);
}

/* "../../generations/42/PATH", from the directory that the link is in. */
static int
add_target(const struct vnode *n, struct buf *out, struct err *e)
{
	unsigned i;

	for (i = 0; i < n->depth; i++)
		buf_add_str(out, "../");
	buf_printf(out, "generations/%" PRIu32, n->number);
	if (add_path(n, out, e) < 0)
		return -1;
	return buf_ok(out, e);
}

/* Its times are those of the generation that it leads to. */
static int
stat_link(const struct fs *fs, const struct root_list *l, const struct vnode *n,
	  struct stat *out, struct err *e)
{
	const struct root_gen *g = root_find_gen(l, n->number);
	struct buf target = { 0 };

	if (add_target(n, &target, e) < 0) {
		buf_clear(&target);
		return -1;
	}
	stat_common(fs, n->ino, g != NULL ? g->instant : l->version, out);
	out->st_mode = S_IFLNK | 0777;
	out->st_size = (off_t)target.len;
	buf_clear(&target);
	return 0;
}

static int
stat_node(const struct fs *fs, const struct root_list *l, const struct vnode *n,
	  struct stat *out, struct err *e)
{
	if (n->number != 0)
		return stat_link(fs, l, n, out, e);
	stat_dir(fs, l, n->ino, out);
	return 0;
}

int
versions_attr(struct fs *fs, uint64_t node, struct attr *out)
{
	struct vnode *n = hold(fs->versions, node);
	struct root_list *l;
	struct err e = { 0 };
	int error = 0;

	if (n == NULL)
		return ESTALE;
	l = root_current(fs->root);
	out->timeout = FS_A_MOMENT;
	if (stat_node(fs, l, n, &out->stat, &e) < 0)
		error = error_of(fs, n, &e);
	root_list_unref(l);
	release(fs->versions, n);
	return error;
}

void
versions_readlink(struct fs *fs, fuse_req_t req, uint64_t node)
{
	struct vnode *n = hold(fs->versions, node);
	struct buf target = { 0 };
	struct err e = { 0 };

	if (n == NULL) {
		(void)fuse_reply_err(req, ESTALE);
		return;
	}
	if (n->number == 0)
		(void)fuse_reply_err(req, EINVAL);
	else if (add_target(n, &target, &e) < 0)
		reply_error(req, n, &e);
	else if (target.len >= PATH_MAX)
		(void)fuse_reply_err(req, ENAMETOOLONG);
	else
		(void)fuse_reply_readlink(req, buf_str(&target));
	buf_clear(&target);
	release(fs->versions, n);
}

/* --- names ------------------------------------------------------------------ */

/* The inode number of a version that is no directory; 1 when it is gone. */
static int
find_ino(struct fs *fs, const struct vnode *n, const struct history_event *v,
	 uint64_t *out, struct err *e)
{
	struct buf path = { 0 };
	struct view_gen *g = NULL;
	struct node found;
	int rc;

	*out = (uint64_t)v->number << INO_GENERATION_SHIFT | v->ordinal;
	if (!v->linked)
		return 0;
	if (add_path(n, &path, e) < 0)
		return -1;
	rc = inodes_generation(fs->inodes, v->number, &g, e);
	if (rc == 0)
		rc = view_path(g, buf_str(&path), &found, e);
	if (rc == 0) {
		*out = found.ino;
		node_clear(&found);
	}
	view_unref(g);
	buf_clear(&path);
	return rc;
}

/* What the kernel is to know of such a version; 1 when it is gone. */
static int
fill_file(struct fs *fs, const struct vnode *n, const struct history_event *v,
	  struct fuse_entry_param *out, struct err *e)
{
	uint64_t ino;
	int rc = find_ino(fs, n, v, &ino, e);

	if (rc == 0)
		rc = stored_entry(fs, ino, out, e);
	if (rc == 0)
		out->entry_timeout = FS_A_MOMENT;
	return rc;
}

/* The kernel knows the node by one look-up more, if it gets the answer. */
static void
reply_node(struct fs *fs, fuse_req_t req, const struct root_list *l,
	   struct vnode *n)
{
	struct versions *v = fs->versions;
	struct fuse_entry_param entry = {
		.ino = n->id,
		.generation = v->generation,
		.attr_timeout = FS_A_MOMENT,
		.entry_timeout = FS_A_MOMENT,
	};
	struct err e = { 0 };

	if (stat_node(fs, l, n, &entry.attr, &e) < 0) {
		reply_error(req, n, &e);
		return;
	}
	(void)pthread_mutex_lock(&v->lock);
	n->lookups++;
	(void)pthread_mutex_unlock(&v->lock);
	if (fuse_reply_entry(req, &entry) != 0)
		versions_forget(v, n->id, 1);
}

static void
reply_none(fuse_req_t req)
{
	struct fuse_entry_param none = { .entry_timeout = FS_A_MOMENT };

	(void)fuse_reply_entry(req, &none);
}

/* Hold the child and answer with it; `h`: its history, used up, or NULL. */
static void
answer_child(struct fs *fs, fuse_req_t req, const struct root_list *l,
	     struct vnode *dir, struct history *h, uint32_t number,
	     const char *name)
{
	struct versions *v = fs->versions;
	struct err e = { 0 };
	struct vnode *n;

	(void)pthread_mutex_lock(&v->lock);
	n = get_child(v, dir, number, name, strlen(name));
	if (n != NULL && h != NULL) {
		keep_computed(v, n, h, NULL, l->version);
		h = NULL;
	}
	drop_oldest(v);
	if (is_crowded(v) && v->on_crowd != NULL)
		v->on_crowd(v->on_crowd_ctx);
	(void)pthread_mutex_unlock(&v->lock);
	history_unref(h);
	if (n == NULL) {
		(void)err_nomem(&e);
		reply_error(req, dir, &e);
		return;
	}
	reply_node(fs, req, l, n);
	release(v, n);
}

static void
lookup_version(struct fs *fs, fuse_req_t req, const struct root_list *l,
	       struct vnode *dir, const char *name)
{
	uint32_t number = parse_number(name + 1);
	const struct history_event *v = NULL;
	struct fuse_entry_param entry;
	struct history *h = NULL;
	struct err e = { 0 };
	int rc = 1;

	if (number != 0) {
		rc = get_history(fs->versions, dir, l, &h, &e);
		if (rc == 0)
			v = history_find(h, number);
		if (rc == 0 && v == NULL)
			rc = 1;
	}
	if (rc == 0 && v->type == ENTRY_DIR) {
		answer_child(fs, req, l, dir, NULL, number, "");
		goto out;
	}
	if (rc == 0)
		rc = fill_file(fs, dir, v, &entry, &e);
	if (rc < 0)
		reply_error(req, dir, &e);
	else if (rc == 1)
		reply_none(req);
	else
		(void)fuse_reply_entry(req, &entry);
out:
	history_unref(h);
}

/* What a history says about its path: 0 there, 1 never. */
static int
was_there(const struct history *h, const char *shown, struct err *e)
{
	if (h->present > 0)
		return 0;
	if (h->damaged)
		return err_set(e, ERR_CORRUPT,
			       "%s may have been where it cannot be read",
			       shown);
	return 1;
}

/*
 * A child's history, if it is not at hand already (NULL); 1 when the child was
 * never there.
 */
static int
child_history(struct versions *v, struct vnode *dir, const struct root_list *l,
	      const char *name, struct history **out, struct err *e)
{
	struct history_damage damage = { .fn = tell_damage, .ctx = dir };
	char shown[VERSIONS_NAME_LEN];
	struct history_names *names = NULL;
	struct history *h = NULL;
	struct history *up;
	size_t len = strlen(name);
	char seen[PATH_SHOW_LEN];
	struct vnode *n;
	int rc;

	(void)show_name(shown, name, len);
	(void)path_show_in(seen, name, len);
	(void)pthread_mutex_lock(&v->lock);
	n = find_by_name(v, dir, shown_ino(dir->ino, shown), 0, name, len);
	if (n != NULL)
		find_computed(v, n, l->version, &h, &names);
	(void)pthread_mutex_unlock(&v->lock);
	if (h != NULL) {
		/* It keeps what it has, names too. */
		rc = was_there(h, seen, e);
		history_unref(h);
		history_names_unref(names);
		if (rc == 0)
			*out = NULL;
		return rc;
	}
	if (get_history(v, dir, l, &up, e) < 0)
		return -1;
	rc = history_child(up, v->reader, name, len, &damage, &h, e);
	history_unref(up);
	if (rc == 0)
		rc = was_there(h, seen, e);
	if (rc == 0)
		*out = h;
	else
		history_unref(h);
	return rc;
}

static void
lookup_child(struct fs *fs, fuse_req_t req, const struct root_list *l,
	     struct vnode *dir, const char *name)
{
	struct history *h = NULL;
	struct err e = { 0 };
	int rc = 1;

	if (dir->depth >= DEPTH_MAX || strlen(name) > PATH_NAME_MAX) {
		(void)fuse_reply_err(req, ENAMETOOLONG);
		return;
	}
	if (path_name_ok(name, strlen(name)))
		rc = child_history(fs->versions, dir, l, name, &h, &e);
	if (rc < 0)
		reply_error(req, dir, &e);
	else if (rc == 1)
		reply_none(req);
	else
		answer_child(fs, req, l, dir, h, 0, name);
}

void
versions_lookup(struct fs *fs, fuse_req_t req, uint64_t parent,
		const char *name)
{
	struct vnode *dir;
	struct root_list *l;

	dir = hold(fs->versions, parent);
	/* Who has only a number does not get further. */
	if (dir == NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		(void)fuse_reply_err(req, ESTALE);
		if (dir != NULL)
			release(fs->versions, dir);
		return;
	}
	l = root_current(fs->root);
	if (dir->number != 0)
		(void)fuse_reply_err(req, ENOTDIR);
	else if (name[0] != '@')
		lookup_child(fs, req, l, dir, name);
	else if (name[1] == '@')
		lookup_child(fs, req, l, dir, name + 1);
	else
		lookup_version(fs, req, l, dir, name);
	root_list_unref(l);
	release(fs->versions, dir);
}

/* --- directories ------------------------------------------------------------ */

/*
 * Offsets: 1 behind ".", 2 behind "..", behind a version its number + 2, and
 * behind a name its cookie with the bit above set.
 */
#define OFFSET_BEHIND(version) ((off_t)((version)->number + 2))
#define OFFSET_NAMES           ((off_t)1 << HISTORY_COOKIE_BITS)

struct list_walk {
	struct fs *fs;
	struct vnode *dir;
	const struct root_list *list;
	struct history *history;
	struct listing *out;
	off_t from;
	bool plus;
};

static void
fill_version(struct list_walk *w, const struct history_event *v,
	     const char *shown, struct fuse_entry_param *out)
{
	uint64_t ino = 0;

	memset(out, 0, sizeof(*out));
	if (v->type == ENTRY_DIR) {
		out->attr.st_ino = shown_ino(w->dir->ino, shown);
		out->attr.st_mode = S_IFLNK;
		return;
	}
	if (w->plus && fill_file(w->fs, w->dir, v, out, NULL) == 0)
		return;
	/* A damaged one is listed; whoever wants more of it gets EIO. */
	memset(out, 0, sizeof(*out));
	(void)find_ino(w->fs, w->dir, v, &ino, NULL);
	out->attr.st_ino = ino;
	out->attr.st_mode = entry_type_mode(v->type);
}

/* False when there is no more room, as below. */
static bool
list_versions(struct list_walk *w)
{
	const struct history *h = w->history;
	char shown[VERSIONS_NAME_LEN];
	struct fuse_entry_param entry;
	size_t i;

	for (i = 0; i < h->count; i++) {
		const struct history_event *v = &h->event[i];

		if (!v->shown || OFFSET_BEHIND(v) <= w->from)
			continue;
		(void)show_number(shown, v->number);
		fill_version(w, v, shown, &entry);
		if (!listing_add(w->out, shown, &entry, OFFSET_BEHIND(v)))
			return false;
	}
	return true;
}

static bool
list_piece(struct list_walk *w, const struct history_names *names,
	   uint64_t from)
{
	char shown[VERSIONS_NAME_LEN];
	struct fuse_entry_param entry = { 0 };
	size_t i;

	entry.attr.st_mode = S_IFDIR;
	for (i = 0; i < names->count; i++) {
		const struct history_name *n = &names->name[i];

		if (n->cookie <= from)
			continue;
		(void)show_name(shown, names->bytes.data + n->at, n->len);
		entry.attr.st_ino = shown_ino(w->dir->ino, shown);
		if (!listing_add(w->out, shown, &entry,
				 OFFSET_NAMES | (off_t)n->cookie))
			return false;
	}
	return true;
}

static int
list_names(struct list_walk *w, struct err *e)
{
	uint64_t from = 0;
	bool room = true;

	if (w->from > OFFSET_NAMES)
		from = (uint64_t)(w->from - OFFSET_NAMES);
	while (room && from != UINT64_MAX) {
		struct history_names *names;
		bool damaged;

		if (get_names(w->fs->versions, w->dir, w->history, w->list,
			      from, &names, e) < 0)
			return -1;
		room = list_piece(w, names, from);
		from = names->to;
		damaged = names->damaged;
		history_names_unref(names);
		/* Must not pass for a whole listing. */
		if (room && from == UINT64_MAX && damaged)
			return err_set(e, ERR_CORRUPT,
				       "some names cannot be read");
	}
	return 0;
}

static int
list_all(struct list_walk *w, struct err *e)
{
	const struct vnode *up = w->dir->parent;

	if (get_history(w->fs->versions, w->dir, w->list, &w->history, e) < 0)
		return -1;
	if (!listing_add_dots(w->out, w->from, w->dir->ino,
			      up != NULL ? up->ino : ROOT_INO) ||
	    !list_versions(w))
		return 0;
	return list_names(w, e);
}

void
versions_list(struct fs *fs, fuse_req_t req, uint64_t node, size_t size,
	      off_t from, bool plus)
{
	struct listing out = { 0 };
	struct list_walk w = {
		.fs = fs, .out = &out, .from = from, .plus = plus
	};
	struct root_list *l;
	struct err e = { 0 };
	int rc;

	w.dir = hold(fs->versions, node);
	if (w.dir == NULL) {
		(void)fuse_reply_err(req, ESTALE);
		return;
	}
	l = root_current(fs->root);
	w.list = l;
	if (w.dir->number != 0) {
		(void)fuse_reply_err(req, ENOTDIR);
	} else if (listing_begin(&out, req, size, plus, &e) < 0) {
		reply_error(req, w.dir, &e);
	} else {
		rc = list_all(&w, &e);
		if (rc < 0 && out.len == 0)
			(void)err_prefix(&e, "versions");
		listing_end(&out, w.dir->ino, rc, &e);
	}
	history_unref(w.history);
	root_list_unref(l);
	release(fs->versions, w.dir);
}
