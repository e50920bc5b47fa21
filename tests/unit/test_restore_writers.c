/*
 * Restores for writers, from a generation in memory to a scratch directory: the
 * other end of the line, the session's record and the service manager are made
 * up.  What is told to the writer, and in which order, is a text.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/restore.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/sys.h"
#include "src/engine/view.h"
#include "src/requester/dossier.h"
#include "src/requester/service.h"
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

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define NOBODY      65534

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
static char *
in(const char *name)
{
	char *p = W.text[W.texts++ % N_OF(W.text)];
	size_t len = strlen(W.s.path);

	assert_true(len + strlen(name) < sizeof(W.text[0]));
	memcpy(p, W.s.path, len);
	memcpy(p + len, name, strlen(name) + 1);
	return p;
}

static bool
is_there(const char *name)
{
	struct stat st;

	return lstat(in(name), &st) == 0;
}

static void
add_thing(const char *path, struct thing t)
{
	assert_true(W.things < N_OF(W.thing));
	(void)snprintf(W.path[W.things], sizeof(W.path[0]), "%s", path);
	t.path = W.path[W.things];
	W.thing[W.things++] = t;
}

/* The generation: these things below the scratch directory. */
static void
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
static void
put_text(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '%')
			buf_add_str(out, W.s.path);
		else
			buf_add_char(out, *text);
}

static void
note(void *ctx, const char *text)
{
	(void)ctx;
	buf_printf(&W.notes, "%s\n", text);
}

static void
on_failed(void *ctx, const char *path, const struct err *why, bool damage)
{
	(void)ctx;
	(void)damage;
	buf_printf(&W.notes, "%s: %s\n", path, why->text);
}

static void
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

static void
end(void)
{
	buf_clear(&W.document);
	buf_clear(&W.log);
	buf_clear(&W.notes);
	memstore_free(W.m);
	scratch_end(&W.s);
}

static int
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

static void
must_restore(void)
{
	if (restore() < 0)
		fail_msg("%s", W.e.text);
}

static void
must_log(const char *want)
{
	struct buf b = { 0 };

	put_text(&b, want);
	assert_string_equal(buf_str(&W.log), buf_str(&b));
	buf_clear(&b);
}

static void
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

const struct dossier_writer *
dossier_writer(const struct dossier *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->writers; i++)
		if (strcmp(d->writer[i].name, name) == 0)
			return &d->writer[i];
	return NULL;
}

const struct dossier_component *
dossier_component(const struct dossier_writer *w, const char *name)
{
	size_t i;

	for (i = 0; i < w->components; i++)
		if (strcmp(w->component[i].name, name) == 0)
			return &w->component[i];
	return NULL;
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
client_restore_lines(struct client *c, const char *writer,
		     int (*fn)(void *ctx, const char *line, size_t len,
			       struct err *e),
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

const char *
event_name(enum event ev)
{
	return ev == EVENT_PRE_RESTORE ? "pre-restore" : "another event";
}

/* --- files -------------------------------------------------------------------- */

static const struct thing *
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
static void
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

static void
must_be(const char *name)
{
	must_be_at(name, name);
}

static void
put_file(const char *name, const char *text)
{
	scratch_write(in(name), text, strlen(text));
}

static void
must_hold(const char *name, const char *text)
{
	char got[1000];
	size_t n = scratch_read(in(name), got, sizeof(got));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
}

static void
make_dir(const char *name)
{
	assert_int_equal(mkdir(in(name), 0755), 0);
}

/* Nobody who runs these tests is hindered by permissions: a directory is. */
static void
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
static void
start(const char *document)
{
	begin(plain, N_OF(plain), document);
}

/* What the writer says in answer to pre-restore. */
static void
says(const char *line)
{
	W.said[W.saids++] = line;
}

static void
new_target(const char *dir, const char *to)
{
	W.target[W.o.targets++] = (struct restore_target){
		W.writer.name, "c", in(dir), in(to),
	};
}

static void
use_service(const char *unit)
{
	W.service[W.live.services++] = (char *)(uintptr_t)unit;
}

/* The restore goes on to its end, and the one component is not restored. */
static void
must_give_up(const char *why)
{
	must_restore();
	assert_int_equal(W.out.failed, 1);
	assert_int_equal(W.out.restored, 0);
	must_note(why);
}

/* --- tests -------------------------------------------------------------------- */

static void
rn_01_all_of_a_component_goes_home_and_the_writer_is_told(void **state)
{
	struct stat st;

	(void)state;
	start(PLAIN);
	make_dir("/d");
	put_file("/d/a", "new and wrong");
	put_file("/d/foreign", "stays");
	must_restore();
	must_be("/d/a");
	must_be("/d/b");
	must_be("/d/sub/x");
	must_be("/log/1");
	must_hold("/d/foreign", "stays");
	must_log(TOLD "gap w:c\npost-restore w:c all\nclose\n");
	assert_int_equal(W.out.components, 1);
	assert_int_equal(W.out.restored, 1);
	assert_int_equal(W.out.files, 4);
	/* What was on the way stays as it was, what was made is as it was. */
	assert_int_equal(lstat(in("/d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(lstat(in("/d/sub"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	end();
}

static void
b3_the_gap_is_left_before_anything_is_written(void **state)
{
	(void)state;
	start(PLAIN);
	W.gap_first = true;
	must_restore();
	must_be("/d/a");
	end();
	start(PLAIN);
	W.gap_fails = true;
	must_give_up("the journal is full");
	assert_false(is_there("/d"));
	must_log(TOLD "gap w:c\npost-restore w:c none\nclose\n");
	end();
}

static void
dc_11_directories_come_back_empty_ones_too(void **state)
{
	struct stat st;

	(void)state;
	start(PLAIN);
	must_restore();
	assert_int_equal(lstat(in("/d/sub/empty"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(lstat(in("/d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(st.st_mtim.tv_sec, 50);
	end();
}

static void
dc_11_a_directory_takes_no_files_place(void **state)
{
	(void)state;
	start(PLAIN);
	make_dir("/d");
	make_dir("/d/sub");
	put_file("/d/sub/empty", "not in the generation");
	must_restore();
	must_hold("/d/sub/empty", "not in the generation");
	assert_int_equal(W.out.failed, 1);
	must_note("/d/sub/empty: something else is in its place");
	must_log(TOLD "gap w:c\npost-restore w:c failed\nclose\n");
	end();
}

static void
tw_02_excluded_files_and_other_components_are_left_alone(void **state)
{
	(void)state;
	start(PLAIN);
	must_restore();
	assert_false(is_there("/d/junk.tmp"));
	assert_false(is_there("/other"));
	end();
}

static void
tw_06_one_file_in_the_way_sends_all_to_the_alternate_location(void **state)
{
	(void)state;
	start(DOC_MAPPED("restore-if-can-replace"));
	make_dir("/d");
	block("/d/b");
	must_restore();
	must_be_at("/alt/a", "/d/a");
	must_be_at("/alt/b", "/d/b");
	must_be_at("/alt/sub/x", "/d/sub/x");
	must_be_at("/alt/log/1", "/log/1");
	assert_false(is_there("/d/a"));
	assert_false(is_there("/log"));
	must_note("alternate");
	must_log(TOLD "gap w:c\npost-restore w:c all alternate\nclose\n");
	end();
}

static void
rm_04_without_a_mapping_one_file_in_the_way_stops_all(void **state)
{
	(void)state;
	start(PLAIN);
	make_dir("/d");
	block("/d/b");
	must_restore();
	assert_false(is_there("/d/a"));
	assert_false(is_there("/log"));
	assert_int_equal(W.out.failed, 1);
	assert_int_equal(W.out.files, 0);
	must_note("/d/b: a directory is there");
	must_log(TOLD "post-restore w:c none\nclose\n");
	end();
}

static void
rm_04_if_not_there_one_file_that_is_there_stops_all(void **state)
{
	(void)state;
	start(DOC("restore-if-not-there"));
	make_dir("/log");
	put_file("/log/1", "here");
	must_restore();
	must_hold("/log/1", "here");
	assert_false(is_there("/d"));
	assert_int_equal(W.out.failed, 1);
	must_note("/log/1 is there");
	assert_int_equal(unlink(in("/log/1")), 0);
	must_restore();
	must_be("/log/1");
	must_be("/d/a");
	end();
}

static void
rm_03_what_can_be_replaced_is_asked_after_pre_restore(void **state)
{
	int fd;

	(void)state;
	start(PLAIN);
	make_dir("/d");
	put_file("/d/a", "in use");
	fd = open(in("/d/a"), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	must_restore();
	assert_int_equal(W.out.failed, 1);
	must_hold("/d/a", "in use");
	must_note("/d/a: somebody has it open");
	assert_int_equal(close(fd), 0);
	must_restore();
	assert_int_equal(W.out.failed, 0);
	must_be("/d/a");
	end();
}

static void
api_42_to_alternate_always_takes_the_mapping(void **state)
{
	(void)state;
	start(DOC_MAPPED("restore-to-alternate-location"));
	must_restore();
	must_be_at("/alt/a", "/d/a");
	assert_false(is_there("/d"));
	end();
}

static void
rt_02_a_target_overrides_the_method(void **state)
{
	(void)state;
	start(DOC_MAPPED("restore-to-alternate-location"));
	says("restore-target c original-location");
	must_restore();
	must_be("/d/a");
	assert_false(is_there("/alt"));
	end();
	start(DOC_MAPPED("restore-if-can-replace"));
	says("restore-target c alternate");
	must_restore();
	must_be_at("/alt/a", "/d/a");
	assert_false(is_there("/d"));
	end();
}

static void
rm_06_at_reboot_files_are_staged_and_nothing_is_touched(void **state)
{
	(void)state;
	start(DOC("restore-at-reboot"));
	make_dir("/d");
	put_file("/d/a", "running");
	must_restore();
	must_hold("/d/a", "running");
	must_be_at("/d/.asof-at-reboot-42/a", "/d/a");
	must_be_at("/d/.asof-at-reboot-42/sub/x", "/d/sub/x");
	must_be_at("/log/.asof-at-reboot-42/1", "/log/1");
	assert_int_equal(W.out.staged, 1);
	must_note("move them yourself");
	must_log(TOLD "gap w:c\npost-restore w:c none staged\nclose\n");
	end();
}

static void
rm_07_custom_is_refused(void **state)
{
	(void)state;
	start(DOC("custom"));
	must_restore();
	assert_false(is_there("/d"));
	assert_int_equal(W.out.failed, 1);
	must_note("--to");
	end();
}

static void
dt_01_directed_pieces_go_where_they_are_directed(void **state)
{
	static uint8_t want[100000];
	static uint8_t got[100000];

	(void)state;
	start(PLAIN);
	make_dir("/d");
	put_file("/d/new", "0123456789");
	says("restore-target c directed");
	says("directed-target c %/d/a 100:3, 200:2 %/d/new "
			    "1:3,8:2");
	says("directed-target c %/d/b 0:17 %/made/there 5:17");
	says("restore-metadata c \"private\"");
	must_restore();
	assert_int_equal(W.out.restored, 1);
	/* The sources stay away, the others are restored as ever. */
	assert_false(is_there("/d/a"));
	assert_false(is_there("/d/b"));
	must_be("/d/sub/x");
	maker_bytes(thing_at("/d/a"), want);
	assert_int_equal(scratch_read(in("/d/new"), got, 100), 10);
	assert_int_equal(got[0], '0');
	assert_memory_equal(got + 1, want + 100, 3);
	assert_memory_equal(got + 4, "4567", 4);
	assert_memory_equal(got + 8, want + 200, 2);
	maker_bytes(thing_at("/d/b"), want);
	assert_int_equal(scratch_read(in("/made/there"), got, 100), 22);
	assert_memory_equal(got, "\0\0\0\0\0", 5);
	assert_memory_equal(got + 5, want, 17);
	end();
}

/* Was a file made and not synced with its file system since? */
static bool unsynced;

static int
watched_openat2(int dirfd, const char *path, const struct open_how *how)
{
	int fd = sys_real.openat2(dirfd, path, how);

	unsynced |= fd >= 0 && (how->flags & O_CREAT) != 0;
	return fd;
}

static int
watched_syncfs(int fd)
{
	unsynced = false;
	return sys_real.syncfs(fd);
}

static void
dt_01_a_file_that_is_made_for_pieces_is_durable_with_its_name(void **state)
{
	struct sys_ops watched = sys_real;
	int rc;

	(void)state;
	watched.openat2 = watched_openat2;
	watched.syncfs = watched_syncfs;
	start(PLAIN);
	says("restore-target c directed");
	says("directed-target c %/d/b 0:17 %/made/there 5:17");
	sys_target = &watched;
	rc = requester_restore(NULL, &W.g, &W.o, &W.out, &W.e);
	sys_target = &sys_real;
	assert_int_equal(rc, 0);
	assert_true(is_there("/made/there"));
	assert_false(unsynced);
	end();
}

static void
cw_60_restore_metadata_comes_back_in_post_restore(void **state)
{
	(void)state;
	start(PLAIN);
	says("restore-metadata c \"two words\"");
	must_restore();
	must_log(TOLD "gap w:c\npost-restore w:c all two words\nclose\n");
	end();
}

static void
api_31_directed_pieces_count_only_with_that_target(void **state)
{
	(void)state;
	start(PLAIN);
	says("directed-target c %/d/a 0:3 %/d/new 0:3");
	must_restore();
	must_be("/d/a");
	assert_false(is_there("/d/new"));
	end();
}

static void
directed_pieces_that_are_not_there_stop_all_before_anything(void **state)
{
	static const char *const bad[] = {
		"directed-target c %/d/b 0:18 %/d/new 0:18",
		"directed-target c %/d/none 0:1 %/d/new 0:1",
		"directed-target c %/other/z 0:1 %/d/new 0:1",
		"directed-target c %/away 0:1 %/d/new 0:1",
		"restore-metadata c twice",
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(bad); i++) {
		start(PLAIN);
		says("restore-target c directed");
		says("restore-metadata c once");
		says(bad[i]);
		if (restore() == 0)
			assert_int_equal(W.out.failed, 1);
		assert_false(is_there("/d/a"));
		assert_false(is_there("/d/new"));
		end();
	}
}

static void
nt_01_a_new_target_overrides_all_other_places(void **state)
{
	(void)state;
	start(DOC_MAPPED("restore-to-alternate-location"));
	new_target("/d", "/new/place");
	must_restore();
	must_be_at("/new/place/a", "/d/a");
	must_be_at("/new/place/sub/x", "/d/sub/x");
	must_be_at("/alt/log/1", "/log/1");
	assert_false(is_there("/alt/a"));
	assert_false(is_there("/d"));
	must_log("identify\ncomponent w:c additional-restores=no generation=42 "
		 "new-targets=\"%/d=%/new/place\"\npre-restore\ngap w:c\n"
		 "post-restore w:c all alternate\nclose\n");
	end();
}

#define MOVES                                                                  \
	"writer w@a\nschema new-target restore-with-move\n"                    \
	"restore-method restore-if-can-replace\n" BODY "end\n"

/* Of w@a, to w@b, which says of itself: */
static void
begin_move(const char *document, const char *live)
{
	start(document);
	W.writer.name = "w@a";
	W.wish[0] = "w@a:c";
	W.o.to_writer = W.live.name = (char *)(uintptr_t) "w@b";
	W.live.document = (char *)(uintptr_t)live;
	W.live.document_len = strlen(live);
}

static const char taker[] = "writer w@b\nschema restore-with-move\n"
			    "restore-method restore-if-can-replace\n"
			    "component c database selectable=yes\nend\n";

static void
api_51_a_component_moves_to_another_instance(void **state)
{
	(void)state;
	begin_move(MOVES, taker);
	new_target("/d", "/new");
	new_target("/log", "/new/log");
	must_restore();
	must_be_at("/new/a", "/d/a");
	must_be_at("/new/log/1", "/log/1");
	assert_false(is_there("/d"));
	must_log("identify\ncomponent w@b:c additional-restores=no "
		 "generation=42 from-writer=w@a "
		 "new-targets=\"%/d=%/new\\n%/log=%/new/log\"\n"
		 "pre-restore\ngap w@b:c\npost-restore w@b:c all\nclose\n");
	end();
}

static void
api_51_nothing_moves_to_where_the_other_instance_has_it(void **state)
{
	(void)state;
	begin_move(MOVES, taker);
	new_target("/d", "/new");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/new"));
	assert_false(is_there("/log"));
	must_note("would go to where w@a has them");
	/* Unless the taker says that it wants them there. */
	says("restore-target c original-location");
	must_restore();
	must_be("/log/1");
	end();
}

static void
api_51_who_may_move_and_what_to(void **state)
{
	static const struct {
		const char *from, *to, *document, *live, *why;
	} t[] = {
		{ "w@a", "other@b", MOVES, taker, "no instances of one" },
		{ "w@a", "w", MOVES, taker, "no instances of one" },
		{ "w", "w@b", MOVES, taker, "no instances of one" },
		{ "w@a", "w@b", DOC("restore-if-can-replace"), taker,
		  "goes to no other writer" },
		{ "w@a", "w@b", MOVES, "", "the document of w@b" },
		{ "w@a", "w@b", MOVES, HEAD("custom") "component c database "
		  "selectable=yes\nend\n", "does not take what is another's" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		begin_move(t[i].document, t[i].live);
		W.writer.name = W.wish[0] = t[i].from;
		W.o.to_writer = W.live.name = (char *)(uintptr_t)t[i].to;
		if (restore() == 0)
			must_note(t[i].why);
		else
			assert_non_null(strstr(W.e.text, t[i].why));
		assert_false(is_there("/d"));
		end();
	}
}

static void
api_34_a_new_target_is_of_a_file_set_and_the_schema_has_it(void **state)
{
	(void)state;
	start(PLAIN);
	new_target("/none", "/new");
	assert_int_equal(restore(), -1);
	assert_int_equal(W.e.kind, ERR_USAGE);
	must_log("");
	end();
	start("writer w\nrestore-method restore-if-can-replace\n" BODY "end\n");
	new_target("/d", "/new");
	assert_int_equal(restore(), -1);
	assert_non_null(strstr(W.e.text, "new-target"));
	end();
}

static void
sr_02_a_member_is_restored_alone_where_that_is_allowed(void **state)
{
	(void)state;
	start(PLAIN);
	W.wish[0] = "w:c/part";
	must_restore();
	must_be("/log/1");
	assert_false(is_there("/d"));
	must_log("identify\ncomponent w:c additional-restores=no generation=42 "
		 "subcomponents=c/part\npre-restore\ngap w:c\n"
		 "post-restore w:c all\nclose\n");
	end();
}

static void
wishes_that_cannot_be_fulfilled_touch_nothing(void **state)
{
	static const struct {
		const char *wish, *why;
	} t[] = {
		{ "nobody", "no writer nobody" },
		{ "w:none", "no component" },
		{ "w:other", "was not in this backup" },
		{ "ww", "no writer" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < N_OF(t); i++) {
		start(PLAIN);
		W.wish[0] = t[i].wish;
		assert_int_equal(restore(), -1);
		assert_int_equal(W.e.kind, ERR_USAGE);
		if (strstr(W.e.text, t[i].why) == NULL)
			fail_msg("%s: %s", t[i].wish, W.e.text);
		must_log("");
		end();
	}
	start(PLAIN);
	W.component[0].succeeded = false;
	W.component[0].why = "the disk was full";
	W.wish[0] = "w:c";
	assert_int_equal(restore(), -1);
	assert_non_null(strstr(W.e.text, "the disk was full"));
	end();
}

static void
rp_03_a_writer_that_does_not_listen_gets_nothing_back(void **state)
{
	(void)state;
	start(PLAIN);
	W.live.state = PART_ABSENT;
	W.after_pre = PART_ABSENT;
	must_give_up("nobody listens");
	assert_false(is_there("/d"));
	end();
}

static void
a_writer_that_fails_in_pre_restore_keeps_what_it_has(void **state)
{
	(void)state;
	start(PLAIN);
	make_dir("/d");
	put_file("/d/a", "mine");
	W.after_pre = PART_FAILED;
	must_give_up("not today");
	must_hold("/d/a", "mine");
	assert_false(is_there("/d/b"));
	must_log(TOLD "post-restore w:c none\nclose\n");
	end();
}

static void
rc_01_a_writer_that_is_gone_before_post_restore_has_not_its_data(void **state)
{
	(void)state;
	start(PLAIN);
	W.after_post = PART_GONE;
	must_restore();
	must_be("/d/a");
	assert_int_equal(W.out.failed, 1);
	assert_int_equal(W.out.restored, 0);
	must_note("had ended before it was told");
	end();
}

static void
a_writer_may_want_no_events(void **state)
{
	(void)state;
	start(DOC("restore-if-can-replace writer-restore=never"));
	W.live.state = PART_ABSENT;
	W.after_pre = PART_ABSENT;
	must_restore();
	must_be("/d/a");
	must_log("identify\npre-restore\ngap w:c\nclose\n");
	end();
	start(DOC("restore-if-can-replace writer-restore=if-replace-fails"));
	must_restore();
	must_log(TOLD "gap w:c\npost-restore w:c all\nclose\n");
	end();
}

static void
ri_03_writers_are_told_that_more_follows_and_their_options(void **state)
{
	static const char *const option[] = { "w:c:\"Roll Forward\"=\"None\"" };

	(void)state;
	start(PLAIN);
	W.o.additional = true;
	W.o.option = option;
	W.o.options = 1;
	W.component[0].stamp = "mark 1";
	W.component[0].stamp_len = 6;
	W.component[0].metadata = "m";
	must_restore();
	must_log("identify\ncomponent w:c additional-restores=yes "
		 "generation=42 option=\"\\\"Roll Forward\\\"=\\\"None\\\"\" "
		 "stamp=\"mark 1\" backup-metadata=m\n"
		 "pre-restore\ngap w:c\npost-restore w:c all\nclose\n");
	end();
}

static void
ro_01_there_is_one_option_text_for_a_component(void **state)
{
	static const char *const twice[] = { "w:c:a", "w:c:b" };
	static const char *const strange[] = { "w:x:a" };

	(void)state;
	start(PLAIN);
	W.o.option = twice;
	W.o.options = 2;
	assert_int_equal(restore(), -1);
	assert_int_equal(W.e.kind, ERR_USAGE);
	W.o.option = strange;
	W.o.options = 1;
	assert_int_equal(restore(), -1);
	assert_int_equal(W.e.kind, ERR_USAGE);
	must_log("");
	end();
}

static void
pf_14_ranges_only_writes_declared_bytes_into_what_is_there(void **state)
{
	static uint8_t want[100000];
	static uint8_t got[100001];
	static uint8_t there[30005];

	(void)state;
	start(PLAIN);
	W.file[0].path = in("/d/a");
	W.file[0].ranges = "100:10,0x7000:100000";
	W.component[0].file = W.file;
	W.component[0].files = 1;
	W.o.ranges_only = true;
	/* Without the file there is nothing to write into. */
	must_restore();
	assert_int_equal(W.out.failed, 1);
	must_note("is not there");
	assert_false(is_there("/d/b"));
	make_dir("/d");
	memset(there, 'x', sizeof(there));
	scratch_write(in("/d/a"), there, sizeof(there));
	must_restore();
	maker_bytes(thing_at("/d/a"), want);
	assert_int_equal(scratch_read(in("/d/a"), got, sizeof(got)),
			 sizeof(there));
	memcpy(there + 100, want + 100, 10);
	memcpy(there + 0x7000, want + 0x7000, 30000 - 0x7000);
	assert_memory_equal(got, there, sizeof(there));
	must_be("/d/b");
	end();
}

static void
rs_04_declared_files_outside_all_file_sets_come_back_too(void **state)
{
	static const struct thing more[] = {
		{ .path = "/a-label", .size = 7, .sec = 80 },
		{ .path = "/d", .type = D, .mode = 0750, .sec = 50 },
		{ .path = "/d/a", .size = 30, .sec = 100 },
		{ .path = "/new", .type = D, .sec = 90 },
		{ .path = "/new/one", .size = 8, .sec = 110 },
		{ .path = "/new/two", .size = 9, .sec = 120 },
		{ .path = "/new/x.wal", .size = 10, .sec = 130 },
	};
	struct dossier_attachment label;

	(void)state;
	begin(more, N_OF(more), DOC("restore-if-can-replace"));
	label.path = in("/a-label");
	label.from = "/tmp/label";
	W.file[0].path = in("/new/one");
	W.file[0].ranges = "0:1";
	W.file[1].path = in("/new");
	W.file[1].pattern = "*.wal";
	W.file[1].differenced = true;
	W.component[0].file = W.file;
	W.component[0].files = 2;
	W.component[0].attachment = &label;
	W.component[0].attachments = 1;
	must_restore();
	must_be("/d/a");
	must_be("/a-label");
	must_be("/new/one");
	must_be("/new/x.wal");
	assert_false(is_there("/new/two"));
	end();
}

static void
in_place_a_file_keeps_its_inode(void **state)
{
	struct stat before;
	struct stat after;

	(void)state;
	start(PLAIN);
	make_dir("/d");
	put_file("/d/a", "some old bytes");
	assert_int_equal(lstat(in("/d/a"), &before), 0);
	W.o.in_place = true;
	must_restore();
	must_be("/d/a");
	assert_int_equal(lstat(in("/d/a"), &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	end();
}

static void
a_dry_run_tells_and_touches_nothing(void **state)
{
	(void)state;
	start(PLAIN);
	W.o.dry_run = true;
	must_restore();
	assert_false(is_there("/d"));
	must_log("identify\nclose\n");
	must_note("would go where they belong");
	assert_int_equal(W.out.components, 1);
	assert_int_equal(W.out.restored, 0);
	end();
}

static void
a_link_on_the_way_is_not_followed(void **state)
{
	(void)state;
	start(PLAIN);
	make_dir("/elsewhere");
	assert_int_equal(symlink("elsewhere", in("/d")), 0);
	must_give_up("symbolic link");
	assert_false(is_there("/elsewhere/a"));
	assert_false(is_there("/log"));
	end();
}

/* --- services ----------------------------------------------------------------- */

/*
 * It notes what it is told; it cannot stop "bad", nor start "dead", and who stops
 * "killer" is killed.
 */
static void
make_manager(void)
{
	char script[SCRATCH_LEN + 400];
	const char *path = in("/manager");

	(void)snprintf(script, sizeof(script),
		       "#!/bin/sh\n"
		       "if [ -e '%s/d/a' ]; then f=there; else f=not; fi\n"
		       "echo \"$1 $3 $f\" >>'%s/calls'\n"
		       "[ \"$1 $3\" != 'stop killer' ] || kill -9 $PPID\n"
		       "[ \"$1 $3\" != 'stop bad' ] &&\n"
		       "[ \"$1 $3\" != 'start dead' ]\n",
		       W.s.path, W.s.path);
	scratch_write(path, script, strlen(script));
	assert_int_equal(chmod(path, 0755), 0);
	service_program = path;
}

static bool
is_root(void)
{
	return geteuid() == 0;
}

static void
sv_02_the_service_is_stopped_and_started_around_the_restore(void **state)
{
	(void)state;
	if (!is_root())
		skip();
	start(DOC("stop-restore-start"));
	make_manager();
	use_service("one.service");
	use_service("two@x.service");
	must_restore();
	must_be("/d/a");
	must_hold("/calls", "stop one.service not\nstop two@x.service not\n"
			    "start two@x.service there\n"
			    "start one.service there\n");
	end();
	start(DOC("restore-stop-start"));
	make_manager();
	use_service("one");
	must_restore();
	must_hold("/calls", "stop one there\nstart one there\n");
	end();
}

static void
sv_02_what_was_stopped_runs_again_whatever_fails(void **state)
{
	(void)state;
	if (!is_root())
		skip();
	start(DOC("stop-restore-start"));
	make_manager();
	use_service("one");
	use_service("bad");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/d"));
	must_hold("/calls", "stop one not\nstop bad not\nstart bad not\n"
			    "start one not\n");
	must_log(TOLD "post-restore w:c none\nclose\n");
	end();
	start(DOC("stop-restore-start"));
	make_manager();
	use_service("one");
	make_dir("/d");
	block("/d/a");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	must_hold("/calls", "stop one there\nstart one there\n");
	end();
}

static void
sv_02_what_was_stopped_runs_again_if_we_are_killed(void **state)
{
	static const char want[] = "stop one not\nstop killer not\n"
				   "start killer not\nstart one not\n";
	char got[sizeof(want)] = "";
	unsigned tries;
	int status;
	pid_t us;

	(void)state;
	if (!is_root())
		skip();
	start(DOC("stop-restore-start"));
	make_manager();
	use_service("one");
	use_service("killer");
	us = fork();
	assert_true(us >= 0);
	if (us == 0) {
		(void)restore();
		_exit(0);
	}
	assert_int_equal(waitpid(us, &status, 0), us);
	assert_true(WIFSIGNALED(status));
	for (tries = 0; tries < 100 && strcmp(got, want) != 0; tries++) {
		(void)usleep(50000);
		got[scratch_read(in("/calls"), got, sizeof(got) - 1)] = '\0';
	}
	assert_string_equal(got, want);
	assert_false(is_there("/d"));
	end();
}

static void
sv_02_a_service_that_does_not_start_again_is_a_failure(void **state)
{
	static const char *const document[] = { DOC("stop-restore-start"),
						DOC("restore-stop-start") };
	size_t i;

	(void)state;
	if (!is_root())
		skip();
	for (i = 0; i < N_OF(document); i++) {
		start(document[i]);
		make_manager();
		use_service("dead");
			must_restore();
		must_be("/d/a");
		assert_int_equal(W.out.failed, 1);
		must_note("start the service dead");
		must_log(TOLD "gap w:c\npost-restore w:c all\nclose\n");
		end();
	}
}

static void
sv_01_without_a_named_service_nothing_is_stopped_or_restored(void **state)
{
	static const char *const document[] = { DOC("stop-restore-start"),
						DOC("restore-stop-start") };
	size_t i;

	(void)state;
	for (i = 0; i < 2 * N_OF(document); i++) {
		start(document[i / 2]);
		W.o.dry_run = i % 2 == 1;
		must_give_up("--service");
		assert_false(is_there("/d"));
		end();
		if (!is_root())
			continue;
		start(document[i / 2]);
		W.o.dry_run = i % 2 == 1;
		make_manager();
		use_service("--root=/tmp");
		must_give_up("not the name of a service");
		assert_false(is_there("/calls"));
		assert_false(is_there("/d"));
		end();
	}
}

/* --- writers of others -------------------------------------------------------- */

static void
give_to_nobody(const char *name)
{
	W.live.owner = NOBODY;
	W.grant[0] = in(name);
	W.live.grants = 1;
	assert_int_equal(lchown(in(name), NOBODY, NOBODY), 0);
}

static void
e2_a_restore_for_another_user_is_done_as_that_user(void **state)
{
	struct stat st;

	(void)state;
	if (!is_root())
		skip();
	start(ONE_DIR);
	make_dir("/d");
	give_to_nobody("/d");
	must_restore();
	must_be("/d/a");
	must_be("/d/sub/x");
	assert_int_equal(lstat(in("/d/a"), &st), 0);
	assert_int_equal(st.st_uid, NOBODY);
	assert_int_equal(lstat(in("/d/sub"), &st), 0);
	assert_int_equal(st.st_uid, NOBODY);
	end();
}

static void
e2_nothing_outside_the_grant_is_written(void **state)
{
	(void)state;
	if (!is_root())
		skip();
	start(PLAIN);
	make_dir("/d");
	give_to_nobody("/d");
	must_give_up("not beneath what the writer was granted");
	assert_false(is_there("/d/a"));
	assert_false(is_there("/log"));
	end();
}

static void
e2_what_the_owner_may_not_replace_is_not_replaced(void **state)
{
	(void)state;
	if (!is_root())
		skip();
	start(ONE_DIR);
	make_dir("/d");
	make_dir("/d/sub");
	give_to_nobody("/d");
	/* A directory of root's in the middle. */
	put_file("/d/sub/x", "root's");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	must_hold("/d/sub/x", "root's");
	assert_false(is_there("/d/a"));
	end();
}

/* A user's own writer, without grants, whose files are beneath `d` / hidden. */
static void
restore_as_nobody(const char *hidden)
{
	int rc;

	W.live.owner = NOBODY;
	W.live.grants = 0;
	assert_int_equal(chown(in("/d"), NOBODY, NOBODY), 0);
	assert_int_equal(chown(in("/d/sub"), NOBODY, NOBODY), 0);
	assert_int_equal(chmod(in(hidden), 0311), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	rc = restore();
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(rc, 0);
}

static void
a_directory_on_the_way_need_not_be_readable(void **state)
{
	static const char document[] =
		HEAD("restore-if-can-replace")
		"component c file-group selectable=yes\n"
		"files c %/d/sub * recursive\nend\n";

	(void)state;
	if (!is_root())
		skip();
	start(document);
	make_dir("/d");
	make_dir("/d/sub");
	restore_as_nobody("/d");
	must_be("/d/sub/x");
	assert_int_equal(W.out.failed, 0);
	end();
	/* That which files go to has to be: else nothing is written. */
	start(document);
	make_dir("/d");
	make_dir("/d/sub");
	restore_as_nobody("/d/sub");
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/d/sub/x"));
	must_log(TOLD "post-restore w:c none\nclose\n");
	end();
}

static void
e2_directed_targets_lie_beneath_the_grant(void **state)
{
	(void)state;
	if (!is_root())
		skip();
	start(ONE_DIR);
	make_dir("/d");
	give_to_nobody("/d");
	says("restore-target c directed");
	says("directed-target c %/d/a 0:5 %/outside 0:5");
	must_restore();
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/outside"));
	assert_false(is_there("/d/b"));
	end();
}

static void
another_users_writer_is_for_root_and_that_user(void **state)
{
	bool root = is_root();

	(void)state;
	start(PLAIN);
	if (root)
		assert_int_equal(seteuid(12345), 0);
	W.live.owner = geteuid() + 1;
	must_restore();
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(W.out.failed, 1);
	assert_false(is_there("/d"));
	end();
}

/* --- memory -------------------------------------------------------------------- */

static void
without_memory_a_restore_says_so_and_can_be_done_again(void **state)
{
	unsigned n;
	bool hit;
	int rc;

	(void)state;
	start(DOC_MAPPED("restore-if-can-replace"));
	says("restore-target c directed");
	says("directed-target c %/d/a 100:3,200:2 %/d/new "
			    "1:3,8:2");
	W.component[0].stamp = "mark";
	W.component[0].stamp_len = 4;
	for (n = 1, hit = true; hit; n += 1 + n / 16) {
		err_clear(&W.e);
		/* The fakes' own texts are not to fail. */
		buf_clear(&W.log);
		buf_clear(&W.notes);
		(void)buf_reserve(&W.log, 4096);
		(void)buf_reserve(&W.notes, 4096);
		failing_plan_alloc(n, false);
		rc = requester_restore(NULL, &W.g, &W.o, &W.out, &W.e);
		hit = failing_hits() > 0;
		failing_off();
		assert_ptr_equal(sys_target, &sys_real);
		if (rc < 0)
			assert_int_equal(W.e.kind, ERR_NOMEM);
		else if (!hit)
			assert_int_equal(W.out.failed, 0);
	}
	assert_true(n > 50);
	must_be("/d/b");
	must_be("/log/1");
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			rn_01_all_of_a_component_goes_home_and_the_writer_is_told),
		cmocka_unit_test(b3_the_gap_is_left_before_anything_is_written),
		cmocka_unit_test(dc_11_directories_come_back_empty_ones_too),
		cmocka_unit_test(dc_11_a_directory_takes_no_files_place),
		cmocka_unit_test(
			tw_02_excluded_files_and_other_components_are_left_alone),
		cmocka_unit_test(
			tw_06_one_file_in_the_way_sends_all_to_the_alternate_location),
		cmocka_unit_test(
			rm_04_without_a_mapping_one_file_in_the_way_stops_all),
		cmocka_unit_test(
			rm_04_if_not_there_one_file_that_is_there_stops_all),
		cmocka_unit_test(
			rm_03_what_can_be_replaced_is_asked_after_pre_restore),
		cmocka_unit_test(api_42_to_alternate_always_takes_the_mapping),
		cmocka_unit_test(rt_02_a_target_overrides_the_method),
		cmocka_unit_test(
			rm_06_at_reboot_files_are_staged_and_nothing_is_touched),
		cmocka_unit_test(rm_07_custom_is_refused),
		cmocka_unit_test(
			dt_01_directed_pieces_go_where_they_are_directed),
		cmocka_unit_test(
			dt_01_a_file_that_is_made_for_pieces_is_durable_with_its_name),
		cmocka_unit_test(
			cw_60_restore_metadata_comes_back_in_post_restore),
		cmocka_unit_test(
			api_31_directed_pieces_count_only_with_that_target),
		cmocka_unit_test(
			directed_pieces_that_are_not_there_stop_all_before_anything),
		cmocka_unit_test(nt_01_a_new_target_overrides_all_other_places),
		cmocka_unit_test(api_51_a_component_moves_to_another_instance),
		cmocka_unit_test(
			api_51_nothing_moves_to_where_the_other_instance_has_it),
		cmocka_unit_test(api_51_who_may_move_and_what_to),
		cmocka_unit_test(
			api_34_a_new_target_is_of_a_file_set_and_the_schema_has_it),
		cmocka_unit_test(
			sr_02_a_member_is_restored_alone_where_that_is_allowed),
		cmocka_unit_test(wishes_that_cannot_be_fulfilled_touch_nothing),
		cmocka_unit_test(
			rp_03_a_writer_that_does_not_listen_gets_nothing_back),
		cmocka_unit_test(
			a_writer_that_fails_in_pre_restore_keeps_what_it_has),
		cmocka_unit_test(
			rc_01_a_writer_that_is_gone_before_post_restore_has_not_its_data),
		cmocka_unit_test(
			a_writer_may_want_no_events),
		cmocka_unit_test(
			ri_03_writers_are_told_that_more_follows_and_their_options),
		cmocka_unit_test(ro_01_there_is_one_option_text_for_a_component),
		cmocka_unit_test(
			pf_14_ranges_only_writes_declared_bytes_into_what_is_there),
		cmocka_unit_test(
			rs_04_declared_files_outside_all_file_sets_come_back_too),
		cmocka_unit_test(in_place_a_file_keeps_its_inode),
		cmocka_unit_test(a_dry_run_tells_and_touches_nothing),
		cmocka_unit_test(a_link_on_the_way_is_not_followed),
		cmocka_unit_test(
			sv_02_the_service_is_stopped_and_started_around_the_restore),
		cmocka_unit_test(
			sv_02_what_was_stopped_runs_again_whatever_fails),
		cmocka_unit_test(
			sv_02_what_was_stopped_runs_again_if_we_are_killed),
		cmocka_unit_test(
			sv_02_a_service_that_does_not_start_again_is_a_failure),
		cmocka_unit_test(
			sv_01_without_a_named_service_nothing_is_stopped_or_restored),
		cmocka_unit_test(
			e2_a_restore_for_another_user_is_done_as_that_user),
		cmocka_unit_test(e2_nothing_outside_the_grant_is_written),
		cmocka_unit_test(
			e2_what_the_owner_may_not_replace_is_not_replaced),
		cmocka_unit_test(a_directory_on_the_way_need_not_be_readable),
		cmocka_unit_test(e2_directed_targets_lie_beneath_the_grant),
		cmocka_unit_test(another_users_writer_is_for_root_and_that_user),
		cmocka_unit_test(
			without_memory_a_restore_says_so_and_can_be_done_again),
	};

	return cmocka_run_group_tests_name("restore_writers", tests, NULL,
					   NULL);
}
