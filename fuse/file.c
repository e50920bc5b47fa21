/*
 * file.c
 *
 * A reader at rest keeps its place in the map and lets go of its chunk, whose
 * decoded frame the store has in its cache anyway: frames are up to 16 MiB,
 * and what is pinned is beyond the store's limit.
 *
 * Several threads may read one file; each takes a reader of its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/file.h"

#include "base/err.h"
#include "base/mem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>

#define FILES_MAX 32 /* at rest */

struct files {
	struct inodes *inodes;
	pthread_mutex_t lock;         /* guards all below */
	struct file *rest[FILES_MAX]; /* NULL: a free place */
	uint64_t clock;
};

static void
free_file(struct files *f, struct file *file)
{
	if (file == NULL)
		return;
	file_reader_clear(&file->reader);
	inodes_put(f->inodes, file->inode);
	mem_free(file);
}

int
files_new(struct inodes *t, struct files **out, struct err *e)
{
	struct files *f = mem_zalloc(sizeof(*f));

	if (f == NULL)
		return err_nomem(e);
	f->inodes = t;
	(void)pthread_mutex_init(&f->lock, NULL);
	*out = f;
	return 0;
}

void
files_free(struct files *f)
{
	size_t i;

	if (f == NULL)
		return;
	for (i = 0; i < FILES_MAX; i++)
		free_file(f, f->rest[i]);
	(void)pthread_mutex_destroy(&f->lock);
	mem_free(f);
}

/* --- taking --------------------------------------------------------------- */

/* Does `a` suit better than `b`?  Both are of the same file. */
static bool
is_better(const struct file *a, const struct file *b, uint64_t offset)
{
	if ((a->next == offset) != (b->next == offset))
		return a->next == offset;
	return a->used > b->used;
}

static struct file *
take_rested(struct files *f, uint64_t ino, uint64_t offset)
{
	struct file **best = NULL;
	struct file *file = NULL;
	size_t i;

	(void)pthread_mutex_lock(&f->lock);
	for (i = 0; i < FILES_MAX; i++) {
		struct file **p = &f->rest[i];

		if (*p == NULL || (*p)->inode->ino != ino)
			continue;
		if (best == NULL || is_better(*p, *best, offset))
			best = p;
	}
	if (best != NULL) {
		file = *best;
		*best = NULL;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return file;
}

static int
open_file(struct files *f, uint64_t ino, struct file **out, struct err *e)
{
	struct file *file = mem_zalloc(sizeof(*file));
	const struct entry *en;
	int rc;

	if (file == NULL)
		return err_nomem(e);
	rc = inodes_get(f->inodes, ino, &file->inode, e);
	if (rc != 0)
		goto fail;
	rc = -1;
	en = &file->inode->node.entry;
	if (en->type != ENTRY_FILE) {
		err_set(e, ERR_USAGE, "is not a file");
		goto fail;
	}
	if ((en->flags & ENTRY_UNREADABLE) != 0) {
		err_set(e, ERR_USAGE,
			"could not be read when it was backed "
			"up; its content is not there");
		goto fail;
	}
	if (file_reader_init(&file->reader, file->inode->gen->reader,
			     &en->content, en->size, e) < 0)
		goto fail;
	*out = file;
	return 0;
fail:
	free_file(f, file);
	return rc;
}

int
files_take(struct files *f, uint64_t ino, uint64_t offset, struct file **out,
	   struct err *e)
{
	struct file *file = take_rested(f, ino, offset);

	if (file == NULL)
		return open_file(f, ino, out, e);
	*out = file;
	return 0;
}

/* --- giving back ---------------------------------------------------------- */

/* With the lock held: a free place, or that of the one used longest ago. */
static struct file **
place_to_rest(struct files *f)
{
	struct file **best = &f->rest[0];
	size_t i;

	for (i = 0; i < FILES_MAX; i++) {
		struct file **p = &f->rest[i];

		if (*p == NULL)
			return p;
		if ((*p)->used < (*best)->used)
			best = p;
	}
	return best;
}

void
files_give(struct files *f, struct file *file)
{
	struct file **place;
	struct file *drop;

	if (file == NULL)
		return;
	chunk_release(file->reader.chunks, &file->reader.chunk);
	(void)pthread_mutex_lock(&f->lock);
	file->used = ++f->clock;
	place = place_to_rest(f);
	drop = *place;
	*place = file;
	(void)pthread_mutex_unlock(&f->lock);
	free_file(f, drop);
}

void
files_drop(struct files *f, uint32_t number)
{
	struct file *drop[FILES_MAX] = { 0 };
	size_t i;

	(void)pthread_mutex_lock(&f->lock);
	for (i = 0; i < FILES_MAX; i++) {
		if (f->rest[i] == NULL ||
		    f->rest[i]->inode->gen->number != number)
			continue;
		drop[i] = f->rest[i];
		f->rest[i] = NULL;
	}
	(void)pthread_mutex_unlock(&f->lock);
	for (i = 0; i < FILES_MAX; i++)
		free_file(f, drop[i]);
}
