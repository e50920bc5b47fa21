/*
 * What writers answer to the walk: documents, reduced journals and bases made
 * by hand, one question after the other.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/claims.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/src.h"
#include "base/sys.h"
#include "src/engine/filemap.h"
#include "src/engine/plan.h"
#include "src/engine/view.h"
#include "src/writer/metadata.h"
#include "src/writer/reduce.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/memstore.h"
#include "tests/lib/scratch.h"
#include "tests/lib/words.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define METHOD "restore-method restore-if-can-replace\n"

static const char db[] =
	"writer db\nschema incremental differential log last-modify\n" METHOD
	"component main database selectable=yes\n"
	"component main/logs database selectable=no\n"
	"component conf file-group selectable=yes\n"
	"database-files main /srv/db *.db backup=full,differential\n"
	"database-files main /srv/db *.ix\n"
	"database-files main /srv/db special.db\n"
	"log-files main/logs /var/log/db *\n"
	"files conf /etc/db * recursive alternate=/run/db\n"
	"files conf /etc/db.conf.d one.conf\n"
	"exclude /srv/db tmp*\n"
	"exclude /home/db *.tmp recursive\nend\n";

#define COMPONENTS 2

struct rig {
	struct metadata *document;
	struct view_gen base;
	struct reduce_file file[4];
	struct reduce_differenced differenced[2];
	struct reduced reduced;
	bool chosen[3];
	struct claims_component component[COMPONENTS];
	struct claims_options o;
	const char *source[2];
	struct writer_claims *w;
	struct claims *c;
	unsigned notes;
};

static void
on_note(void *ctx, const char *text)
{
	struct rig *r = ctx;

	assert_non_null(text);
	r->notes++;
}

/* All sessions are of this type; a full and a copy have no base. */
static void
of_type(struct rig *r, unsigned type)
{
	bool based = type != METADATA_FULL && type != METADATA_COPY;
	size_t i;

	for (i = 0; i < COMPONENTS; i++) {
		r->component[i].effective = type;
		r->component[i].base = based ? &r->base : NULL;
	}
	r->o.log = type == METADATA_LOG;
}

static void
begin(struct rig *r, unsigned type)
{
	size_t i;

	memset(r, 0, sizeof(*r));
	r->document = words_document(db);
	r->base.record.instant = (struct ts){ 1000, 0 };
	r->chosen[0] = r->chosen[2] = true;
	r->reduced.file = r->file;
	r->reduced.differenced = r->differenced;
	r->source[0] = "/srv";
	r->source[1] = "/etc";
	for (i = 0; i < COMPONENTS; i++)
		r->component[i] = (struct claims_component){
			.writer = "db",
			.document = r->document,
			.chosen = r->chosen,
			.component = 2 * i,
		};
	of_type(r, type);
	r->component[0].reduced = &r->reduced;
	r->o = (struct claims_options){ .component = r->component,
					.components = COMPONENTS,
					.source = r->source,
					.sources = 2,
					.note = on_note,
					.ctx = r };
}

/* Another document than `db`, and nothing is declared. */
static void
describe(struct rig *r, const char *text)
{
	size_t i;

	metadata_free(r->document);
	r->document = words_document(text);
	for (i = 0; i < COMPONENTS; i++)
		r->component[i].document = r->document;
	r->component[0].reduced = NULL;
}

static void
open_claims(struct rig *r)
{
	struct err e = { 0 };

	if (writer_claims_new(&r->o, &r->w, &e) < 0)
		fail_msg("%s", e.text);
	r->c = writer_claims_engine(r->w, NULL, NULL);
}

static void
end(struct rig *r)
{
	writer_claims_free(r->w);
	metadata_free(r->document);
}

static int
set_up(void **state)
{
	static struct rig r;

	begin(&r, METADATA_INCREMENTAL);
	*state = &r;
	return 0;
}

static int
tear_down(void **state)
{
	sys_source = &sys_real;
	end(*state);
	return 0;
}

static const struct statx file_there = { .stx_mask = STATX_BASIC_STATS,
					 .stx_mode = S_IFREG };
static const struct statx dir_there = { .stx_mask = STATX_BASIC_STATS,
					.stx_mode = S_IFDIR };

/* Of what is there now; NULL: nothing is. */
static struct claim
ask_of(struct rig *r, const char *path, const struct statx *there)
{
	struct claim out;

	assert_int_equal(r->c->find(r->c, path, there, &out, NULL), 0);
	return out;
}

static struct claim
ask(struct rig *r, const char *path)
{
	return ask_of(r, path, &file_there);
}

/* The next generation from `from` on whose names are carried there. */
static struct view_gen *
carried(struct rig *r, const char *path, uint64_t from)
{
	struct view_gen *base = NULL;

	assert_int_equal(r->c->carries(r->c, path, from, &base, NULL), 0);
	return base;
}

static int
renew(struct rig *r, const struct reduced *first, const struct reduced *second)
{
	const struct reduced *now[COMPONENTS] = { first, second };

	return writer_claims_renew(r->w, now, NULL);
}

static void
kind_is(struct rig *r, const char *path, enum claim_kind want)
{
	struct claim out = ask(r, path);

	if (out.kind != want)
		fail_msg("%s: %d instead of %d", path, out.kind, want);
}

static void
declare(struct rig *r, const char *path, bool promised, bool sure)
{
	struct reduce_file *f = &r->file[r->reduced.files++];

	f->path = path;
	f->promised = promised;
	f->sure = sure;
	f->min_size = UINT64_MAX;
	f->lines = 1;
	f->why = promised ? NULL : "there was a gap";
}

/* --- the order of evaluation ----------------------------------------------- */

static void
a3_what_this_type_does_not_require_is_carried(void **state)
{
	struct rig *r = *state;
	struct claim out;

	open_claims(r);
	kind_is(r, "/srv/db/a.db", CLAIM_CARRIED);
	kind_is(r, "/srv/db/a.ix", CLAIM_WHOLE);
	kind_is(r, "/srv/db/a.txt", CLAIM_NONE);
	kind_is(r, "/srv/db/deep/a.db", CLAIM_NONE);
	/* Two file sets of one component: the stricter mask wins. */
	kind_is(r, "/srv/db/special.db", CLAIM_WHOLE);
	assert_true(r->component[0].carried);
	assert_false(r->component[1].carried);
	assert_ptr_equal(carried(r, "/srv/db", 0), &r->base);
	assert_null(carried(r, "/etc/db", 0));
	/* A name of the base that is not there any more is taken, too. */
	out = ask_of(r, "/srv/db/gone.db", NULL);
	assert_int_equal(out.kind, CLAIM_CARRIED);
	out = ask_of(r, "/srv/db/gone.ix", NULL);
	assert_int_not_equal(out.kind, CLAIM_CARRIED);
}

static void
a3_components_with_different_bases_carry_from_all_of_them(void **state)
{
	static const char text[] =
		"writer w\nschema incremental\n" METHOD
		"component a database selectable=yes\n"
		"component b database selectable=yes\n"
		"component c database selectable=yes\n"
		"database-files a /srv/w a* backup=full\n"
		"database-files b /srv/w/b * backup=full\n"
		"database-files c /srv/w c* backup=full\nend\n";
	static struct claims_component component[3];
	struct rig *r = *state;
	struct view_gen first = { .number = 1 };
	struct view_gen third = { .number = 3 };
	size_t i;

	describe(r, text);
	r->chosen[1] = true;
	for (i = 0; i < 3; i++) {
		component[i] = r->component[1];
		component[i].document = r->document;
		component[i].component = i;
		component[i].base = i == 0 ? &third : &first;
	}
	r->o.component = component;
	r->o.components = 3;
	open_claims(r);
	assert_ptr_equal(carried(r, "/srv/w", 0), &first);
	assert_ptr_equal(carried(r, "/srv/w", 2), &third);
	assert_null(carried(r, "/srv/w", 4));
	assert_null(carried(r, "/srv/w/b", 2));
}

static void
a6_a_full_and_a_copy_read_whole_and_know_no_others(void **state)
{
	static const unsigned types[] = { METADATA_FULL, METADATA_COPY };
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct rig r;

		begin(&r, types[i]);
		declare(&r, "/srv/db/a.db", true, true);
		open_claims(&r);
		kind_is(&r, "/srv/db/a.db", CLAIM_WHOLE);
		kind_is(&r, "/srv/db/b.db", CLAIM_WHOLE);
		kind_is(&r, "/var/log/db/x", CLAIM_WHOLE);
		assert_int_equal(ask(&r, "/srv/db/b.db").reason, PLAN_WHOLE);
		end(&r);
	}
}

static void
a6_a_file_set_that_a_full_does_not_require_is_no_member(void **state)
{
	static const char text[] =
		"writer w\n" METHOD "component c database selectable=yes\n"
		"database-files c /srv/w *.x backup=incremental\n"
		"database-files c /srv/w need.x backup=none\nend\n";
	struct rig *r = *state;

	of_type(r, METADATA_FULL);
	describe(r, text);
	r->o.components = 1;
	open_claims(r);
	kind_is(r, "/srv/w/a.x", CLAIM_NONE);
	assert_int_equal(r->c->dir(r->c, "/srv/w"), CLAIM_DIR_NOTHING);
	assert_int_equal(writer_claims_missing(r->w, NULL), 0);
	assert_false(r->component[0].failed);
}

static void
without_a_base_all_is_read(void **state)
{
	struct rig *r = *state;

	declare(r, "/srv/db/a.db", true, true);
	r->component[0].base = NULL;
	open_claims(r);
	kind_is(r, "/srv/db/a.db", CLAIM_WHOLE);
	kind_is(r, "/srv/db/b.db", CLAIM_WHOLE);
}

static void
excluded_comes_before_differenced_before_partial_before_the_mask(void **state)
{
	struct rig *r = *state;
	struct claim out;

	declare(r, "/srv/db/b.db", true, true);
	declare(r, "/srv/db/special.db", true, true);
	declare(r, "/srv/db/tmp.db", true, true);
	r->differenced[0] =
		(struct reduce_differenced){ .dir = "/srv/db",
					     .pattern = "special.db" };
	r->reduced.differenced_count = 1;
	open_claims(r);
	kind_is(r, "/srv/db/tmp.db", CLAIM_EXCLUDED);
	kind_is(r, "/srv/db/special.db", CLAIM_OWN);
	out = ask(r, "/srv/db/b.db");
	assert_int_equal(out.kind, CLAIM_RANGES);
	assert_ptr_equal(out.base, &r->base);
	assert_true(out.fixed);
	kind_is(r, "/srv/db/c.db", CLAIM_CARRIED);
	kind_is(r, "/srv/db/c.ix", CLAIM_WHOLE);
	kind_is(r, "/home/x", CLAIM_NONE);
}

static void
b8_the_earlier_of_the_writers_time_and_the_bases_decides(void **state)
{
	struct rig *r = *state;
	struct claim out;

	r->differenced[0] = (struct reduce_differenced){
		.dir = "/srv/db",
		.pattern = "*.ix",
		.has_newer = true,
		.newer = { 500, 7 },
	};
	r->differenced[1] = (struct reduce_differenced){
		.dir = "/var/log/db",
		.pattern = "*",
		.has_newer = true,
		.newer = { 5000, 0 },
	};
	r->reduced.differenced_count = 2;
	open_claims(r);
	out = ask(r, "/srv/db/a.ix");
	assert_int_equal(out.kind, CLAIM_SINCE);
	assert_int_equal(out.newer.sec, 500);
	out = ask(r, "/var/log/db/1");
	assert_int_equal(out.kind, CLAIM_SINCE);
	assert_int_equal(out.newer.sec, 1000);
}

static void
b8_of_two_entries_for_one_name_that_counts_which_asks_for_more(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++) {
		struct reduce_differenced d[3] = {
			{ .dir = "/srv/db", .pattern = "*.ix" },
			{ .dir = "/srv/db",
			  .pattern = "a*",
			  .has_newer = true,
			  .newer = { 500, 0 } },
			{ .dir = "/srv",
			  .pattern = "*",
			  .recursive = true,
			  .has_newer = true,
			  .newer = { 700, 0 } },
		};
		struct claim out;
		struct rig r;

		begin(&r, METADATA_INCREMENTAL);
		r.reduced.differenced = d;
		r.reduced.differenced_count = i < 3 ? 3 : 2;
		if (i % 3 == 1)
			d[0].pattern = "none";
		if (i % 3 == 2)
			d[2].newer.sec = 400;
		open_claims(&r);
		out = ask(&r, "/srv/db/a.ix");
		assert_int_equal(out.kind, CLAIM_SINCE);
		assert_int_equal(out.newer.sec, i == 2 ? 400 : 500);
		end(&r);
	}
}

static void
a_promise_that_does_not_hold_is_read_whole_and_says_why(void **state)
{
	struct rig *r = *state;
	struct claim out;
	const char *refused;

	declare(r, "/srv/db/a.db", false, false);
	open_claims(r);
	out = ask(r, "/srv/db/a.db");
	assert_int_equal(out.kind, CLAIM_WHOLE);
	assert_int_equal(out.reason, PLAN_NO_PROOF);
	assert_string_equal(out.text, "there was a gap");
	assert_int_equal(writer_claims_read(r->w, 0, 0, &refused), 0);
	assert_string_equal(refused, "there was a gap");
}

static void
a5_in_a_log_session_only_what_was_declared_in_it_counts(void **state)
{
	struct rig *r = *state;

	of_type(r, METADATA_LOG);
	declare(r, "/srv/db/a.db", true, false);
	declare(r, "/srv/db/b.db", true, true);
	open_claims(r);
	kind_is(r, "/srv/db/a.db", CLAIM_CARRIED);
	kind_is(r, "/srv/db/b.db", CLAIM_RANGES);
	kind_is(r, "/srv/db/a.ix", CLAIM_CARRIED);
	kind_is(r, "/var/log/db/1", CLAIM_WHOLE);
}

/* --- other people's files ------------------------------------------------- */

static void
b9_what_is_declared_of_anothers_file_does_not_count(void **state)
{
	static const char text[] =
		"writer other\n" METHOD
		"component c database selectable=yes\n"
		"database-files c /srv/theirs * recursive\nend\n";
	struct rig *r = *state;
	struct metadata *other = words_document(text);
	const struct metadata *const list[] = { other };

	declare(r, "/srv/theirs/a", true, true);
	declare(r, "/srv/nobodys", true, true);
	r->differenced[0] = (struct reduce_differenced){
		.dir = "/srv", .pattern = "*", .recursive = true
	};
	r->reduced.differenced_count = 1;
	r->o.other = list;
	r->o.others = 1;
	open_claims(r);
	kind_is(r, "/srv/theirs/a", CLAIM_NONE);
	kind_is(r, "/srv/theirs/deep/b", CLAIM_NONE);
	kind_is(r, "/srv/nobodys", CLAIM_OWN);
	assert_true(writer_claims_is_others(r->w, 0, "/srv/theirs/a"));
	assert_true(writer_claims_is_others(r->w, 0, "/etc/db/x"));
	assert_false(writer_claims_is_others(r->w, 1, "/etc/db/x"));
	assert_false(writer_claims_is_others(r->w, 0, "/srv/nobodys"));
	assert_int_equal(r->notes, 3);
	metadata_free(other);
}

static void
b9_nor_of_one_whose_component_has_failed(void **state)
{
	struct rig *r = *state;

	declare(r, "/etc/db/x", true, true);
	open_claims(r);
	assert_int_equal(writer_claims_fail(r->w, 1, NULL, "gone"), 0);
	kind_is(r, "/etc/db/x", CLAIM_NONE);
	assert_int_equal(renew(r, &r->reduced, NULL), 0);
	kind_is(r, "/etc/db/x", CLAIM_NONE);
	assert_true(writer_claims_is_others(r->w, 0, "/etc/db/x"));
}

/* --- excludes -------------------------------------------------------------- */

static void
excludes_act_on_the_writers_own_file_sets_only(void **state)
{
	struct rig *r = *state;

	open_claims(r);
	kind_is(r, "/srv/db/tmp.ix", CLAIM_EXCLUDED);
	kind_is(r, "/srv/db/tmp.txt", CLAIM_NONE);
	kind_is(r, "/home/db/deep/x.tmp", CLAIM_NONE);
	end(r);
	/* Root's may leave out what is in nobody's. */
	begin(r, METADATA_INCREMENTAL);
	r->component[0].root = r->component[1].root = true;
	open_claims(r);
	kind_is(r, "/home/db/deep/x.tmp", CLAIM_EXCLUDED);
	kind_is(r, "/home/db/deep/x", CLAIM_NONE);
}

static void
a8_a_persons_exclude_that_hits_a_member_fails_the_component(void **state)
{
	struct rig *r = *state;
	struct claim out;

	open_claims(r);
	/* Directories on the way are claimed, so that the walk can tell. */
	out = ask_of(r, "/etc/db/deep", &dir_there);
	assert_int_equal(out.kind, CLAIM_WHOLE);
	assert_int_equal(out.owner, 1);
	out = ask_of(r, "/srv/other", &dir_there);
	assert_int_equal(out.kind, CLAIM_NONE);
	r->c->outcome(r->c, 1, "/etc", "it is excluded by a pattern", false);
	assert_true(r->component[1].failed);
	assert_string_equal(r->component[1].why,
			    "/etc: it is excluded by a pattern");
	assert_false(r->component[0].failed);
}

static void
a8_all_components_beneath_an_excluded_directory_fail(void **state)
{
	struct rig *r = *state;

	r->source[0] = "/";
	r->o.sources = 1;
	open_claims(r);
	r->c->outcome(r->c, 0, "/", "it is excluded by a pattern", false);
	assert_true(r->component[0].failed);
	assert_true(r->component[1].failed);
}

static void
a8_a_file_that_is_named_and_missing_fails_its_component(void **state)
{
	struct rig *r = *state;

	open_claims(r);
	kind_is(r, "/srv/db/special.db", CLAIM_WHOLE);
	/* What was met stays met. */
	assert_int_equal(renew(r, &r->reduced, NULL), 0);
	assert_int_equal(writer_claims_missing(r->w, NULL), 0);
	assert_false(r->component[0].failed);
	assert_true(r->component[1].failed);
	assert_non_null(strstr(r->component[1].why, "one.conf"));
}

static void
a8_file_sets_outside_of_the_sources_are_added(void **state)
{
	struct rig *r = *state;

	open_claims(r);
	assert_int_equal(r->c->extras, 1);
	assert_string_equal(r->c->extra[0], "/var/log/db");
}

/* --- directories ----------------------------------------------------------- */

static void
directories_without_claims_are_passed_by(void **state)
{
	static const struct {
		const char *path;
		enum claim_dir want;
	} rows[] = {
		{ "/", CLAIM_DIR_SOME },
		{ "/srv", CLAIM_DIR_SOME },
		{ "/srv/db", CLAIM_DIR_SOME },
		{ "/srv/db/deep", CLAIM_DIR_NOTHING },
		{ "/srv/db2", CLAIM_DIR_NOTHING },
		{ "/srv/d", CLAIM_DIR_NOTHING },
		{ "/etc/db/deep/er", CLAIM_DIR_SOME },
		{ "/etc/db.conf.d", CLAIM_DIR_SOME },
		{ "/etc/db.conf", CLAIM_DIR_NOTHING },
		{ "/usr", CLAIM_DIR_NOTHING },
	};
	struct rig *r = *state;
	size_t i;

	open_claims(r);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (r->c->dir(r->c, rows[i].path) != rows[i].want)
			fail_msg("%s", rows[i].path);
}

static void
b9_a_new_file_is_its_component_s_and_odd_places_are_told(void **state)
{
	struct rig *r = *state;

	declare(r, "/etc/db/other", true, true); /* another component's */
	declare(r, "/opt/new", true, true);
	open_claims(r);
	assert_true(r->notes > 0);
	kind_is(r, "/opt/new", CLAIM_RANGES);
	assert_int_equal(ask(r, "/opt/new").owner, 0);
	/* What somebody else has is not theirs to declare. */
	kind_is(r, "/etc/db/other", CLAIM_WHOLE);
	assert_int_equal(ask(r, "/etc/db/other").owner, 1);
}

/* --- failing and renewing -------------------------------------------------- */

static void
a1_the_files_of_a_component_that_failed_are_plain_files(void **state)
{
	struct rig *r = *state;

	open_claims(r);
	r->c->outcome(r->c, 0, "/srv/db/a.ix", "cannot be read", false);
	r->c->outcome(r->c, 0, "/srv/db/b.ix", "nor this", false);
	assert_true(r->component[0].failed);
	assert_string_equal(r->component[0].why,
			    "/srv/db/a.ix: cannot be read");
	assert_int_equal(writer_claims_fail(r->w, 0, NULL, "later"), 0);
	assert_string_equal(r->component[0].why,
			    "/srv/db/a.ix: cannot be read");
	kind_is(r, "/srv/db/a.ix", CLAIM_NONE);
	kind_is(r, "/srv/db/a.db", CLAIM_NONE);
	kind_is(r, "/etc/db/x", CLAIM_WHOLE);
}

static void
d1_a_file_that_changed_while_it_was_read_fails_unless_recovery_is_log(
	void **state)
{
	static const char text[] =
		"writer w\n" METHOD
		"component a database selectable=yes recovery=log\n"
		"component b database selectable=yes\n"
		"database-files a /srv/a *\ndatabase-files b /srv/b *\nend\n";
	struct rig *r = *state;

	of_type(r, METADATA_FULL);
	describe(r, text);
	r->chosen[1] = true;
	r->component[1].component = 1;
	open_claims(r);
	assert_true(ask(r, "/srv/a/x").log_recovery);
	r->c->outcome(r->c, 0, "/srv/a/x", NULL, true);
	r->c->outcome(r->c, 1, "/srv/b/x", NULL, true);
	assert_false(r->component[0].failed);
	assert_true(r->component[1].failed);
}

static void
renewed_journals_answer_anew_and_remember_what_was_read(void **state)
{
	struct rig *r = *state;
	struct reduce_file file[2];
	struct reduced later = { .file = file, .files = 2 };
	const char *refused;

	declare(r, "/srv/db/a.db", true, true);
	open_claims(r);
	kind_is(r, "/srv/db/b.db", CLAIM_CARRIED);
	r->c->read(r->c, 0, "/srv/db/a.db", 17, true);
	r->c->read(r->c, 0, "/srv/db/a.ix", 100, false);
	declare(r, "/srv/db/b.db", true, true);
	memcpy(file, r->file, sizeof(file));
	r->reduced.files = 1;
	assert_int_equal(renew(r, &later, NULL), 0);
	kind_is(r, "/srv/db/b.db", CLAIM_RANGES);
	assert_int_equal(writer_claims_read(r->w, 0, 0, &refused), 17);
	assert_null(refused);
	assert_int_equal(r->component[0].member_bytes, 117);
	assert_int_equal(r->component[0].declared_bytes, 17);
}

static void
what_was_read_of_one_component_stays_when_another_is_renewed(void **state)
{
	struct rig *r = *state;
	struct reduce_file file[4];
	struct reduced other = { .file = file, .files = 1 };
	const char *refused;

	declare(r, "/etc/db/x", true, true);
	memcpy(file, r->file, sizeof(file));
	r->file[0].path = "/srv/db/a.db";
	r->component[1].reduced = &other;
	open_claims(r);
	r->c->read(r->c, 0, "/srv/db/a.db", 17, true);
	r->c->read(r->c, 1, "/etc/db/x", 18, true);
	assert_int_equal(renew(r, &r->reduced, &other), 0);
	assert_int_equal(writer_claims_read(r->w, 0, 0, &refused), 17);
	assert_int_equal(writer_claims_read(r->w, 1, 0, &refused), 18);
}

/* --- what is missing ------------------------------------------------------- */

static void
a1_a_directory_that_cannot_be_read_fails_who_may_have_a_file_there(
	void **state)
{
	static const struct {
		const char *path;
		bool db, conf;
	} t[] = {
		{ "/srv/db", true, false },      { "/srv", true, false },
		{ "/srv/db/deep", false, false }, { "/etc/db/deep", false, true },
		{ "/", true, true },             { "/home", false, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct rig r;

		begin(&r, METADATA_INCREMENTAL);
		open_claims(&r);
		r.c->missed(r.c, t[i].path, "open: no");
		if (r.component[0].failed != t[i].db ||
		    r.component[1].failed != t[i].conf)
			fail_msg("%s", t[i].path);
		end(&r);
	}
}

/* Directories are opened beneath the root, without a slash in front. */
static int
cannot_open_log(int dirfd, const char *path, const struct open_how *how)
{
	size_t len = strlen(path);

	if (len < 4 || strcmp(path + len - 4, "/log") != 0)
		return sys_real.openat2(dirfd, path, how);
	errno = EIO;
	return -1;
}

static int
count_path(void *ctx, size_t component, const char *path, const char *from,
	   struct err *e)
{
	(void)component;
	(void)path;
	(void)from;
	(void)e;
	++*(unsigned *)ctx;
	return 0;
}

static void
a5_logs_that_cannot_be_listed_fail_their_component(void **state)
{
	struct rig *r = *state;
	struct sys_ops ops = sys_real;
	char text[1024];
	struct scratch s;
	unsigned met = 0;

	scratch_begin(&s);
	assert_int_equal(mkdir(scratch_at(&s, "log"), 0700), 0);
	assert_int_equal(mkdir(scratch_at(&s, "two"), 0700), 0);
	scratch_write(scratch_at(&s, "log/1"), "1", 1);
	scratch_write(scratch_at(&s, "two/2"), "2", 1);
	(void)snprintf(text, sizeof(text),
		       "writer w\nschema log\n" METHOD
		       "component c database selectable=yes\n"
		       "log-files c %s/log *\n"
		       "log-files c %s/none *\n"
		       "log-files c %s/two *\nend\n",
		       s.path, s.path, s.path);
	of_type(r, METADATA_LOG);
	describe(r, text);
	r->o.components = 1;
	open_claims(r);
	assert_int_equal(writer_claims_unmet(r->w, count_path, &met, NULL),
			 0);
	assert_int_equal(met, 2);
	assert_false(r->component[0].failed);
	ops.openat2 = cannot_open_log;
	sys_source = &ops;
	assert_int_equal(writer_claims_unmet(r->w, count_path, &met, NULL),
			 0);
	sys_source = &sys_real;
	assert_int_equal(met, 2);
	assert_true(r->component[0].failed);
	assert_non_null(strstr(r->component[0].why, "/log: open"));
	scratch_end(&s);
}

/* --- ranges and audits ----------------------------------------------------- */

#define SIZE (256u << 10)

/* A file on disk, and the same in a base. */
struct disk {
	struct rig r;
	struct scratch s;
	struct memstore *store;
	struct filemap_builder *map;
	struct entry entry;
	uint8_t *bytes;
	char path[SCRATCH_LEN];
	int fd;
	struct statx st;
	uint64_t total; /* what ranges_of() has found */
	const char *why;
};

static void
begin_disk(struct disk *d)
{
	struct facts *f;
	uint64_t size;
	size_t at;

	memset(d, 0, sizeof(*d));
	scratch_begin(&d->s);
	d->bytes = mem_zalloc(SIZE);
	for (at = 0; at < SIZE; at++)
		d->bytes[at] = (uint8_t)(at * 31 >> 7);
	(void)snprintf(d->path, sizeof(d->path), "%s/x.db", d->s.path);
	scratch_write(d->path, d->bytes, SIZE);
	d->store = memstore_new();
	assert_int_equal(filemap_builder_new(&d->store->sink, &d->map, NULL),
			 0);
	filemap_builder_start(d->map, MAP_FIXED, 0);
	for (at = 0; at < SIZE; at += 4096) {
		struct id id =
			memstore_put(d->store, KIND_DATA, d->bytes + at, 4096);

		assert_int_equal(filemap_add_chunk(d->map, &id, 4096, NULL), 0);
	}
	assert_int_equal(filemap_finish(d->map, &d->entry.content, &size, NULL),
			 0);
	d->entry.type = ENTRY_FILE;
	d->entry.size = SIZE;
	d->fd = open(d->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	assert_true(d->fd >= 0);
	assert_int_equal(src_stat(d->fd, "", &d->st, NULL), 0);
	begin(&d->r, METADATA_INCREMENTAL);
	d->r.base.reader = &d->store->reader;
	declare(&d->r, d->path, true, false);
	f = &d->r.file[0].facts;
	f->known = true;
	assert_int_equal(src_fs_id(d->fd, f->fs, NULL), 0);
	f->ino = d->st.stx_ino;
	f->size = SIZE;
	f->mtime.sec = d->st.stx_mtime.tv_sec;
	f->mtime.nsec = d->st.stx_mtime.tv_nsec;
	f->ctime.sec = d->st.stx_ctime.tv_sec;
	f->ctime.nsec = d->st.stx_ctime.tv_nsec;
	f->has_btime = (d->st.stx_mask & STATX_BTIME) != 0;
	f->btime.sec = d->st.stx_btime.tv_sec;
	f->btime.nsec = d->st.stx_btime.tv_nsec;
	assert_int_equal(ranges_push(&d->r.file[0].ranges, 8192, 4096, NULL),
			 0);
	ranges_settle(&d->r.file[0].ranges);
	(void)usleep(20000); /* a clock tick older than what comes */
}

static void
end_disk(struct disk *d)
{
	ranges_clear(&d->r.file[0].ranges);
	end(&d->r);
	filemap_builder_free(d->map);
	memstore_free(d->store);
	mem_free(d->bytes);
	assert_int_equal(close(d->fd), 0);
	scratch_end(&d->s);
}

static int
set_up_disk(void **state)
{
	static struct disk d;

	begin_disk(&d);
	*state = &d;
	return 0;
}

static int
tear_down_disk(void **state)
{
	end_disk(*state);
	return 0;
}

/* What ranges() returns; its sentence is d->why, the sum of all d->total. */
static int
ranges_of(struct disk *d)
{
	struct claim claim = ask(&d->r, d->path);
	struct claim_range *out = NULL;
	struct err e = { 0 };
	size_t n = 0;
	size_t i;
	int rc;

	d->total = 0;
	d->why = NULL;
	assert_int_equal(claim.kind, CLAIM_RANGES);
	rc = d->r.c->ranges(d->r.c, &claim, d->fd, &d->st, &d->entry, &out, &n,
			    &d->why, &e);
	if (rc < 0)
		assert_int_equal(e.kind, ERR_SOURCE);
	for (i = 0; i < n; i++)
		d->total += out[i].len;
	mem_free(out);
	return rc;
}

static void
only_declared_bytes_are_read_when_the_facts_are_equal(void **state)
{
	struct disk *d = *state;

	open_claims(&d->r);
	assert_int_equal(ranges_of(d), 0);
	assert_int_equal(d->total, 4096);
	/* Touched since it was declared. */
	d->st.stx_mtime.tv_sec++;
	assert_int_equal(ranges_of(d), 1);
	assert_non_null(d->why);
}

static void
b5_bytes_beyond_the_lowest_size_are_always_read(void **state)
{
	struct disk *d = *state;

	d->r.file[0].sure = true;
	d->r.file[0].min_size = SIZE - 10000;
	open_claims(&d->r);
	assert_int_equal(ranges_of(d), 0);
	assert_int_equal(d->total, 4096 + 10000);
}

static void
a_range_beyond_the_end_fails_the_component(void **state)
{
	struct disk *d = *state;

	d->r.file[0].sure = true;
	d->r.file[0].beyond = SIZE + 1;
	open_claims(&d->r);
	assert_int_equal(ranges_of(d), -1);
	assert_true(d->r.component[0].failed);
}

/* Change a byte behind everybody's back: mtime and ctime are as they were. */
static void
lie(struct disk *d, off_t at)
{
	uint8_t other = (uint8_t)(d->bytes[at] + 1);

	assert_int_equal(pwrite(d->fd, &other, 1, at), 1);
}

static void
b11_an_audit_finds_a_lie_and_reads_whole(void **state)
{
	struct disk *d = *state;

	lie(d, 100000);
	d->r.o.audit = 100;
	open_claims(&d->r);
	assert_int_equal(ranges_of(d), 1);
	assert_non_null(strstr(d->why, "audit"));
	assert_true(d->r.component[0].lied);
	assert_true(d->r.notes > 0);
}

static void
b11_what_was_declared_or_is_true_passes_an_audit(void **state)
{
	struct disk *d = *state;

	lie(d, 8192);
	lie(d, 8192 + 4095);
	d->r.o.audit = 100;
	open_claims(&d->r);
	assert_int_equal(ranges_of(d), 0);
	assert_int_equal(d->total, 4096);
	assert_false(d->r.component[0].lied);
}

static void
b11_no_audit_of_what_is_torn_or_was_touched_since(void **state)
{
	struct disk *d = *state;

	d->r.file[0].sure = true;
	lie(d, 100000);
	d->r.o.audit = 100;
	open_claims(&d->r);
	d->entry.flags = ENTRY_TORN;
	assert_int_equal(ranges_of(d), 0);
	d->entry.flags = 0;
	d->st.stx_mtime.tv_sec++;
	assert_int_equal(ranges_of(d), 0);
	assert_false(d->r.component[0].lied);
}

/* A racy base was read all the same, and what came later was to be declared. */
static void
b11_a_busy_file_is_audited(void **state)
{
	struct disk *d = *state;

	d->r.file[0].sure = true;
	lie(d, 100000);
	d->r.o.audit = 100;
	open_claims(&d->r);
	d->entry.flags = ENTRY_RACY;
	(void)ranges_of(d);
	assert_true(d->r.component[0].lied);
}

static void
b11_an_untrusted_component_is_read_whole(void **state)
{
	struct rig *r = *state;

	declare(r, "/srv/db/a.db", true, true);
	r->differenced[0] = (struct reduce_differenced){ .dir = "/srv/db",
							.pattern = "*.ix" };
	r->reduced.differenced_count = 1;
	r->component[0].untrusted = true;
	open_claims(r);
	kind_is(r, "/srv/db/a.db", CLAIM_WHOLE);
	kind_is(r, "/srv/db/a.ix", CLAIM_WHOLE);
	assert_int_equal(ask(r, "/srv/db/a.db").reason, PLAN_UNTRUSTED);
}

/* --- alternate paths ------------------------------------------------------- */

static void
a6_with_an_alternate_path_the_bytes_are_read_there(void **state)
{
	struct rig *r = *state;
	char text[1024];
	char own[SCRATCH_LEN + 20];
	char other[SCRATCH_LEN + 20];
	struct scratch s;

	scratch_begin(&s);
	assert_int_equal(mkdir(scratch_at(&s, "alt"), 0700), 0);
	scratch_write(scratch_at(&s, "alt/x"), "1", 1);
	(void)snprintf(text, sizeof(text),
		       "writer w\n" METHOD
		       "component c file-group selectable=yes\n"
		       "files c %s/own * recursive alternate=%s/alt\nend\n",
		       s.path, s.path);
	of_type(r, METADATA_FULL);
	describe(r, text);
	r->o.components = 1;
	open_claims(r);
	(void)snprintf(own, sizeof(own), "%s/own/x", s.path);
	(void)snprintf(other, sizeof(other), "%s/alt/x", s.path);
	assert_string_equal(ask(r, own).from, other);
	(void)snprintf(own, sizeof(own), "%s/own/y", s.path);
	assert_null(ask(r, own).from);
	scratch_end(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define DISK(name) \
	cmocka_unit_test_setup_teardown(name, set_up_disk, tear_down_disk)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a3_what_this_type_does_not_require_is_carried),
		cmocka_unit_test(
			b8_of_two_entries_for_one_name_that_counts_which_asks_for_more),
		TEST(a3_components_with_different_bases_carry_from_all_of_them),
		cmocka_unit_test(
			a6_a_full_and_a_copy_read_whole_and_know_no_others),
		TEST(a6_a_file_set_that_a_full_does_not_require_is_no_member),
		TEST(without_a_base_all_is_read),
		TEST(excluded_comes_before_differenced_before_partial_before_the_mask),
		TEST(b8_the_earlier_of_the_writers_time_and_the_bases_decides),
		TEST(a_promise_that_does_not_hold_is_read_whole_and_says_why),
		TEST(a5_in_a_log_session_only_what_was_declared_in_it_counts),
		TEST(b9_what_is_declared_of_anothers_file_does_not_count),
		TEST(b9_nor_of_one_whose_component_has_failed),
		TEST(excludes_act_on_the_writers_own_file_sets_only),
		TEST(a8_a_persons_exclude_that_hits_a_member_fails_the_component),
		TEST(a8_all_components_beneath_an_excluded_directory_fail),
		TEST(a8_a_file_that_is_named_and_missing_fails_its_component),
		TEST(a8_file_sets_outside_of_the_sources_are_added),
		TEST(directories_without_claims_are_passed_by),
		TEST(b9_a_new_file_is_its_component_s_and_odd_places_are_told),
		TEST(a1_the_files_of_a_component_that_failed_are_plain_files),
		TEST(d1_a_file_that_changed_while_it_was_read_fails_unless_recovery_is_log),
		TEST(renewed_journals_answer_anew_and_remember_what_was_read),
		DISK(only_declared_bytes_are_read_when_the_facts_are_equal),
		DISK(b5_bytes_beyond_the_lowest_size_are_always_read),
		TEST(what_was_read_of_one_component_stays_when_another_is_renewed),
		cmocka_unit_test(
			a1_a_directory_that_cannot_be_read_fails_who_may_have_a_file_there),
		TEST(a5_logs_that_cannot_be_listed_fail_their_component),
		DISK(a_range_beyond_the_end_fails_the_component),
		DISK(b11_an_audit_finds_a_lie_and_reads_whole),
		DISK(b11_what_was_declared_or_is_true_passes_an_audit),
		DISK(b11_no_audit_of_what_is_torn_or_was_touched_since),
		DISK(b11_a_busy_file_is_audited),
		TEST(b11_an_untrusted_component_is_read_whole),
		TEST(a6_with_an_alternate_path_the_bytes_are_read_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
