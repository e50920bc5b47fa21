/*
 * What writers claim, in the walk: each kind of claim, the order in which
 * outcomes come, what is read and what is not, and that the generation is what
 * it says.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "tests/lib/claims_rig.h"

#include "base/sys.h"
#include "src/engine/exclude.h"
#include "tests/lib/rng.h"

#include <sys/xattr.h>

static int
set_up(void **state)
{
	static struct rig r;

	rig_begin(&r);
	*state = &r;
	return 0;
}

static int
tear_down(void **state)
{
	sys_source = &sys_real;
	rig_end(*state);
	return 0;
}

static void
make_two(struct rig *r)
{
	rig_write(r, "a", "first");
	rig_write(r, "b", "second");
	rig_mkdir(r, "d", 0700);
	rig_write(r, "d/x", "third");
}

/* The next generation, for which so many bytes of claimed files are read. */
static uint32_t
next_reads(struct rig *r, uint64_t bytes)
{
	uint32_t g = rig_backup(r, GEN_INCREMENTAL, true);

	assert_int_equal(r->read, bytes);
	return g;
}

/* --- in steps ------------------------------------------------------------------- */

static void
the_facts_stand_before_the_walk(void **state)
{
	struct rig *r = *state;
	struct err e = { 0 };
	const char *sources[1] = { r->src };
	struct backup_job *j = NULL;
	struct backup_facts f;
	struct backup_result res;

	make_two(r);
	r->opt.sources = sources;
	r->opt.source_count = 1;
	MUST(backup_begin(r->f.store, &r->opt, &j, &e), &e);
	backup_facts(j, &f);
	assert_int_equal(f.session_type, GEN_FULL);
	assert_null(f.base);
	assert_int_equal(f.sources, 1);
	assert_string_equal(f.source[0], r->src);
	assert_int_equal(f.list->count, 0);
	MUST(backup_walk(j, NULL, &res, &e), &e);
	assert_memory_equal(res.id, f.id, sizeof(res.id));
	assert_string_equal(res.set, f.set);
	assert_int_equal(res.session_type, GEN_FULL);
	assert_int_equal(backup_walk(j, NULL, &res, &e), -1);
	assert_int_equal(e.kind, ERR_USAGE);
	backup_job_free(j);
	backup_job_free(NULL);
}

static void
a_job_that_is_not_walked_leaves_nothing(void **state)
{
	struct rig *r = *state;
	struct err e = { 0 };
	const char *sources[1] = { r->src };
	struct backup_job *j = NULL;

	r->opt.sources = sources;
	r->opt.source_count = 1;
	MUST(backup_begin(r->f.store, &r->opt, &j, &e), &e);
	backup_job_free(j);
	make_two(r);
	assert_int_equal(rig_backup(r, GEN_INCREMENTAL, false), 1);
}

static void
a_log_run_wants_claims(void **state)
{
	struct rig *r = *state;
	struct err e = { 0 };

	make_two(r);
	(void)rig_backup(r, GEN_FULL, false);
	rig_reopen(r);
	assert_int_equal(rig_try(r, GEN_LOG, false, &e), -1);
	assert_int_equal(e.kind, ERR_UNSUPPORTED);
}

/* --- kinds ---------------------------------------------------------------------- */

static void
without_claims_nobody_is_asked(void **state)
{
	struct rig *r = *state;

	make_two(r);
	(void)rig_backup(r, GEN_FULL, true);
	assert_int_equal(r->asked, 0);
	assert_string_equal(r->log, "");
	(void)rig_add(r, "a", CLAIM_WHOLE, 0);
	(void)rig_backup(r, GEN_INCREMENTAL, true);
	assert_true(r->asked > 0);
	assert_string_equal(r->log, "a: ok\n");
}

static void
b9_what_is_excluded_is_left_out(void **state)
{
	struct rig *r = *state;
	uint32_t g;

	make_two(r);
	(void)rig_add(r, "a", CLAIM_EXCLUDED, 0);
	(void)rig_add(r, "d", CLAIM_EXCLUDED, 0);
	g = rig_backup(r, GEN_FULL, true);
	rig_lacks(r, g, "a");
	rig_lacks(r, g, "d");
	rig_lacks(r, g, "d/x");
	rig_holds(r, g, "b", "second");
	assert_string_equal(r->log, "");
}

static void
whole_is_read_for_its_reason(void **state)
{
	struct rig *r = *state;
	struct rule *rule;
	uint32_t g;

	make_two(r);
	(void)rig_backup(r, GEN_FULL, false);
	rule = rig_add(r, "a", CLAIM_WHOLE, 1);
	rule->claim.text = "because it is";
	g = next_reads(r, 5);
	rig_says(r, g, "a required because it is\n");
	rule->claim.reason = PLAN_UNTRUSTED;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_says(r, g, "a untrusted because it is\n");
	assert_string_equal(r->log, "a: ok\n");
	assert_int_equal(r->res.claimed_bytes_read, 5);
}

/* Times far enough back that nothing is racy. */
static void
age(struct rig *r, const char *name)
{
	struct timespec t[2] = { { .tv_sec = 1000000000 },
				 { .tv_sec = 1000000000 } };

	assert_int_equal(utimensat(AT_FDCWD, rig_at(r, name), t,
				   AT_SYMLINK_NOFOLLOW),
			 0);
}

static void
tick(void)
{
	const struct timespec t = { .tv_nsec = 30000000 };

	nanosleep(&t, NULL);
}

static void
a2_the_own_test_is_against_the_components_base(void **state)
{
	struct rig *r = *state;
	struct rule *rule;
	uint32_t g;

	make_two(r);
	age(r, "a");
	age(r, "b");
	tick();
	(void)rig_backup(r, GEN_FULL, false); /* 1 */
	rig_write(r, "a", "other");
	age(r, "a");
	tick();
	(void)rig_backup(r, GEN_INCREMENTAL, false); /* 2 */
	/* The plain base has it; the component's base has something else. */
	rule = rig_add(r, "a", CLAIM_OWN, 1);
	(void)rig_add(r, "b", CLAIM_OWN, 1);
	g = rig_backup(r, GEN_INCREMENTAL, true); /* 3 */
	rig_says(r, g, "a ctime \n");
	assert_int_equal(r->read, 5);
	rig_holds(r, g, "a", "other");
	rig_holds(r, g, "b", "second");
	/* And now it is the same. */
	rule->base = g;
	(void)next_reads(r, 0);
	assert_string_equal(r->log, "a: ok\nb: ok\n");
	/* No base at all. */
	rule->base = 0;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_says(r, g, "a first \n");
}

static void
b8_since_is_the_own_test_and_a_time(void **state)
{
	struct rig *r = *state;
	struct rule *rule;
	struct stat st;
	uint32_t g;

	make_two(r);
	tick();
	(void)rig_backup(r, GEN_FULL, false);
	assert_int_equal(stat(rig_at(r, "a"), &st), 0);
	rule = rig_add(r, "a", CLAIM_SINCE, 1);
	rule->claim.newer.sec = st.st_ctim.tv_sec + 1;
	(void)next_reads(r, 0);
	rule->claim.newer.sec = st.st_ctim.tv_sec;
	rule->claim.newer.nsec = (uint32_t)st.st_ctim.tv_nsec;
	g = next_reads(r, 5);
	rig_says(r, g, "a since \n");
	rig_write(r, "a", "other than that");
	rule->claim.newer.sec = st.st_ctim.tv_sec + 100;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_says(r, g, "a size \n");
}

static void
a6_an_alternate_path_gives_data_and_identity(void **state)
{
	struct rig *r = *state;
	struct rule *rule;
	char from[SCRATCH_LEN + 40];
	uint32_t g;

	make_two(r);
	(void)snprintf(from, sizeof(from), "%s/else", r->f.scratch.path);
	scratch_write(from, "from elsewhere", 14);
	rule = rig_add(r, "a", CLAIM_OWN, 0);
	rule->claim.from = from;
	tick();
	g = rig_backup(r, GEN_FULL, true);
	rig_holds(r, g, "a", "from elsewhere");
	rule->base = g;
	g = next_reads(r, 0);
	rig_holds(r, g, "a", "from elsewhere");
	assert_int_equal(unlink(from), 0);
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_told(r, "a: what it is to be read from cannot be had\n");
	rig_lacks(r, g, "a");
}

/* --- ranges --------------------------------------------------------------------- */

#define KIB ((size_t)1024)

static uint8_t *
make_big(struct rig *r, const char *name, size_t len, uint64_t seed)
{
	struct rng rng = { .state = seed };
	uint8_t *p = mem_alloc(len);

	assert_non_null(p);
	rng_fill(&rng, p, len);
	scratch_write(rig_at(r, name), p, len);
	return p;
}

#define DB_LEN (300 * KIB)

/* "db", backed up once; what changes in it from then on is declared. */
static struct rule *
make_db(struct rig *r, bool fixed)
{
	struct rule *rule = rig_add(r, "db", CLAIM_RANGES, 0);

	mem_free(make_big(r, "db", DB_LEN, 3));
	rule->claim.fixed = fixed;
	(void)rig_backup(r, GEN_FULL, true);
	rule->base = 1;
	return rule;
}

static void
poke(struct rig *r, const char *name, const void *p, size_t len, off_t at)
{
	int fd = open(rig_at(r, name), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, p, len, at), len);
	assert_int_equal(close(fd), 0);
}

static void
kind_is(struct rig *r, uint32_t g, const char *name, enum map_kind want)
{
	struct node n;

	assert_true(rig_node(r, g, name, &n));
	assert_int_equal(n.entry.content.kind, want);
	node_clear(&n);
}

static void
only_declared_ranges_are_read(struct rig *r, bool fixed)
{
	static const struct claim_range range[] = { { 100000, 10 },
						    { 500000, 5000 } };
	struct rule *rule;
	uint8_t *p;
	uint32_t g;

	p = make_big(r, "db", 3000 * KIB, 7);
	rule = rig_add(r, "db", CLAIM_RANGES, 0);
	rule->claim.fixed = fixed;
	g = rig_backup(r, GEN_FULL, true);
	rig_same_file(r, g, "db");
	kind_is(r, g, "db", fixed ? MAP_FIXED : MAP_CDC);
	rule->base = g;
	rule->range = range;
	rule->ranges = 2;
	poke(r, "db", "0123456789", 10, 100000);
	poke(r, "db", p + 7, 5000, 500000);
	/* A lie: not declared, so not seen. */
	poke(r, "db", "?", 1, 2000000);
	g = rig_backup(r, GEN_INCREMENTAL, true);
	assert_int_equal(r->partial, 3 * 4096);
	assert_int_equal(r->res.partial_files, 1);
	rig_told(r, "db: ok\n");
	poke(r, "db", p + 2000000, 1, 2000000);
	rig_same_file(r, g, "db");
	rig_says(r, g, "db ranges ");
	/* The map keeps its kind. */
	kind_is(r, g, "db", fixed ? MAP_FIXED : MAP_CDC);
	mem_free(p);
}

static void
g2_only_declared_ranges_are_read_of_fixed_chunks(void **state)
{
	only_declared_ranges_are_read(*state, true);
}

static void
g2_only_declared_ranges_are_read_of_other_chunks(void **state)
{
	only_declared_ranges_are_read(*state, false);
}

static void
no_ranges_is_unchanged(void **state)
{
	struct rig *r = *state;
	struct node a, b;
	uint32_t g;

	(void)make_db(r, true);
	age(r, "db");
	g = next_reads(r, 0);
	rig_same_file(r, g, "db");
	assert_true(rig_node(r, 1, "db", &a) && rig_node(r, g, "db", &b));
	assert_memory_equal(&a.entry.content.root, &b.entry.content.root,
			    ID_LEN);
	/* The metadata are those of now. */
	assert_int_equal(b.entry.mtime.sec, 1000000000);
	node_clear(&a);
	node_clear(&b);
}

static void
b2_a_promise_that_does_not_hold_is_a_whole_read(void **state)
{
	struct rig *r = *state;
	struct rule *rule = make_db(r, false);
	uint32_t g;

	rule->rc = 1;
	rule->why = "a gap in the journal";
	g = next_reads(r, DB_LEN);
	assert_int_equal(r->partial, 0);
	rig_says(r, g, "db no-proof a gap in the journal\n");
	rig_told(r, "db: ok\n");
	rig_same_file(r, g, "db");
	rule->rc = -1;
	rule->why = "a range lies beyond its end";
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_says(r, g, "db no-proof a range lies beyond its end\n");
	rig_same_file(r, g, "db");
}

static void
b6_another_file_of_that_name_is_read_whole(void **state)
{
	struct rig *r = *state;
	uint32_t g;

	(void)make_db(r, false);
	mem_free(make_big(r, "new", DB_LEN, 4));
	assert_int_equal(rename(rig_at(r, "new"), rig_at(r, "db")), 0);
	g = next_reads(r, DB_LEN);
	rig_says(r, g, "db identity");
	rig_same_file(r, g, "db");
}

static void
b5_beyond_the_shorter_size_all_is_read(void **state)
{
	struct rig *r = *state;
	struct rule *rule = make_db(r, true);
	uint8_t *p = make_big(r, "other", 200 * KIB, 4);
	uint32_t g;

	assert_int_equal(truncate(rig_at(r, "db"), 100001), 0);
	g = next_reads(r, 0);
	rig_same_file(r, g, "db");
	rule->base = g;
	poke(r, "db", p, 200 * KIB, 100001);
	g = rig_backup(r, GEN_INCREMENTAL, true);
	assert_true(r->read >= 200 * KIB && r->read < 204 * KIB + 4096);
	rig_same_file(r, g, "db");
	rule->base = g;
	assert_int_equal(truncate(rig_at(r, "db"), 0), 0);
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_same_file(r, g, "db");
	rule->base = g;
	poke(r, "db", p, 40 * KIB, 0);
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_same_file(r, g, "db");
	mem_free(p);
}

static void
scribble(struct rig *r, int fd)
{
	(void)fd;
	tick();
	poke(r, "db", "!", 1, 200000);
}

static void
d1_a_member_that_changed_while_it_was_read_is_torn(void **state)
{
	static const struct claim_range range[] = { { 0, 10 } };
	struct rig *r = *state;
	struct rule *rule = make_db(r, false);
	struct node n;
	uint32_t g;

	rule->range = range;
	rule->ranges = 1;
	r->opened = scribble;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_told(r, "db: changed while it was read (torn)\n");
	assert_int_equal(r->res.errors, 1);
	/* Torn, it is no base for ranges. */
	rule->base = g;
	r->opened = NULL;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_says(r, g, "db doubt");
	rig_same_file(r, g, "db");
	/* But its writer can make up for it, if it says so. */
	rule->base = g;
	rule->claim.log_recovery = true;
	r->opened = scribble;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_told(r, "db: ok\n");
	assert_int_equal(r->res.errors, 0);
	assert_true(rig_node(r, g, "db", &n));
	assert_true((n.entry.flags & ENTRY_TORN) != 0);
	node_clear(&n);
	rule->base = g;
	r->opened = NULL;
	(void)rig_backup(r, GEN_INCREMENTAL, true);
	assert_int_equal(r->res.partial_files, 1);
}

static void
ranges_out_of_order_are_no_promise(void **state)
{
	static const struct claim_range range[] = { { 9000, 10 }, { 0, 10 } };
	struct rig *r = *state;
	struct rule *rule = make_db(r, false);
	uint32_t g;

	rule->range = range;
	rule->ranges = 2;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_says(r, g, "db no-proof its ranges are not in order\n");
	rig_same_file(r, g, "db");
}

static void
the_own_rules_hold_for_the_fixed_grid_without_claims(void **state)
{
	struct rig *r = *state;
	struct rule *rule;
	uint32_t g;

	mem_free(make_big(r, "db", DB_LEN, 3));
	rule = rig_add(r, "db", CLAIM_WHOLE, 0);
	rule->claim.fixed = true;
	(void)rig_backup(r, GEN_FULL, true);
	poke(r, "db", "x", 1, 0);
	/* Read whole by nobody's claim, it stays what it was cut as. */
	g = rig_backup(r, GEN_INCREMENTAL, false);
	rig_same_file(r, g, "db");
	kind_is(r, g, "db", MAP_FIXED);
	assert_true(r->res.bytes_new < 40 * KIB);
}

/* --- carried -------------------------------------------------------------------- */

static void
a3_a_carried_set_is_what_it_was_nothing_added_nothing_removed(void **state)
{
	struct rig *r = *state;
	struct node was, is;
	char from[SCRATCH_LEN + 40];
	uint32_t g;

	make_two(r);
	rig_mkdir(r, "db", 0700);
	rig_mkdir(r, "db/sub", 0751);
	rig_mkdir(r, "db/sub/deep", 0700);
	rig_write(r, "db/changed", "old");
	rig_write(r, "db/gone", "was there");
	rig_write(r, "db/sub/file", "in a directory");
	rig_write(r, "db/sub/deep/file", "deeper");
	assert_int_equal(link(rig_at(r, "db/gone"), rig_at(r, "db/other")),
			 0);
	assert_int_equal(setxattr(rig_at(r, "db/sub"), "user.asof", "x", 1, 0),
			 0);
	(void)rig_backup(r, GEN_FULL, false); /* 1 */
	rig_write(r, "a", "newer");
	(void)rig_backup(r, GEN_INCREMENTAL, false); /* 2: the plain base */
	rig_write(r, "db/changed", "new, and longer");
	rig_write(r, "db/added", "since then");
	assert_int_equal(unlink(rig_at(r, "db/gone")), 0);
	assert_int_equal(unlink(rig_at(r, "db/sub/file")), 0);
	assert_int_equal(unlink(rig_at(r, "db/sub/deep/file")), 0);
	assert_int_equal(rmdir(rig_at(r, "db/sub/deep")), 0);
	assert_int_equal(rmdir(rig_at(r, "db/sub")), 0);
	(void)rig_add(r, "db/*", CLAIM_CARRIED, 1);
	(void)snprintf(from, sizeof(from), "%s/db", r->src);
	r->carried_from = from;
	r->carry_base = 1;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_holds(r, g, "a", "newer");
	rig_holds(r, g, "db/changed", "old");
	rig_holds(r, g, "db/gone", "was there");
	rig_holds(r, g, "db/other", "was there");
	rig_holds(r, g, "db/sub/file", "in a directory");
	rig_holds(r, g, "db/sub/deep/file", "deeper");
	rig_lacks(r, g, "db/added");
	rig_says(r, g, "db/changed carried from generation 1\n");
	rig_says(r, g, "db/sub/deep/file carried from generation 1\n");
	rig_told(r, "db/changed: ok\n");
	rig_told(r, "db/sub/deep/file: ok\n");
	assert_int_equal(r->read, 0);
	assert_true(rig_node(r, 1, "db/sub", &was) &&
		    rig_node(r, g, "db/sub", &is));
	assert_int_equal(is.entry.mode, was.entry.mode);
	assert_int_equal(is.entry.xattrs, 1);
	assert_int_equal(ts_cmp(is.entry.mtime, was.entry.mtime), 0);
	node_clear(&was);
	node_clear(&is);
	/* Once more, from a generation that has nothing else any more. */
	rig_write(r, "a", "newest");
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_holds(r, g, "db/sub/deep/file", "deeper");
	rig_lacks(r, g, "db/added");
}

static void
a3_a_file_in_the_place_of_a_carried_directory_fails_and_is_read(void **state)
{
	struct rig *r = *state;
	char from[SCRATCH_LEN + 40];
	uint32_t g;

	rig_mkdir(r, "db", 0700);
	rig_mkdir(r, "db/sub", 0700);
	rig_write(r, "db/sub/file", "in a directory");
	(void)rig_backup(r, GEN_FULL, false); /* 1 */
	assert_int_equal(unlink(rig_at(r, "db/sub/file")), 0);
	assert_int_equal(rmdir(rig_at(r, "db/sub")), 0);
	rig_write(r, "db/sub", "a file now");
	(void)rig_add(r, "db/*", CLAIM_CARRIED, 1);
	(void)snprintf(from, sizeof(from), "%s/db", r->src);
	r->carried_from = from;
	r->carry_base = 1;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_holds(r, g, "db/sub", "a file now");
	rig_told(r, "db/sub: it is no directory any more");
}

static void
a3_a_directory_that_is_gone_is_carried_whole(void **state)
{
	struct rig *r = *state;
	char from[SCRATCH_LEN + 40];
	uint32_t g;

	make_two(r);
	rig_mkdir(r, "db", 0700);
	rig_write(r, "db/file", "was there");
	(void)rig_backup(r, GEN_FULL, false);
	assert_int_equal(unlink(rig_at(r, "db/file")), 0);
	assert_int_equal(rmdir(rig_at(r, "db")), 0);
	(void)rig_add(r, "db*", CLAIM_CARRIED, 1);
	r->carried_from = r->src;
	r->carry_base = 1;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_holds(r, g, "db/file", "was there");
	rig_holds(r, g, "a", "first");
	/* Names that nobody carries are gone if they are gone. */
	assert_int_equal(unlink(rig_at(r, "a")), 0);
	(void)snprintf(from, sizeof(from), "%s", r->src);
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_lacks(r, g, "a");
	rig_holds(r, g, "db/file", "was there");
}

static void
a3_what_cannot_be_carried_fails_and_is_read(void **state)
{
	struct rig *r = *state;
	uint32_t g;

	make_two(r);
	(void)rig_backup(r, GEN_FULL, false);
	/* No base at all. */
	(void)rig_add(r, "a", CLAIM_CARRIED, 0);
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_told(r, "a: what was to be carried is lost\n");
	rig_holds(r, g, "a", "first");
}

static void
a_whole_read_that_is_torn_fails_the_member(void **state)
{
	struct rig *r = *state;
	struct rule *rule = make_db(r, false);

	rule->rc = 1;
	rule->why = "a gap";
	r->opened = scribble;
	(void)rig_backup(r, GEN_INCREMENTAL, true);
	rig_told(r, "db: changed while it was read (torn)\n");
}

/* --- what is missing, and links ---------------------------------------------------- */

static int
cannot_open_d(int dirfd, const char *path, int flags, mode_t mode)
{
	if (strcmp(path, "d") != 0)
		return sys_real.openat(dirfd, path, flags, mode);
	errno = EIO;
	return -1;
}

static int
cannot_find_d(int dirfd, const char *path, int flags, mode_t mode)
{
	if (strcmp(path, "d") != 0)
		return sys_real.openat(dirfd, path, flags, mode);
	errno = ENOENT;
	return -1;
}

static ssize_t
cannot_list(int fd, void *p, size_t n)
{
	(void)fd;
	(void)p;
	(void)n;
	errno = EIO;
	return -1;
}

static void
a1_that_a_directory_cannot_be_read_is_told(void **state)
{
	struct rig *r = *state;
	struct sys_ops ops = sys_real;

	make_two(r);
	ops.openat = cannot_open_d;
	sys_source = &ops;
	(void)rig_backup(r, GEN_FULL, true);
	assert_string_equal(r->log, "");
	(void)rig_add(r, "d/*", CLAIM_WHOLE, 0);
	(void)rig_backup(r, GEN_FULL, true);
	rig_told(r, "d: open d: Input/output error\n");
	ops.openat = cannot_find_d;
	(void)rig_backup(r, GEN_FULL, true);
	rig_told(r, "d: it vanished while it was to be read\n");
	ops.openat = sys_real.openat;
	ops.getdents64 = cannot_list;
	(void)rig_backup(r, GEN_FULL, true);
	rig_told(r, ": list directory: Input/output error\n");
	sys_source = &sys_real;
	(void)rig_backup(r, GEN_FULL, true);
	rig_told(r, "d/x: ok\n");
	assert_null(strstr(r->log, "error"));
}

static struct rig *scribbled;

static ssize_t
scribble_and_read(int fd, void *p, size_t n, off_t at)
{
	struct rig *r = scribbled;

	scribbled = NULL;
	if (r != NULL)
		scribble(r, fd);
	return sys_real.pread(fd, p, n, at);
}

static void
a1_a_member_that_is_torn_under_another_name_is_torn(void **state)
{
	struct rig *r = *state;
	struct sys_ops ops = sys_real;
	uint8_t *p;

	r->opt.readers = 1;
	p = make_big(r, "db", 300 * KIB, 3);
	assert_int_equal(link(rig_at(r, "db"), rig_at(r, "a")), 0);
	(void)rig_add(r, "db", CLAIM_WHOLE, 0);
	ops.pread = scribble_and_read;
	scribbled = r;
	sys_source = &ops;
	(void)rig_backup(r, GEN_FULL, true);
	sys_source = &sys_real;
	rig_told(r, "db: ok (torn)\n");
	mem_free(p);
}

/* --- outside of the sources --------------------------------------------------------- */

static void
a8_claimed_names_outside_the_sources_are_added(void **state)
{
	struct rig *r = *state;
	char extra[SCRATCH_LEN + 40], missing[SCRATCH_LEN + 40];
	char rule[SCRATCH_LEN + 60];
	char data[SCRATCH_LEN + 60], other[SCRATCH_LEN + 60];
	uint32_t g;

	make_two(r);
	(void)snprintf(extra, sizeof(extra), "%s/extra", r->f.scratch.path);
	(void)snprintf(missing, sizeof(missing), "%s/none/here",
		       r->f.scratch.path);
	(void)snprintf(rule, sizeof(rule), "%s/data*", extra);
	assert_int_equal(mkdir(extra, 0700), 0);
	(void)snprintf(data, sizeof(data), "%s/data1", extra);
	scratch_write(data, "claimed", 7);
	(void)snprintf(other, sizeof(other), "%s/other", extra);
	scratch_write(other, "not claimed", 11);
	r->extra[0] = extra;
	r->extra[1] = missing;
	r->extra[2] = r->src;
	r->claims.extras = 3;
	(void)rig_add(r, rule, CLAIM_OWN, 0);
	tick();
	g = rig_backup(r, GEN_FULL, true);
	rig_lacks(r, g, other);
	rig_holds(r, g, data, "claimed");
	rig_holds(r, g, "a", "first");
	assert_int_equal(r->res.errors, 0);
	r->rule[0].base = g;
	g = next_reads(r, 0);
	rig_holds(r, g, data, "claimed");
	/* Gone with all that is in it, it is carried. */
	r->rule[0].claim.kind = CLAIM_CARRIED;
	(void)snprintf(rule, sizeof(rule), "%s*", extra);
	assert_int_equal(unlink(data), 0);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(rmdir(extra), 0);
	r->carried_from = extra;
	r->carry_base = 1;
	r->rule[0].base = 1;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	rig_holds(r, g, data, "claimed");
	assert_int_equal(r->res.errors, 0);
	/* And without the claim it is no part of it. */
	g = rig_backup(r, GEN_INCREMENTAL, false);
	rig_lacks(r, g, data);
	rig_holds(r, g, "a", "first");
}

static void
a8_a_users_exclude_fails_the_member_and_says_so(void **state)
{
	struct rig *r = *state;
	struct err e = { 0 };
	uint32_t g;

	make_two(r);
	MUST(exclude_new(&r->opt.exclude, &e), &e);
	MUST(exclude_add(r->opt.exclude, "a", &e), &e);
	(void)rig_add(r, "a", CLAIM_WHOLE, 0);
	g = rig_backup(r, GEN_FULL, true);
	rig_lacks(r, g, "a");
	rig_told(r, "a: it is excluded by a pattern\n");
	/* So is a directory that holds members. */
	MUST(exclude_add(r->opt.exclude, "d", &e), &e);
	(void)rig_add(r, "d", CLAIM_CARRIED, g);
	g = rig_backup(r, GEN_FULL, true);
	rig_lacks(r, g, "d");
	rig_told(r, "d: it is excluded by a pattern\n");
	exclude_free(r->opt.exclude);
}

/* --- grafts ------------------------------------------------------------------------- */

static int
graft_some(struct rig *r, struct graft *g, struct err *e)
{
	struct buf found = { 0 };
	char from[SCRATCH_LEN + 40];

	(void)snprintf(from, sizeof(from), "%s/label", r->f.scratch.path);
	scratch_write(from, "START WAL", 9);
	if (graft_file(g, rig_at(r, "d/label"), from, 0, e) < 0 ||
	    graft_file(g, rig_at(r, "d/new/deep/label"), from, 0, e) < 0 ||
	    graft_file(g, rig_at(r, "a"), NULL, 0, e) < 0 ||
	    graft_session(g, "session", "what it was\n", 12, e) < 0 ||
	    graft_session(g, "documents/w", "writer w\nend\n", 13, e) < 0 ||
	    graft_session(g, "documents/empty", "", 0, e) < 0)
		return -1;
	assert_int_equal(graft_find(g, rig_at(r, "d/label"), &found, e), 0);
	assert_true(found.len > 0);
	assert_int_equal(graft_find(g, rig_at(r, "b"), &found, e), 0);
	assert_int_equal(graft_find(g, rig_at(r, "none"), &found, e), 1);
	assert_int_equal(graft_find(g, "/", &found, e), 0);
	buf_clear(&found);
	/* The file's fault: nothing is changed. */
	assert_int_equal(graft_file(g, rig_at(r, "b"), "/none/here", 0, e), -1);
	assert_int_equal(e->kind, ERR_SOURCE);
	err_clear(e);
	assert_int_equal(graft_file(g, rig_at(r, "d"), from, 0, e), -1);
	assert_int_equal(e->kind, ERR_SOURCE);
	err_clear(e);
	assert_int_equal(graft_file(g, rig_at(r, "b/x"), from, 0, e), -1);
	assert_int_equal(e->kind, ERR_SOURCE);
	err_clear(e);
	assert_int_equal(graft_file(g, "relative", from, 0, e), -1);
	err_clear(e);
	return 0;
}

static void
session_holds(struct rig *r, uint32_t g, const char *name, const char *text)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	assert_int_equal(view_session(r->gen[g], name, &b, 100, &e), 0);
	assert_string_equal(buf_str(&b), text);
	buf_clear(&b);
}

static void
d1_what_is_handed_over_at_the_end_is_in_the_tree(void **state)
{
	struct rig *r = *state;
	struct check_result before, after;
	struct buf b = { 0 };
	struct err e = { 0 };
	uint32_t g;

	make_two(r);
	assert_int_equal(link(rig_at(r, "a"), rig_at(r, "d/link")), 0);
	assert_int_equal(link(rig_at(r, "b"), rig_at(r, "d/link2")), 0);
	tick();
	r->copied = graft_some;
	(void)rig_add(r, "b", CLAIM_OWN, 0);
	g = rig_backup(r, GEN_FULL, true);
	rig_holds(r, g, "a", "first");
	rig_holds(r, g, "b", "second");
	rig_holds(r, g, "d/x", "third");
	rig_holds(r, g, "d/link", "first");
	rig_holds(r, g, "d/label", "START WAL");
	rig_holds(r, g, "d/new/deep/label", "START WAL");
	rig_says(r, g, "d/label attached \n");
	session_holds(r, g, "session", "what it was\n");
	session_holds(r, g, "documents/w", "writer w\nend\n");
	session_holds(r, g, "documents/empty", "");
	assert_int_equal(view_session(r->gen[g], "none", &b, 100, &e), 1);
	assert_int_equal(view_session(r->gen[g], "documents", &b, 100, &e), -1);
	err_clear(&e);
	assert_int_equal(view_session(r->gen[g], "session", &b, 11, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	err_clear(&e);
	assert_int_equal(view_session(r->gen[g], "session/x", &b, 99, &e), 1);
	assert_int_equal(r->gen[g]->record.counts.entries,
			 1 + r->gen[g]->record.root.dir.beneath);
	rig_check(r, &before);
	/* Without any of it. */
	r->copied = NULL;
	g = rig_backup(r, GEN_INCREMENTAL, true);
	assert_int_equal(view_session(r->gen[g], "session", &b, 100, &e), 1);
	rig_lacks(r, g, "d/label");
	rig_check(r, &after);
	/* The second has no session's tree, and three names less. */
	assert_true(after.entries > before.entries);
	buf_clear(&b);
}

static int
graft_log(struct rig *r, struct graft *g, struct err *e)
{
	return graft_file(g, rig_at(r, "d/x"), NULL, 0, e) < 0 ||
			       graft_file(g, rig_at(r, "d/log.2"), NULL, 0, e) <
				       0 ?
		       -1 :
		       0;
}

static int
graft_gone(struct rig *r, struct graft *g, struct err *e)
{
	struct buf found = { 0 };

	assert_int_equal(graft_remove(g, rig_at(r, "none"), e), 1);
	/* It leaves with the last thing that is in it, and there are others. */
	assert_int_equal(graft_remove(g, rig_at(r, "d"), e), 0);
	assert_int_equal(graft_remove(g, rig_at(r, "way"), e), 0);
	assert_int_equal(graft_remove(g, rig_at(r, "way/deep"), e), 0);
	assert_int_equal(graft_remove(g, rig_at(r, "way/deep/file"), e), 0);
	/* One of two names, a whole file, and one that comes back. */
	assert_int_equal(graft_remove(g, rig_at(r, "d/z"), e), 0);
	assert_int_equal(graft_remove(g, rig_at(r, "a"), e), 0);
	assert_int_equal(graft_remove(g, rig_at(r, "d/x"), e), 0);
	assert_int_equal(graft_find(g, rig_at(r, "d/x"), &found, e), 1);
	assert_int_equal(graft_file(g, rig_at(r, "d/x"), NULL, 0, e), 0);
	assert_int_equal(graft_find(g, rig_at(r, "d/x"), &found, e), 0);
	buf_clear(&found);
	/* One that was put, and is taken away again. */
	assert_int_equal(graft_file(g, rig_at(r, "d/log.2"), NULL, 0, e), 0);
	return graft_remove(g, rig_at(r, "d/log.2"), e);
}

static void
a5_what_is_gone_leaves_the_tree(void **state)
{
	struct rig *r = *state;
	struct check_result sum;
	uint32_t g;

	make_two(r);
	assert_int_equal(link(rig_at(r, "b"), rig_at(r, "d/z")), 0);
	assert_int_equal(mkdir(rig_at(r, "way"), 0700), 0);
	assert_int_equal(mkdir(rig_at(r, "way/deep"), 0700), 0);
	rig_write(r, "way/deep/file", "away");
	(void)rig_backup(r, GEN_FULL, true);
	rig_write(r, "d/log.2", "another");
	r->copied = graft_gone;
	g = rig_backup(r, GEN_LOG, true);
	rig_lacks(r, g, "way");
	rig_lacks(r, g, "a");
	rig_lacks(r, g, "d/z");
	rig_lacks(r, g, "d/log.2");
	rig_holds(r, g, "b", "second");
	rig_holds(r, g, "d/x", "third");
	assert_int_equal(r->gen[g]->record.counts.entries,
			 1 + r->gen[g]->record.root.dir.beneath);
	assert_int_equal(r->gen[g]->record.counts.inodes,
			 r->gen[1]->record.counts.inodes - 4);
	rig_check(r, &sum);
}

static int
graft_a_link(struct rig *r, struct graft *g, struct err *e)
{
	assert_int_equal(graft_file(g, rig_at(r, "link"), NULL, 0, e), -1);
	assert_int_equal(e->kind, ERR_SOURCE);
	err_clear(e);
	assert_int_equal(graft_any(g, rig_at(r, "d"), e), -1);
	assert_int_equal(e->kind, ERR_SOURCE);
	err_clear(e);
	return graft_any(g, rig_at(r, "link"), e);
}

static void
a1_what_is_made_plain_may_be_no_file(void **state)
{
	struct rig *r = *state;
	struct node n = { 0 };
	uint32_t g;

	make_two(r);
	(void)rig_backup(r, GEN_FULL, true);
	assert_int_equal(symlink("d/x", rig_at(r, "link")), 0);
	r->copied = graft_a_link;
	g = rig_backup(r, GEN_LOG, true);
	assert_int_equal(view_path(r->gen[g], rig_at(r, "link"), &n, NULL), 0);
	assert_int_equal(n.entry.type, ENTRY_SYMLINK);
	assert_int_equal(r->gen[g]->record.counts.entries,
			 r->gen[1]->record.counts.entries + 1);
	node_clear(&n);
}

static void
a5_a_log_run_takes_the_base_and_what_is_grafted(void **state)
{
	struct rig *r = *state;
	struct node n;
	uint32_t g;

	make_two(r);
	assert_int_equal(link(rig_at(r, "d/x"), rig_at(r, "d/y")), 0);
	assert_int_equal(link(rig_at(r, "b"), rig_at(r, "d/z")), 0);
	(void)rig_backup(r, GEN_FULL, true);
	rig_write(r, "a", "not in a log");
	rig_write(r, "d/x", "a log");
	rig_write(r, "d/log.2", "another");
	r->copied = graft_log;
	g = rig_backup(r, GEN_LOG, true);
	assert_int_equal(r->res.session_type, GEN_LOG);
	assert_int_equal(r->res.effective_type, GEN_LOG);
	assert_int_equal(r->res.base, 1);
	rig_holds(r, g, "a", "first");
	rig_holds(r, g, "b", "second");
	rig_holds(r, g, "d/z", "second");
	rig_holds(r, g, "d/x", "a log");
	rig_holds(r, g, "d/y", "third");
	rig_holds(r, g, "d/log.2", "another");
	assert_int_equal(r->gen[g]->record.counts.entries,
			 r->gen[1]->record.counts.entries + 1);
	assert_int_equal(r->gen[g]->record.counts.inodes,
			 r->gen[1]->record.counts.inodes + 2);
	/* The base of a log is the last log; of others, it is none. */
	rig_write(r, "d/log.2", "another one");
	g = rig_backup(r, GEN_LOG, true);
	assert_int_equal(r->res.base, 2);
	rig_holds(r, g, "d/log.2", "another one");
	assert_true(rig_node(r, g, "d/log.2", &n));
	node_clear(&n);
	r->copied = NULL;
	(void)rig_backup(r, GEN_INCREMENTAL, true);
	assert_int_equal(r->res.base, 1);
}

static void
a_log_run_without_a_base_is_full(void **state)
{
	struct rig *r = *state;
	uint32_t g;

	make_two(r);
	g = rig_backup(r, GEN_LOG, true);
	assert_int_equal(r->res.session_type, GEN_FULL);
	rig_holds(r, g, "a", "first");
}

static int
graft_ranges(struct rig *r, struct graft *g, struct err *e)
{
	return graft_file(g, rig_at(r, "db"), NULL, 0, e);
}

static void
a5_ranges_count_in_a_log_run(void **state)
{
	static const struct claim_range range[] = { { 8192, 4096 } };
	struct rig *r = *state;
	struct rule *rule = make_db(r, true);
	uint32_t g;

	rule->range = range;
	rule->ranges = 1;
	poke(r, "db", "here", 4, 8200);
	r->copied = graft_ranges;
	g = rig_backup(r, GEN_LOG, true);
	assert_int_equal(r->partial, 4096);
	rig_same_file(r, g, "db");
	rig_told(r, "db: ok\n");
}

/* --- property: honest ranges, many generations ---------------------------------- */

#define FILE_MAX  (3u << 20)
#define MARKS_MAX 4096

/* What was done to a file since its base. */
struct marks {
	struct claim_range mark[MARKS_MAX];
	size_t n;
	uint64_t lowest; /* size */
};

static void
mark(struct marks *m, uint64_t off, uint64_t len)
{
	assert_true(m->n < MARKS_MAX);
	if (len > 0)
		m->mark[m->n++] = (struct claim_range){ off, len };
}

static int
cmp_marks(const void *a, const void *b)
{
	const struct claim_range *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

/* In order and apart, below `size`. */
static void
settle_marks(struct marks *m, uint64_t size)
{
	size_t n = 0;

	if (m->lowest < size)
		mark(m, m->lowest, size - m->lowest);
	qsort(m->mark, m->n, sizeof(m->mark[0]), cmp_marks);
	for (size_t i = 0; i < m->n; i++) {
		struct claim_range x = m->mark[i];

		if (x.off >= size)
			continue;
		if (x.len > size - x.off)
			x.len = size - x.off;
		if (n > 0 && x.off <= m->mark[n - 1].off + m->mark[n - 1].len) {
			uint64_t end = x.off + x.len;

			if (end > m->mark[n - 1].off + m->mark[n - 1].len)
				m->mark[n - 1].len = end - m->mark[n - 1].off;
		} else {
			m->mark[n++] = x;
		}
	}
	m->n = n;
}

static uint64_t
marked_pages(const struct marks *m)
{
	uint64_t sum = 0, last = 0;

	for (size_t i = 0; i < m->n; i++) {
		uint64_t from = m->mark[i].off / 4096;
		uint64_t to = (m->mark[i].off + m->mark[i].len + 4095) / 4096;

		if (from < last)
			from = last;
		if (to > from)
			sum += to - from;
		last = to;
	}
	return sum * 4096;
}

static void
change_once(struct rng *rng, int fd, struct marks *m)
{
	static uint8_t bytes[128 * 1024];
	struct stat st;
	uint64_t size, off, len;

	assert_int_equal(fstat(fd, &st), 0);
	size = (uint64_t)st.st_size;
	off = size > 0 ? rng_below(rng, size) : 0;
	switch (rng_below(rng, 8)) {
	case 0: /* shrink, or to nothing */
		if (rng_below(rng, 6) == 0)
			off = 0;
		assert_int_equal(ftruncate(fd, (off_t)off), 0);
		if (off < m->lowest)
			m->lowest = off;
		break;
	case 1: /* grow by a hole */
		if (size < FILE_MAX)
			assert_int_equal(
				ftruncate(fd, (off_t)(size + rng_below(rng, 300000))),
				0);
		break;
	case 2: /* punch */
		len = 1 + rng_below(rng, 200000);
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)off, (off_t)len) == 0)
			mark(m, off, len);
		break;
	case 3: /* append */
		len = 1 + rng_below(rng, 60000);
		if (size > FILE_MAX)
			break;
		rng_fill(rng, bytes, len);
		assert_int_equal(pwrite(fd, bytes, len, (off_t)size), len);
		mark(m, size, len);
		break;
	case 4: /* a long write */
		len = 1 + rng_below(rng, sizeof(bytes));
		rng_fill(rng, bytes, len);
		assert_int_equal(pwrite(fd, bytes, len, (off_t)off), len);
		mark(m, off, len);
		break;
	case 5: /* equal pages */
		len = 16384 * (1 + rng_below(rng, 7));
		off -= off % 16384;
		memset(bytes, (int)rng_below(rng, 3), len);
		assert_int_equal(pwrite(fd, bytes, len, (off_t)off), len);
		mark(m, off, len);
		break;
	default: /* a page, or less */
		len = 1 + rng_below(rng, 8192);
		if (rng_below(rng, 2) == 0) {
			off -= off % 4096;
			len = 8192;
		}
		rng_fill(rng, bytes, len);
		assert_int_equal(pwrite(fd, bytes, len, (off_t)off), len);
		mark(m, off, len);
	}
}

/* A file of many short pieces, so that its map has many leaves. */
static void
make_comb(struct rig *r, const char *name, struct rng *rng)
{
	uint8_t page[4096];
	int fd = open(rig_at(r, name),
		      O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		      0600);

	assert_true(fd >= 0);
	for (off_t at = 0; at < 8 * 1024 * 1024; at += 12288) {
		rng_fill(rng, page, sizeof(page));
		assert_int_equal(pwrite(fd, page, sizeof(page), at), 4096);
	}
	assert_int_equal(close(fd), 0);
}

static void
g1_honest_ranges_make_identical_files(void **state)
{
	static const char *const names[] = { "fixed", "cut", "comb" };
	struct rig *r = *state;
	static struct marks m[3];
	struct rng rng;
	const char *seed = getenv("CLAIMS_SEED");
	const char *asked = getenv("CLAIMS_ROUNDS");
	long rounds = asked != NULL ? strtol(asked, NULL, 10) : 12;
	uint32_t g;

	rng.state = seed != NULL ? strtoull(seed, NULL, 0) : 20261122;
	mem_free(make_big(r, "fixed", 700001, 1));
	mem_free(make_big(r, "cut", 900001, 2));
	make_comb(r, "comb", &rng);
	for (size_t i = 0; i < 3; i++) {
		struct rule *rule = rig_add(r, names[i], CLAIM_RANGES, 0);

		rule->claim.fixed = i == 0;
		rule->range = m[i].mark;
	}
	g = rig_backup(r, GEN_FULL, true);
	for (long round = 0; round < rounds && g < GENS_MAX; round++) {
		uint64_t most = 0;

		for (size_t i = 0; i < 3; i++) {
			int fd = open(rig_at(r, names[i]),
				      O_RDWR | O_CLOEXEC | O_NOFOLLOW);
			struct stat st;

			assert_true(fd >= 0 && fstat(fd, &st) == 0);
			m[i].n = 0;
			m[i].lowest = (uint64_t)st.st_size;
			for (uint64_t k = rng_below(&rng, 12); k > 0; k--)
				change_once(&rng, fd, &m[i]);
			assert_int_equal(fstat(fd, &st), 0);
			settle_marks(&m[i], (uint64_t)st.st_size);
			most += marked_pages(&m[i]);
			r->rule[i].base = g;
			r->rule[i].ranges = m[i].n;
			assert_int_equal(close(fd), 0);
		}
		g = rig_backup(r, GEN_INCREMENTAL, true);
		if (r->res.partial_files != 3)
			fail_msg("round %ld: %s", round, r->log);
		if (r->partial > most)
			fail_msg("round %ld: %llu bytes read of %llu", round,
				 (unsigned long long)r->partial,
				 (unsigned long long)most);
		for (size_t i = 0; i < 3; i++)
			rig_same_file(r, g, names[i]);
	}
}

/* Holes that come to stand at the border of a leaf that is not touched. */
static void
holes_at_the_borders_of_leaves_are_joined(void **state)
{
	struct rig *r = *state;
	struct rng rng = { .state = 5 };
	struct claim_range range[8];
	struct filemap_leaf leaf;
	struct filemap_iter it;
	struct err e = { 0 };
	struct rule *rule;
	struct node n;
	size_t ranges = 0;
	unsigned leaves = 0;
	uint32_t g;
	int fd;

	make_comb(r, "comb", &rng);
	rule = rig_add(r, "comb", CLAIM_RANGES, 0);
	rule->claim.fixed = true;
	(void)rig_backup(r, GEN_FULL, true);
	rule->base = 1;
	assert_true(rig_node(r, 1, "comb", &n));
	MUST(filemap_iter_init(&it, r->gen[1]->reader, &n.entry.content,
			       n.entry.size, &e),
	     &e);
	fd = open(rig_at(r, "comb"), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	assert_true(fd >= 0);
	for (uint64_t at = 0; filemap_leaf_at(&it, at, &leaf, &e) == 1;
	     at = leaf.end) {
		uint64_t off = leaf.end % 12288 == 0 ? leaf.end :
						       leaf.end - 4096;

		if (leaves++ % 3 != 1 || leaf.end == n.entry.size)
			continue;
		assert_true(ranges < 8);
		range[ranges++] = (struct claim_range){ off, 4096 };
		assert_int_equal(fallocate(fd,
					   FALLOC_FL_PUNCH_HOLE |
						   FALLOC_FL_KEEP_SIZE,
					   (off_t)off, 4096),
				 0);
	}
	assert_true(leaves > 4 && ranges > 1);
	assert_int_equal(close(fd), 0);
	filemap_iter_clear(&it);
	node_clear(&n);
	rule->range = range;
	rule->ranges = ranges;
	g = next_reads(r, 0);
	rig_same_file(r, g, "comb");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_facts_stand_before_the_walk),
		TEST(a_job_that_is_not_walked_leaves_nothing),
		TEST(a_log_run_wants_claims),
		TEST(without_claims_nobody_is_asked),
		TEST(b9_what_is_excluded_is_left_out),
		TEST(whole_is_read_for_its_reason),
		TEST(a2_the_own_test_is_against_the_components_base),
		TEST(b8_since_is_the_own_test_and_a_time),
		TEST(a6_an_alternate_path_gives_data_and_identity),
		TEST(g2_only_declared_ranges_are_read_of_fixed_chunks),
		TEST(g2_only_declared_ranges_are_read_of_other_chunks),
		TEST(no_ranges_is_unchanged),
		TEST(b2_a_promise_that_does_not_hold_is_a_whole_read),
		TEST(b6_another_file_of_that_name_is_read_whole),
		TEST(b5_beyond_the_shorter_size_all_is_read),
		TEST(d1_a_member_that_changed_while_it_was_read_is_torn),
		TEST(ranges_out_of_order_are_no_promise),
		TEST(the_own_rules_hold_for_the_fixed_grid_without_claims),
		TEST(a3_a_carried_set_is_what_it_was_nothing_added_nothing_removed),
		TEST(a3_a_file_in_the_place_of_a_carried_directory_fails_and_is_read),
		TEST(a3_a_directory_that_is_gone_is_carried_whole),
		TEST(a3_what_cannot_be_carried_fails_and_is_read),
		TEST(a_whole_read_that_is_torn_fails_the_member),
		TEST(a1_that_a_directory_cannot_be_read_is_told),
		TEST(a1_a_member_that_is_torn_under_another_name_is_torn),
		TEST(a8_claimed_names_outside_the_sources_are_added),
		TEST(a8_a_users_exclude_fails_the_member_and_says_so),
		TEST(d1_what_is_handed_over_at_the_end_is_in_the_tree),
		TEST(a5_what_is_gone_leaves_the_tree),
		TEST(a1_what_is_made_plain_may_be_no_file),
		TEST(a5_a_log_run_takes_the_base_and_what_is_grafted),
		TEST(a_log_run_without_a_base_is_full),
		TEST(a5_ranges_count_in_a_log_run),
		TEST(holes_at_the_borders_of_leaves_are_joined),
		TEST(g1_honest_ranges_make_identical_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
