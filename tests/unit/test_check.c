/*
 * Repositories with known contents, damaged in known places: what check
 * tells of them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/check.h"

#include "base/io.h"
#include "src/engine/generation.h"
#include "src/engine/links.h"
#include "src/engine/list.h"
#include "tests/lib/maker.h"
#include "tests/lib/samples.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <sys/stat.h>

#define TOLD_MAX 64
#define D        ENTRY_DIR

struct rig {
	struct fixture f;
	struct check_options opt;
	struct check_result res;
	struct err e;
	char told[TOLD_MAX][ERR_TEXT_LEN + 300]; /* "where: what" */
	size_t tolds, notes;
	uint64_t done, total;
};

static void
note_damage(void *ctx, const char *where, const char *what)
{
	struct rig *r = ctx;

	assert_true(r->tolds < TOLD_MAX);
	(void)snprintf(r->told[r->tolds++], sizeof(r->told[0]), "%s: %s", where,
		       what);
}

static void
note_note(void *ctx, const char *where, const char *what)
{
	struct rig *r = ctx;

	assert_non_null(where);
	assert_non_null(what);
	r->notes++;
}

static void
note_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct rig *r = ctx;

	assert_true(done > r->done && done <= total);
	r->done = done;
	r->total = total;
}

static void
rig_begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	fixture_begin(&r->f);
	r->opt.data = true;
	r->opt.threads = 2;
	r->opt.damage = note_damage;
	r->opt.note = note_note;
	r->opt.progress = note_progress;
	r->opt.ctx = r;
}

static void
rig_end(struct rig *r)
{
	fixture_end(&r->f);
}

/* --- making generations ---------------------------------------------------------- */

/* Data goes to one pack and all else to another. */
struct split_sink {
	struct chunk_sink sink;
	struct chunk_sink *below;
	bool data; /* which half is let through; ids are right in any case */
	const struct id_keys *keys;
};

static int
split_put(struct chunk_sink *s, enum id_kind kind, const void *p, size_t len,
	  struct id *out, struct err *e)
{
	struct split_sink *k = (struct split_sink *)(void *)s;

	if ((kind == KIND_DATA) == k->data)
		return chunk_put(k->below, kind, p, len, out, e);
	id_compute(k->keys, kind, p, len, out);
	return 0;
}

static void
publish(struct rig *r, struct record *rec)
{
	struct err e = { 0 };

	MUST(writer_flush(r->f.writer, &e), &e);
	memcpy(rec->repository_id, r->f.repository->config.id, 16);
	MUST(generation_publish(r->f.store, rec, &e), &e);
}

static struct record
empty_record(void)
{
	struct record rec = sample_record();

	memset(&rec.links, 0, sizeof(rec.links));
	memset(&rec.exceptions, 0, sizeof(rec.exceptions));
	rec.link_count = 0;
	rec.exception_count = 0;
	return rec;
}

/* Trees and data of these things, and a generation of them. */
static void
add_generation(struct rig *r, const struct thing *t, size_t n)
{
	struct split_sink k = { .sink = { split_put } };
	struct record rec = empty_record();
	struct err e = { 0 };
	struct maker m;
	int half;

	fixture_open(&r->f, NULL);
	fixture_open_writer(&r->f, NULL);
	k.below = writer_sink(r->f.writer);
	k.keys = &r->f.repository->keys;
	for (half = 0; half < 2; half++) {
		k.data = half == 0;
		rec.root = maker_top(&m, &k.sink, t, n);
		MUST(writer_flush(r->f.writer, &e), &e);
	}
	publish(r, &rec);
	fixture_close(&r->f);
}

static int
run(struct rig *r)
{
	int rc;

	fixture_open(&r->f, NULL);
	r->tolds = 0;
	r->notes = 0;
	r->done = 0;
	err_clear(&r->e);
	memset(&r->res, 0, sizeof(r->res));
	rc = check_run(r->f.store, &r->opt, &r->res, &r->e);
	fixture_close(&r->f);
	return rc;
}

static void
must_run(struct rig *r, size_t problems)
{
	size_t i;

	if (run(r) < 0)
		fail_msg("%s", r->e.text);
	if (r->tolds != problems)
		for (i = 0; i < r->tolds; i++)
			print_error("told: %s\n", r->told[i]);
	assert_int_equal(r->tolds, problems);
	assert_int_equal(r->res.damaged, problems);
}

/* Is there a sentence that begins and goes on like this? */
static bool
told(const struct rig *r, const char *start, const char *part)
{
	size_t i;

	for (i = 0; i < r->tolds; i++)
		if (strncmp(r->told[i], start, strlen(start)) == 0 &&
		    strstr(r->told[i], part) != NULL)
			return true;
	return false;
}

static void
must_tell(const struct rig *r, const char *start, const char *part)
{
	size_t i;

	if (told(r, start, part))
		return;
	for (i = 0; i < r->tolds; i++)
		print_error("told: %s\n", r->told[i]);
	fail_msg("not told: %s ... %s", start, part);
}

/* --- two generations that share most ---------------------------------------------- */

static const struct thing first[] = {
	{ .path = "/a", .type = D },
	{ .path = "/a/same", .size = 50000 },
	{ .path = "/a/small", .size = 5, .xattr = 5000 },
	{ .path = "/b", .type = D },
	{ .path = "/b/mapped", .size = 300000 },
	{ .path = "/b/sparse",
	  .size = 200000,
	  .hole_at = 50000,
	  .hole_len = 100000 },
	{ .path = "/c", .type = ENTRY_SYMLINK, .target = "a" },
	{ .path = "/d", .size = 10, .flags = ENTRY_UNREADABLE },
};
static const struct thing second[] = {
	{ .path = "/a", .type = D },
	{ .path = "/a/same", .size = 50000 },
	{ .path = "/a/small", .size = 5, .xattr = 5000 },
	{ .path = "/b", .type = D },
	{ .path = "/b/new", .size = 70000 },
};

static void
add_two(struct rig *r)
{
	add_generation(r, first, N_OF(first));
	add_generation(r, second, N_OF(second));
}

/* Names of the packs, in order. */
static size_t
packs(const struct rig *r, char (*names)[256])
{
	size_t n = fixture_packs(&r->f, names, 16);
	size_t i;
	size_t j;

	assert_true(n <= 16);
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			if (strcmp(names[j], names[i]) < 0) {
				char swap[256];

				memcpy(swap, names[i], 256);
				memcpy(names[i], names[j], 256);
				memcpy(names[j], swap, 256);
			}
	return n;
}

/* The pack with the most (or the least) bytes that was made first. */
static const char *
data_pack(const struct rig *r)
{
	static char names[16][256];
	const char *best = NULL;
	off_t size = 0;
	size_t n = packs(r, names);
	size_t i;

	for (i = 0; i < n; i++) {
		off_t len = scratch_size(fixture_at(&r->f, "packs", names[i]));

		if (len > size) {
			size = len;
			best = names[i];
		}
	}
	assert_non_null(best);
	return fixture_at(&r->f, "packs", best);
}

static void
a_sound_repository_has_no_damage(void **state)
{
	struct rig r;
	int data;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	for (data = 0; data < 2; data++) {
		r.opt.data = data == 1;
		must_run(&r, 0);
		assert_int_equal(r.res.generations, 2);
		assert_int_equal(r.res.packs, 4);
		/* Both tops; /a of the second is the first's. */
		assert_int_equal(r.res.entries,
				 1 + N_OF(first) + 1 + N_OF(second) - 2);
		assert_true(r.res.chunks > 50);
		assert_int_equal(r.res.unreferenced, 0);
		assert_int_equal(r.notes, 0);
	}
	assert_true(r.res.bytes > 400000);
	assert_true(r.done == r.total && r.total > 0);
	rig_end(&r);
}

static void
many_directories_and_long_runs_have_no_damage(void **state)
{
	enum {
		DIRS = 1000
	};
	static struct thing t[DIRS * 2 + 1];
	static char path[N_OF(t)][32];
	struct rig r;
	size_t i;

	(void)state;
	memset(t, 0, sizeof(t));
	for (i = 0; i < DIRS; i++) {
		(void)snprintf(path[2 * i], sizeof(path[0]), "/%04zu", i);
		t[2 * i].path = path[2 * i];
		t[2 * i].type = D;
		(void)snprintf(path[2 * i + 1], sizeof(path[0]), "/%04zu/%zu",
			       i, i);
		t[2 * i + 1].path = path[2 * i + 1];
	}
	t[2 * DIRS].path = "/run";
	t[2 * DIRS].size = 100 * MAKER_CHUNK;
	t[2 * DIRS].same = true;
	rig_begin(&r);
	add_generation(&r, t, N_OF(t));
	must_run(&r, 0);
	assert_int_equal(r.res.entries, 1 + N_OF(t));
	rig_end(&r);
}

static void
an_empty_repository_has_no_damage(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	must_run(&r, 0);
	assert_int_equal(r.res.generations, 0);
	rig_end(&r);
}

static void
what_no_generation_uses_is_counted(void **state)
{
	struct rig r;
	struct id ids[50];

	(void)state;
	rig_begin(&r);
	add_two(&r);
	fixture_open(&r.f, NULL);
	fixture_open_writer(&r.f, NULL);
	fixture_fill(&r.f, KIND_DATA, 1000, 50, 2000, ids);
	fixture_close(&r.f);
	must_run(&r, 0);
	/* Half of each such chunk does not compress. */
	assert_true(r.res.unreferenced >= 50 * 1000);
	assert_true(r.res.unreferenced <= 50 * 2000);
	fixture_open(&r.f, NULL);
	assert_int_equal(repository_forget_generation(r.f.repository, 1, NULL),
			 0);
	fixture_close(&r.f);
	must_run(&r, 0);
	assert_int_equal(r.res.generations, 1);
	assert_true(r.res.unreferenced > 50 * 1000 + 300000);
	rig_end(&r);
}

static void
check_changes_nothing_in_the_repository(void **state)
{
	static const char *const dirs[] = { "packs", "generations", "condemned",
					    "sessions" };
	char names[16][256];
	struct stat before[16];
	struct stat after;
	struct rig r;
	size_t n;
	size_t i;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	scratch_flip(data_pack(&r), 200);
	n = packs(&r, names);
	for (i = 0; i < n; i++)
		assert_int_equal(
			stat(fixture_at(&r.f, "packs", names[i]), &before[i]),
			0);
	assert_int_equal(run(&r), 0);
	for (i = 0; i < n; i++) {
		assert_int_equal(
			stat(fixture_at(&r.f, "packs", names[i]), &after), 0);
		assert_int_equal(after.st_ino, before[i].st_ino);
		assert_int_equal(after.st_mtim.tv_sec,
				 before[i].st_mtim.tv_sec);
		assert_int_equal(after.st_mtim.tv_nsec,
				 before[i].st_mtim.tv_nsec);
	}
	for (i = 0; i < N_OF(dirs); i++)
		assert_int_equal(
			scratch_count(fixture_at(&r.f, dirs[i], ""), names, 16),
			i == 0   ? 4
			: i == 1 ? 2
				 : 0);
	rig_end(&r);
}

/* --- damage ------------------------------------------------------------------------ */

static void
every_file_with_a_damaged_chunk_is_named_in_every_generation(void **state)
{
	struct rig r;
	char names[16][256];
	char pack[300];

	(void)state;
	rig_begin(&r);
	add_two(&r);
	/* /a/same comes first in it, five chunks. */
	scratch_flip(data_pack(&r), 128 + 5000);
	scratch_flip(data_pack(&r), 128 + 25000);
	must_run(&r, 2 + 2);
	assert_int_equal(packs(&r, names), 4);
	(void)snprintf(pack, sizeof(pack),
		       "pack %s: ", strrchr(data_pack(&r), '/') + 1);
	must_tell(&r, pack, "frame");
	must_tell(&r, "1:/a/same: ", "what is at offset 0 is lost: chunk ");
	must_tell(&r, "1:/a/same: ", "is damaged (the first of 2 such places)");
	must_tell(&r, "2:/a/same: ", "is damaged");
	/* Without reading all data it is known from what was noted. */
	r.opt.data = false;
	must_run(&r, 2);
	must_tell(&r, "2:/a/same: ", "is damaged");
	rig_end(&r);
}

static void
files_of_a_lost_pack_are_named_without_reading_data(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	assert_int_equal(unlink(data_pack(&r)), 0);
	r.opt.data = false;
	must_run(&r, 4 + 2);
	must_tell(&r, "1:/b/mapped: ", "is in no readable pack");
	must_tell(&r, "2:/a/same: ", "is in no readable pack");
	assert_false(told(&r, "2:/b", ""));
	rig_end(&r);
}

static void
a_pack_without_its_end_is_named(void **state)
{
	struct rig r;
	const char *path;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	path = data_pack(&r);
	assert_int_equal(truncate(path, scratch_size(path) - 1), 0);
	must_run(&r, 1 + 4 + 2);
	must_tell(&r, "pack ", "");
	must_tell(&r, "1:/a/same: ", "is in no readable pack");
	rig_end(&r);
}

static void
a_damaged_directory_block_is_named_once(void **state)
{
	struct rig r;
	const char *path;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	path = data_pack(&r);
	/* Footer 64, block table 32, and before them the only block. */
	scratch_flip(path, scratch_size(path) - 64 - 32 - 10);
	must_run(&r, 1 + 4 + 2);
	must_tell(&r, "pack ", "");
	rig_end(&r);
}

/* Flip a bit of the first such bytes in any pack. */
static void
damage_bytes(const struct rig *r, const char *bytes)
{
	static uint8_t text[1 << 20];
	char names[16][256];
	const uint8_t *hit;
	size_t n = packs(r, names);
	size_t len;
	size_t i;

	for (i = 0; i < n; i++) {
		const char *path = fixture_at(&r->f, "packs", names[i]);

		len = scratch_read(path, text, sizeof(text));
		hit = memmem(text, len, bytes, strlen(bytes));
		if (hit == NULL)
			continue;
		scratch_flip(path, hit - text);
		return;
	}
	fail_msg("no pack holds %s", bytes);
}

static void
a_damaged_tree_is_named_and_the_others_are_checked(void **state)
{
	/* Entries with so many ids in them that they do not compress. */
	static const struct thing t[] = {
		{ .path = "/a", .size = 10 },
		{ .path = "/b", .type = D },
		{ .path = "/b/findme", .size = 600000 },
		{ .path = "/b/other", .size = 600000 },
		{ .path = "/c", .type = D },
		{ .path = "/c/f", .size = 600000 },
	};
	struct rig r;

	(void)state;
	rig_begin(&r);
	add_generation(&r, t, N_OF(t));
	add_generation(&r, second, N_OF(second));
	damage_bytes(&r, "findme");
	must_run(&r, 2);
	must_tell(&r, "pack ", "does not match its id");
	must_tell(&r, "1:/b: ", "2 names in it are lost");
	assert_int_equal(r.res.unreferenced, 0);
	assert_int_equal(r.res.entries, 1 + N_OF(t) - 2 + 1 + N_OF(second));
	rig_end(&r);
}

static void
a_file_whose_map_is_damaged_is_named(void **state)
{
	/* So large a map that the frame of all nodes does not compress. */
	static const struct thing t[] = {
		{ .path = "/f", .size = 3000000 },
	};
	struct rig r;
	char names[16][256];
	size_t n;
	size_t i;

	(void)state;
	rig_begin(&r);
	add_generation(&r, t, N_OF(t));
	n = packs(&r, names);
	assert_int_equal(n, 2);
	for (i = 0; i < n; i++) {
		const char *path = fixture_at(&r.f, "packs", names[i]);

		if (strcmp(path, data_pack(&r)) != 0)
			scratch_flip(path, 128 + 100);
	}
	must_run(&r, 2);
	must_tell(&r, "pack ", "does not match its id");
	must_tell(&r, "1:/f: ", "its file map cannot be read: ");
	assert_int_equal(r.res.unreferenced, 0);
	rig_end(&r);
}

static void
a_damaged_record_is_named_and_the_others_are_checked(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	scratch_flip(fixture_at(&r.f, "generations", "1"), 60);
	must_run(&r, 1);
	must_tell(&r, "generation 1: ", "");
	assert_int_equal(r.res.generations, 2);
	assert_int_equal(r.res.entries, 1 + N_OF(second));
	rig_end(&r);
}

static void
a_damaged_copy_of_the_config_is_named(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	scratch_flip(fixture_at(&r.f, "keys", "config.copy"), 30);
	must_run(&r, 1);
	must_tell(&r, "config: ", "damaged or missing");
	rig_end(&r);
}

/* --- contradictions ------------------------------------------------------------------ */

/* A generation whose top is this tree; its writer is left open. */
static void
begin_by_hand(struct rig *r)
{
	fixture_open(&r->f, NULL);
	fixture_open_writer(&r->f, NULL);
}

static struct entry
top_of(struct rig *r, const struct entry *en, size_t n)
{
	struct entry top = { .type = ENTRY_DIR, .mode = 0755, .nlink = 1 };
	struct tree_builder *b;
	struct err e = { 0 };
	size_t i;

	MUST(tree_builder_new(writer_sink(r->f.writer), &b, &e), &e);
	for (i = 0; i < n; i++)
		MUST(tree_builder_add(b, &en[i], &e), &e);
	MUST(tree_builder_finish(b, &top.dir, &e), &e);
	tree_builder_free(b);
	return top;
}

static void
wrong_counts_are_found(void **state)
{
	struct record rec = empty_record();
	struct entry en[2];
	struct rig r;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		rig_begin(&r);
		begin_by_hand(&r);
		en[0] = sample_file("x");
		en[1] = top_of(&r, NULL, 0);
		en[1].name = (const uint8_t *)"y";
		en[1].name_len = 1;
		rec.root = top_of(&r, en, 2);
		rec.root.name = (const uint8_t *)"dir";
		rec.root.name_len = 3;
		rec.root.dir.entries += i == 0;
		rec.root.dir.dirs += i == 1;
		rec.root.dir.beneath += i == 2 || i == 0;
		en[0] = rec.root;
		rec.root = top_of(&r, en, 1);
		publish(&r, &rec);
		fixture_close(&r.f);
		must_run(&r, 1);
		must_tell(&r, "1:/dir: ", "counts are wrong");
		rig_end(&r);
	}
}

/* Files with one map: five chunks with a hole behind each. */
static void
files_with_holes(struct rig *r, struct entry *en, size_t n)
{
	struct chunk_sink *sink = writer_sink(r->f.writer);
	struct filemap_builder *b;
	struct err e = { 0 };
	struct content c;
	uint64_t size;
	struct id id;
	size_t i;

	MUST(filemap_builder_new(sink, &b, &e), &e);
	filemap_builder_start(b, MAP_CDC, 0);
	for (i = 0; i < 5; i++) {
		MUST(chunk_put(sink, KIND_DATA, &i, sizeof(i), &id, &e), &e);
		MUST(filemap_add_chunk(b, &id, sizeof(i), &e), &e);
		MUST(filemap_add_hole(b, 100, &e), &e);
	}
	MUST(filemap_finish(b, &c, &size, &e), &e);
	filemap_builder_free(b);
	assert_int_equal(c.form, CONTENT_MAPPED);
	assert_int_equal(c.holes, 500);
	for (i = 0; i < n; i++) {
		en[i].content = c;
		en[i].size = size;
	}
}

static void
a_wrong_count_of_holes_is_found(void **state)
{
	struct record rec = empty_record();
	struct entry en[4];
	struct rig r;

	(void)state;
	rig_begin(&r);
	begin_by_hand(&r);
	en[0] = sample_file("less");
	en[1] = sample_file("more");
	en[2] = sample_file("none");
	en[3] = sample_file("right");
	files_with_holes(&r, en, 4);
	en[0].content.holes--;
	en[1].content.holes++;
	en[2].content.holes = 0;
	rec.root = top_of(&r, en, 4);
	publish(&r, &rec);
	fixture_close(&r.f);
	must_run(&r, 3);
	must_tell(&r, "1:/less: ", "500 bytes of holes, but 499");
	must_tell(&r, "1:/more: ", "500 bytes of holes, but 501");
	must_tell(&r, "1:/none: ", "500 bytes of holes, but 0");
	rig_end(&r);
}

static void
a_linked_file_that_is_not_in_the_table_is_found(void **state)
{
	struct record rec = empty_record();
	struct entry en[2];
	struct links_builder *b;
	struct err e = { 0 };
	struct link l = { .inside = 2 };
	struct rig r;

	(void)state;
	rig_begin(&r);
	begin_by_hand(&r);
	en[0] = sample_file("x");
	en[0].flags = ENTRY_LINKED;
	en[0].nlink = 2;
	en[1] = en[0];
	en[1].name = (const uint8_t *)"y";
	rec.root = top_of(&r, en, 2);
	publish(&r, &rec);

	/* And one whose table is right, and one whose table lies. */
	l.fs = en[0].fs;
	l.ino = en[0].ino;
	l.tree = rec.root.dir.id;
	l.name = en[0].name;
	l.name_len = 1;
	MUST(links_builder_new(writer_sink(r.f.writer), &b, &e), &e);
	MUST(links_builder_add(b, &l, &e), &e);
	MUST(links_builder_finish(b, &rec.links, &rec.link_count, &e), &e);
	publish(&r, &rec);
	l.name = (const uint8_t *)"z";
	MUST(links_builder_add(b, &l, &e), &e);
	MUST(links_builder_finish(b, &rec.links, &rec.link_count, &e), &e);
	publish(&r, &rec);
	links_builder_free(b);
	fixture_close(&r.f);

	must_run(&r, 3);
	must_tell(&r, "1:/x: ", "not found in the table of hard links");
	must_tell(&r, "1:/y: ", "not found in the table of hard links");
	must_tell(&r, "generation 3: ", "is not where it should be");
	rig_end(&r);
}

static void
a_wrong_list_of_exceptions_is_found(void **state)
{
	struct record rec = empty_record();
	struct list_builder *b;
	struct err e = { 0 };
	struct buf item = { 0 };
	struct rig r;
	int i;

	(void)state;
	rig_begin(&r);
	begin_by_hand(&r);
	rec.root = top_of(&r, NULL, 0);
	MUST(list_builder_new(writer_sink(r.f.writer), &b, &e), &e);
	wr_string(&item, "/path", 5);
	wr_varint(&item, 1);
	wr_varint(&item, 2);
	wr_string(&item, "text", 4);
	for (i = 0; i < 3; i++) {
		/* Right; one too many promised; an item that is cut. */
		MUST(list_builder_add(b, item.data,
				      i == 2 ? item.len - 1 : item.len, &e),
		     &e);
		MUST(list_builder_finish(b, &rec.exceptions,
					 &rec.exception_count, &e),
		     &e);
		rec.exception_count += i == 1;
		publish(&r, &rec);
	}
	list_builder_free(b);
	buf_clear(&item);
	fixture_close(&r.f);
	must_run(&r, 2);
	must_tell(&r, "generation 2: ", "1 items instead of 2");
	must_tell(&r, "generation 3: ", "item 0 is damaged");
	rig_end(&r);
}

/* --- one generation, and none ---------------------------------------------------------- */

static void
one_generation_can_be_checked_alone(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	r.opt.generation = 2;
	must_run(&r, 0);
	assert_int_equal(r.res.generations, 1);
	assert_int_equal(r.res.entries, 1 + N_OF(second));
	scratch_flip(data_pack(&r), 5000);
	must_run(&r, 1 + 1);
	must_tell(&r, "2:/a/same: ", "is damaged");
	r.opt.generation = 3;
	assert_int_equal(run(&r), -1);
	assert_int_equal(r.e.kind, ERR_MISSING);
	assert_string_equal(r.e.text, "no generation 3");
	rig_end(&r);
}

static void
packs_that_one_generation_does_not_use_are_not_read_for_it(void **state)
{
	struct rig r;

	(void)state;
	rig_begin(&r);
	add_generation(&r, first, N_OF(first));
	add_generation(&r, second + 3, 1);
	scratch_flip(data_pack(&r), 5000);
	r.opt.generation = 2;
	must_run(&r, 0);
	r.opt.generation = 1;
	must_run(&r, 1 + 1);
	rig_end(&r);
}

static void
the_same_damage_in_two_places_is_told_of_both(void **state)
{
	static const struct thing t[] = {
		{ .path = "/a", .type = D },
		{ .path = "/a/d", .type = D },
		{ .path = "/a/d/f", .size = 100, .link = 5, .nlink = 2 },
		{ .path = "/b", .type = D },
		{ .path = "/b/d", .type = D },
		{ .path = "/b/d/f", .size = 100, .link = 5, .nlink = 2 },
		/* Makes the pack of data the larger one. */
		{ .path = "/c", .size = 10000 },
	};
	struct rig r;

	(void)state;
	rig_begin(&r);
	add_generation(&r, t, N_OF(t));
	assert_int_equal(unlink(data_pack(&r)), 0);
	assert_int_equal(run(&r), 0);
	must_tell(&r, "1:/a/d/f: ", "is in no readable pack");
	must_tell(&r, "1:/b/d/f: ", "is in no readable pack");
	must_tell(&r, "1:/c: ", "is in no readable pack");
	rig_end(&r);
}

static void
cancelling_is_an_error(void **state)
{
	atomic_int cancel = 1;
	struct rig r;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	r.opt.cancel = &cancel;
	assert_int_equal(run(&r), -1);
	assert_int_equal(r.e.kind, ERR_CANCELLED);
	rig_end(&r);
}

static unsigned allocs;

static bool
fail_later(size_t size)
{
	(void)size;
	return __atomic_fetch_sub(&allocs, 1, __ATOMIC_RELAXED) == 1;
}

static void
no_allocation_fails_unnoticed(void **state)
{
	struct rig r;
	unsigned n;
	int rc = -1;

	(void)state;
	rig_begin(&r);
	add_two(&r);
	fixture_open(&r.f, NULL);
	for (n = 1; rc < 0; n++) {
		r.done = 0;
		r.tolds = 0;
		err_clear(&r.e);
		allocs = n;
		mem_fail(fail_later);
		rc = check_run(r.f.store, &r.opt, &r.res, &r.e);
		mem_fail(NULL);
		if (rc < 0)
			assert_int_equal(r.e.kind, ERR_NOMEM);
		assert_int_equal(r.tolds, 0);
		assert_true(n < 5000);
	}
	assert_true(n > 20);
	fixture_close(&r.f);
	rig_end(&r);
}

static void
a_damaged_session_tree_is_told(void **state)
{
	struct record rec = empty_record();
	struct rig r;
	uint64_t entries;

	(void)state;
	rig_begin(&r);
	begin_by_hand(&r);
	rec.root = top_of(&r, NULL, 0);
	rec.session = rec.root;
	publish(&r, &rec);
	fixture_close(&r.f);
	must_run(&r, 0);
	entries = r.res.entries;
	assert_int_equal(entries, 2);
	begin_by_hand(&r);
	rec.session.dir.id.b[0] ^= 1;
	publish(&r, &rec);
	fixture_close(&r.f);
	must_run(&r, 1);
	must_tell(&r, "2:(session)", " in it ");
	rig_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_repository_has_no_damage),
		cmocka_unit_test(many_directories_and_long_runs_have_no_damage),
		cmocka_unit_test(an_empty_repository_has_no_damage),
		cmocka_unit_test(what_no_generation_uses_is_counted),
		cmocka_unit_test(check_changes_nothing_in_the_repository),
		cmocka_unit_test(
			every_file_with_a_damaged_chunk_is_named_in_every_generation),
		cmocka_unit_test(
			files_of_a_lost_pack_are_named_without_reading_data),
		cmocka_unit_test(a_pack_without_its_end_is_named),
		cmocka_unit_test(a_damaged_directory_block_is_named_once),
		cmocka_unit_test(
			a_damaged_tree_is_named_and_the_others_are_checked),
		cmocka_unit_test(a_file_whose_map_is_damaged_is_named),
		cmocka_unit_test(
			a_damaged_record_is_named_and_the_others_are_checked),
		cmocka_unit_test(a_damaged_copy_of_the_config_is_named),
		cmocka_unit_test(wrong_counts_are_found),
		cmocka_unit_test(a_wrong_count_of_holes_is_found),
		cmocka_unit_test(
			a_linked_file_that_is_not_in_the_table_is_found),
		cmocka_unit_test(a_wrong_list_of_exceptions_is_found),
		cmocka_unit_test(a_damaged_session_tree_is_told),
		cmocka_unit_test(one_generation_can_be_checked_alone),
		cmocka_unit_test(
			packs_that_one_generation_does_not_use_are_not_read_for_it),
		cmocka_unit_test(the_same_damage_in_two_places_is_told_of_both),
		cmocka_unit_test(cancelling_is_an_error),
		cmocka_unit_test(no_allocation_fails_unnoticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
