/*
 * Which writers there are, as files of the state directory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/registry.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "src/writer/refuse.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"

#include <errno.h>

static const uint8_t id[16] = { 0xab, 0xcd, 0xef, 0x01, 2, 3 };

struct fixture {
	struct scratch scratch;
	int state;
	struct registry r;
};

static void
open_state(struct fixture *f)
{
	struct err e = { 0 };

	f->state = registry_open_state("/some/where/repo", id, &e);
	if (f->state < 0)
		fail_msg("%s", e.text);
	if (registry_load(f->state, &f->r, &e) < 0)
		fail_msg("%s", e.text);
}

static void
close_state(struct fixture *f)
{
	registry_clear(&f->r);
	assert_int_equal(close(f->state), 0);
}

static void
reopen(struct fixture *f)
{
	close_state(f);
	open_state(f);
}

static void
begin(struct fixture *f)
{
	scratch_begin(&f->scratch);
	assert_int_equal(
		setenv("ASOF_STATE_DIR", scratch_at(&f->scratch, "state"), 1),
		0);
	open_state(f);
}

static void
end(struct fixture *f)
{
	close_state(f);
	scratch_end(&f->scratch);
	assert_int_equal(unsetenv("ASOF_STATE_DIR"), 0);
}

static struct registration
sample(char *name)
{
	static char g1[] = "/srv/a b", g2[] = "/srv/\xc3\xa4";
	static char s1[] = "postgresql@15-main.service";
	static char *grant[] = { g1, g2 };
	static char *service[] = { s1 };
	struct registration r = { .name = name,
				  .owner = 12345,
				  .grant = grant,
				  .grants = 2,
				  .service = service,
				  .services = 1 };

	return r;
}

static void
assert_sample(const struct registration *r, const char *name)
{
	assert_non_null(r);
	assert_string_equal(r->name, name);
	assert_int_equal(r->owner, 12345);
	assert_int_equal(r->grants, 2);
	assert_string_equal(r->grant[0], "/srv/a b");
	assert_string_equal(r->grant[1], "/srv/\xc3\xa4");
	assert_int_equal(r->services, 1);
	assert_string_equal(r->service[0], "postgresql@15-main.service");
}

/* Begin, and register w. */
static void
begin_with_w(struct fixture *f)
{
	struct registration w = sample((char[]){ "w" });
	struct err e = { 0 };

	begin(f);
	if (registry_add(&f->r, &w, &e) < 0)
		fail_msg("%s", e.text);
}

/* How many things there are beneath the state of writers. */
static size_t
count(const struct fixture *f, const char *name)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "state/repo-abcdef01/writers/%s",
		       name);
	return scratch_count(scratch_at(&f->scratch, path), NULL, 0);
}

static void
what_was_added_is_there_after_a_new_start(void **state)
{
	static const char *const names[] = { "m", "a", "z" };
	struct fixture f;
	struct err e = { 0 };
	size_t i;

	(void)state;
	begin(&f);
	for (i = 0; i < 3; i++) {
		struct registration r = sample((char[]){ names[i][0], 0 });

		assert_int_equal(registry_add(&f.r, &r, &e), 0);
	}
	reopen(&f);
	assert_int_equal(f.r.count, 3);
	assert_string_equal(f.r.v[0].name, "a");
	assert_string_equal(f.r.v[2].name, "z");
	for (i = 0; i < 3; i++)
		assert_sample(registry_find(&f.r, names[i]), names[i]);
	assert_null(registry_find(&f.r, "b"));
	end(&f);
}

static int
add_fails_with(struct fixture *f, const struct registration *r)
{
	struct err e = { 0 };

	assert_int_equal(registry_add(&f->r, r, &e), -1);
	assert_true(e.text[0] != '\0');
	return refuse_errno(&e);
}

static void
bad_names_owners_grants_and_services_are_refused(void **state)
{
	static char long_name[300];
	static const char *const names[] = { "..",     ".",        "",
					     ".hid",   "a/b",      "a b",
					     "a\nb",   "\xc3\xa4", "a\x7f",
					     long_name };
	static const char *const grants[] = { "srv",   "/srv/", "/srv/../etc",
					      "//srv", "",      "/srv/./a" };
	static const char *const services[] = { "",    "-x",  ".x",  "a/b",
						"a b", "a;b", "a\nb" };
	struct fixture f;
	size_t i;

	(void)state;
	begin(&f);
	memset(long_name, 'x', sizeof(long_name) - 1);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[300];
		struct registration r = sample(name);

		(void)snprintf(name, sizeof(name), "%s", names[i]);
		assert_int_equal(add_fails_with(&f, &r), EINVAL);
	}
	for (i = 0; i < sizeof(grants) / sizeof(grants[0]); i++) {
		struct registration r = sample((char[]){ "w" });
		char path[300];
		char *g[] = { path };

		(void)snprintf(path, sizeof(path), "%s", grants[i]);
		r.grant = g;
		r.grants = 1;
		assert_int_equal(add_fails_with(&f, &r), EINVAL);
	}
	for (i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		struct registration r = sample((char[]){ "w" });
		char unit[300];
		char *s[] = { unit };

		(void)snprintf(unit, sizeof(unit), "%s", services[i]);
		r.service = s;
		assert_int_equal(add_fails_with(&f, &r), EINVAL);
	}
	assert_int_equal(f.r.count, 0);
	end(&f);
}

static void
e1_owners_without_a_number_are_refused(void **state)
{
	struct fixture f;
	struct registration r = sample((char[]){ "w" });

	(void)state;
	begin(&f);
	r.owner = (uid_t)-1;
	assert_int_equal(add_fails_with(&f, &r), EPERM);
	r.owner = 65534;
	assert_int_equal(add_fails_with(&f, &r), EPERM);
	end(&f);
}

static void
e4_there_are_limits_and_nothing_is_there_twice(void **state)
{
	struct fixture f;
	struct registration r = sample((char[]){ "w" });
	struct err e = { 0 };
	char *many[REGISTRY_GRANTS_MAX + 1];
	size_t i;

	(void)state;
	begin(&f);
	for (i = 0; i < REGISTRY_GRANTS_MAX + 1; i++)
		many[i] = (char[]){ "/srv" };
	r.grant = many;
	r.grants = REGISTRY_GRANTS_MAX + 1;
	assert_int_equal(add_fails_with(&f, &r), EDQUOT);
	r = sample((char[]){ "w" });
	r.service = many;
	r.services = REGISTRY_SERVICES_MAX + 1;
	assert_int_equal(add_fails_with(&f, &r), EDQUOT);
	r = sample((char[]){ "w" });
	assert_int_equal(registry_add(&f.r, &r, &e), 0);
	assert_int_equal(add_fails_with(&f, &r), EEXIST);
	end(&f);
}

static void
saving_replaces_all_that_is_kept_of_one(void **state)
{
	struct fixture f;
	struct registration r = sample((char[]){ "w" });
	struct err e = { 0 };

	(void)state;
	begin_with_w(&f);
	registry_find(&f.r, "w")->timeouts = 2;
	/* The one in the registry itself may be what is saved. */
	assert_int_equal(registry_save(&f.r, registry_find(&f.r, "w"), &e), 0);
	reopen(&f);
	assert_sample(registry_find(&f.r, "w"), "w");
	assert_int_equal(registry_find(&f.r, "w")->timeouts, 2);
	r.name = (char[]){ "other" };
	assert_int_equal(registry_save(&f.r, &r, &e), -1);
	assert_int_equal(refuse_errno(&e), ENOENT);
	end(&f);
}

/* Put something into a writer's directory and its journal's. */
static void
fill(struct fixture *f, const char *name)
{
	char path[100];
	struct err e = { 0 };
	int fd = registry_journal_dir(&f->r, name, &e);

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	(void)snprintf(path, sizeof(path),
		       "state/repo-abcdef01/writers/%s/journal/x", name);
	scratch_write(scratch_at(&f->scratch, path), "1", 1);
	(void)snprintf(path, sizeof(path),
		       "state/repo-abcdef01/writers/%s/document", name);
	scratch_write(scratch_at(&f->scratch, path), "1", 1);
}

static void
what_is_taken_away_leaves_nothing_and_comes_back_empty(void **state)
{
	struct fixture f;
	struct err e = { 0 };

	(void)state;
	begin_with_w(&f);
	fill(&f, "w");
	if (registry_remove(&f.r, "w", &e) < 0 ||
	    registry_sweep(&f.r, "w", &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(f.r.count, 0);
	assert_int_equal(count(&f, ""), 0);
	assert_int_equal(registry_remove(&f.r, "w", &e), -1);
	end(&f);
}

static void
what_a_cut_off_removal_left_is_no_writer_and_is_emptied(void **state)
{
	struct fixture f;
	struct registration r = sample((char[]){ "w" });
	struct err e = { 0 };

	(void)state;
	begin_with_w(&f);
	fill(&f, "w");
	assert_int_equal(unlink(scratch_at(
				 &f.scratch,
				 "state/repo-abcdef01/writers/w/registration")),
			 0);
	reopen(&f);
	assert_int_equal(f.r.count, 0);
	assert_int_equal(registry_add(&f.r, &r, &e), 0);
	assert_int_equal(count(&f, "w"), 1);
	end(&f);
}

static void
a_retired_one_keeps_what_root_gave_and_nothing_else(void **state)
{
	struct fixture f;
	struct err e = { 0 };

	(void)state;
	begin_with_w(&f);
	fill(&f, "w");
	if (registry_retire(&f.r, "w", &e) < 0 ||
	    registry_sweep(&f.r, "w", &e) < 0)
		fail_msg("%s", e.text);
	reopen(&f);
	assert_sample(registry_find(&f.r, "w"), "w");
	assert_true(registry_find(&f.r, "w")->dormant);
	assert_int_equal(count(&f, "w"), 1);
	end(&f);
}

static void
a_registration_that_cannot_be_read_stops_everything(void **state)
{
	static const char *const bad[] = {
		"",
		"owner 1",
		"owner x\n",
		"grant /srv\n",
		"owner 1\nowner 2\n",
		"owner 4294967296\n",
		"owner 1\nwhat\n",
		"owner 1\ngrant srv\n",
		"owner 65534\n",
		"owner 1\ngrant \"/srv\n",
	};
	struct fixture f;
	struct registry again;
	struct err e = { 0 };
	size_t i;

	(void)state;
	begin_with_w(&f);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		scratch_write(
			scratch_at(
				&f.scratch,
				"state/repo-abcdef01/writers/w/registration"),
			bad[i], strlen(bad[i]));
		err_clear(&e);
		if (registry_load(f.state, &again, &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.kind, ERR_CORRUPT);
		assert_non_null(strstr(e.text, "writer w"));
	}
	end(&f);
}

static void
a_state_directory_that_others_write_to_is_refused(void **state)
{
	struct fixture f;
	struct err e = { 0 };

	(void)state;
	begin(&f);
	assert_int_equal(
		chmod(scratch_at(&f.scratch, "state/repo-abcdef01"), 0770), 0);
	assert_int_equal(registry_open_state("repo", id, &e), -1);
	assert_non_null(strstr(e.text, "others can write"));
	end(&f);
}

static void
the_name_has_nothing_of_a_path_in_it(void **state)
{
	static const struct {
		const char *path, *want;
	} t[] = {
		{ "/none/backup", "backup-abcdef01" },
		{ "/none/backup///", "backup-abcdef01" },
		{ "no-such-backup", "no-such-backup-abcdef01" },
		{ "/", "repository-abcdef01" },
		{ "/none/.hidden", "_hidden-abcdef01" },
		{ "/none/..", "_.-abcdef01" },
		{ "/none/a b\n\xc3\xa4", "a_b___-abcdef01" },
	};
	struct buf b = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		buf_reset(&b);
		registry_name(t[i].path, id, &b);
		assert_string_equal(buf_str(&b), t[i].want);
	}
	buf_clear(&b);
}

static void
the_name_is_that_of_the_directory_however_it_is_called(void **state)
{
	static const char *const ways[] = { "real", "link", "real/.",
					    "real/../link", "real///" };
	struct fixture f;
	struct buf b = { 0 };
	size_t i;

	(void)state;
	begin(&f);
	assert_int_equal(mkdir(scratch_at(&f.scratch, "real"), 0700), 0);
	assert_int_equal(symlink("real", scratch_at(&f.scratch, "link")), 0);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		buf_reset(&b);
		registry_name(scratch_at(&f.scratch, ways[i]), id, &b);
		assert_string_equal(buf_str(&b), "real-abcdef01");
	}
	buf_clear(&b);
	end(&f);
}

/* Whatever fails, and wherever: the writer is there with all it has, or not. */
static void
a_failing_call_leaves_the_old_or_the_new(void **state)
{
	struct fixture f;
	struct registration r = sample((char[]){ "w" });
	unsigned nth;
	bool failed = true;

	(void)state;
	begin(&f);
	failing_install();
	for (nth = 1; failed; nth++) {
		struct err e = { 0 };
		int rc;

		failing_plan(FAIL_ALL & ~FAIL_CLOSE, nth, true, EIO);
		rc = registry_add(&f.r, &r, &e);
		failed = failing_hits() > 0;
		failing_off();
		if (rc == 0) {
			assert_int_equal(registry_remove(&f.r, "w", NULL), 0);
			continue;
		}
		assert_null(registry_find(&f.r, "w"));
		reopen(&f);
		if (registry_find(&f.r, "w") != NULL) {
			assert_sample(registry_find(&f.r, "w"), "w");
			assert_int_equal(registry_remove(&f.r, "w", NULL), 0);
		}
		assert_true(nth < 200);
	}
	failing_remove();
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_is_there_after_a_new_start),
		cmocka_unit_test(
			bad_names_owners_grants_and_services_are_refused),
		cmocka_unit_test(e1_owners_without_a_number_are_refused),
		cmocka_unit_test(
			e4_there_are_limits_and_nothing_is_there_twice),
		cmocka_unit_test(saving_replaces_all_that_is_kept_of_one),
		cmocka_unit_test(
			what_is_taken_away_leaves_nothing_and_comes_back_empty),
		cmocka_unit_test(
			what_a_cut_off_removal_left_is_no_writer_and_is_emptied),
		cmocka_unit_test(
			a_retired_one_keeps_what_root_gave_and_nothing_else),
		cmocka_unit_test(
			a_registration_that_cannot_be_read_stops_everything),
		cmocka_unit_test(
			a_state_directory_that_others_write_to_is_refused),
		cmocka_unit_test(the_name_has_nothing_of_a_path_in_it),
		cmocka_unit_test(
			the_name_is_that_of_the_directory_however_it_is_called),
		cmocka_unit_test(a_failing_call_leaves_the_old_or_the_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
