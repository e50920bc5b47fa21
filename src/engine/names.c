/*
 * names.c
 *
 * A name that cannot be found, for whatever reason, is left out: the number
 * is stored anyway and says who owns the file, and a directory server that
 * is down must not stop a backup.  Only a lack of memory is a failure.
 *
 * The set of ids is an open hash table in one array: slot values are id + 1,
 * 0 is free.  The id 2^32-1 has no slot and needs none, because it means
 * "no user" to the kernel and has no name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "src/engine/names.h"

#include "base/err.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- host and machine ---------------------------------------------------- */

#define MACHINE_ID_FILE "/etc/machine-id"
#define MACHINE_ID_LEN  32

/* Linux has 64; POSIX promises no more than 255. */
#define HOST_LEN_MAX 255

int
names_host(struct buf *out, struct err *e)
{
	char name[HOST_LEN_MAX + 1];

	if (gethostname(name, sizeof(name)) < 0)
		return err_sys(e, "cannot get this host's name");
	name[HOST_LEN_MAX] = '\0';
	buf_add_str(out, name[0] != '\0' ? name : "localhost");
	return buf_ok(out, e);
}

/* machine-id(5): 32 lower-case hexadecimal digits and a newline. */
static bool
machine_id_ok(const char *s, size_t len)
{
	size_t i;

	if (len != MACHINE_ID_LEN &&
	    !(len > MACHINE_ID_LEN && s[MACHINE_ID_LEN] == '\n'))
		return false;
	for (i = 0; i < MACHINE_ID_LEN; i++)
		if (!isxdigit((unsigned char)s[i]) ||
		    isupper((unsigned char)s[i]))
			return false;
	return true;
}

int
names_machine(struct buf *out, struct err *e)
{
	char text[MACHINE_ID_LEN + 1];
	size_t len = 0;
	FILE *f = fopen(MACHINE_ID_FILE, "re");

	if (f != NULL) {
		len = fread(text, 1, sizeof(text), f);
		(void)fclose(f);
	}
	/* Not there, or "uninitialized" as in an image's first boot. */
	if (!machine_id_ok(text, len))
		return names_host(out, e);
	buf_add(out, text, MACHINE_ID_LEN);
	return buf_ok(out, e);
}

/* --- a set of ids -------------------------------------------------------- */

#define ID_NONE    UINT32_MAX
#define ID_SET_MIN 64 /* slots; a power of two, as all sizes are */

/* Where this slot value is, or belongs; there is always a free slot. */
static size_t
slot_place(const uint32_t *slots, size_t cap, uint32_t slot)
{
	/*
	 * The upper half of a product depends on all bits: ids of containers
	 * often differ in their high bits only.
	 */
	uint64_t h = slot * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	size_t i = (size_t)h & (cap - 1);

	while (slots[i] != 0 && slots[i] != slot)
		i = (i + 1) & (cap - 1);
	return i;
}

static int
grow(struct id_set *s, struct err *e)
{
	size_t cap = s->cap > 0 ? s->cap * 2 : ID_SET_MIN;
	uint32_t *v = mem_array(cap, sizeof(*v));
	size_t i;

	if (v == NULL)
		return err_nomem(e);
	for (i = 0; i < s->cap; i++)
		if (s->v[i] != 0)
			v[slot_place(v, cap, s->v[i])] = s->v[i];
	mem_free(s->v);
	s->v = v;
	s->cap = cap;
	return 0;
}

int
id_set_add(struct id_set *s, uint32_t v, struct err *e)
{
	size_t i;

	if (v == ID_NONE || (s->count > 0 && v == s->last))
		return 0;
	if (s->count >= s->cap / 2 && grow(s, e) < 0)
		return -1;
	s->last = v;
	i = slot_place(s->v, s->cap, v + 1);
	if (s->v[i] == 0) {
		s->v[i] = v + 1;
		s->count++;
	}
	return 0;
}

void
id_set_clear(struct id_set *s)
{
	mem_free(s->v);
	memset(s, 0, sizeof(*s));
}

static int
compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The ids, ascending, as an array of s->count > 0. */
static int
sorted_ids(const struct id_set *s, uint32_t **out, struct err *e)
{
	uint32_t *ids = mem_array(s->count, sizeof(*ids));
	size_t n = 0;
	size_t i;

	if (ids == NULL)
		return err_nomem(e);
	for (i = 0; i < s->cap; i++)
		if (s->v[i] != 0)
			ids[n++] = s->v[i] - 1;
	qsort(ids, n, sizeof(*ids), compare_ids);
	*out = ids;
	return 0;
}

/* --- the system's databases ---------------------------------------------- */

/* getpwnam_r(3) and its sisters write strings here; a large group is large. */
#define SCRATCH_MIN 1024
#define SCRATCH_MAX (16u << 20)

/* Longer names are not login names of any system, and are left out. */
#define NAME_MAX_LEN 255

/*
 * One call of the family: `key` is a name or an id.  0 found, and *id or
 * *name (in `scratch`) set; 1 not found or not to be had; else ERANGE, EINTR
 * or ENOMEM, as the call gave them.
 */
typedef int (*look_fn)(const void *key, struct buf *scratch, uint32_t *id,
		       const char **name);

static int
judge(int error, bool found)
{
	if (error == ERANGE || error == EINTR || error == ENOMEM)
		return error;
	return error == 0 && found ? 0 : 1;
}

static int
look_user_id(const void *key, struct buf *scratch, uint32_t *id,
	     const char **name)
{
	struct passwd pw;
	struct passwd *found = NULL;
	int rc = getpwuid_r(*(const uint32_t *)key, &pw, (char *)scratch->data,
			    scratch->cap, &found);

	rc = judge(rc, found != NULL);
	if (rc == 0) {
		*id = pw.pw_uid;
		*name = pw.pw_name;
	}
	return rc;
}

static int
look_group_id(const void *key, struct buf *scratch, uint32_t *id,
	      const char **name)
{
	struct group gr;
	struct group *found = NULL;
	int rc = getgrgid_r(*(const uint32_t *)key, &gr, (char *)scratch->data,
			    scratch->cap, &found);

	rc = judge(rc, found != NULL);
	if (rc == 0) {
		*id = gr.gr_gid;
		*name = gr.gr_name;
	}
	return rc;
}

static int
look_user_name(const void *key, struct buf *scratch, uint32_t *id,
	       const char **name)
{
	struct passwd pw;
	struct passwd *found = NULL;
	int rc = getpwnam_r(key, &pw, (char *)scratch->data, scratch->cap,
			    &found);

	rc = judge(rc, found != NULL);
	if (rc == 0) {
		*id = pw.pw_uid;
		*name = pw.pw_name;
	}
	return rc;
}

static int
look_group_name(const void *key, struct buf *scratch, uint32_t *id,
		const char **name)
{
	struct group gr;
	struct group *found = NULL;
	int rc = getgrnam_r(key, &gr, (char *)scratch->data, scratch->cap,
			    &found);

	rc = judge(rc, found != NULL);
	if (rc == 0) {
		*id = gr.gr_gid;
		*name = gr.gr_name;
	}
	return rc;
}

/* Ask with as much room as it takes: 0 found, 1 not, -1 out of memory. */
static int
look(look_fn fn, const void *key, struct buf *scratch, uint32_t *id,
     const char **name)
{
	int rc;

	if (!buf_reserve(scratch, SCRATCH_MIN))
		return -1;
	for (;;) {
		rc = fn(key, scratch, id, name);
		if (rc == EINTR)
			continue;
		if (rc != ERANGE)
			break;
		if (scratch->cap >= SCRATCH_MAX)
			return 1;
		if (!buf_reserve(scratch, scratch->cap * 2))
			return -1;
	}
	return rc == ENOMEM ? -1 : rc;
}

/* --- tables for a record ------------------------------------------------- */

/*
 * Look all `ids` up; names go to *memory one behind the other, each with its
 * NUL, and their ids to `table`.  Returns how many there are, or -1.
 */
static ssize_t
collect_names(look_fn fn, const uint32_t *ids, size_t count,
	      struct record_name *table, struct buf *memory)
{
	struct buf scratch = { 0 };
	ssize_t n = 0;
	size_t i;

	for (i = 0; i < count && n < RECORD_LIST_MAX; i++) {
		const char *name;
		uint32_t id;
		size_t len;
		int rc = look(fn, &ids[i], &scratch, &id, &name);

		if (rc < 0) {
			n = -1;
			break;
		}
		len = rc == 0 ? strlen(name) : 0;
		if (len == 0 || len > NAME_MAX_LEN)
			continue;
		buf_add(memory, name, len + 1);
		table[n++].id = ids[i];
	}
	buf_clear(&scratch);
	return memory->failed ? -1 : n;
}

static int
make_table(look_fn fn, const struct id_set *s, struct buf *memory,
	   struct record_name **out, size_t *count, struct err *e)
{
	struct record_name *table = NULL;
	uint32_t *ids = NULL;
	size_t start = memory->len;
	const char *name = NULL;
	ssize_t n = 0;
	ssize_t i;
	int rc = -1;

	if (s->count > 0) {
		if (sorted_ids(s, &ids, e) < 0)
			goto out;
		table = mem_array(s->count, sizeof(*table));
		if (table == NULL) {
			err_nomem(e);
			goto out;
		}
		n = collect_names(fn, ids, s->count, table, memory);
		if (n < 0) {
			err_nomem(e);
			goto out;
		}
	}
	/* Only now do the strings stay where they are. */
	if (n > 0)
		name = (const char *)memory->data + start;
	for (i = 0; i < n; i++) {
		table[i].name = name;
		name += strlen(name) + 1;
	}
	*out = table;
	*count = (size_t)n;
	table = NULL;
	rc = 0;
out:
	mem_free(ids);
	mem_free(table);
	return rc;
}

int
names_users(const struct id_set *s, struct buf *memory,
	    struct record_name **out, size_t *count, struct err *e)
{
	return make_table(look_user_id, s, memory, out, count, e);
}

int
names_groups(const struct id_set *s, struct buf *memory,
	     struct record_name **out, size_t *count, struct err *e)
{
	return make_table(look_group_id, s, memory, out, count, e);
}

/* --- local ids for a restore --------------------------------------------- */

/*
 * What names were found to be, most of them asked for many thousand times.
 * A name has one place; another name with the same place takes it over.  So
 * the cache has a bound and no policy.
 */
#define CACHE_PLACES 256

struct name_cache {
	pthread_mutex_t lock; /* guards all of it, and one look-up at a time */
	look_fn look;
	struct {
		char *name;
		uint32_t id;
		bool found;
	} place[CACHE_PLACES];
};

static struct name_cache users = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.look = look_user_name,
};
static struct name_cache groups = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.look = look_group_name,
};

/* FNV-1a, 32 bits. */
static uint32_t
hash_name(const char *s)
{
	uint32_t h = UINT32_C(2166136261);

	for (; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * UINT32_C(16777619);
	return h ^ h >> 16;
}

static uint32_t
local_id_locked(struct name_cache *c, const char *name, uint32_t fallback)
{
	size_t i = hash_name(name) % CACHE_PLACES;
	struct buf scratch = { 0 };
	const char *same;
	uint32_t id = fallback;
	char *copy;
	int rc;

	if (c->place[i].name != NULL && strcmp(c->place[i].name, name) == 0)
		return c->place[i].found ? c->place[i].id : fallback;
	rc = look(c->look, name, &scratch, &id, &same);
	buf_clear(&scratch);
	copy = rc >= 0 ? mem_strdup(name) : NULL;
	if (copy != NULL) {
		mem_free(c->place[i].name);
		c->place[i].name = copy;
		c->place[i].id = id;
		c->place[i].found = rc == 0;
	}
	return rc == 0 ? id : fallback;
}

static uint32_t
local_id(struct name_cache *c, const char *name, uint32_t fallback)
{
	uint32_t id;

	pthread_mutex_lock(&c->lock);
	id = local_id_locked(c, name, fallback);
	pthread_mutex_unlock(&c->lock);
	return id;
}

uint32_t
names_local_user(const char *name, uint32_t fallback)
{
	return local_id(&users, name, fallback);
}

uint32_t
names_local_group(const char *name, uint32_t fallback)
{
	return local_id(&groups, name, fallback);
}
