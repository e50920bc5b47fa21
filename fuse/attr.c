/*
 * attr.c
 *
 * All of a stat is in the entry, the bytes in holes among it: however long a
 * file's map is, asking about the file does not touch it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/attr.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/path.h"
#include "base/time.h"
#include "fuse/fs.h"
#include "store/id.h"

#include <inttypes.h>
#include <string.h>
#include <sys/sysmacros.h>

#define BLOCK_LEN 512

/* A directory's size is nobody's business; this is what others show. */
#define DIR_SIZE_UNIT 4096
#define DIR_ENTRY_LEN 32

#define FACT_PREFIX "user.asof."

/* --- stat ----------------------------------------------------------------- */

off_t
attr_dir_size(uint64_t entries)
{
	uint64_t units = entries / (DIR_SIZE_UNIT / DIR_ENTRY_LEN) + 1;

	return (off_t)(units * DIR_SIZE_UNIT);
}

static struct timespec
timespec_of(struct ts t)
{
	return (struct timespec){ .tv_sec = t.sec, .tv_nsec = t.nsec };
}

/* Bytes of a file that are not in holes. */
static uint64_t
data_bytes(const struct entry *en)
{
	if ((en->flags & ENTRY_UNREADABLE) != 0)
		return 0;
	return en->size - en->content.holes;
}

int
attr_stat(struct view_gen *g, const struct node *n, struct stat *out,
	  struct err *e)
{
	const struct entry *en = &n->entry;
	uint64_t links;
	uint64_t data;

	if (view_nlink(g, n, &links, e) < 0)
		return -1;
	memset(out, 0, sizeof(*out));
	out->st_ino = n->ino;
	out->st_mode = entry_type_mode(en->type) | en->mode;
	out->st_nlink = links;
	out->st_uid = en->uid;
	out->st_gid = en->gid;
	out->st_mtim = timespec_of(en->mtime);
	out->st_ctim = timespec_of(en->ctime);
	out->st_atim = timespec_of(en->atime);
	switch (en->type) {
	case ENTRY_FILE:
		data = data_bytes(en);
		out->st_size = (off_t)en->size;
		out->st_blocks =
			(blkcnt_t)(data / BLOCK_LEN + (data % BLOCK_LEN != 0));
		break;
	case ENTRY_DIR:
		out->st_size = attr_dir_size(en->dir.entries);
		break;
	case ENTRY_SYMLINK:
		out->st_size = (off_t)en->target_len;
		break;
	case ENTRY_CHAR:
	case ENTRY_BLOCK:
		out->st_rdev = makedev(en->major, en->minor);
		break;
	default:
		break;
	}
	return 0;
}

int
attr_fill(struct view_gen *g, const struct node *n, struct attr *out,
	  struct err *e)
{
	const struct entry *en = &n->entry;

	if (attr_stat(g, n, &out->stat, e) < 0)
		return -1;
	out->birth = timespec_of(en->btime);
	out->has_birth = (en->flags & ENTRY_BTIME) != 0;
	out->timeout = FS_FOR_EVER;
	return 0;
}

/* --- xattrs --------------------------------------------------------------- */

static bool
is_trusted(const struct xattr *x)
{
	static const char word[] = "trusted.";
	const size_t len = sizeof(word) - 1;

	return x->name_len > len && memcmp(x->name, word, len) == 0;
}

void
attr_xattr_names(const struct entry *en, bool privileged, struct buf *out)
{
	struct rd r = xattr_first(en);
	struct xattr x;

	while (xattr_next(&r, &x)) {
		if (!privileged && is_trusted(&x))
			continue;
		buf_add(out, x.name, x.name_len);
		buf_add_char(out, '\0');
	}
}

/* --- facts ---------------------------------------------------------------- */

static void
put_time(struct buf *out, struct ts t)
{
	char text[TIME_TEXT_LEN];

	buf_add_str(out, time_text(text, t, false));
}

static void
put_id(struct buf *out, const uint8_t id[16])
{
	hex_add(out, id, 16);
}

/* Lists are one line each; names and paths in them are for people. */
static void
put_text(struct buf *out, const char *text)
{
	path_show(out, text, strlen(text));
}

static void
put_bases(struct buf *out, const struct record *r)
{
	size_t i;

	for (i = 0; i < r->base_count; i++)
		buf_printf(out, "%s%" PRIu32, i > 0 ? " " : "",
			   r->base[i].number);
}

static void
put_base_ids(struct buf *out, const struct record *r)
{
	size_t i;

	for (i = 0; i < r->base_count; i++) {
		if (i > 0)
			buf_add_char(out, ' ');
		put_id(out, r->base[i].id);
	}
}

static void
put_sources(struct buf *out, const struct record *r)
{
	size_t i;

	for (i = 0; i < r->source_count; i++) {
		put_text(out, r->source[i].resolved);
		buf_add_char(out, '\n');
	}
}

static void
put_excludes(struct buf *out, const struct record *r)
{
	size_t i;

	for (i = 0; i < r->exclude_count; i++) {
		put_text(out, r->exclude[i]);
		buf_add_char(out, '\n');
	}
}

/* "ID TYPE MOUNTPOINT" */
static void
put_file_systems(struct buf *out, const struct record *r)
{
	size_t i;

	for (i = 0; i < r->fs_count; i++) {
		put_text(out, r->fs[i].id);
		buf_printf(out, " 0x%" PRIx64 " ", r->fs[i].type);
		put_text(out, r->fs[i].mount_point);
		buf_add_char(out, '\n');
	}
}

/* "ID NAME" */
static void
put_names(struct buf *out, const struct record_name *v, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		buf_printf(out, "%" PRIu32 " ", v[i].id);
		put_text(out, v[i].name);
		buf_add_char(out, '\n');
	}
}

/* What is there only for some generations: 1 when it is not for this one. */
static int
put_list(const struct record *r, const char *name, struct buf *out)
{
	size_t before = out->len;

	if (strcmp(name, "base") == 0)
		put_bases(out, r);
	else if (strcmp(name, "base_id") == 0)
		put_base_ids(out, r);
	else if (strcmp(name, "sources") == 0)
		put_sources(out, r);
	else if (strcmp(name, "excludes") == 0)
		put_excludes(out, r);
	else if (strcmp(name, "file_systems") == 0)
		put_file_systems(out, r);
	else if (strcmp(name, "users") == 0)
		put_names(out, r->user, r->user_count);
	else if (strcmp(name, "groups") == 0)
		put_names(out, r->group, r->group_count);
	return out->len > before || out->failed ? 0 : 1;
}

struct number_fact {
	const char *name;
	uint64_t value;
};

static int
put_number(const struct record *r, const char *name, struct buf *out)
{
	const struct number_fact facts[] = {
		{ "number", r->number },
		{ "entries", r->counts.entries },
		{ "inodes", r->counts.inodes },
		{ "bytes", r->counts.bytes },
		{ "files_read", r->counts.files_read },
		{ "bytes_read", r->counts.bytes_read },
		{ "bytes_stored", r->counts.bytes_stored },
		{ "chunks_new", r->counts.chunks_new },
		{ "xattrs", r->counts.xattrs },
		{ "errors", r->counts.errors },
		{ "links", r->link_count },
		{ "exceptions", r->exception_count },
		{ "incrementals", r->incrementals },
		{ "differentials", r->differentials },
	};
	size_t i;

	for (i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		if (strcmp(facts[i].name, name) != 0)
			continue;
		buf_printf(out, "%" PRIu64, facts[i].value);
		return 0;
	}
	return 1;
}

static const char *
find_text(const struct record *r, const char *name)
{
	const struct {
		const char *name, *value;
	} facts[] = {
		{ "type", generation_type_name(r->session_type) },
		{ "effective_type", generation_type_name(r->effective_type) },
		{ "set", r->set },
		{ "host", r->host },
		{ "machine", r->machine },
		{ "tool", r->tool },
		{ "comment", r->comment },
	};
	size_t i;

	for (i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (strcmp(facts[i].name, name) == 0)
			return facts[i].value;
	return NULL;
}

int
attr_fact(const struct record *r, const char *name, struct buf *out)
{
	const size_t len = sizeof(FACT_PREFIX) - 1;
	const char *text;

	if (strncmp(name, FACT_PREFIX, len) != 0)
		return 1;
	name += len;
	text = find_text(r, name);
	if (text != NULL)
		buf_add_str(out, text);
	else if (strcmp(name, "time") == 0)
		put_time(out, r->instant);
	else if (strcmp(name, "start") == 0)
		put_time(out, r->start);
	else if (strcmp(name, "end") == 0)
		put_time(out, r->end);
	else if (strcmp(name, "id") == 0)
		put_id(out, r->id);
	else if (strcmp(name, "set_id") == 0)
		put_id(out, r->set_id);
	else if (strcmp(name, "repository") == 0)
		put_id(out, r->repository_id);
	else if (put_number(r, name, out) != 0)
		return put_list(r, name, out);
	return 0;
}
