/*
 * finder.c
 *
 * Directories wait on a list of paths, so that depth costs memory and no
 * descriptors; a directory's own directories are put there while it is listed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/requester/finder.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"
#include "src/engine/standin.h"
#include "src/writer/metadata.h"
#include "src/writer/wildcard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SCRATCH_LEN (32u << 10)

struct waiting {
	struct waiting *next;
	char path[];
};

struct find {
	const struct metadata_spec *spec;
	finder_fn fn;
	void *ctx;
	struct waiting *waiting;
	const struct standins *in;
	struct buf path; /* of the name at hand */
	size_t dir_len;  /* of it, the directory's with its slash */
	int fd;
	bool others;
	bool stopped;
	struct err missed; /* the first directory that cannot be listed */
	char scratch[SCRATCH_LEN];
};

static int
wait_for(struct find *f, const char *path, struct err *e)
{
	size_t len = strlen(path) + 1;
	struct waiting *w = mem_alloc(sizeof(*w) + len);

	if (w == NULL)
		return err_nomem(e);
	memcpy(w->path, path, len);
	w->next = f->waiting;
	f->waiting = w;
	return 0;
}

/* The type that the listing told, or the one that a stat tells; 0: gone. */
static mode_t
type_of(struct find *f, const struct src_dirent *d)
{
	struct statx st;

	if (d->type != DT_UNKNOWN)
		return DTTOIF(d->type);
	if (src_stat(f->fd, d->name, &st, NULL) < 0)
		return 0;
	return st.stx_mode & S_IFMT;
}

static int
on_name(void *ctx, const struct src_dirent *d, struct err *e)
{
	struct find *f = ctx;
	mode_t type = type_of(f, d);
	int rc;

	f->path.len = f->dir_len;
	buf_add(&f->path, d->name, d->name_len);
	if (buf_ok(&f->path, e) < 0)
		return -1;
	if (type == S_IFDIR && f->spec->recursive)
		return wait_for(f, buf_str(&f->path), e);
	if ((type != S_IFREG && (!f->others || type == S_IFDIR || type == 0)) ||
	    f->stopped ||
	    !wildcard_match(f->spec->pattern, d->name))
		return 0;
	rc = f->fn(f->ctx, buf_str(&f->path), e);
	f->stopped = rc == 1;
	return rc < 0 ? -1 : 0;
}

/* What that means: nothing, something is missing, or the end. */
static int
cannot_list(struct find *f, const char *dir, struct err *why, struct err *e)
{
	char shown[PATH_SHOW_LEN];

	if (why->kind != ERR_SOURCE) {
		err_move(e, why);
		return -1;
	}
	if (why->saved_errno != ENOENT && f->missed.kind == ERR_NONE)
		(void)err_set(&f->missed, ERR_SOURCE, "%s: %s",
			      path_show_in(shown, dir, strlen(dir)), why->text);
	err_clear(why);
	return 0;
}

/* No part of it may be a symlink, but where a snapshot has its place. */
static int
open_listed(const struct find *f, const char *dir, struct err *e)
{
	const struct standin *s = standin_at(f->in, dir);
	const char *rest = dir;
	int top;
	int fd;

	if (s == NULL)
		s = standin_above(f->in, dir);
	if (s != NULL)
		rest += strlen(s->source);
	while (*rest == '/')
		rest++;
	top = src_open(AT_FDCWD, s != NULL ? s->place : "/",
		       O_DIRECTORY | (*rest != '\0' ? O_PATH : 0), e);
	if (top < 0 || *rest == '\0')
		return top;
	fd = src_open_beneath(top, rest, O_DIRECTORY, e);
	src_close(top);
	return fd;
}

static int
list(struct find *f, const char *dir, struct err *e)
{
	struct err why = { 0 };
	int rc;

	f->fd = open_listed(f, dir, &why);
	if (f->fd < 0)
		return cannot_list(f, dir, &why, e);
	buf_reset(&f->path);
	buf_add_str(&f->path, dir);
	if (strcmp(dir, "/") != 0)
		buf_add_char(&f->path, '/');
	f->dir_len = f->path.len;
	do
		rc = src_list(f->fd, f->scratch, sizeof(f->scratch), on_name, f,
			      &why);
	while (rc == 1 && !f->stopped);
	src_close(f->fd);
	return rc < 0 ? cannot_list(f, dir, &why, e) : 0;
}

int
finder_each(const struct metadata_spec *spec, const struct standins *in,
	    bool others, finder_fn fn, void *ctx, struct err *e)
{
	struct find *f = mem_zalloc(sizeof(*f));
	struct waiting *w;
	int rc;

	if (f == NULL)
		return err_nomem(e);
	f->spec = spec;
	f->in = in;
	f->others = others;
	f->fn = fn;
	f->ctx = ctx;
	rc = wait_for(f, spec->dir, e);
	while (f->waiting != NULL) {
		w = f->waiting;
		f->waiting = w->next;
		if (rc == 0 && !f->stopped)
			rc = list(f, w->path, e);
		mem_free(w);
	}
	if (rc == 0 && f->stopped)
		rc = 1;
	if (rc == 0 && f->missed.kind != ERR_NONE)
		rc = -1;
	if (rc < 0)
		err_move(e, &f->missed);
	buf_clear(&f->path);
	mem_free(f);
	return rc;
}
