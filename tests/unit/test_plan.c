/*
 * plan: one row per field that can tell a file from its base, and per piece
 * of information that can be missing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/plan.h"

#include "tests/lib/cmocka_all.h"

#include <string.h>
#include <sys/stat.h>

/* What statx tells of a file, and the entry that a base has of it. */
struct pair {
	struct statx now;
	struct entry base;
	uint64_t fs;
	enum generation_type type;
};

static struct pair
equal_pair(void)
{
	struct pair p;

	memset(&p, 0, sizeof(p));
	p.type = GEN_INCREMENTAL;
	p.fs = 3;
	p.now.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
	p.now.stx_mode = S_IFREG | 0644;
	p.now.stx_ino = 1234;
	p.now.stx_size = 5000;
	p.now.stx_mtime.tv_sec = -7;
	p.now.stx_mtime.tv_nsec = 8;
	p.now.stx_ctime.tv_sec = 9;
	p.now.stx_ctime.tv_nsec = 999999999;
	p.now.stx_btime.tv_sec = 10;
	p.now.stx_btime.tv_nsec = 11;
	p.base.type = ENTRY_FILE;
	p.base.flags = ENTRY_BTIME;
	p.base.mode = 0644;
	p.base.fs = 3;
	p.base.ino = 1234;
	p.base.nlink = 1;
	p.base.size = 5000;
	p.base.mtime = (struct ts){ -7, 8 };
	p.base.ctime = (struct ts){ 9, 999999999 };
	p.base.btime = (struct ts){ 10, 11 };
	return p;
}

static struct plan
ask(const struct pair *p)
{
	struct plan_input in = {
		.type = p->type,
		.now = &p->now,
		.fs = p->fs,
		.base = &p->base,
	};

	return plan_file(&in);
}

/* One thing that is different in the pair. */
enum change {
	NOTHING,
	TYPE_DIR,
	TYPE_NONE,
	BASE_IS_LINK,
	FS,
	INO,
	INO_HIGH,
	BTIME_SEC,
	BTIME_NSEC,
	BTIME_GONE,
	BTIME_NOT_IN_BASE,
	SIZE_GROWN,
	SIZE_SHRUNK,
	MTIME_SEC,
	MTIME_NSEC,
	MTIME_EARLIER,
	CTIME_SEC,
	CTIME_NSEC,
	CTIME_EARLIER,
	ATIME,
	MODE,
	OWNER,
	NLINK,
	RACY,
	TORN,
	UNREADABLE,
	PARTIAL_LIST,
	LINKED,
	XATTRS,
	NO_TYPE,
	NO_INO,
	NO_SIZE,
	NO_MTIME,
	NO_CTIME,
};

static void
apply(struct pair *p, enum change c)
{
	switch (c) {
	case NOTHING:
		break;
	case TYPE_DIR:
		p->now.stx_mode = S_IFDIR | 0644;
		break;
	case TYPE_NONE:
		p->now.stx_mode = 0644;
		break;
	case BASE_IS_LINK:
		p->base.type = ENTRY_SYMLINK;
		break;
	case FS:
		p->fs = 2;
		break;
	case INO:
		p->now.stx_ino++;
		break;
	case INO_HIGH:
		p->now.stx_ino |= UINT64_C(1) << 63;
		break;
	case BTIME_SEC:
		p->now.stx_btime.tv_sec++;
		break;
	case BTIME_NSEC:
		p->now.stx_btime.tv_nsec++;
		break;
	case BTIME_GONE:
		p->now.stx_mask &= ~STATX_BTIME;
		p->now.stx_btime.tv_sec = 0;
		break;
	case BTIME_NOT_IN_BASE:
		p->base.flags = 0;
		p->base.btime.sec = 0;
		break;
	case SIZE_GROWN:
		p->now.stx_size++;
		break;
	case SIZE_SHRUNK:
		p->now.stx_size--;
		break;
	case MTIME_SEC:
		p->now.stx_mtime.tv_sec++;
		break;
	case MTIME_NSEC:
		p->now.stx_mtime.tv_nsec++;
		break;
	case MTIME_EARLIER:
		p->now.stx_mtime.tv_sec -= 100;
		break;
	case CTIME_SEC:
		p->now.stx_ctime.tv_sec++;
		break;
	case CTIME_NSEC:
		p->now.stx_ctime.tv_nsec--;
		break;
	case CTIME_EARLIER:
		p->now.stx_ctime.tv_sec -= 100;
		break;
	case ATIME:
		p->now.stx_atime.tv_sec++;
		break;
	case MODE:
		p->now.stx_mode = S_IFREG | 04755;
		break;
	case OWNER:
		p->now.stx_uid = 1000;
		p->now.stx_gid = 1000;
		break;
	case NLINK:
		p->now.stx_nlink = 2;
		break;
	case RACY:
		p->base.flags |= ENTRY_RACY;
		break;
	case TORN:
		p->base.flags |= ENTRY_TORN;
		break;
	case UNREADABLE:
		p->base.flags |= ENTRY_UNREADABLE;
		break;
	case PARTIAL_LIST:
		p->base.flags |= ENTRY_PARTIAL_LIST;
		break;
	case LINKED:
		p->base.flags |= ENTRY_LINKED;
		break;
	case XATTRS:
		p->base.flags |= ENTRY_XATTRS;
		break;
	case NO_TYPE:
		p->now.stx_mask &= ~STATX_TYPE;
		break;
	case NO_INO:
		p->now.stx_mask &= ~STATX_INO;
		break;
	case NO_SIZE:
		p->now.stx_mask &= ~STATX_SIZE;
		break;
	case NO_MTIME:
		p->now.stx_mask &= ~STATX_MTIME;
		break;
	case NO_CTIME:
		p->now.stx_mask &= ~STATX_CTIME;
		break;
	}
}

static const struct {
	const char *name;
	enum change change;
	enum plan_reason want;
} fields[] = {
	{ "all equal", NOTHING, PLAN_UNCHANGED },
	{ "a directory now", TYPE_DIR, PLAN_TYPE },
	{ "no type known to us", TYPE_NONE, PLAN_TYPE },
	{ "a symlink before", BASE_IS_LINK, PLAN_TYPE },
	{ "another file system", FS, PLAN_IDENTITY },
	{ "another inode", INO, PLAN_IDENTITY },
	{ "another inode in the high bits", INO_HIGH, PLAN_IDENTITY },
	{ "born in another second", BTIME_SEC, PLAN_IDENTITY },
	{ "born in another nanosecond", BTIME_NSEC, PLAN_IDENTITY },
	{ "birth not told now", BTIME_GONE, PLAN_UNCHANGED },
	{ "birth not in the base", BTIME_NOT_IN_BASE, PLAN_UNCHANGED },
	{ "grown", SIZE_GROWN, PLAN_SIZE },
	{ "shrunk", SIZE_SHRUNK, PLAN_SIZE },
	{ "modified a second later", MTIME_SEC, PLAN_MTIME },
	{ "modified a nanosecond later", MTIME_NSEC, PLAN_MTIME },
	{ "modification time set back", MTIME_EARLIER, PLAN_MTIME },
	{ "changed a second later", CTIME_SEC, PLAN_CTIME },
	{ "changed a nanosecond earlier", CTIME_NSEC, PLAN_CTIME },
	{ "clock set back", CTIME_EARLIER, PLAN_CTIME },
	{ "only read since", ATIME, PLAN_UNCHANGED },
	{ "mode alone: ctime answers for it", MODE, PLAN_UNCHANGED },
	{ "owner alone: ctime answers for it", OWNER, PLAN_UNCHANGED },
	{ "nlink alone: ctime answers for it", NLINK, PLAN_UNCHANGED },
	{ "racy", RACY, PLAN_DOUBT },
	{ "torn", TORN, PLAN_DOUBT },
	{ "unreadable", UNREADABLE, PLAN_DOUBT },
	{ "partial listing", PARTIAL_LIST, PLAN_DOUBT },
	{ "linked is no doubt", LINKED, PLAN_UNCHANGED },
	{ "xattrs are no doubt", XATTRS, PLAN_UNCHANGED },
	{ "type not told", NO_TYPE, PLAN_TYPE },
	{ "inode not told", NO_INO, PLAN_IDENTITY },
	{ "size not told", NO_SIZE, PLAN_SIZE },
	{ "mtime not told", NO_MTIME, PLAN_MTIME },
	{ "ctime not told", NO_CTIME, PLAN_CTIME },
};

static void
every_field_has_its_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(fields); i++) {
		struct pair p = equal_pair();
		struct plan got;

		apply(&p, fields[i].change);
		got = ask(&p);
		if (got.reason != fields[i].want)
			fail_msg("%s: %s", fields[i].name,
				 plan_reason_name(got.reason));
		assert_int_equal(got.read, got.reason != PLAN_UNCHANGED);
	}
}

/* Changes, from the one that is asked about first to the last. */
static const struct {
	enum change change;
	enum plan_reason want;
} order[] = {
	{ TYPE_DIR, PLAN_TYPE },   { RACY, PLAN_DOUBT },
	{ INO, PLAN_IDENTITY },    { SIZE_GROWN, PLAN_SIZE },
	{ MTIME_SEC, PLAN_MTIME }, { CTIME_SEC, PLAN_CTIME },
};

static void
the_strongest_of_several_reasons_is_given(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(order); i++) {
		struct pair p = equal_pair();

		for (size_t j = i; j < N_OF(order); j++)
			apply(&p, order[j].change);
		assert_int_equal(ask(&p).reason, order[i].want);
	}
}

static void
full_and_copy_read_everything(void **state)
{
	static const struct {
		unsigned type;
		enum plan_reason want;
	} rows[] = {
		{ GEN_FULL, PLAN_WHOLE },
		{ GEN_COPY, PLAN_WHOLE },
		{ GEN_INCREMENTAL, PLAN_UNCHANGED },
		{ GEN_DIFFERENTIAL, PLAN_UNCHANGED },
		{ GEN_LOG, PLAN_UNCHANGED },
		/* No type at all: no information, so everything. */
		{ 0, PLAN_WHOLE },
		{ 6, PLAN_WHOLE },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct pair p = equal_pair();

		p.type = (enum generation_type)rows[i].type;
		assert_int_equal(ask(&p).reason, rows[i].want);
	}
}

static void
without_a_base_it_is_new_unless_everything_is_read(void **state)
{
	struct pair p = equal_pair();
	struct plan_input in = { .type = GEN_INCREMENTAL, .now = &p.now };
	struct plan got = plan_file(&in);

	(void)state;
	assert_int_equal(got.reason, PLAN_NEW);
	assert_true(got.read);
	in.type = GEN_FULL;
	assert_int_equal(plan_file(&in).reason, PLAN_WHOLE);
}

/* Only files have a size that is stored; others answer by ctime. */
static void
sizes_of_other_types_do_not_count(void **state)
{
	static const struct {
		mode_t mode;
		uint8_t type;
	} rows[] = {
		{ S_IFDIR, ENTRY_DIR },  { S_IFLNK, ENTRY_SYMLINK },
		{ S_IFCHR, ENTRY_CHAR }, { S_IFBLK, ENTRY_BLOCK },
		{ S_IFIFO, ENTRY_FIFO }, { S_IFSOCK, ENTRY_SOCKET },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct pair p = equal_pair();

		p.now.stx_mode = (uint16_t)(rows[i].mode | 0644);
		p.base.type = rows[i].type;
		p.base.size = 0;
		assert_int_equal(ask(&p).reason, PLAN_UNCHANGED);
		apply(&p, CTIME_SEC);
		assert_int_equal(ask(&p).reason, PLAN_CTIME);
	}
}

/* The numbers are in generations for ever. */
static void
reasons_keep_their_numbers_and_have_names(void **state)
{
	static const char *const names[] = {
		"unchanged", "whole",    "new",      "type",    "identity",
		"size",      "mtime",    "ctime",    "doubt",   "no-base",
		"required",  "ranges",   "since",    "no-proof", "first",
		"untrusted", "attached", "carried",
	};

	(void)state;
	assert_int_equal(N_OF(names), PLAN_REASONS);
	for (unsigned i = 0; i < PLAN_REASONS; i++) {
		assert_string_equal(plan_reason_name(i), names[i]);
		assert_true(strlen(plan_reason_text(i)) > 0);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(plan_reason_text(i),
						plan_reason_text(j));
	}
	assert_string_equal(plan_reason_name(PLAN_REASONS), "unknown");
	assert_non_null(plan_reason_text(UINT32_MAX));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_has_its_reason),
		cmocka_unit_test(the_strongest_of_several_reasons_is_given),
		cmocka_unit_test(full_and_copy_read_everything),
		cmocka_unit_test(
			without_a_base_it_is_new_unless_everything_is_read),
		cmocka_unit_test(sizes_of_other_types_do_not_count),
		cmocka_unit_test(reasons_keep_their_numbers_and_have_names),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
