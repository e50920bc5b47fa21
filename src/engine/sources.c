#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/sources.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/src.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
skeleton_free(struct skeleton *s)
{
	/* As deep as a typed path has components: bounded by PATH_LEN_MAX. */
	struct skeleton *up = NULL;

	while (s != NULL) {
		if (s->children > 0) {
			struct skeleton *down = s->child[--s->children];

			/* The slot just emptied remembers the way up. */
			s->child[s->children] = up;
			up = s;
			s = down;
			continue;
		}
		mem_free(s->child);
		mem_free(s->name);
		mem_free(s);
		s = up;
		if (s != NULL)
			up = s->child[s->children];
	}
}

static struct skeleton *
skeleton_new(const char *name, size_t len)
{
	struct skeleton *s = mem_zalloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	s->name = mem_dup(name, len);
	if (s->name == NULL) {
		mem_free(s);
		return NULL;
	}
	return s;
}

/* The child of this name, made where there is none; NULL: no memory. */
static struct skeleton *
skeleton_child(struct skeleton *s, const char *name, size_t len)
{
	struct skeleton **grown, *c;
	size_t i;
	int cmp = 1;

	for (i = 0; i < s->children; i++) {
		const char *have = s->child[i]->name;
		size_t n = strlen(have);

		cmp = memcmp(have, name, n < len ? n : len);
		if (cmp == 0)
			cmp = (n > len) - (n < len);
		if (cmp >= 0)
			break;
	}
	if (i < s->children && cmp == 0)
		return s->child[i];
	grown = mem_resize(s->child, s->children + 1, sizeof(*grown));
	if (grown == NULL)
		return NULL;
	s->child = grown;
	c = skeleton_new(name, len);
	if (c == NULL)
		return NULL;
	memmove(s->child + i + 1, s->child + i,
		(s->children - i) * sizeof(*grown));
	s->child[i] = c;
	s->children++;
	return c;
}

static int
skeleton_add(struct skeleton *top, const char *path, struct err *e)
{
	struct skeleton *s = top;
	const char *name;
	size_t pos = 0, len;

	s->must = true;
	while (!s->source && path_next(path, &pos, &name, &len)) {
		s = skeleton_child(s, name, len);
		if (s == NULL)
			return err_nomem(e);
		s->must = true;
	}
	if (!s->source) {
		s->source = true;
		/* Sources beneath it that came earlier add nothing now. */
		for (size_t i = 0; i < s->children; i++)
			skeleton_free(s->child[i]);
		mem_free(s->child);
		s->child = NULL;
		s->children = 0;
	}
	return 0;
}

int
sources_add_extra(struct sources *all, const char *path, struct err *e)
{
	struct skeleton *s = all->top;
	const char *name;
	size_t pos = 0, len;

	while (!s->source && path_next(path, &pos, &name, &len)) {
		s = skeleton_child(s, name, len);
		if (s == NULL)
			return err_nomem(e);
	}
	s->extra = !s->source;
	return 0;
}

/* Follow a symlink in the last place, once. */
static int
follow(const char *path, struct buf *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct buf target = { 0 }, dir = { 0 };
	const char *slash = strrchr(path, '/');
	int rc = -1;

	buf_add(&dir, path, (size_t)(slash - path));
	buf_add_char(&dir, '/');
	if (src_readlink(AT_FDCWD, path, &target, e) < 0) {
		err_prefix(e, "%s", path_show_in(shown, path, strlen(path)));
		goto out;
	}
	(void)buf_str(&dir);
	(void)buf_str(&target);
	if (buf_ok(&dir, e) == 0 && buf_ok(&target, e) == 0)
		rc = path_absolute(buf_str(&dir), buf_str(&target), out, e);
out:
	buf_clear(&target);
	buf_clear(&dir);
	return rc;
}

/* A source that cannot be had is the person's mistake; no memory is not. */
static enum err_kind
kind_of(const struct err *why)
{
	return why->kind == ERR_NOMEM ? ERR_NOMEM : ERR_USAGE;
}

/* The directory part as the kernel sees it, whatever links lead there. */
static int
real_parent(const char *shown, struct buf *path, struct err *e)
{
	const char *slash;
	struct buf out = { 0 };
	char *dir, *real;
	int rc = -1;

	(void)buf_str(path);
	if (buf_ok(path, e) < 0)
		return -1;
	slash = strrchr(buf_str(path), '/');
	if (slash == buf_str(path))
		return 0;
	dir = mem_dup(path->data, (size_t)(slash - buf_str(path)));
	if (dir == NULL)
		return err_nomem(e);
	real = realpath(dir, NULL);
	if (real == NULL) {
		err_set(e, ERR_USAGE, "source %s: %s", shown, strerror(errno));
	} else {
		if (strcmp(real, "/") != 0)
			buf_add_str(&out, real);
		buf_add_str(&out, slash);
		rc = buf_ok(&out, e);
	}
	if (rc == 0) {
		buf_clear(path);
		*path = out;
	} else {
		buf_clear(&out);
	}
	free(real);
	mem_free(dir);
	return rc;
}

static int
resolve_one(const char *cwd, const char *typed, char **out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct buf path = { 0 }, real = { 0 };
	struct err why = { 0 };
	struct statx st;
	int rc = -1;

	path_show_in(shown, typed, strlen(typed));
	if (path_absolute(cwd, typed, &path, e) < 0 ||
	    real_parent(shown, &path, e) < 0)
		goto out;
	(void)buf_str(&path);
	if (buf_ok(&path, e) < 0)
		goto out;
	if (src_stat(AT_FDCWD, buf_str(&path), &st, &why) < 0) {
		err_set(e, kind_of(&why), "source %s: %s", shown, why.text);
		goto out;
	}
	if (S_ISLNK(st.stx_mode)) {
		if (follow(buf_str(&path), &real, e) < 0 ||
		    real_parent(shown, &real, e) < 0)
			goto out;
		(void)buf_str(&real);
		if (buf_ok(&real, e) < 0)
			goto out;
		if (src_stat(AT_FDCWD, buf_str(&real), &st, &why) < 0) {
			err_set(e, kind_of(&why),
				"source %s: where it points: %s", shown,
				why.text);
			goto out;
		}
	} else {
		buf_add(&real, path.data, path.len);
	}
	(void)buf_str(&real);
	if (buf_ok(&real, e) < 0)
		goto out;
	*out = mem_strdup(buf_str(&real));
	rc = *out == NULL ? err_nomem(e) : 0;
out:
	buf_clear(&path);
	buf_clear(&real);
	return rc;
}

int
sources_resolve(const char *const *typed, size_t count, struct sources *out,
		struct err *e)
{
	struct sources s = { 0 };
	char *cwd = NULL;

	if (count == 0)
		return err_set(e, ERR_USAGE, "nothing to back up was named");
	if (count > SOURCES_MAX)
		return err_set(e, ERR_USAGE, "more than %d sources",
			       SOURCES_MAX);
	cwd = getcwd(NULL, 0);
	s.typed = mem_array(count, sizeof(*s.typed));
	s.resolved = mem_array(count, sizeof(*s.resolved));
	s.top = skeleton_new("", 0);
	if (s.typed == NULL || s.resolved == NULL || s.top == NULL) {
		err_nomem(e);
		goto fail;
	}
	for (size_t i = 0; i < count; i++) {
		if (cwd == NULL && typed[i][0] != '/') {
			err_set(e, ERR_USAGE,
				"source %s: the working directory is gone",
				typed[i]);
			goto fail;
		}
		s.count = i + 1;
		s.typed[i] = mem_strdup(typed[i]);
		if (s.typed[i] == NULL) {
			err_nomem(e);
			goto fail;
		}
		if (resolve_one(cwd != NULL ? cwd : "/", typed[i],
				&s.resolved[i], e) < 0)
			goto fail;
		if (skeleton_add(s.top, s.resolved[i], e) < 0)
			goto fail;
	}
	free(cwd);
	*out = s;
	return 0;
fail:
	free(cwd);
	sources_clear(&s);
	return -1;
}

void
sources_clear(struct sources *s)
{
	for (size_t i = 0; i < s->count; i++) {
		mem_free(s->typed[i]);
		mem_free(s->resolved[i]);
	}
	mem_free(s->typed);
	mem_free(s->resolved);
	skeleton_free(s->top);
	memset(s, 0, sizeof(*s));
}
