/*
 * powercut - what a power cut leaves of a repository is a repository.
 *
 * Records all that an init, three backups and a forget do to the disk
 * (tests/lib/trace.h), and then two backups at once; makes the disk anew as it
 * may look after a cut behind each single call, under several ideas of what a
 * disk forgets, and gives it a local cache that is gone, of that moment, of
 * another one, mixed or spoilt.  Of each such state:
 *
 *   - what was reported complete is there, and all that is there is, in
 *     everything, what the source was;
 *   - what was reported forgotten is not there, and its record is kept;
 *   - check finds nothing, and the config has both its copies;
 *   - before init was reported, there is a repository or init makes one;
 *   - the next backup succeeds, under a new number, and is whole.
 *
 * At last each sync is made to do nothing, class by class, and the states are
 * asked again: now something must be wrong.
 *
 *	POWERCUT_STATES=n	judge about n of the states (default 2000);
 *				0: all of them, with each cache
 *	POWERCUT_ROUNDS=n	throw dice n times for each cut (default 1)
 *	POWERCUT_DEPTH=n	n states more, in which the next backup is cut
 *				as well, everywhere (default 1)
 *	POWERCUT_MEGABYTES=n	this much more in the source, for several packs
 *				a backup; states are then found by lot (0)
 *	POWERCUT_SEED=n		this seed instead of a random one
 *	POWERCUT_KEEP=1		leave the first bad state where it is
 *
 * TAP on standard output.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/hex.h"
#include "src/engine/backup.h"
#include "src/engine/check.h"
#include "src/engine/generation.h"
#include "src/engine/reader.h"
#include "src/engine/view.h"
#include "store/id.h"
#include "tests/lib/honest.h"
#include "tests/lib/rng.h"
#include "tests/lib/shot.h"
#include "tests/lib/tap.h"
#include "tests/lib/trace.h"
#include "tests/lib/use.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define RUN_SECONDS    60 /* one state that takes longer hangs */
#define DEFAULT_STATES 2000
#define COMPLAINTS_MAX 5
#define THIN           40 /* one in so many of states that are too large */

static char repository[400]; /* on the disk of which power is cut */
static struct rng dice;
static unsigned megabytes;

/* --- the source ----------------------------------------------------------- */

static void
write_file(const char *name, size_t len, uint64_t seed)
{
	struct rng r = { seed * 2 + 1 };
	uint8_t *p = malloc(len + 1);
	int fd = open(tap_at(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	rng_fill(&r, p, len);
	memset(p, 'a', len / 3);
	if (fd < 0 || write(fd, p, len) != (ssize_t)len || close(fd) < 0)
		tap_give_up("cannot write the source");
	free(p);
}

static void
make_source(void)
{
	char name[60];
	int fd;

	if (mkdir(tap_at("src"), 0755) < 0 ||
	    mkdir(tap_at("src/d"), 0750) < 0 ||
	    mkdir(tap_at("src/d/e"), 0755) < 0 ||
	    mkdir(tap_at("src/gone"), 0755) < 0)
		tap_give_up("cannot make the source");
	for (unsigned i = 0; i < 14; i++) {
		snprintf(name, sizeof(name), "src/%sf%u",
			 i % 3 == 0   ? ""
			 : i % 3 == 1 ? "d/"
				      : "d/e/",
			 i);
		write_file(name, (size_t)i * i * i * 20, i + 1);
	}
	write_file("src/gone/x", 3000, 50);
	write_file("src/large", 90000, 51);
	if (megabytes > 0)
		write_file("src/huge", (size_t)megabytes << 20, 53);
	write_file("src/holes", 5000, 52);
	fd = open(tap_at("src/holes"), O_WRONLY);
	if (fd < 0 || ftruncate(fd, 300000) < 0 || close(fd) < 0 ||
	    symlink("d/f1", tap_at("src/link")) < 0 ||
	    link(tap_at("src/large"), tap_at("src/d/hard")) < 0 ||
	    mkfifo(tap_at("src/fifo"), 0600) < 0)
		tap_give_up("cannot make the source");
	/* Where the file system takes them. */
	(void)setxattr(tap_at("src/d"), "user.dir", "short", 5, 0);
	(void)setxattr(tap_at("src/large"), "user.large", "value", 5, 0);
}

/* Another one, with bytes of the first and bytes of its own. */
static void
make_other_source(void)
{
	if (mkdir(tap_at("other"), 0755) < 0)
		tap_give_up("cannot make the source");
	write_file("other/new4", 24000, 64);
	write_file("other/own", 30000, 90);
	write_file("other/large", 90000, 51);
}

/* The second time there is something else to lose. */
static void
change_source(unsigned turn)
{
	char name[60];

	snprintf(name, sizeof(name), "src/d/new%u", turn);
	write_file(name, 20000 + turn * 1000, 60 + turn);
	write_file("src/d/e/f8", 11000, 70 + turn);
	if (megabytes > 0)
		write_file("src/huge", (size_t)megabytes << 20, 80 + turn);
	if (truncate(tap_at("src/large"), 80000 - (off_t)turn * 9000) < 0 ||
	    chmod(tap_at("src/f3"), 0600 + turn) < 0)
		tap_give_up("cannot change the source");
	if (turn == 1) {
		shot_remove(tap_at("src/gone"));
		if (rename(tap_at("src/d/e"), tap_at("src/d/moved")) < 0 ||
		    mkdir(tap_at("src/d/e"), 0700) < 0)
			tap_give_up("cannot change the source");
	}
}

/* --- a tree in words ------------------------------------------------------- */

/*
 * Both sides are told in the same words, a line for each thing; a hard link
 * by the place, among all inodes, where its inode was met first.
 */
struct words {
	struct buf text;
	uint64_t inode[200];
	size_t inodes;
};

static size_t
inode_place(struct words *w, uint64_t inode)
{
	size_t i;

	for (i = 0; i < w->inodes; i++)
		if (w->inode[i] == inode)
			return i;
	if (w->inodes == sizeof(w->inode) / sizeof(w->inode[0]))
		tap_give_up("too large a source");
	w->inode[w->inodes++] = inode;
	return i;
}

static void
add_thing(struct words *w, const char *path, const struct stat *st)
{
	buf_printf(&w->text, "%s %o %u:%u %" PRId64 ".%09ld inode %zu", path,
		   (unsigned)st->st_mode, st->st_uid, st->st_gid,
		   (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		   inode_place(w, st->st_ino));
}

static void
add_bytes(struct words *w, const char *what, const void *p, size_t len)
{
	uint8_t hash[16];
	char hex[33];

	hash_plain(p, len, hash, sizeof(hash));
	hex_format(hex, hash, sizeof(hash));
	buf_printf(&w->text, " %s %zu %s", what, len, hex);
}

/* --- the words of a source ------------------------------------------------ */

static void
add_disk_xattrs(struct words *w, const char *path)
{
	char list[1000], value[1000];
	ssize_t n = llistxattr(path, list, sizeof(list)), len;

	for (char *p = list; n > 0 && p < list + n; p += strlen(p) + 1) {
		len = lgetxattr(path, p, value, sizeof(value));
		if (strncmp(p, "user.", 5) == 0 && len >= 0)
			add_bytes(w, p, value, (size_t)len);
	}
}

static void
add_disk_content(struct words *w, const char *path, const struct stat *st)
{
	size_t len = (size_t)st->st_size;
	char *p = malloc(len + 1);
	ssize_t n;
	int fd;

	if (S_ISLNK(st->st_mode)) {
		n = readlink(path, p, len);
	} else {
		fd = open(path, O_RDONLY);
		n = pread(fd, p, len, 0);
		close(fd);
	}
	if (n != st->st_size)
		tap_give_up("cannot read the source");
	add_bytes(w, "bytes", p, len);
	free(p);
}

static void
add_disk(struct words *w, const char *path)
{
	struct dirent **list;
	char below[900];
	struct stat st;
	int n;

	if (lstat(path, &st) < 0)
		tap_give_up("cannot read the source");
	add_thing(w, path, &st);
	add_disk_xattrs(w, path);
	if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
		add_disk_content(w, path, &st);
	buf_add_char(&w->text, '\n');
	if (!S_ISDIR(st.st_mode))
		return;
	n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(below, sizeof(below), "%.600s/%s", path,
			 list[i]->d_name);
		if (strcmp(list[i]->d_name, ".") != 0 &&
		    strcmp(list[i]->d_name, "..") != 0)
			add_disk(w, below);
		free(list[i]);
	}
	free(list);
}

/* What a source is now; to be freed.  They begin with its path. */
static char *
source_in_words(const char *source)
{
	struct words w = { .inodes = 0 };
	char *text;

	add_disk(&w, tap_at(source));
	text = strdup(buf_str(&w.text));
	buf_clear(&w.text);
	return text;
}

/* --- the words of a generation -------------------------------------------- */

struct telling {
	struct words words;
	struct view_gen *g;
	const char *path; /* of the directory that is being listed */
};

static mode_t
type_of(const struct entry *en)
{
	static const mode_t type[] = { 0,       S_IFREG, S_IFDIR, S_IFLNK,
				       S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };

	return type[en->type];
}

static int
add_stored_xattrs(struct telling *t, const struct entry *en, struct err *e)
{
	struct rd r = xattr_first(en);
	struct xattr x;

	while (xattr_next(&r, &x)) {
		struct buf value = { 0 };
		char name[256];
		int rc;

		snprintf(name, sizeof(name), "%.*s", (int)x.name_len,
			 (const char *)x.name);
		if (strncmp(name, "user.", 5) != 0)
			continue;
		rc = view_xattr(t->g, en, name, &value, e);
		if (rc == 0)
			add_bytes(&t->words, name, value.data, value.len);
		buf_clear(&value);
		if (rc != 0)
			return -1;
	}
	return 0;
}

static int
add_stored_content(struct telling *t, const struct entry *en, struct err *e)
{
	struct file_reader f = { 0 };
	uint8_t *p;
	int rc = -1;

	if (en->type == ENTRY_SYMLINK) {
		add_bytes(&t->words, "bytes", en->target, en->target_len);
		return 0;
	}
	p = malloc(en->size + 1);
	if (file_reader_init(&f, t->g->reader, &en->content, en->size, e) ==
		    0 &&
	    file_read(&f, 0, p, en->size, NULL, e) == (ssize_t)en->size) {
		add_bytes(&t->words, "bytes", p, en->size);
		rc = 0;
	}
	file_reader_clear(&f);
	free(p);
	return rc;
}

static int add_stored(struct telling *t, const char *path, const struct node *n,
		      struct err *e);

static int
add_listed(void *ctx, const struct node *n, uint64_t position, struct err *e)
{
	struct telling *t = ctx;
	const char *dir = t->path;
	char below[900];
	int rc;

	(void)position;
	snprintf(below, sizeof(below), "%.600s/%.*s", dir,
		 (int)n->entry.name_len, (const char *)n->entry.name);
	rc = add_stored(t, below, n, e);
	t->path = dir;
	return rc;
}

static int
add_stored(struct telling *t, const char *path, const struct node *n,
	   struct err *e)
{
	const struct entry *en = &n->entry;
	struct stat st = { .st_mode = (en->mode & 07777) | type_of(en),
			   .st_uid = en->uid,
			   .st_gid = en->gid,
			   .st_ino = n->ino,
			   .st_mtim = { en->mtime.sec, en->mtime.nsec } };
	int rc;

	add_thing(&t->words, path, &st);
	rc = add_stored_xattrs(t, en, e);
	if (rc == 0 && (en->type == ENTRY_FILE || en->type == ENTRY_SYMLINK))
		rc = add_stored_content(t, en, e);
	buf_add_char(&t->words.text, '\n');
	t->path = path;
	if (rc == 0 && en->type == ENTRY_DIR)
		rc = view_list(t->g, n, 0, add_listed, t, e);
	return rc;
}

/* Complain when a generation is not what these words say. */
static void
compare(const char *want, struct telling *t)
{
	const char *got = buf_str(&t->words.text);
	size_t same = 0;

	if (strcmp(want, got) == 0)
		return;
	while (want[same] == got[same])
		same++;
	while (same > 0 && want[same - 1] != '\n')
		same--;
	snprintf(tap_complaint, sizeof(tap_complaint),
		 "generation %u is not its source: %.*s instead of %.*s",
		 t->g->number, (int)strcspn(got + same, "\n"), got + same,
		 (int)strcspn(want + same, "\n"), want + same);
}

static void
judge_generation(struct store *st, uint32_t number, const char *want)
{
	struct telling t = { .g = NULL };
	struct node n = { 0 };
	struct err e = { 0 };
	char source[900];

	if (tap_complaint[0] != '\0')
		return;
	snprintf(source, sizeof(source), "%.*s", (int)strcspn(want, " "), want);
	if (view_open(st, number, &t.g, &e) < 0 ||
	    view_path(t.g, source, &n, &e) != 0 ||
	    add_stored(&t, source, &n, &e) < 0)
		tap_complain("a generation cannot be read",
			 e.kind != ERR_NONE ? e.text : "it has no source");
	else
		compare(want, &t);
	node_clear(&n);
	buf_clear(&t.words.text);
	view_unref(t.g);
}

/* --- one use of the program, in-process ----------------------------------- */

static void
backup_failed(void *ctx, const char *path, const struct err *why)
{
	(void)ctx;
	tap_complain(path, why->text);
}

static bool claimed; /* the next run has a writer */

static int
run_backup(const char *source, enum generation_type type, uint32_t *number,
	   struct err *e)
{
	char path[900];
	const char *sources[1] = { path };
	struct backup_options o = { .sources = sources,
				    .source_count = 1,
				    .type = type,
				    .readers = 2,
				    .threads = 2,
				    .failed = backup_failed };
	struct backup_result res = { 0 };
	struct use u;
	int rc;

	/* tap_at() is not for two threads. */
	snprintf(path, sizeof(path), "%s/%s", tap_top, source);
	if (use_begin(&u, repository, "backup", e) < 0)
		return -1;
	rc = (claimed ? honest_backup : backup_run)(u.store, &o, &res, e);
	*number = res.number;
	use_end(&u);
	return rc;
}

static int
run_forget(uint32_t number, struct err *e)
{
	struct use u;
	int rc;

	if (use_begin(&u, repository, "forget", e) < 0)
		return -1;
	rc = repository_forget_generation(u.repo, number, e);
	use_end(&u);
	return rc;
}

/* --- the recording -------------------------------------------------------- */

#define GENERATIONS 9
#define SNAPS_MAX   2000
#define NEVER       SIZE_MAX

/* Calls made when it began, and when it was reported. */
struct span {
	size_t begun, reported;
};

/* What happened, in calls of the trace. */
struct story {
	struct trace *trace;
	struct span init, forget; /* of generation 1 */
	struct {
		struct span span;
		char *words; /* NULL: there is no such generation */
	} gen[GENERATIONS + 1];
	struct snap { /* the cache, from this call on */
		size_t calls;
		struct shot shot;
	} * snap;
	size_t snaps;
};

static struct story *telling; /* the one that is being recorded */

/* The cache as it is behind a call; the trace holds its lock. */
static void
take_cache(void)
{
	struct story *s = telling;
	struct shot now;

	if (s->trace == NULL || s->snaps == SNAPS_MAX)
		return;
	shot_take(&now, tap_at("cache"));
	if (s->snaps > 0 &&
	    shot_digest(&s->snap[s->snaps - 1].shot) == shot_digest(&now)) {
		shot_clear(&now);
		return;
	}
	s->snap[s->snaps].calls = trace_length(s->trace);
	s->snap[s->snaps++].shot = now;
}

static void
story_begin(struct story *s)
{
	memset(s, 0, sizeof(*s));
	s->init = s->forget = (struct span){ NEVER, NEVER };
	s->snap = calloc(SNAPS_MAX, sizeof(*s->snap));
	telling = s;
	s->trace = trace_begin(tap_at("disk"), take_cache);
}

static void
story_end(struct story *s)
{
	trace_end(s->trace);
	telling = NULL;
}

static void
story_clear(struct story *s)
{
	for (size_t i = 0; i < s->snaps; i++)
		shot_clear(&s->snap[i].shot);
	for (size_t i = 0; i <= GENERATIONS; i++)
		free(s->gen[i].words);
	free(s->snap);
	trace_free(s->trace);
}

static size_t
calls(const struct story *s)
{
	return trace_length(s->trace);
}

static void
tell_backup(struct story *s, uint32_t number, enum generation_type type)
{
	struct err e = { 0 };
	uint32_t got = 0;

	s->gen[number].words = source_in_words("src");
	s->gen[number].span.begun = calls(s);
	if (run_backup("src", type, &got, &e) < 0)
		tap_give_up(e.text);
	if (got != number || tap_complaint[0] != '\0')
		tap_give_up(tap_complaint);
	s->gen[number].span.reported = calls(s);
}

static void
tell_story(struct story *s)
{
	struct err e = { 0 };

	story_begin(s);
	s->init.begun = 0;
	if (repository_init(repository, &e) < 0)
		tap_give_up(e.text);
	s->init.reported = calls(s);
	tell_backup(s, 1, GEN_INCREMENTAL);
	change_source(1);
	claimed = true;
	tell_backup(s, 2, GEN_INCREMENTAL);
	claimed = false;
	s->forget.begun = calls(s);
	if (run_forget(1, &e) != 0)
		tap_give_up(e.text);
	s->forget.reported = calls(s);
	change_source(2);
	tell_backup(s, 3, GEN_FULL);
	story_end(s);
}

/* --- the cache after a cut ------------------------------------------------ */

enum cache {
	CACHE_GONE,
	CACHE_NOW,
	CACHE_OLD,   /* of an earlier moment */
	CACHE_AHEAD, /* of a later one: it was on another disk */
	CACHE_MIXED,
	CACHE_SPOILT,
	CACHES
};

static const char *const cache_text[] = { "gone",  "of that moment", "older",
					  "ahead", "mixed",          "spoilt" };

static void
put_cache(const struct story *s, enum cache how, size_t cut)
{
	struct shot spoilt = { 0 };
	const struct shot *shot = &spoilt;
	size_t now = 0, other;

	while (now + 1 < s->snaps && s->snap[now + 1].calls <= cut)
		now++;
	if (s->snaps == 0)
		how = CACHE_GONE;
	else if (how == CACHE_OLD)
		now = (size_t)rng_below(&dice, now + 1);
	else if (how == CACHE_AHEAD)
		now += (size_t)rng_below(&dice, s->snaps - now);
	other = s->snaps > 0 ? (size_t)rng_below(&dice, s->snaps) : 0;
	if (how == CACHE_MIXED || how == CACHE_SPOILT)
		shot_mix(&s->snap[now].shot,
			 &s->snap[how == CACHE_MIXED ? other : now].shot, &dice,
			 &spoilt);
	else if (how != CACHE_GONE)
		shot = &s->snap[now].shot;
	if (how == CACHE_SPOILT)
		shot_spoil(&spoilt, &dice);
	if (how == CACHE_GONE)
		shot_remove(tap_at("cache"));
	else
		shot_put(shot, tap_at("cache"));
	shot_clear(&spoilt);
}

/* --- judging a state ------------------------------------------------------ */

static void
told_damage(void *ctx, const char *where, const char *what)
{
	(void)ctx;
	tap_complain(where, what);
}

/* Open it; what no init has reported may have to be made first. */
static bool
begin_judging(const struct story *s, size_t cut, struct use *u)
{
	struct err e = { 0 };
	bool ok = use_begin(u, repository, "check", &e) == 0;

	if (!ok && s->init.begun != NEVER && cut < s->init.reported) {
		err_clear(&e);
		ok = repository_init(repository, &e) == 0 &&
		     use_begin(u, repository, "check", &e) == 0;
	}
	if (!ok)
		tap_complain("it does not open", e.text);
	else if (u->repo->config_damaged)
		tap_complain("the config", "has lost one of its copies");
	return ok;
}

static bool
is_listed(const struct generation_list *l, uint32_t number)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->item[i].number == number)
			return true;
	return false;
}

/* The names of generations: promises are kept, and there is no other. */
static void
judge_names(const struct story *s, size_t cut, const struct generation_list *l)
{
	char what[60];

	for (uint32_t n = 1; n <= GENERATIONS; n++) {
		bool there = is_listed(l, n);
		bool forgetting = n == 1 && s->forget.begun != NEVER &&
				  cut > s->forget.begun;

		snprintf(what, sizeof(what), "generation %u", n);
		if (s->gen[n].words == NULL || cut < s->gen[n].span.begun) {
			if (there)
				tap_complain(what, "nobody has made it");
			continue;
		}
		if (!there && !forgetting && cut >= s->gen[n].span.reported)
			tap_complain(what, "was reported and is lost");
		if (!forgetting)
			continue;
		if (there && cut >= s->forget.reported)
			tap_complain(what, "was forgotten and is back");
		if (!there &&
		    access(tap_at("disk/repo/generations/1.forgotten"),
			   F_OK) < 0)
			tap_complain(what, "has lost its record");
	}
}

static void
judge_listed(const struct story *s, size_t cut, struct use *u)
{
	struct generation_list l = { 0 };
	struct err e = { 0 };

	if (generation_list_load(u->repo, &l, &e) < 0)
		tap_complain("the generations", e.text);
	judge_names(s, cut, &l);
	for (size_t i = 0; i < l.count && tap_complaint[0] == '\0'; i++) {
		if (l.item[i].damaged)
			tap_complain("a generation is damaged", l.item[i].why);
		else
			judge_generation(u->store, l.item[i].number,
					 s->gen[l.item[i].number].words);
	}
	generation_list_clear(&l);
}

static void
judge_as_is(const struct story *s, size_t cut)
{
	struct check_options o = { .data = true,
				   .threads = 1,
				   .damage = told_damage };
	struct check_result res = { 0 };
	struct err e = { 0 };
	struct use u;

	if (!begin_judging(s, cut, &u))
		return;
	judge_listed(s, cut, &u);
	if (tap_complaint[0] == '\0' && check_run(u.store, &o, &res, &e) < 0)
		tap_complain("check", e.text);
	use_end(&u);
}

/* The next backup, and all there is after it; `words`: of the source. */
static void
judge_next(const struct story *s, const char *words, bool full)
{
	struct generation_names n = { 0 };
	struct err e = { 0 };
	uint32_t number = 0;
	struct use u;

	if (run_backup("src", full ? GEN_FULL : GEN_INCREMENTAL, &number, &e) <
	    0) {
		tap_complain("the next backup", e.text);
		return;
	}
	/* What it has put down has to be enough for others. */
	if (rng_below(&dice, 2) == 0)
		shot_remove(tap_at("cache"));
	if (use_begin(&u, repository, "check", &e) < 0 ||
	    repository_generations(u.repo, &n, &e) < 0)
		tap_complain("after the next backup", e.text);
	for (size_t i = 0; i < n.count; i++)
		judge_generation(u.store, n.number[i],
				 n.number[i] == number
					 ? words
					 : s->gen[n.number[i]].words);
	if (n.count == 0 || n.number[n.count - 1] != number)
		tap_complain("the next backup", "is not the newest");
	generation_names_clear(&n);
	use_end(&u);
}

/* --- states --------------------------------------------------------------- */

struct state {
	struct trace_cut cut;
	uint64_t digest;
};

struct states {
	struct state *item;
	size_t count;
};

static void
describe(const struct story *s, const struct trace_cut *c, const char *cache)
{
	snprintf(tap_doing, sizeof(tap_doing),
		 "cut behind call %zu of %zu (%.600s), names %s, bytes %s, "
		 "cache %s",
		 c->calls, calls(s),
		 c->calls > 0 ? trace_call(s->trace, c->calls - 1) : "none",
		 trace_names_text(c->names), trace_data_text(c->data), cache);
}

/* Make the disk as the cut leaves it. */
static void
put_state(const struct story *s, const struct trace_cut *c, enum cache cache)
{
	struct shot shot;

	describe(s, c, cache_text[cache]);
	trace_state(s->trace, c, &shot);
	shot_put(&shot, tap_at("disk"));
	shot_clear(&shot);
	put_cache(s, cache, c->calls);
}

/* True when all is well; else the complaint says what is not. */
static bool
judge_state(const struct story *s, const struct trace_cut *c, enum cache cache,
	    const char *next)
{
	tap_complaint[0] = '\0';
	alarm(RUN_SECONDS);
	put_state(s, c, cache);
	judge_as_is(s, c->calls);
	if (tap_complaint[0] == '\0' && next != NULL)
		judge_next(s, next, rng_below(&dice, 2) == 0);
	alarm(0);
	return tap_complaint[0] == '\0';
}

static void
show_failure(const struct story *s, const struct trace_cut *c, enum cache cache)
{
	printf("# %s\n# %s\n", tap_doing, tap_complaint);
	if (getenv("POWERCUT_KEEP") == NULL)
		return;
	put_state(s, c, cache);
	printf("Bail out! it is left in %s\n", tap_top);
	exit(1);
}

static int
by_digest(const void *a, const void *b)
{
	const struct state *x = a, *y = b;

	if (x->digest != y->digest)
		return x->digest < y->digest ? -1 : 1;
	return (x->cut.calls > y->cut.calls) - (x->cut.calls < y->cut.calls);
}

static int
by_calls(const void *a, const void *b)
{
	const struct state *x = a, *y = b;

	if (x->cut.calls != y->cut.calls)
		return x->cut.calls < y->cut.calls ? -1 : 1;
	return (x->digest > y->digest) - (x->digest < y->digest);
}

/* What was promised is part of a state, and so is the moment. */
static uint64_t
promises(const struct story *s, size_t cut)
{
	uint64_t n = cut >= s->init.reported;

	for (size_t i = 1; i <= GENERATIONS; i++)
		if (s->gen[i].words != NULL)
			n = n * 3 + (cut >= s->gen[i].span.begun) +
			    (cut >= s->gen[i].span.reported);
	n = n * 3 + (s->forget.begun != NEVER && cut > s->forget.begun);
	return n + (s->forget.begun != NEVER && cut >= s->forget.reported);
}

static void
add_state(const struct story *s, struct states *all, size_t cut,
	  enum trace_names names, enum trace_data data)
{
	struct state *x;
	struct shot shot;

	if ((all->count & (all->count - 1)) == 0)
		all->item =
			realloc(all->item, (all->count * 2 + 1) * sizeof(*x));
	x = &all->item[all->count++];
	memset(x, 0, sizeof(*x));
	x->cut.calls = cut;
	x->cut.names = names;
	x->cut.data = data;
	x->cut.seed = rng_next(&dice) | 1;
	trace_state(s->trace, &x->cut, &shot);
	x->digest = shot_digest(&shot) ^
		    promises(s, cut) * UINT64_C(0xd6e8feb86659fd93);
	shot_clear(&shot);
}

static bool
is_by_lot(enum trace_names names, enum trace_data data)
{
	return names >= NAMES_LATER || data >= DATA_TAIL;
}

/*
 * All that are different, in the order of their cuts; one in `thin`, by lot,
 * where they are too large to look at all.
 */
static struct states
find_states(const struct story *s, unsigned rounds, unsigned thin)
{
	struct states all = { 0 };
	size_t kept = 0;

	for (size_t cut = 0; cut <= calls(s); cut++)
		for (int n = 0; n < NAMES_MODES; n++)
			for (int d = 0; d < DATA_MODES; d++)
				for (unsigned i = 0;
				     i < (is_by_lot(n, d) ? rounds : 1); i++)
					if (rng_below(&dice, thin) == 0)
						add_state(s, &all, cut, n, d);
	qsort(all.item, all.count, sizeof(*all.item), by_digest);
	for (size_t i = 0; i < all.count; i++)
		if (i == 0 || all.item[i].digest != all.item[i - 1].digest)
			all.item[kept++] = all.item[i];
	all.count = kept;
	qsort(all.item, all.count, sizeof(*all.item), by_calls);
	return all;
}

/* --- the tests ------------------------------------------------------------ */

struct tally {
	size_t judged, bad;
};

static void
judge_one(const struct story *s, const struct state *x, enum cache cache,
	  const char *next, struct tally *t)
{
	if (t->bad >= COMPLAINTS_MAX)
		return;
	t->judged++;
	if (judge_state(s, &x->cut, cache, next))
		return;
	t->bad++;
	show_failure(s, &x->cut, cache);
}

/* Those of one part of the story; one in `step`, or with all caches if 0. */
static void
test_part(const struct story *s, const struct states *all, const char *name,
	  struct span span, size_t step)
{
	char *next = source_in_words("src");
	struct tally t = { 0 };
	size_t states = 0;
	char text[300];

	for (size_t i = 0; i < all->count; i++) {
		const struct state *x = &all->item[i];

		if (x->cut.calls < span.begun || x->cut.calls >= span.reported)
			continue;
		states++;
		if (step > 0 && (states == 1 || rng_below(&dice, step) == 0))
			judge_one(s, x, (enum cache)rng_below(&dice, CACHES),
				  next, &t);
		for (int c = 0; step == 0 && c < CACHES; c++)
			judge_one(s, x, (enum cache)c, next, &t);
	}
	snprintf(text, sizeof(text),
		 "a cut in %s, %zu calls, %zu states, %zu judged", name,
		 span.reported - span.begun, states, t.judged);
	/* Of very large states there may be none for so short a part. */
	tap_say(t.bad == 0 && (t.judged > 0 || megabytes > 0), text);
	free(next);
}

static void
test_story(const struct story *s, size_t wanted, unsigned rounds)
{
	struct states all = find_states(s, rounds, megabytes > 0 ? THIN : 1);
	size_t step = 0;

	if (wanted > 0)
		step = (all.count + wanted - 1) / wanted;
	printf("# %zu calls, %zu states, one in %zu is judged, %zu caches\n",
	       calls(s), all.count, step > 0 ? step : 1, s->snaps);
	test_part(s, &all, "init", s->init, step);
	test_part(s, &all, "the first backup", s->gen[1].span, step);
	test_part(s, &all, "an incremental backup", s->gen[2].span, step);
	test_part(s, &all, "forget", s->forget, step);
	test_part(s, &all, "a full backup", s->gen[3].span, step);
	test_part(s, &all, "nothing more",
		  (struct span){ calls(s), calls(s) + 1 }, step);
	free(all.item);
}

/* --- a cut in the run after a cut ------------------------------------------ */

/* A state that has lost something, by lot. */
static struct trace_cut
any_cut(const struct story *s, size_t from)
{
	return (struct trace_cut){
		.calls = from + (size_t)rng_below(&dice, calls(s) - from + 1),
		.names = (enum trace_names)rng_below(&dice, NAMES_MODES),
		.data = (enum trace_data)rng_below(&dice, DATA_MODES),
		.seed = rng_next(&dice) | 1
	};
}

/* What was there before the second story is there in all its states. */
static void
take_generations(const struct story *s, struct story *second)
{
	struct generation_names n = { 0 };
	struct repository *r = NULL;
	struct err e = { 0 };

	if (repository_open(tap_at("disk/repo"), &r, &e) < 0 ||
	    repository_generations(r, &n, &e) < 0)
		tap_give_up(e.text);
	for (size_t i = 0; i < n.count; i++) {
		second->gen[n.number[i]].words =
			strdup(s->gen[n.number[i]].words);
		second->gen[n.number[i]].span = (struct span){ 0, 0 };
	}
	generation_names_clear(&n);
	repository_close(r);
}

/* The highest number that any file of generations has; they are not reused. */
static uint32_t
next_number(void)
{
	struct generation_names n = { 0 };
	struct repository *r = NULL;
	uint32_t number;

	if (repository_open(tap_at("disk/repo"), &r, NULL) < 0 ||
	    repository_generations(r, &n, NULL) < 0)
		tap_give_up("no repository");
	number = n.highest + 1;
	generation_names_clear(&n);
	repository_close(r);
	return number;
}

static void
test_twice(const struct story *s, size_t wanted, unsigned number)
{
	struct trace_cut first = any_cut(s, s->gen[1].span.reported);
	enum cache cache = (enum cache)rng_below(&dice, CACHES);
	struct story second;
	struct states all;
	char text[300];

	put_state(s, &first, cache);
	printf("# %s\n", tap_doing);
	story_begin(&second);
	take_generations(s, &second);
	tell_backup(&second, next_number(), GEN_INCREMENTAL);
	story_end(&second);
	all = find_states(&second, 1, megabytes > 0 ? THIN : 1);
	snprintf(text, sizeof(text), "the backup after a cut (%u)", number);
	test_part(&second, &all, text, (struct span){ 0, calls(&second) + 1 },
		  wanted > 0 ? all.count * 10 / wanted + 1 : 1);
	free(all.item);
	story_clear(&second);
}

/* --- a cut in two runs at once ---------------------------------------------- */

struct runner {
	struct story *story;
	const char *source;
	char *words;
	pthread_t thread;
	struct err e;
	int rc;
};

static void *
run_one(void *ctx)
{
	struct runner *r = ctx;
	uint32_t number = 0;

	r->rc = run_backup(r->source, GEN_INCREMENTAL, &number, &r->e);
	if (r->rc < 0)
		return NULL;
	if (number < 1 || number > GENERATIONS)
		tap_give_up("two backups at once have odd numbers");
	r->story->gen[number].span.reported = calls(r->story);
	r->story->gen[number].words = r->words;
	return NULL;
}

/* On what the first story has left, and both as far as they were reported. */
static void
test_two(const struct story *s, size_t wanted)
{
	struct trace_cut end = { .calls = calls(s),
				 .names = NAMES_KEPT,
				 .data = DATA_KEPT,
				 .seed = 1 };
	struct story both;
	struct runner r[2] = { { .story = &both, .source = "src" },
			       { .story = &both, .source = "other" } };
	struct states all;
	size_t step = 0;

	put_state(s, &end, CACHE_NOW);
	make_other_source();
	change_source(4);
	story_begin(&both);
	take_generations(s, &both);
	for (int i = 0; i < 2; i++)
		r[i].words = source_in_words(r[i].source);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&r[i].thread, NULL, run_one, &r[i]) != 0)
			tap_give_up("no thread");
	for (int i = 0; i < 2; i++)
		pthread_join(r[i].thread, NULL);
	story_end(&both);
	if (r[0].rc < 0 || r[1].rc < 0 || tap_complaint[0] != '\0')
		tap_give_up(r[0].rc < 0 ? r[0].e.text : r[1].e.text);
	all = find_states(&both, 1, megabytes > 0 ? THIN : 1);
	if (wanted > 0)
		step = all.count * 3 / wanted + 1;
	test_part(&both, &all, "two backups at once",
		  (struct span){ 0, calls(&both) + 1 }, step);
	free(all.item);
	story_clear(&both);
}

/* --- that the rules are needed --------------------------------------------- */

static const struct rule {
	const char *text;
	const char *idle_dir, *idle_files;
} rules[] = {
	{ "the bytes of packs", NULL, "repo/packs" },
	{ "the names of packs", "repo/packs", NULL },
	{ "the bytes of records", NULL, "repo/generations" },
	{ "the names of records", "repo/generations", NULL },
	{ "the bytes of the config", NULL, "repo" },
	{ "the names in the repository", "repo", NULL },
	{ "the bytes of the config's copy", NULL, "repo/keys" },
	{ "the name of the config's copy", "repo/keys", NULL },
	{ "the name of the repository", "", NULL },
};

/* With nothing else changed, is there a state that is wrong now? */
static bool
is_noticed(const struct story *s, const struct rule *rule, size_t cut)
{
	static const struct {
		enum trace_names names;
		enum trace_data data;
	} how[] = { { NAMES_KEPT, DATA_LOST }, { NAMES_LOST, DATA_KEPT } };

	for (size_t i = 0; i < 2; i++) {
		struct trace_cut c = { .calls = cut,
				       .names = how[i].names,
				       .data = how[i].data,
				       .seed = 1,
				       .idle_dir = rule->idle_dir,
				       .idle_files = rule->idle_files };

		if (!judge_state(s, &c, CACHE_GONE, NULL))
			return true;
	}
	return false;
}

static void
test_rules(const struct story *s)
{
	const size_t moments[] = { s->init.reported, s->gen[1].span.reported,
				   s->gen[2].span.reported,
				   s->forget.reported };
	char text[300];

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		bool noticed = false;

		for (size_t m = 0; m < 4 && !noticed; m++)
			noticed = is_noticed(s, &rules[i], moments[m]);
		snprintf(text, sizeof(text),
			 "without syncing %s it would be noticed",
			 rules[i].text);
		tap_say(noticed, text);
		if (noticed)
			printf("# %.200s\n", tap_complaint);
	}
}

/* --- the program ---------------------------------------------------------- */

int
main(void)
{
	unsigned wanted = tap_number("POWERCUT_STATES", DEFAULT_STATES);
	unsigned rounds = tap_number("POWERCUT_ROUNDS", 1);
	unsigned depth = tap_number("POWERCUT_DEPTH", 1);
	unsigned seed = tap_number("POWERCUT_SEED", (unsigned)time(NULL));
	struct story s;

	dice.state = (uint64_t)seed * 2 + 1;
	printf("# seed %u\n", seed);
	megabytes = tap_number("POWERCUT_MEGABYTES", 0);
	tap_keep = getenv("POWERCUT_KEEP") != NULL;
	tap_begin("powercut");
	signal(SIGSEGV, tap_stopped);
	signal(SIGBUS, tap_stopped);
	if (mkdir(tap_at("disk"), 0700) < 0)
		tap_give_up("no place for a disk");
	snprintf(repository, sizeof(repository), "%s/disk/repo", tap_top);
	make_source();
	tell_story(&s);
	tap_complaint[0] = '\0';
	if (trace_early_name(s.trace) != NULL)
		printf("# %s\n", trace_early_name(s.trace));
	tap_say(trace_early_name(s.trace) == NULL,
	       "nothing gets its name before its bytes are synced");
	test_story(&s, wanted, rounds);
	for (unsigned i = 1; i <= depth; i++)
		test_twice(&s, wanted, i);
	test_two(&s, wanted);
	test_rules(&s);
	story_clear(&s);
	return tap_end();
}
