/*
 * Restores for writers: which files go where, and what writers are told.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/lib/restore_rig.h"

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
	W.wish[0] = W.wish[1] = "w:c/part";
	W.o.wishes = 2;
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
		cmocka_unit_test(a_writer_may_want_no_events),
		cmocka_unit_test(
			ri_03_writers_are_told_that_more_follows_and_their_options),
		cmocka_unit_test(
			ro_01_there_is_one_option_text_for_a_component),
		cmocka_unit_test(
			pf_14_ranges_only_writes_declared_bytes_into_what_is_there),
		cmocka_unit_test(
			rs_04_declared_files_outside_all_file_sets_come_back_too),
		cmocka_unit_test(in_place_a_file_keeps_its_inode),
		cmocka_unit_test(a_dry_run_tells_and_touches_nothing),
		cmocka_unit_test(a_link_on_the_way_is_not_followed),
		cmocka_unit_test(
			without_memory_a_restore_says_so_and_can_be_done_again),
	};

	return cmocka_run_group_tests_name("restore_writers", tests, NULL,
					   NULL);
}
