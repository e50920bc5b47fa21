/*
 * snapshot.c
 *
 * The provider `command`.  A program is told on its standard input what to do it
 * with, and says on its standard output what came of it; both are lines, so that
 * a shell script can be one.  Nothing that it says is believed: each place must
 * be of a directory that was asked for, absolute, and there.
 *
 * What it printed goes back to it for `destroy` as it was, refused lines
 * included: a place that is no good to us may still have to be taken away.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/snapshot/snapshot.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/snapshot/program.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Taking away what is large takes time, and nobody is frozen then. */
#define DESTROY_S 600

struct dir {
	char *source;
	char *place; /* NULL: not yet */
};

struct snapshot {
	char *program;
	struct dir *dir;
	size_t dirs;
	bool promised; /* atomic */
	bool begun;
	struct buf made; /* whole lines that `create` printed */
};

int
snapshot_new(const char *text, struct snapshot **out, struct err *e)
{
	static const char command[] = "command:";
	const char *program = text + sizeof(command) - 1;
	struct snapshot *s;

	if (strncmp(text, command, sizeof(command) - 1) != 0)
		return err_set(e, ERR_USAGE,
			       "%s: not a snapshot provider (there is "
			       "command:PROGRAM)",
			       text);
	if (program[0] != '/')
		return err_set(e, ERR_USAGE,
			       "the program of a snapshot is named by an "
			       "absolute path, and \"%s\" is none",
			       program);
	s = mem_zalloc(sizeof(*s));
	if (s == NULL)
		return err_nomem(e);
	s->program = mem_strdup(program);
	if (s->program == NULL) {
		mem_free(s);
		return err_nomem(e);
	}
	*out = s;
	return 0;
}

void
snapshot_free(struct snapshot *s)
{
	size_t i;

	if (s == NULL)
		return;
	for (i = 0; i < s->dirs; i++) {
		mem_free(s->dir[i].source);
		mem_free(s->dir[i].place);
	}
	mem_free(s->dir);
	mem_free(s->program);
	buf_clear(&s->made);
	mem_free(s);
}

const char *
snapshot_provider(const struct snapshot *s)
{
	(void)s;
	return "command";
}

static struct dir *
find_dir(struct snapshot *s, const char *source, size_t len)
{
	size_t i;

	for (i = 0; i < s->dirs; i++)
		if (strlen(s->dir[i].source) == len &&
		    memcmp(s->dir[i].source, source, len) == 0)
			return &s->dir[i];
	return NULL;
}

int
snapshot_add(struct snapshot *s, const char *dir, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct dir *more;

	if (find_dir(s, dir, strlen(dir)) != NULL)
		return 0;
	if (strpbrk(dir, "\t\n") != NULL)
		return err_set(e, ERR_USAGE,
			       "%s: its name cannot be said to a snapshot "
			       "provider",
			       path_show_in(shown, dir, strlen(dir)));
	more = mem_resize(s->dir, s->dirs + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	s->dir = more;
	more[s->dirs] = (struct dir){ .source = mem_strdup(dir) };
	if (more[s->dirs].source == NULL)
		return err_nomem(e);
	s->dirs++;
	return 0;
}

size_t
snapshot_count(const struct snapshot *s)
{
	return s->dirs;
}

const char *
snapshot_source(const struct snapshot *s, size_t i)
{
	return s->dir[i].source;
}

const char *
snapshot_place(const struct snapshot *s, size_t i)
{
	return s->dir[i].place;
}

/* --- making ------------------------------------------------------------------ */

static int
list_sources(const struct snapshot *s, struct buf *out, struct err *e)
{
	size_t i;

	for (i = 0; i < s->dirs; i++) {
		buf_add_str(out, s->dir[i].source);
		buf_add_char(out, '\n');
	}
	return buf_ok(out, e);
}

static int
run(struct snapshot *s, const char *verb, const struct buf *in,
    unsigned seconds, const atomic_int *cancel, struct buf *out,
    struct err *e)
{
	const struct program p = {
		.path = s->program,
		.verb = verb,
		.in = in,
		.seconds = seconds,
		.cancel = cancel,
	};

	return program_run(&p, out, e);
}

/* The next whole line, without its newline; NULL at the end. */
static const char *
next_line(const struct buf *b, size_t *pos, size_t *len)
{
	const char *line = (const char *)b->data + *pos;
	const char *end;

	if (b->len == *pos)
		return NULL;
	end = memchr(line, '\n', b->len - *pos);
	if (end == NULL)
		return NULL;
	*len = (size_t)(end - line);
	*pos += *len + 1;
	return line;
}

static bool
is_atomic(const char *line, size_t len)
{
	return len == 6 && memcmp(line, "atomic", len) == 0;
}

int
snapshot_promise(struct snapshot *s, unsigned seconds,
		 const atomic_int *cancel, bool *atomic, struct err *e)
{
	struct buf in = { 0 };
	struct buf out = { 0 };
	struct err why = { 0 };
	const char *line;
	size_t pos = 0;
	size_t len;
	int rc = -1;

	if (list_sources(s, &in, e) < 0)
		goto out;
	s->promised = false;
	/* A program that does not know the question has promised nothing. */
	rc = run(s, "prepare", &in, seconds, cancel, &out, &why);
	while (rc == 0 && (line = next_line(&out, &pos, &len)) != NULL)
		s->promised = s->promised || is_atomic(line, len);
	if (rc < 0 && why.kind == ERR_SOURCE)
		rc = 0;
	if (rc < 0)
		err_move(e, &why);
	else
		*atomic = s->promised;
out:
	buf_clear(&in);
	buf_clear(&out);
	return rc;
}

/* Why this cannot be where a directory is read; NULL when it can. */
static const char *
place_fault(const char *place)
{
	struct buf normal = { 0 };
	struct err why = { 0 };
	const char *fault = NULL;
	int root = -1;
	int fd = -1;

	if (place[0] != '/')
		return "it is no absolute path";
	if (path_absolute("/", place, &normal, NULL) < 0 ||
	    strcmp(buf_str(&normal), place) != 0 || place[1] == '\0')
		fault = "it is no path in its plain form";
	else if ((root = src_open(AT_FDCWD, "/", O_DIRECTORY | O_PATH, NULL)) <
			 0 ||
		 (fd = src_open_beneath(root, place + 1, O_DIRECTORY | O_PATH,
					&why)) < 0)
		fault = why.saved_errno == ENOTDIR ? "it is no directory" :
			why.saved_errno == ELOOP   ? "a symbolic link is in it" :
						     "it cannot be looked at";
	src_close(fd);
	src_close(root);
	buf_clear(&normal);
	return fault;
}

static int
take_line(struct snapshot *s, const char *line, size_t len, struct err *e)
{
	const char *tab = memchr(line, '\t', len);
	char shown[PATH_SHOW_LEN];
	const char *fault;
	struct dir *d;

	if (tab == NULL || memchr(line, '\0', len) != NULL)
		return err_set(e, ERR_SOURCE,
			       "%s create: it said \"%s\", which is not "
			       "SOURCE, a tab and PATH",
			       s->program, path_show_in(shown, line, len));
	d = find_dir(s, line, (size_t)(tab - line));
	if (d == NULL || d->place != NULL)
		return err_set(e, ERR_SOURCE,
			       "%s create: it said where %s is, %s",
			       s->program,
			       path_show_in(shown, line, (size_t)(tab - line)),
			       d == NULL ? "which was not asked for" :
					   "twice");
	d->place = mem_dup(tab + 1, len - (size_t)(tab + 1 - line));
	if (d->place == NULL)
		return err_nomem(e);
	fault = place_fault(d->place);
	if (fault == NULL)
		return 0;
	return err_set(e, ERR_SOURCE,
		       "%s create: it said \"%s\" is where to read: %s",
		       s->program,
		       path_show_in(shown, d->place, strlen(d->place)), fault);
}

/* All of what was said, and all of what had to be. */
static int
take_lines(struct snapshot *s, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *line;
	bool atomic = false;
	size_t pos = 0;
	size_t len;
	size_t i;

	while ((line = next_line(&s->made, &pos, &len)) != NULL) {
		if (is_atomic(line, len))
			atomic = true;
		else if (take_line(s, line, len, e) < 0)
			return -1;
	}
	for (i = 0; i < s->dirs; i++)
		if (s->dir[i].place == NULL)
			return err_set(e, ERR_SOURCE,
				       "%s create: it did not say where %s is",
				       s->program,
				       path_show_in(shown, s->dir[i].source,
						    strlen(s->dir[i].source)));
	if (s->promised && !atomic)
		return err_set(e, ERR_SOURCE,
			       "%s create: it had promised one moment for all, "
			       "and did not confirm it",
			       s->program);
	return 0;
}

int
snapshot_create(struct snapshot *s, unsigned seconds,
		const atomic_int *cancel, struct err *e)
{
	struct buf in = { 0 };
	size_t whole;
	int rc;

	if (s->begun)
		return err_set(e, ERR_USAGE, "there is a snapshot already");
	rc = list_sources(s, &in, e);
	if (rc == 0) {
		s->begun = true;
		rc = run(s, "create", &in, seconds, cancel, &s->made, e);
	}
	buf_clear(&in);
	/* Half a line names nothing that could be taken away. */
	for (whole = s->made.len; whole > 0; whole--)
		if (s->made.data[whole - 1] == '\n')
			break;
	if (rc == 0 && whole < s->made.len)
		rc = err_set(e, ERR_SOURCE,
			     "%s create: its last line has no end", s->program);
	s->made.len = whole;
	return rc < 0 ? -1 : take_lines(s, e);
}

int
snapshot_destroy(struct snapshot *s, struct err *e)
{
	struct buf out = { 0 };
	int rc;

	if (!s->begun)
		return 0;
	s->begun = false;
	rc = run(s, "destroy", &s->made, DESTROY_S, NULL, &out, e);
	buf_clear(&out);
	return rc;
}
