#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "tests/lib/shot.h"

#include "store/id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_LEN 600

static void
give_up(const char *path)
{
	printf("Bail out! %s: %s\n", path, strerror(errno));
	exit(1);
}

void
shot_add(struct shot *s, const char *path, bool dir, const void *p, size_t len)
{
	struct shot_file *f;

	/* Grown when the count is a power of two. */
	if ((s->count & (s->count - 1)) == 0)
		s->file = realloc(s->file, (s->count * 2 + 1) * sizeof(*f));
	if (s->file == NULL)
		give_up(path);
	f = &s->file[s->count++];
	f->path = strdup(path);
	f->dir = dir;
	f->len = len;
	f->p = malloc(len + 1);
	if (f->path == NULL || f->p == NULL)
		give_up(path);
	if (len > 0)
		memcpy(f->p, p, len);
}

void
shot_clear(struct shot *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->file[i].path);
		free(s->file[i].p);
	}
	free(s->file);
	memset(s, 0, sizeof(*s));
}

/* --- taking --------------------------------------------------------------- */

static void
take_file(struct shot *s, const char *top, const char *path)
{
	char full[2 * PATH_LEN];
	struct stat st;
	uint8_t *p;
	ssize_t n;
	int fd;

	snprintf(full, sizeof(full), "%s/%s", top, path);
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return; /* a cache is in use while it is taken */
	if (fd < 0 || fstat(fd, &st) < 0)
		give_up(full);
	p = malloc((size_t)st.st_size + 1);
	n = p == NULL ? -1 : pread(fd, p, (size_t)st.st_size, 0);
	if (n < 0)
		give_up(full);
	shot_add(s, path, false, p, (size_t)n);
	free(p);
	close(fd);
}

static void
take_dir(struct shot *s, const char *top, const char *path)
{
	char below[PATH_LEN];
	const struct dirent *de;
	DIR *d;

	snprintf(below, sizeof(below), "%s/%s", top, path);
	d = opendir(below);
	if (d == NULL && errno == ENOENT)
		return;
	if (d == NULL)
		give_up(below);
	while ((de = readdir(d)) != NULL) {
		if (strcmp(de->d_name, ".") == 0 ||
		    strcmp(de->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s%s%s", path,
			 path[0] != '\0' ? "/" : "", de->d_name);
		if (de->d_type != DT_DIR) {
			take_file(s, top, below);
			continue;
		}
		shot_add(s, below, true, NULL, 0);
		take_dir(s, top, below);
	}
	closedir(d);
}

void
shot_take(struct shot *s, const char *top)
{
	memset(s, 0, sizeof(*s));
	take_dir(s, top, "");
}

/* --- putting back --------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
shot_remove(const char *top)
{
	if (nftw(top, remove_one, 32, FTW_DEPTH | FTW_PHYS) < 0 &&
	    errno != ENOENT)
		give_up(top);
}

static void
put_one(const struct shot_file *f, const char *path)
{
	int fd;

	if (f->dir) {
		if (mkdir(path, 0700) < 0)
			give_up(path);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, f->p, f->len) != (ssize_t)f->len)
		give_up(path);
	close(fd);
}

void
shot_put(const struct shot *s, const char *top)
{
	char path[2 * PATH_LEN];

	shot_remove(top);
	if (mkdir(top, 0700) < 0)
		give_up(top);
	for (size_t i = 0; i < s->count; i++) {
		snprintf(path, sizeof(path), "%s/%s", top, s->file[i].path);
		put_one(&s->file[i], path);
	}
}

/* --- what may have become of it ------------------------------------------- */

static const struct shot_file *
find(const struct shot *s, const char *path)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->file[i].path, path) == 0)
			return &s->file[i];
	return NULL;
}

void
shot_mix(const struct shot *a, const struct shot *b, struct rng *r,
	 struct shot *out)
{
	const struct shot_file *f, *other;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < a->count; i++) {
		f = &a->file[i];
		other = find(b, f->path);
		if (other != NULL && rng_below(r, 2) == 0)
			f = other;
		shot_add(out, f->path, f->dir, f->p, f->len);
	}
}

static void
spoil_file(struct shot_file *f, struct rng *r)
{
	size_t at = (size_t)rng_below(r, f->len);
	size_t n = (size_t)rng_below(r, f->len - at) + 1;

	switch (rng_below(r, 5)) {
	case 0: /* a bit */
		f->p[at] ^= (uint8_t)(1u << rng_below(r, 8));
		break;
	case 1: /* a page that was never written */
		at -= at % 4096;
		n = f->len - at < 4096 ? f->len - at : 4096;
		memset(f->p + at, 0, n);
		break;
	case 2: /* a tail that was never written */
		memset(f->p + at, 0, f->len - at);
		break;
	case 3:
		f->len = at;
		break;
	default: /* a page of somebody else's */
		rng_fill(r, f->p + at, n < 4096 ? n : 4096);
		break;
	}
}

void
shot_spoil(struct shot *s, struct rng *r)
{
	size_t hits = (size_t)rng_below(r, 4) + 1;
	struct shot_file *f;

	for (size_t i = 0; s->count > 0 && i < hits; i++) {
		f = &s->file[rng_below(r, s->count)];
		if (!f->dir && f->len > 0)
			spoil_file(f, r);
	}
}

/* --- comparing ------------------------------------------------------------ */

static uint64_t
mixed(uint64_t sum, const void *p, size_t len)
{
	uint64_t hash;

	hash_plain(p, len, &hash, sizeof(hash));
	return (sum ^ hash) * UINT64_C(0x9e3779b97f4a7c15) + len;
}

uint64_t
shot_digest(const struct shot *s)
{
	uint64_t sum = 1;

	for (size_t i = 0; i < s->count; i++) {
		const struct shot_file *f = &s->file[i];

		sum = mixed(sum, f->path, strlen(f->path) + 1);
		sum = mixed(sum, f->p, f->len);
	}
	return sum;
}
