/*
 * generation: what people write, sets and bases over lists made by hand;
 * loading and publishing over a repository on disk.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/generation.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/pack.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"

#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* --- lists made by hand -------------------------------------------------- */

/* Written out, so that no zone files are needed: UTC+1 in November. */
#define CET "CET-1CEST,M3.5.0,M10.5.0/3"

#define DAMAGED     100 /* as session type: the record cannot be read */
#define UNSUPPORTED 101

struct row {
	uint32_t number;
	const char *set;
	unsigned session, effective;
	const char *instant;
};

/* In CET, 3 was made two minutes past midnight and 7 one before. */
static const struct row good_rows[] = {
	{ 1, "home", GEN_FULL, GEN_FULL, "2026-11-18T10:00Z" },
	{ 2, "photos", GEN_FULL, GEN_FULL, "2026-11-18T12:00Z" },
	{ 3, "home", GEN_INCREMENTAL, GEN_INCREMENTAL, "2026-11-19T23:02Z" },
	{ 4, "home", GEN_LOG, GEN_LOG, "2026-11-20T12:00Z" },
	{ 6, "photos", GEN_INCREMENTAL, GEN_INCREMENTAL, "2026-11-20T09:00Z" },
	{ 7, "home", GEN_DIFFERENTIAL, GEN_DIFFERENTIAL, "2026-11-20T22:59Z" },
	{ 8, "home", GEN_INCREMENTAL, GEN_INCREMENTAL, "2026-11-20T23:00Z" },
	{ 9, "photos", GEN_INCREMENTAL, GEN_INCREMENTAL, "2026-11-20T23:00Z" },
	/* The clock was wrong that day. */
	{ 10, "home", GEN_INCREMENTAL, GEN_INCREMENTAL, "2026-11-01T00:00Z" },
	{ 13, "photos", GEN_COPY, GEN_COPY, "2026-11-22T10:00Z" },
	{ 14, "photos", GEN_LOG, GEN_LOG, "2026-11-23T10:00Z" },
};

/* The same with damage in the middle and at the end. */
static const struct row hurt_rows[] = {
	{ 1, "home", GEN_FULL, GEN_FULL, "2026-11-18T10:00Z" },
	{ 2, NULL, DAMAGED, 0, NULL },
	{ 3, "home", GEN_INCREMENTAL, GEN_INCREMENTAL, "2026-11-19T10:00Z" },
	{ 4, NULL, UNSUPPORTED, 0, NULL },
	{ 5, "photos", GEN_LOG, GEN_LOG, "2026-11-20T10:00Z" },
};

static void
fill(struct generation *g, const struct row *row)
{
	bool day;

	memset(g, 0, sizeof(*g));
	g->number = row->number;
	g->damaged = row->session >= DAMAGED;
	g->unsupported = row->session == UNSUPPORTED;
	if (g->damaged) {
		g->why = mem_strdup("its checksum is wrong");
		assert_non_null(g->why);
		return;
	}
	g->record.number = row->number;
	g->record.set = row->set;
	/* A set's id is its first letter, sixteen times. */
	memset(g->record.set_id, row->set[0], sizeof(g->record.set_id));
	g->record.session_type = (uint8_t)row->session;
	g->record.effective_type = (uint8_t)row->effective;
	if (row->instant != NULL)
		assert_true(time_parse(row->instant, &g->record.instant, &day));
}

static struct generation_list
make_list(const struct row *rows, size_t n)
{
	struct generation_list l = { 0 };

	l.item = mem_array(n + 1, sizeof(*l.item));
	assert_non_null(l.item);
	l.count = n;
	for (size_t i = 0; i < n; i++) {
		fill(&l.item[i], &rows[i]);
		l.highest = rows[i].number;
	}
	return l;
}

#define MAKE_LIST(rows) make_list(rows, N_OF(rows))

/* --- names of generations ------------------------------------------------ */

/* 64 and 65 characters */
#define C64 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._"
#define C65 C64 "-"

struct asked {
	const char *name;
	uint32_t number;    /* what is found */
	enum err_kind kind; /* else, how it fails */
};

static const struct asked good_asked[] = {
	/* numbers */
	{ "1", 1, 0 },
	{ "7", 7, 0 },
	{ "14", 14, 0 },
	{ "5", 0, ERR_MISSING },
	{ "15", 0, ERR_MISSING },
	{ "4294967297", 0, ERR_MISSING }, /* 1, if it were cut to 32 bits */
	{ "18446744073709551617", 0, ERR_MISSING }, /* and to 64 */
	{ "99999999999999999999999999999999999999", 0, ERR_MISSING },
	{ "0", 0, ERR_USAGE },
	{ "01", 0, ERR_USAGE },
	{ "-1", 0, ERR_USAGE },
	{ "+1", 0, ERR_USAGE },
	{ " 1", 0, ERR_USAGE },
	{ "1 ", 0, ERR_USAGE },
	{ "1\n", 0, ERR_USAGE },
	{ "1.0", 0, ERR_USAGE },
	{ "0x1", 0, ERR_USAGE },
	{ "1e0", 0, ERR_USAGE },
	/* latest, of all sets; 14 is a log */
	{ "latest", 13, 0 },
	{ "latest~0", 13, 0 },
	{ "latest~1", 10, 0 },
	{ "latest~01", 10, 0 },
	{ "latest~2", 9, 0 },
	{ "latest~3", 8, 0 },
	{ "latest~8", 1, 0 },
	{ "latest~9", 0, ERR_MISSING },
	{ "latest~99999999999", 0, ERR_MISSING },
	{ "latest~4294967296", 0, ERR_MISSING },
	{ "latest~18446744073709551615", 0, ERR_MISSING },
	{ "latest~18446744073709551616", 0, ERR_MISSING },
	{ "latest~36893488147419103233", 0, ERR_MISSING },
	{ "latest~", 0, ERR_USAGE },
	{ "latest~-1", 0, ERR_USAGE },
	{ "latest~~1", 0, ERR_USAGE },
	{ "latest~1~1", 0, ERR_USAGE },
	{ "latest^", 0, ERR_USAGE },
	{ "latest1", 0, ERR_USAGE },
	{ "Latest", 0, ERR_USAGE },
	{ "late", 0, ERR_USAGE },
	{ "", 0, ERR_USAGE },
	{ "home", 0, ERR_USAGE },
	{ "2026-11-20", 0, ERR_USAGE },
	{ "42:/etc", 0, ERR_USAGE },
	/* in a set */
	{ "home@latest", 10, 0 },
	{ "home@latest~1", 8, 0 },
	{ "home@latest~2", 7, 0 },
	{ "home@latest~3", 3, 0 }, /* 4 is a log */
	{ "home@latest~4", 1, 0 },
	{ "home@latest~5", 0, ERR_MISSING },
	{ "photos@latest", 13, 0 },
	{ "photos@latest~3", 2, 0 },
	{ "home@4", 4, 0 }, /* by number, even a log */
	{ "home@1", 1, 0 },
	{ "home@2", 0, ERR_MISSING },
	{ "home@99", 0, ERR_MISSING },
	{ "nobody@latest", 0, ERR_MISSING },
	{ "nobody@1", 0, ERR_MISSING },
	{ "hom@latest", 0, ERR_MISSING },
	{ "homes@latest", 0, ERR_MISSING },
	{ C64 "@latest", 0, ERR_MISSING },
	{ C65 "@latest", 0, ERR_USAGE },
	{ C64 C64 C64 C64 C64 "@latest", 0, ERR_USAGE },
	{ "home@", 0, ERR_USAGE },
	{ "@", 0, ERR_USAGE },
	{ "@@", 0, ERR_USAGE },
	{ "@latest", 0, ERR_USAGE },
	{ "@1", 0, ERR_USAGE },
	{ "home@@1", 0, ERR_USAGE },
	{ "home@photos@1", 0, ERR_USAGE },
	{ "home@01", 0, ERR_USAGE },
	{ "home@latest~", 0, ERR_USAGE },
	{ "latest@1", 0, ERR_USAGE },
	{ "all@latest", 0, ERR_USAGE },
	{ "current@latest", 0, ERR_USAGE },
	{ "..@latest", 0, ERR_USAGE },
	{ "ho me@latest", 0, ERR_USAGE },
	{ "h\xc3\xb6m@latest", 0, ERR_USAGE },
	{ "home/x@latest", 0, ERR_USAGE },
	{ "\x1b[31m@latest", 0, ERR_USAGE },
	/* times, in CET; a day is meant up to its end */
	{ "home@2026-11-20", 7, 0 },
	{ "home@2026-11-21", 8, 0 },
	{ "home@2026-11-19", 1, 0 },
	{ "home@2026-11-01", 10, 0 },
	{ "home@2026-10-31", 0, ERR_MISSING },
	{ "home@9999-12-31", 8, 0 },
	{ "home@2026-11-20T00:01", 1, 0 },
	{ "home@2026-11-20T00:02", 3, 0 },
	{ "home@2026-11-20 00:02", 3, 0 },
	{ "home@2026-11-20T00:01:59", 1, 0 },
	{ "home@2026-11-19T23:02Z", 3, 0 },
	{ "home@2026-11-19T23:01Z", 1, 0 },
	{ "home@2026-11-20T08:02+09:00", 3, 0 },
	{ "home@2026-11-20T12:00Z", 3, 0 }, /* 4 is a log */
	{ "photos@2026-11-20", 6, 0 },
	{ "photos@2026-11-24", 13, 0 },
	{ "@2026-11-20", 7, 0 },
	{ "@2026-11-21", 9, 0 }, /* of two at one instant, the newer */
	{ "@2026-11-20T18:00", 6, 0 },
	{ "@2026-11-18T12:59:59", 1, 0 },
	{ "@2026-11-18T13:00", 2, 0 },
	{ "@2026-11-30", 13, 0 },
	{ "@2026-10-31", 0, ERR_MISSING },
	{ "nobody@2026-11-20", 0, ERR_MISSING },
	{ "home@2026-11-31", 0, ERR_USAGE },
	{ "home@2026-11-20~1", 0, ERR_USAGE },
	{ "home@2026-11-20T", 0, ERR_USAGE },
	{ "home@2026-11-20T25:00", 0, ERR_USAGE },
	{ "home@20261120", 0, ERR_MISSING }, /* a number */
	{ "home@yesterday", 0, ERR_USAGE },
};

static const struct asked hurt_asked[] = {
	{ "1", 1, 0 },
	{ "2", 0, ERR_CORRUPT },
	{ "4", 0, ERR_UNSUPPORTED },
	/* It may be the one that is meant. */
	{ "latest", 0, ERR_UNSUPPORTED },
	{ "latest~1", 3, 0 },
	{ "latest~2", 0, ERR_CORRUPT },
	{ "latest~3", 1, 0 },
	/* Damage in one set does not stop the others. */
	{ "home@latest", 3, 0 },
	{ "home@latest~1", 1, 0 },
	{ "home@2", 0, ERR_CORRUPT },
	{ "@2026-11-30", 3, 0 },
	{ "home@2026-11-18", 1, 0 },
};

static void
check_asked(const struct generation_list *l, const struct asked *a, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct generation *untouched = &l->item[0];
		const struct generation *g = untouched;
		struct err e = { 0 };
		int rc = generation_find(l, a[i].name, &g, &e);

		if (e.kind != a[i].kind)
			fail_msg("\"%s\": kind %d: %s", a[i].name, e.kind,
				 e.text);
		assert_int_equal(rc, a[i].kind == ERR_NONE ? 0 : -1);
		if (rc == 0 && g->number != a[i].number)
			fail_msg("\"%s\": found %u", a[i].name,
				 (unsigned)g->number);
		if (rc < 0) {
			assert_ptr_equal(g, untouched);
			assert_true(strlen(e.text) > 10);
			assert_null(strchr(e.text, '\x1b'));
			assert_null(strchr(e.text, '\n'));
		}
	}
}

static void
generations_are_found_by_what_people_write(void **state)
{
	struct generation_list l = MAKE_LIST(good_rows);

	(void)state;
	check_asked(&l, good_asked, N_OF(good_asked));
	generation_list_clear(&l);
}

static void
damaged_generations_are_named_and_not_passed_over(void **state)
{
	struct generation_list l = MAKE_LIST(hurt_rows);
	const struct generation *g;
	struct err e = { 0 };

	(void)state;
	check_asked(&l, hurt_asked, N_OF(hurt_asked));
	assert_int_equal(generation_find(&l, "2", &g, &e), -1);
	assert_string_equal(e.text, "its checksum is wrong");
	generation_list_clear(&l);
}

static void
an_empty_list_has_no_generation(void **state)
{
	static const struct asked rows[] = {
		{ "1", 0, ERR_MISSING },
		{ "latest", 0, ERR_MISSING },
		{ "latest~0", 0, ERR_MISSING },
		{ "a@latest", 0, ERR_MISSING },
		{ "@2026-11-20", 0, ERR_MISSING },
		{ "?", 0, ERR_USAGE },
	};
	struct generation_list l = make_list(NULL, 0);

	(void)state;
	check_asked(&l, rows, N_OF(rows));
	generation_list_clear(&l);
}

static void
a_wrong_set_is_said(void **state)
{
	struct generation_list l = MAKE_LIST(good_rows);
	const struct generation *g;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(generation_find(&l, "home@2", &g, &e), -1);
	assert_string_equal(e.text,
			    "generation 2 is of the set photos, not home");
	generation_list_clear(&l);
}

/* --- GEN:PATH ------------------------------------------------------------ */

static const struct {
	const char *arg;
	const char *gen; /* NULL: refused */
	const char *path;
} split_rows[] = {
	{ "42", "42", NULL },
	{ "42:/etc", "42", "/etc" },
	{ "42:/", "42", "/" },
	{ "42:/etc/", "42", "/etc/" },
	{ "42:etc", "42", "/etc" },
	{ "42:", "42", "/" },
	{ "42:etc/a:b", "42", "/etc/a:b" },
	{ "42:/a:/b", "42", "/a:/b" },
	{ "42:a:/b", "42", "/a:/b" },
	{ "42::", "42", "/:" },
	{ "latest~2:/x", "latest~2", "/x" },
	{ "home@latest:/x", "home@latest", "/x" },
	{ "@2026-11-20", "@2026-11-20", NULL },
	{ "@2026-11-20:/x", "@2026-11-20", "/x" },
	{ "@2026-11-20:12", "@2026-11-20", "/12" },
	{ "@2026-11-20T18:00", "@2026-11-20T18:00", NULL },
	{ "@2026-11-20 18:00", "@2026-11-20 18:00", NULL },
	{ "@2026-11-20T18:00:13", "@2026-11-20T18:00:13", NULL },
	{ "@2026-11-20T18:00:13Z", "@2026-11-20T18:00:13Z", NULL },
	{ "@2026-11-20T18:00:13+01:00", "@2026-11-20T18:00:13+01:00", NULL },
	{ "@2026-11-20T18:00+01:00:/x", "@2026-11-20T18:00+01:00", "/x" },
	{ "@2026-11-20T18:00:/x", "@2026-11-20T18:00", "/x" },
	{ "@2026-11-20T18:00:x", "@2026-11-20T18:00", "/x" },
	{ "@2026-11-20T18:00:/12:34", "@2026-11-20T18:00", "/12:34" },
	{ "@2026-11-20T18:00:13:/x", "@2026-11-20T18:00:13", "/x" },
	{ "home@2026-11-20T18:00:/x", "home@2026-11-20T18:00", "/x" },
	/* A date in the path is none of ours. */
	{ "42:/a@2026-11-20T18:00", "42", "/a@2026-11-20T18:00" },
	{ "42:/\n\xff", "42", "/\n\xff" },
	{ "a@b:00:12", "a@b", "/00:12" },
	/* Neither what only looks like a time. */
	{ "@2026-11-20Txx:12", "@2026-11-20Txx", "/12" },
	{ "@2026-11-20T18:xx", "@2026-11-20T18", "/xx" },
	{ "@2026.11-20T18:00", "@2026.11-20T18", "/00" },
	{ "@2026-11.20T18:00", "@2026-11.20T18", "/00" },
	{ "@2026-11-20_18:00", "@2026-11-20_18", "/00" },
	{ "a@2026:11:20T18:00", "a@2026", "/11:20T18:00" },
	{ "", NULL, NULL },
	{ ":", NULL, NULL },
	{ ":/etc", NULL, NULL },
};

static void
an_argument_is_split_at_its_path(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(split_rows); i++) {
		struct buf gen = { 0 };
		struct err e = { 0 };
		const char *path = "untouched";
		int rc = generation_split(split_rows[i].arg, &gen, &path, &e);

		if (split_rows[i].gen == NULL) {
			assert_int_equal(rc, -1);
			assert_int_equal(e.kind, ERR_USAGE);
			assert_string_equal(path, "untouched");
			buf_clear(&gen);
			continue;
		}
		assert_int_equal(rc, 0);
		/* What a caller does next must not hurt the path. */
		assert_string_equal(buf_str(&gen), split_rows[i].gen);
		assert_int_equal(gen.len, strlen(split_rows[i].gen));
		if (split_rows[i].path == NULL)
			assert_null(path);
		else
			assert_string_equal(path, split_rows[i].path);
		buf_clear(&gen);
	}
}

/* --- sets ---------------------------------------------------------------- */

static void
names_of_sets_are_plain(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
		{ "a", true },      { "home", true },    { "A.b_c-9", true },
		{ "42", true },     { "-", true },       { ".hidden", true },
		{ "...", true },    { C64, true },       { "latest1", true },
		{ "Latest", true }, { "ALL", true },     { C65, false },
		{ "", false },      { "latest", false }, { "current", false },
		{ "all", false },   { ".", false },      { "..", false },
		{ "a b", false },   { "a@b", false },    { "a/b", false },
		{ "a:b", false },   { "a~b", false },    { "\xc3\xa4", false },
		{ "a\n", false },   { "a\x7f", false },  { "*", false },
		{ "a,b", false },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		if (set_name_ok(rows[i].name) != rows[i].ok)
			fail_msg("\"%s\"", rows[i].name);
}

/* Gives a generation a machine and, from "a,b", its sources. */
static void
set_sources(struct generation *g, const char *machine, const char *list)
{
	static char pool[4096];
	static size_t used;
	struct record *r = &g->record;
	char *word = pool + used;

	r->machine = machine;
	r->source = mem_array(strlen(list) + 1, sizeof(*r->source));
	assert_non_null(r->source);
	assert_true(used + strlen(list) + 1 <= sizeof(pool));
	memcpy(word, list, strlen(list) + 1);
	used += strlen(list) + 1;
	while (word != NULL && *word != '\0') {
		char *comma = strchr(word, ',');

		if (comma != NULL)
			*comma++ = '\0';
		r->source[r->source_count].typed = "as typed";
		r->source[r->source_count++].resolved = word;
		word = comma;
	}
}

static void
a_run_belongs_to_the_set_with_its_machine_and_sources(void **state)
{
	static const struct {
		const char *name;
		const char *machine;
		const char *sources[4];
		uint32_t want; /* 0: none */
	} rows[] = {
		{ NULL, "m1", { "/etc", "/home" }, 4 },
		{ NULL, "m1", { "/home", "/etc" }, 4 },
		{ NULL, "m1", { "/home", "/etc", "/home" }, 4 },
		{ NULL, "m1", { "/etc" }, 2 },
		{ NULL, "m1", { "/home" }, 0 },
		{ NULL, "m1", { "/etc", "/home", "/srv" }, 0 },
		{ NULL, "m1", { "/etc", "/hom" }, 0 },
		{ NULL, "m1", { 0 }, 0 },
		{ NULL, "m2", { "/etc", "/home" }, 5 },
		{ NULL, "m3", { "/etc", "/home" }, 0 },
		{ NULL, "", { "/etc", "/home" }, 0 },
		/* A name alone decides. */
		{ "home", "m3", { "/elsewhere" }, 4 },
		{ "photos", "m1", { "/etc", "/home" }, 5 },
		{ "nobody", "m1", { "/etc", "/home" }, 0 },
		{ "hom", "m1", { "/etc", "/home" }, 0 },
	};
	static const struct row made[] = {
		{ 1, "home", GEN_FULL, GEN_FULL, NULL },
		{ 2, "photos", GEN_FULL, GEN_FULL, NULL },
		{ 4, "home", GEN_LOG, GEN_LOG, NULL },
		{ 5, "photos", GEN_COPY, GEN_COPY, NULL },
		{ 6, NULL, DAMAGED, 0, NULL },
	};
	struct generation_list l = MAKE_LIST(made);
	struct err e = { 0 };

	(void)state;
	set_sources(&l.item[0], "m1", "/etc,/home");
	set_sources(&l.item[1], "m1", "/etc");
	set_sources(&l.item[2], "m1", "/home,/etc,/etc");
	set_sources(&l.item[3], "m2", "/etc,/home");
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct generation *g = NULL;
		size_t n = 0;
		int rc;

		while (n < 4 && rows[i].sources[n] != NULL)
			n++;
		rc = generation_find_set(&l, rows[i].name, rows[i].machine,
					 rows[i].sources, n, &g, &e);
		assert_int_equal(rc, rows[i].want == 0 ? 1 : 0);
		if ((g != NULL ? g->number : 0) != rows[i].want)
			fail_msg("row %zu: found %u", i,
				 g != NULL ? (unsigned)g->number : 0);
	}
	for (unsigned n = 1; n <= 2; n++) {
		static const char *const etc[] = { "/etc" };
		const struct generation *g = NULL;

		failing_plan_alloc(n, false);
		assert_int_equal(
			generation_find_set(&l, NULL, "m1", etc, 1, &g, &e),
			-1);
		failing_off();
		assert_int_equal(e.kind, ERR_NOMEM);
		assert_null(g);
	}
	for (size_t i = 0; i < l.count; i++)
		mem_free(l.item[i].record.source);
	generation_list_clear(&l);
}

static void
a_new_set_is_named_after_the_host(void **state)
{
	static const struct row made[] = {
		{ 1, "box-01", GEN_FULL, GEN_FULL, NULL },
		{ 2, NULL, DAMAGED, 0, NULL },
		{ 3, "box-02", GEN_FULL, GEN_FULL, NULL },
		{ 4, "box-04", GEN_FULL, GEN_FULL, NULL },
	};
	static const struct {
		const char *host, *want;
	} rows[] = {
		{ "box", "box-03" },
		{ "other", "other-01" },
		{ "srv.example.org", "srv.example.org-01" },
		{ "", "host-01" },
		{ "a b@c/d\n", "a-b-c-d--01" },
		{ "b\xc3\xb6x", "b--x-01" },
		{ C65, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
		       "-01" },
	};
	struct generation_list l = MAKE_LIST(made);

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct buf name = { 0 };
		struct err e = { 0 };

		assert_int_equal(
			generation_new_set_name(&l, rows[i].host, &name, &e),
			0);
		assert_string_equal(buf_str(&name), rows[i].want);
		assert_true(set_name_ok(buf_str(&name)));
		buf_clear(&name);
	}
	generation_list_clear(&l);
}

static void
a_hundred_sets_of_one_host_have_a_hundred_names(void **state)
{
	static char names[120][16];
	static struct row made[120];
	struct generation_list l;
	struct buf name = { 0 };
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < N_OF(made); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "box-%02zu", i + 1);
		made[i] = (struct row){ (uint32_t)i + 1, names[i], GEN_FULL,
					GEN_FULL, NULL };
	}
	l = MAKE_LIST(made);
	assert_int_equal(generation_new_set_name(&l, "box", &name, &e), 0);
	assert_string_equal(buf_str(&name), "box-121");
	buf_clear(&name);
	generation_list_clear(&l);
}

/* --- bases --------------------------------------------------------------- */

static const struct {
	const char *name;
	struct row rows[6];
	/* by session type: what it compares with; 0 nothing */
	uint32_t incremental, differential, log;
} base_rows[] = {
	{ "nothing yet", { { 0 } }, 0, 0, 0 },
	{ "another set only", { { 1, "photos", 1, 1, NULL } }, 0, 0, 0 },
	{ "a full", { { 1, "home", 1, 1, NULL } }, 1, 1, 1 },
	{ "a full and incrementals",
	  { { 1, "home", 1, 1, NULL },
	    { 2, "home", 2, 2, NULL },
	    { 3, "home", 2, 2, NULL } },
	  3,
	  1,
	  3 },
	{ "a differential is no base",
	  { { 1, "home", 1, 1, NULL }, { 2, "home", 3, 3, NULL } },
	  1,
	  1,
	  1 },
	{ "a copy is no base",
	  { { 1, "home", 1, 1, NULL }, { 2, "home", 5, 5, NULL } },
	  1,
	  1,
	  1 },
	{ "a copy alone is no base", { { 1, "home", 5, 5, NULL } }, 0, 0, 0 },
	{ "a copy that read all is no base",
	  { { 1, "home", 5, 1, NULL } },
	  0,
	  0,
	  0 },
	{ "a log is a base for logs",
	  { { 1, "home", 1, 1, NULL }, { 2, "home", 4, 4, NULL } },
	  1,
	  1,
	  2 },
	{ "an incremental that became a full",
	  { { 1, "home", 1, 1, NULL },
	    { 2, "home", 2, 1, NULL },
	    { 3, "home", 2, 2, NULL } },
	  3,
	  2,
	  3 },
	{ "a differential that became a full keeps out of history",
	  { { 1, "home", 1, 1, NULL }, { 2, "home", 3, 1, NULL } },
	  1,
	  1,
	  1 },
	{ "damage is passed over",
	  { { 1, "home", 1, 1, NULL },
	    { 2, "home", 2, 2, NULL },
	    { 3, NULL, DAMAGED, 0, NULL } },
	  2,
	  1,
	  2 },
	{ "only damage", { { 1, NULL, DAMAGED, 0, NULL } }, 0, 0, 0 },
	{ "other sets between",
	  { { 1, "home", 1, 1, NULL },
	    { 2, "photos", 1, 1, NULL },
	    { 3, "home", 2, 2, NULL },
	    { 4, "photos", 2, 2, NULL } },
	  3,
	  1,
	  3 },
	{ "incrementals alone: their full is gone",
	  { { 5, "home", 2, 2, NULL } },
	  5,
	  0,
	  5 },
};

static void
bases_follow_the_types(void **state)
{
	static const unsigned without[] = { 0, GEN_FULL, GEN_COPY, 6, 255 };
	uint8_t home[16];

	(void)state;
	memset(home, 'h', sizeof(home));
	for (size_t i = 0; i < N_OF(base_rows); i++) {
		const struct {
			unsigned type;
			uint32_t want;
		} asked[] = {
			{ GEN_INCREMENTAL, base_rows[i].incremental },
			{ GEN_DIFFERENTIAL, base_rows[i].differential },
			{ GEN_LOG, base_rows[i].log },
		};
		struct generation_list l;
		const struct generation *g;
		size_t n = 0;

		while (base_rows[i].rows[n].number != 0)
			n++;
		l = make_list(base_rows[i].rows, n);
		for (size_t j = 0; j < N_OF(asked); j++) {
			generation_base(&l, home, asked[j].type, &g);
			if ((g != NULL ? g->number : 0) != asked[j].want)
				fail_msg("%s: type %u", base_rows[i].name,
					 asked[j].type);
		}
		for (size_t j = 0; j < N_OF(without); j++) {
			generation_base(&l, home, without[j], &g);
			assert_null(g);
		}
		generation_list_clear(&l);
	}
}

/* --- a repository -------------------------------------------------------- */

static struct scratch scratch;
static struct repository *repo;
static struct session *session;
static struct store *store;

static int
make_repository(void **state)
{
	struct err e = { 0 };

	(void)state;
	scratch_begin(&scratch);
	/* The local cache of this repository dies with it. */
	(void)setenv("ASOF_CACHE_DIR", scratch_at(&scratch, "cache"), 1);
	if (repository_init(scratch_at(&scratch, "repo"), &e) < 0 ||
	    repository_open(scratch_at(&scratch, "repo"), &repo, &e) < 0)
		fail_msg("%s", e.text);
	return 0;
}

static int
remove_repository(void **state)
{
	(void)state;
	failing_remove();
	store_close(store);
	session_end(session);
	repository_close(repo);
	store = NULL;
	session = NULL;
	repo = NULL;
	scratch_end(&scratch);
	return 0;
}

static void
open_store(void)
{
	struct err e = { 0 };

	if (session_begin(repo, "test", &session, &e) < 0 ||
	    store_open(repo, session, NULL, &store, &e) < 0)
		fail_msg("%s", e.text);
}

/* The least that a record can be. */
static struct record
make_record(uint32_t number)
{
	static struct record_source source[] = { { "etc", "/etc" } };
	static struct record_fs fs[] = { { "uuid:1", 0xef53, "/" } };
	struct record r;

	memset(&r, 0, sizeof(r));
	r.number = number;
	memset(r.id, (int)number, sizeof(r.id));
	memcpy(r.repository_id, repo->config.id, sizeof(r.repository_id));
	memset(r.set_id, 'h', sizeof(r.set_id));
	r.set = "home";
	r.machine = "0123456789abcdef0123456789abcdef";
	r.host = "box";
	r.session_type = GEN_FULL;
	r.effective_type = GEN_FULL;
	r.start = r.instant = r.end = (struct ts){ 1795292713, 5 };
	r.root.type = ENTRY_DIR;
	r.root.mode = 0755;
	r.root.nlink = 1;
	r.source = source;
	r.source_count = N_OF(source);
	r.fs = fs;
	r.fs_count = N_OF(fs);
	r.tool = "asof test";
	r.comment = "";
	return r;
}

/* The version's place; flipped, the checksum is made right again: newer. */
#define VERSION_AT 8

/* Put a record's bytes under a number, `flip` (if below their count) bad. */
static void
put_record(uint32_t file, const struct record *r, size_t flip)
{
	struct buf b = { 0 };
	struct id sum;
	struct err e = { 0 };

	if (record_encode(r, &repo->keys, &b, &e) < 0)
		fail_msg("%s", e.text);
	if (flip < b.len)
		b.data[flip] ^= 1;
	if (flip == VERSION_AT) {
		id_compute(&repo->keys, KIND_RECORD, b.data, b.len - ID_LEN,
			   &sum);
		memcpy(b.data + b.len - ID_LEN, sum.b, ID_LEN);
	}
	assert_int_equal(
		repository_publish_generation(repo, file, b.data, b.len, &e),
		0);
	buf_clear(&b);
}

#define WHOLE SIZE_MAX

static void
put_good(uint32_t number)
{
	struct record r = make_record(number);

	put_record(number, &r, WHOLE);
}

static void
make_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

static void
load(struct generation_list *l)
{
	struct err e = { 0 };

	if (generation_list_load(repo, l, &e) < 0)
		fail_msg("%s", e.text);
}

static void
an_empty_repository_has_an_empty_list(void **state)
{
	struct generation_list l;

	(void)state;
	load(&l);
	assert_int_equal(l.count, 0);
	assert_int_equal(l.highest, 0);
	generation_list_clear(&l);
}

static void
records_are_loaded_in_order_of_number(void **state)
{
	static const uint32_t numbers[] = { 3, 10, 1, 9 };
	static const uint32_t sorted[] = { 1, 3, 9, 10 };
	struct generation_list l;

	(void)state;
	for (size_t i = 0; i < N_OF(numbers); i++)
		put_good(numbers[i]);
	make_file(repo->generations_fd, "11.forgotten");
	make_file(repo->generations_fd, "12.gone");
	make_file(repo->generations_fd, ".tmp-13");
	make_file(repo->generations_fd, "014");
	make_file(repo->generations_fd, "notes");
	load(&l);
	assert_int_equal(l.count, N_OF(sorted));
	for (size_t i = 0; i < N_OF(sorted); i++) {
		assert_int_equal(l.item[i].number, sorted[i]);
		assert_false(l.item[i].damaged);
		assert_int_equal(l.item[i].record.number, sorted[i]);
		assert_string_equal(l.item[i].record.set, "home");
		assert_string_equal(l.item[i].record.source[0].resolved,
				    "/etc");
	}
	assert_int_equal(l.highest, 12);
	generation_list_clear(&l);
}

static void
a_damaged_record_stays_in_the_list_and_stops_no_other(void **state)
{
	struct record r;
	struct generation_list l;

	(void)state;
	put_good(1);
	r = make_record(2);
	put_record(2, &r, 60);
	r = make_record(7); /* under the name of another */
	put_record(3, &r, WHOLE);
	r = make_record(4);
	memset(r.repository_id, 0xee, sizeof(r.repository_id));
	put_record(4, &r, WHOLE);
	make_file(repo->generations_fd, "5");
	assert_int_equal(mkdirat(repo->generations_fd, "6", 0700), 0);
	r = make_record(8);
	put_record(8, &r, VERSION_AT);
	put_good(9);
	load(&l);
	assert_true(l.count >= 7);
	for (size_t i = 0; i < l.count; i++) {
		const struct generation *g = &l.item[i];
		bool good = g->number == 1 || g->number == 9;
		char want[32];

		assert_int_equal(g->damaged, !good);
		assert_int_equal(g->unsupported, g->number == 8);
		(void)snprintf(want, sizeof(want),
			       "generation %u: ", (unsigned)g->number);
		if (good)
			assert_null(g->why);
		else
			assert_memory_equal(g->why, want, strlen(want));
	}
	assert_int_equal(l.item[l.count - 1].number, 9);
	generation_list_clear(&l);
}

/* Somebody forgets generation 2 between our listing and our reading. */
static int
forget_two_then_open(int dirfd, const char *path, int flags, mode_t mode)
{
	if (dirfd == repo->generations_fd && strcmp(path, "2") == 0)
		(void)renameat(dirfd, "2", dirfd, "2.forgotten");
	return sys_real.openat(dirfd, path, flags, mode);
}

static void
a_record_that_vanishes_meanwhile_is_left_out(void **state)
{
	struct sys_ops fake = sys_real;
	struct generation_list l;

	(void)state;
	for (uint32_t i = 1; i <= 3; i++)
		put_good(i);
	fake.openat = forget_two_then_open;
	sys_repo = &fake;
	load(&l);
	sys_repo = &sys_real;
	assert_int_equal(l.count, 2);
	assert_int_equal(l.item[0].number, 1);
	assert_int_equal(l.item[1].number, 3);
	generation_list_clear(&l);
}

static int open_errno;

static int
fail_open_of_two(int dirfd, const char *path, int flags, mode_t mode)
{
	if (dirfd == repo->generations_fd && strcmp(path, "2") == 0) {
		errno = open_errno;
		return -1;
	}
	return sys_real.openat(dirfd, path, flags, mode);
}

static void
only_failures_of_this_process_stop_the_list(void **state)
{
	static const struct {
		int error;
		int rc;
	} rows[] = {
		{ EIO, 0 },     { EACCES, 0 },  { ELOOP, 0 },
		{ EMFILE, -1 }, { ENFILE, -1 }, { ENOMEM, -1 },
	};
	struct sys_ops fake = sys_real;

	(void)state;
	for (uint32_t i = 1; i <= 3; i++)
		put_good(i);
	fake.openat = fail_open_of_two;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct generation_list l = { 0 };
		struct err e = { 0 };
		int rc;

		open_errno = rows[i].error;
		sys_repo = &fake;
		rc = generation_list_load(repo, &l, &e);
		sys_repo = &sys_real;
		assert_int_equal(rc, rows[i].rc);
		if (rc < 0) {
			assert_true(strlen(e.text) > 0);
			assert_null(l.item);
			continue;
		}
		assert_int_equal(l.count, 3);
		assert_true(l.item[1].damaged);
		assert_false(l.item[2].damaged);
		generation_list_clear(&l);
	}
}

static void
every_allocation_of_the_list_may_fail(void **state)
{
	struct generation_list l = { 0 };
	struct record r = make_record(2);
	unsigned n = 0;
	int rc = -1;

	(void)state;
	put_good(1);
	put_record(2, &r, 60);
	while (rc < 0) {
		struct err e = { 0 };

		failing_plan_alloc(++n, false);
		rc = generation_list_load(repo, &l, &e);
		failing_off();
		if (rc < 0) {
			assert_int_equal(e.kind, ERR_NOMEM);
			assert_null(l.item);
		}
	}
	assert_true(n > 4);
	assert_int_equal(l.count, 2);
	assert_true(l.item[1].damaged);
	generation_list_clear(&l);
}

static void
one_record_is_read_by_its_number(void **state)
{
	struct record r;
	struct err e = { 0 };

	(void)state;
	put_good(5);
	assert_int_equal(generation_read(repo, 5, &r, &e), 0);
	assert_int_equal(r.number, 5);
	record_clear(&r);
	assert_int_equal(generation_read(repo, 6, &r, &e), 1);
	assert_int_equal(e.kind, ERR_NONE);
}

/* --- publishing ---------------------------------------------------------- */

static void
numbers_are_given_out_once(void **state)
{
	struct record r = make_record(0);
	struct generation_list l;
	struct err e = { 0 };

	(void)state;
	open_store();
	assert_int_equal(generation_publish(store, &r, &e), 0);
	assert_int_equal(r.number, 1);
	assert_int_equal(generation_publish(store, &r, &e), 0);
	assert_int_equal(r.number, 2);
	/* A number that was used once is used up. */
	assert_int_equal(repository_forget_generation(repo, 2, &e), 0);
	assert_int_equal(generation_publish(store, &r, &e), 0);
	assert_int_equal(r.number, 3);
	make_file(repo->generations_fd, "7.gone");
	assert_int_equal(generation_publish(store, &r, &e), 0);
	assert_int_equal(r.number, 8);
	load(&l);
	assert_int_equal(l.count, 3);
	for (size_t i = 0; i < l.count; i++)
		assert_false(l.item[i].damaged);
	generation_list_clear(&l);
}

static unsigned races; /* how many numbers others take before us */

/* Others are quicker: each number exists just before we link to it. */
static int
link_after_others(int olddir, const char *oldpath, int newdir,
		  const char *newpath, int flags)
{
	if (newdir == repo->generations_fd && races > 0) {
		races--;
		make_file(repo->generations_fd, newpath);
	}
	return sys_real.linkat(olddir, oldpath, newdir, newpath, flags);
}

static void
a_number_that_others_took_is_passed_over(void **state)
{
	struct sys_ops fake = sys_real;
	struct record r = make_record(0);
	struct record back;
	struct err e = { 0 };

	(void)state;
	open_store();
	fake.linkat = link_after_others;
	races = 5;
	sys_repo = &fake;
	assert_int_equal(generation_publish(store, &r, &e), 0);
	sys_repo = &sys_real;
	assert_int_equal(r.number, 6);
	/* The record says its own number, not the first that was tried. */
	assert_int_equal(generation_read(repo, 6, &back, &e), 0);
	assert_int_equal(back.number, 6);
	record_clear(&back);
}

static void
losing_every_race_is_an_end(void **state)
{
	struct sys_ops fake = sys_real;
	struct record r = make_record(77);
	struct err e = { 0 };

	(void)state;
	open_store();
	fake.linkat = link_after_others;
	races = UINT32_MAX;
	sys_repo = &fake;
	assert_int_equal(generation_publish(store, &r, &e), -1);
	sys_repo = &sys_real;
	assert_int_equal(e.kind, ERR_BUSY);
	assert_int_equal(r.number, 77);
}

static void
the_last_number_is_the_end(void **state)
{
	struct record r = make_record(0);
	char name[32];
	struct err e = { 0 };

	(void)state;
	open_store();
	(void)snprintf(name, sizeof(name), "%u.gone",
		       (unsigned)GENERATION_NUMBER_MAX - 1);
	make_file(repo->generations_fd, name);
	assert_int_equal(generation_publish(store, &r, &e), 0);
	assert_int_equal(r.number, GENERATION_NUMBER_MAX);
	assert_int_equal(generation_publish(store, &r, &e), -1);
	assert_non_null(strstr(e.text, "generation number"));
	assert_int_equal(r.number, GENERATION_NUMBER_MAX);
}

/*
 * Whatever call fails, either nothing is published or the number is said;
 * what is in the list can be read.
 */
static void
a_failure_anywhere_publishes_nothing_or_all(void **state)
{
	struct record r = make_record(0);
	struct generation_list l;
	unsigned published = 0;
	unsigned n;

	(void)state;
	open_store();
	failing_install();
	for (n = 1; n < 200; n++) {
		struct err e = { 0 };
		int rc;

		failing_plan(FAIL_ALL & ~FAIL_CLOSE, n, false, EIO);
		rc = generation_publish(store, &r, &e);
		if (rc == 0) {
			assert_int_equal(r.number, ++published);
			if (failing_hits() == 0)
				break;
		} else {
			assert_true(e.kind != ERR_NONE);
			assert_int_equal(r.number, published);
		}
		failing_off();
		load(&l);
		assert_int_equal(l.count, published);
		for (size_t i = 0; i < l.count; i++)
			assert_false(l.item[i].damaged);
		generation_list_clear(&l);
	}
	assert_true(n > 5 && n < 200);
}

/* A pack with one chunk, durable and known to the store. */
static void
add_pack(uint8_t content, struct pack_id *out)
{
	struct pack_writer *w;
	struct id id;
	uint32_t len = 1;
	uint32_t slot;
	struct pack_frame f = {
		.kind = KIND_DATA,
		.method = FRAME_RAW,
		.stored = &content,
		.stored_len = 1,
		.raw_len = 1,
		.chunks = 1,
		.ids = &id,
		.lens = &len,
	};
	struct err e = { 0 };

	id_compute(&repo->keys, KIND_DATA, &content, 1, &id);
	assert_int_equal(pack_writer_new(repo->packs_fd, &w, &e), 0);
	assert_int_equal(pack_writer_add(w, &f, &slot, &e), 0);
	*out = *pack_writer_id(w);
	assert_int_equal(pack_writer_seal(w, &e), 0);
	assert_int_equal(pack_writer_publish(w, &e), 0);
	pack_writer_free(w);
}

static void
every_allocation_of_publishing_may_fail(void **state)
{
	struct record r = make_record(0);
	struct generation_list l;
	struct pack_id pack;
	unsigned n = 0;
	int rc = -1;

	(void)state;
	add_pack(1, &pack);
	open_store();
	while (rc < 0) {
		struct err e = { 0 };

		failing_plan_alloc(++n, false);
		rc = generation_publish(store, &r, &e);
		failing_off();
		load(&l);
		assert_int_equal(l.count, rc < 0 ? 0 : 1);
		generation_list_clear(&l);
		if (rc < 0)
			assert_int_equal(e.kind, ERR_NOMEM);
		assert_int_equal(r.number, rc < 0 ? 0 : 1);
	}
	assert_true(n > 4);
}

static void
remove_pack(const struct pack_id *id)
{
	char name[PACK_NAME_LEN + 1];

	pack_name(name, id);
	assert_int_equal(unlinkat(repo->packs_fd, name, 0), 0);
}

static void
a_pack_that_vanished_keeps_the_generation_back(void **state)
{
	struct record r = make_record(0);
	struct pack_id packs[3];
	char name[PACK_NAME_LEN + 1];
	struct generation_list l;
	struct err e = { 0 };

	(void)state;
	for (uint8_t i = 0; i < N_OF(packs); i++)
		add_pack(i, &packs[i]);
	open_store();
	/* Other names do not disturb, nor packs that came since. */
	assert_int_equal(mkdirat(repo->packs_fd, "notes", 0700), 0);
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "%032x", i * 2654435761u);
		make_file(repo->packs_fd, name);
	}
	assert_int_equal(generation_publish(store, &r, &e), 0);
	remove_pack(&packs[1]);
	assert_int_equal(generation_publish(store, &r, &e), -1);
	assert_int_equal(e.kind, ERR_MISSING);
	pack_name(name, &packs[1]);
	assert_non_null(strstr(e.text, name));
	assert_non_null(strstr(e.text, "vanished"));
	assert_int_equal(r.number, 1);
	load(&l);
	assert_int_equal(l.count, 1);
	generation_list_clear(&l);
}

static void
a_condemned_pack_may_vanish(void **state)
{
	struct record r = make_record(0);
	struct pack_id packs[2];
	struct buf b = { 0 };
	uint8_t sum[16];
	struct err e = { 0 };

	(void)state;
	for (uint8_t i = 0; i < N_OF(packs); i++)
		add_pack(i, &packs[i]);
	/* doc/format.md, section 14 */
	wr_bytes(&b, "asofcond", 8);
	wr_u32(&b, 1);
	wr_u32(&b, 1);
	wr_bytes(&b, packs[0].b, sizeof(packs[0].b));
	hash_plain(b.data, b.len, sum, sizeof(sum));
	wr_bytes(&b, sum, sizeof(sum));
	assert_int_equal(
		io_publish(repo->condemned_fd, "1", b.data, b.len, false, &e),
		0);
	buf_clear(&b);
	open_store();
	remove_pack(&packs[0]);
	assert_int_equal(generation_publish(store, &r, &e), 0);
	remove_pack(&packs[1]);
	assert_int_equal(generation_publish(store, &r, &e), -1);
	assert_int_equal(e.kind, ERR_MISSING);
}

static void
without_the_condemned_list_nothing_is_published(void **state)
{
	struct record r = make_record(0);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(
		io_publish(repo->condemned_fd, "1", "rubbish", 7, false, &e),
		0);
	open_store();
	assert_int_equal(generation_publish(store, &r, &e), -1);
	assert_int_equal(e.kind, ERR_CORRUPT);
	assert_int_equal(r.number, 0);
}

static int
set_zone(void **state)
{
	(void)state;
	if (setenv("TZ", CET, 1) < 0)
		return -1;
	tzset();
	return 0;
}

#define WITH_REPOSITORY(fn)                                                    \
	cmocka_unit_test_setup_teardown(fn, make_repository, remove_repository)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(generations_are_found_by_what_people_write),
		cmocka_unit_test(
			damaged_generations_are_named_and_not_passed_over),
		cmocka_unit_test(an_empty_list_has_no_generation),
		cmocka_unit_test(a_wrong_set_is_said),
		cmocka_unit_test(an_argument_is_split_at_its_path),
		cmocka_unit_test(names_of_sets_are_plain),
		cmocka_unit_test(
			a_run_belongs_to_the_set_with_its_machine_and_sources),
		cmocka_unit_test(a_new_set_is_named_after_the_host),
		cmocka_unit_test(
			a_hundred_sets_of_one_host_have_a_hundred_names),
		cmocka_unit_test(bases_follow_the_types),
		WITH_REPOSITORY(an_empty_repository_has_an_empty_list),
		WITH_REPOSITORY(records_are_loaded_in_order_of_number),
		WITH_REPOSITORY(
			a_damaged_record_stays_in_the_list_and_stops_no_other),
		WITH_REPOSITORY(a_record_that_vanishes_meanwhile_is_left_out),
		WITH_REPOSITORY(only_failures_of_this_process_stop_the_list),
		WITH_REPOSITORY(every_allocation_of_the_list_may_fail),
		WITH_REPOSITORY(one_record_is_read_by_its_number),
		WITH_REPOSITORY(numbers_are_given_out_once),
		WITH_REPOSITORY(a_number_that_others_took_is_passed_over),
		WITH_REPOSITORY(losing_every_race_is_an_end),
		WITH_REPOSITORY(the_last_number_is_the_end),
		WITH_REPOSITORY(a_failure_anywhere_publishes_nothing_or_all),
		WITH_REPOSITORY(every_allocation_of_publishing_may_fail),
		WITH_REPOSITORY(a_pack_that_vanished_keeps_the_generation_back),
		WITH_REPOSITORY(a_condemned_pack_may_vanish),
		WITH_REPOSITORY(
			without_the_condemned_list_nothing_is_published),
	};

	return cmocka_run_group_tests_name("generation", tests, set_zone, NULL);
}
