/*
 * restore_rig - restores for writers, from a generation in memory to a scratch
 * directory: the other end of the line, the session's record and the service
 * manager are made up.  What is told to the writer, and in which order, is a text.
 *
 * For one program each: it defines what it stands in for.
 */
#ifndef ASOF_TESTS_LIB_RESTORE_RIG_H
#define ASOF_TESTS_LIB_RESTORE_RIG_H

#include "src/requester/restore.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/sys.h"
#include "src/engine/view.h"
#include "src/requester/dossier.h"
#include "src/requester/session_file.h"
#include "src/writer/client.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/maker.h"
#include "tests/lib/memstore.h"
#include "tests/lib/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* --- the world ---------------------------------------------------------------- */

static struct world {
	struct scratch s;
	struct memstore *m;
	struct view_gen g;
	struct thing thing[64];
	char path[64][SCRATCH_LEN + 200];
	size_t things;
	struct buf document; /* the writer's, as it was then */
	struct dossier dossier;
	struct dossier_writer writer;
	struct dossier_component component[4];
	struct dossier_file file[4];
	/* The line. */
	struct client_writer live;
	struct client_writers all;
	char *grant[2], *service[2];
	struct buf log;
	const char *said[8]; /* in pre-restore; %s: the scratch directory */
	size_t saids;
	enum part_state after_pre; /* what becomes of the writer */
	enum part_state after_post; /* none: it stays as it is */
	bool gap_fails;
	bool gap_first; /* nothing of it may be there yet */
	/* What comes out. */
	struct restore_writers_options o;
	struct restore_writers_result out;
	struct err e;
	struct buf notes;
	const char *wish[4];
	struct restore_target target[2];
	char text[16][SCRATCH_LEN + 200];
	size_t texts;
} W;

/* SCRATCH/name, kept until the end of the test. */
static inline char *
in(const char *name)
{
	char *p = W.text[W.texts++ % N_OF(W.text)];
	size_t len = strlen(W.s.path);

	assert_true(len + strlen(name) < sizeof(W.text[0]));
	memcpy(p, W.s.path, len);
	memcpy(p + len, name, strlen(name) + 1);
	return p;
}

static inline bool
is_there(const char *name)
{
	struct stat st;

	return lstat(in(name), &st) == 0;
}

static inline void
add_thing(const char *path, struct thing t)
{
	assert_true(W.things < N_OF(W.thing));
	(void)snprintf(W.path[W.things], sizeof(W.path[0]), "%s", path);
	t.path = W.path[W.things];
	W.thing[W.things++] = t;
}

/* The generation: these things below the scratch directory. */
static inline void
make_generation(const struct thing *t, size_t n)
{
	struct maker k;
	char path[SCRATCH_LEN + 200];
	const char *at;
	size_t i;

	for (at = strchr(W.s.path + 1, '/');; at = strchr(at + 1, '/')) {
		size_t len = at != NULL ? (size_t)(at - W.s.path)
					: strlen(W.s.path);

		memcpy(path, W.s.path, len);
		path[len] = '\0';
		add_thing(path, (struct thing){ .type = ENTRY_DIR });
		if (at == NULL)
			break;
	}
	for (i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", W.s.path, t[i].path);
		add_thing(path, t[i]);
	}
	W.g.record.root = maker_top(&k, &W.m->sink, W.thing, W.things);
}

/* `text` with each % as the scratch directory. */
static inline void
put_text(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '%')
			buf_add_str(out, W.s.path);
		else
			buf_add_char(out, *text);
}

static inline void
note(void *ctx, const char *text)
{
	(void)ctx;
	buf_printf(&W.notes, "%s\n", text);
}

static inline void
on_failed(void *ctx, const char *path, const struct err *why, bool damage)
{
	(void)ctx;
	(void)damage;
	buf_printf(&W.notes, "%s: %s\n", path, why->text);
}

static inline void
begin(const struct thing *t, size_t n, const char *document)
{
	memset(&W, 0, sizeof(W));
	scratch_begin(&W.s);
	assert_int_equal(chmod(W.s.path, 0755), 0);
	W.m = memstore_new();
	W.g.reader = &W.m->reader;
	W.g.number = 42;
	W.g.refs = 1;
	memset(W.g.record.id, 0xab, 16);
	W.g.record.set = "set";
	make_generation(t, n);
	put_text(&W.document, document);
	W.dossier.type = 1;
	W.dossier.writer = &W.writer;
	W.dossier.writers = 1;
	W.writer.name = "w";
	W.writer.state = DOSSIER_TOOK_PART;
	W.writer.document = "documents/w";
	W.writer.component = W.component;
	W.writer.components = 1;
	W.component[0].name = "c";
	W.component[0].effective = 1;
	W.component[0].succeeded = true;
	W.live.name = (char *)(uintptr_t) "w";
	W.live.owner = geteuid();
	W.grant[0] = W.s.path; /* counts for others than root */
	W.live.grants = 1;
	W.live.state = PART_TAKING;
	W.live.grant = W.grant;
	W.live.service = W.service;
	W.after_pre = PART_TAKING;
	W.all.v = &W.live;
	W.all.count = 1;
	W.wish[0] = "w";
	W.o.wish = W.wish;
	W.o.wishes = 1;
	W.o.target = W.target;
	W.o.repository = "/repository";
	W.o.note = note;
	W.o.failed = on_failed;
}

static inline void
end(void)
{
	buf_clear(&W.document);
	buf_clear(&W.log);
	buf_clear(&W.notes);
	memstore_free(W.m);
	scratch_end(&W.s);
}

static inline int
restore(void)
{
	int rc;

	err_clear(&W.e);
	buf_reset(&W.log);
	buf_reset(&W.notes);
	rc = requester_restore(NULL, &W.g, &W.o, &W.out, &W.e);
	assert_ptr_equal(sys_target, &sys_real);
	return rc;
}

static inline void
must_restore(void)
{
	if (restore() < 0)
		fail_msg("%s", W.e.text);
}

static inline void
must_log(const char *want)
{
	struct buf b = { 0 };

	put_text(&b, want);
	assert_string_equal(buf_str(&W.log), buf_str(&b));
	buf_clear(&b);
}

static inline void
must_note(const char *part)
{
	if (strstr(buf_str(&W.notes), part) == NULL)
		fail_msg("no \"%s\" in: %s", part, buf_str(&W.notes));
}

/* --- the session's record and the line, made up ------------------------------- */

int
session_file(struct view_gen *g, const char *name, size_t max, struct buf *out,
	     struct err *e)
{
	(void)g;
	(void)max;
	if (strcmp(name, "documents/w") == 0)
		buf_add(out, W.document.data, W.document.len);
	else if (strcmp(name, "session") != 0)
		return 1;
	return buf_ok(out, e);
}

int
dossier_parse(const void *p, size_t len, struct dossier *out, struct err *e)
{
	(void)p;
	(void)len;
	(void)e;
	*out = W.dossier;
	return 0;
}

void
dossier_clear(struct dossier *d)
{
	(void)d;
}

int
client_open(const char *repository, const uint8_t id[16],
	    const atomic_int *cancel, struct client **out, bool *live,
	    struct err *e)
{
	(void)repository;
	(void)id;
	(void)cancel;
	(void)e;
	*out = (struct client *)&W;
	*live = true;
	return 0;
}

void
client_close(struct client *c)
{
	if (c != NULL)
		buf_add_str(&W.log, "close\n");
}

const struct client_writers *
client_writers(const struct client *c)
{
	(void)c;
	return &W.all;
}

const struct client_writer *
client_find(const struct client *c, const char *name)
{
	const struct client_writers *all = client_writers(c);
	size_t i;

	for (i = 0; i < all->count; i++)
		if (strcmp(all->v[i].name, name) == 0)
			return &all->v[i];
	return NULL;
}

int
client_begin(struct client *c, const struct round_begin *b, struct err *e)
{
	(void)c;
	(void)e;
	assert_int_equal(b->kind, ROUND_RESTORE);
	return 0;
}

int
client_identify(struct client *c, struct err *e)
{
	(void)c;
	(void)e;
	buf_add_str(&W.log, "identify\n");
	return 0;
}

int
client_component(struct client *c, const struct round_component *k,
		 struct err *e)
{
	(void)c;
	(void)e;
	buf_printf(&W.log, "component %s:%s %s\n", k->writer, k->component,
		   k->restore);
	return 0;
}

int
client_prepare(struct client *c, struct err *e)
{
	(void)c;
	(void)e;
	buf_add_str(&W.log, "pre-restore\n");
	W.live.state = W.after_pre;
	if (W.after_pre == PART_FAILED) {
		W.live.failed_at = EVENT_PRE_RESTORE;
		W.live.text = (char *)(uintptr_t) "not today";
	}
	return 0;
}

int
client_restore_lines(struct client *c, const char *writer, client_line_fn fn,
		     void *ctx, struct err *e)
{
	struct buf line = { 0 };
	size_t i;
	int rc = 0;

	(void)c;
	assert_string_equal(writer, W.live.name);
	for (i = 0; rc == 0 && i < W.saids; i++) {
		buf_reset(&line);
		put_text(&line, W.said[i]);
		rc = fn(ctx, buf_str(&line), line.len, e);
	}
	buf_clear(&line);
	return rc;
}

int
client_gap(struct client *c, const char *writer, const char *component,
	   const char *why, struct err *e)
{
	(void)c;
	(void)why;
	assert_false(W.gap_first && is_there("/d/a"));
	buf_printf(&W.log, "gap %s:%s\n", writer, component);
	return W.gap_fails ? err_set(e, ERR_SYS, "the journal is full") : 0;
}

int
client_complete(struct client *c, const uint8_t id[16], uint32_t generation,
		const struct round_outcome *o, size_t n, struct err *e)
{
	size_t i;

	(void)c;
	(void)id;
	(void)e;
	assert_int_equal(generation, 42);
	for (i = 0; i < n; i++)
		buf_printf(&W.log, "post-restore %s:%s %s%s%s\n", o[i].writer,
			   o[i].component,
			   o[i].restore != NULL ? o[i].restore : "untold",
			   o[i].metadata != NULL ? " " : "",
			   o[i].metadata != NULL ? o[i].metadata : "");
	if (W.after_post != PART_NONE)
		W.live.state = W.after_post;
	return 0;
}

/* --- files -------------------------------------------------------------------- */

static inline const struct thing *
thing_at(const char *name)
{
	const char *path = in(name);
	size_t i;

	for (i = 0; i < W.things; i++)
		if (strcmp(W.thing[i].path, path) == 0)
			return &W.thing[i];
	fail_msg("%s is not in the generation", name);
	return NULL;
}

/* At `name` is what the generation has at `of`. */
static inline void
must_be_at(const char *name, const char *of)
{
	static uint8_t want[100000];
	static uint8_t got[100001];
	const struct thing *t = thing_at(of);
	const char *path = in(name);
	struct stat st;

	if (lstat(path, &st) < 0)
		fail_msg("%s: %s\n%s", name, strerror(errno),
			 buf_str(&W.notes));
	assert_int_equal(st.st_mtim.tv_sec, t->sec);
	maker_bytes(t, want);
	assert_int_equal(scratch_read(path, got, sizeof(got)), t->size);
	assert_memory_equal(got, want, t->size);
}

static inline void
must_be(const char *name)
{
	must_be_at(name, name);
}

static inline void
put_file(const char *name, const char *text)
{
	scratch_write(in(name), text, strlen(text));
}

static inline void
must_hold(const char *name, const char *text)
{
	char got[1000];
	size_t n = scratch_read(in(name), got, sizeof(got));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
}

static inline void
make_dir(const char *name)
{
	assert_int_equal(mkdir(in(name), 0755), 0);
}

/* Nobody who runs these tests is hindered by permissions: a directory is. */
static inline void
block(const char *name)
{
	make_dir(name);
}

#define D ENTRY_DIR

static const struct thing plain[] = {
	{ .path = "/d", .type = D, .mode = 0750, .sec = 50 },
	{ .path = "/d/a", .size = 30000, .sec = 100 },
	{ .path = "/d/b", .size = 17, .sec = 200 },
	{ .path = "/d/junk.tmp", .size = 5, .sec = 300 },
	{ .path = "/d/sub", .type = D, .mode = 0711, .sec = 400 },
	{ .path = "/d/sub/empty", .type = D, .mode = 0700, .sec = 450 },
	{ .path = "/d/sub/x", .size = 20001, .sec = 500 },
	{ .path = "/log", .type = D, .sec = 60 },
	{ .path = "/log/1", .size = 100, .sec = 600 },
	{ .path = "/other", .type = D, .sec = 70 },
	{ .path = "/other/z", .size = 9, .sec = 700 },
};

#define HEAD(method) "writer w\nschema new-target\nrestore-method " method "\n"
#define BODY                                                                   \
	"component c database selectable=yes\n"                                \
	"component c/part file-group selectable=no selectable-for-restore\n"   \
	"component other file-group selectable=yes\n"                          \
	"database-files c %/d * recursive\n"                                   \
	"files c/part %/log *\n"                                               \
	"files other %/other *\n"                                              \
	"exclude %/d *.tmp recursive\n"
#define MAPPED                                                                 \
	"alternate-location %/d * recursive to=%/alt\n"                        \
	"alternate-location %/log * to=%/alt/log\n"                            \
	"alternate-location %/other * to=%/alt/other\n"
#define ONE_DIR                                                                \
	HEAD("restore-if-can-replace")                                         \
	"component c file-group selectable=yes\n"                              \
	"files c %/d * recursive\nend\n"
#define DOC(method)        HEAD(method) BODY "end\n"
#define PLAIN              DOC("restore-if-can-replace")
#define DOC_MAPPED(method) HEAD(method) BODY MAPPED "end\n"

#define TOLD "identify\ncomponent w:c additional-restores=no generation=42\n" \
	     "pre-restore\n"

/* The things above, and the writer's document. */
static inline void
start(const char *document)
{
	begin(plain, N_OF(plain), document);
}

/* What the writer says in answer to pre-restore. */
static inline void
says(const char *line)
{
	W.said[W.saids++] = line;
}

static inline void
new_target(const char *dir, const char *to)
{
	W.target[W.o.targets++] = (struct restore_target){
		W.writer.name, "c", in(dir), in(to),
	};
}

static inline void
use_service(const char *unit)
{
	W.service[W.live.services++] = (char *)(uintptr_t)unit;
}

/* The restore goes on to its end, and the one component is not restored. */
static inline void
must_give_up(const char *why)
{
	must_restore();
	assert_int_equal(W.out.failed, 1);
	assert_int_equal(W.out.restored, 0);
	must_note(why);
}

static inline bool
is_root(void)
{
	return geteuid() == 0;
}

#endif
