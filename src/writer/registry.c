/*
 * A registration is the file of that name and nothing else: it is written last
 * when a writer is added and removed first when it is taken away, so that a
 * crash leaves a writer, or a directory that is none and is emptied before it
 * is used again.  What lay in it (a journal) never comes to a later writer of
 * the same name: its entries would be taken for promises of his.
 *
 * A registration that cannot be read stops everything.  It says whose the
 * writer is and what he may, and to guess that is not for a program.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/registry.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sorted.h"
#include "base/sys.h"
#include "src/writer/grammar.h"
#include "src/writer/refuse.h"
#include "src/writer/value.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REGISTRATION "registration"
#define JOURNAL_DIR  "journal"

/* Of the file; the limits above make for less. */
#define REGISTRATION_MAX ((size_t)1 << 20)
#define SERVICE_MAX      255 /* of a unit's name, as systemd has it */
#define TIMEOUTS_MAX     1000000

#define NOBODY 65534

#define SHOWN(name) path_show_in((char[PATH_SHOW_LEN]){ 0 }, name, strlen(name))

bool
registry_uid_ok(uid_t uid)
{
	return uid != (uid_t)-1 && uid != NOBODY;
}

/* --- one registration ------------------------------------------------------- */

void
registration_clear(struct registration *r)
{
	mem_free(r->name);
	mem_free_list(r->grant, r->grants);
	mem_free_list(r->service, r->services);
	memset(r, 0, sizeof(*r));
}

/* Append a copy of the string to a list of *n. */
static int
add_string(char ***v, size_t *n, const char *s, struct err *e)
{
	char **more = mem_resize(*v, *n + 1, sizeof(**v));

	if (more == NULL)
		return err_nomem(e);
	*v = more;
	more[*n] = mem_strdup(s);
	if (more[*n] == NULL)
		return err_nomem(e);
	++*n;
	return 0;
}

int
registration_copy(struct registration *to, const struct registration *from,
		  struct err *e)
{
	struct registration r = { 0 };
	size_t i;
	int rc = 0;

	r.name = mem_strdup(from->name);
	if (r.name == NULL)
		rc = err_nomem(e);
	for (i = 0; i < from->grants && rc == 0; i++)
		rc = add_string(&r.grant, &r.grants, from->grant[i], e);
	for (i = 0; i < from->services && rc == 0; i++)
		rc = add_string(&r.service, &r.services, from->service[i], e);
	if (rc < 0) {
		registration_clear(&r);
		return -1;
	}
	r.owner = from->owner;
	r.timeouts = from->timeouts;
	r.dormant = from->dormant;
	*to = r;
	return 0;
}

/* What is wrong with the name of a unit, as a sentence; NULL when nothing is. */
static const char *
service_fault(const char *s)
{
	size_t len = strlen(s);

	if (len == 0 || len > SERVICE_MAX)
		return "a service has a name of 1 to 255 bytes";
	if (s[0] == '-' || s[0] == '.')
		return "a service's name begins with neither - nor a dot";
	if (strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		      "0123456789:-_.\\@") != len)
		return "not the name of a service";
	return NULL;
}

static int
judge(const char *fault, const char *what, struct err *e)
{
	if (fault == NULL)
		return 0;
	return refuse_set(e, EINVAL, "%s: %s", SHOWN(what), fault);
}

static int
judge_all(const struct registration *r, struct err *e)
{
	size_t i;

	if (judge(value_writer_fault(r->name), r->name, e) < 0)
		return -1;
	if (!registry_uid_ok(r->owner))
		return refuse_set(e, EPERM,
				  "writer %s: its owner has no number here",
				  SHOWN(r->name));
	if (r->grants > REGISTRY_GRANTS_MAX)
		return refuse_set(e, EDQUOT, "more than %d grants",
				  REGISTRY_GRANTS_MAX);
	if (r->services > REGISTRY_SERVICES_MAX)
		return refuse_set(e, EDQUOT, "more than %d services",
				  REGISTRY_SERVICES_MAX);
	for (i = 0; i < r->grants; i++)
		if (judge(value_path_fault(r->grant[i]), r->grant[i], e) < 0)
			return -1;
	for (i = 0; i < r->services; i++)
		if (judge(service_fault(r->service[i]), r->service[i], e) < 0)
			return -1;
	return 0;
}

void
registration_put_lists(const struct registration *r, struct buf *out)
{
	size_t i;

	for (i = 0; i < r->grants; i++) {
		buf_add_str(out, "grant");
		grammar_put(out, r->grant[i]);
		buf_add_char(out, '\n');
	}
	for (i = 0; i < r->services; i++) {
		buf_add_str(out, "service");
		grammar_put(out, r->service[i]);
		buf_add_char(out, '\n');
	}
}

static void
print_registration(const struct registration *r, struct buf *out)
{
	buf_printf(out, "owner %u\n", (unsigned)r->owner);
	registration_put_lists(r, out);
	buf_printf(out, "timeouts %u\n", r->timeouts);
	if (r->dormant)
		buf_add_str(out, "dormant\n");
}

/* One line of the file; *owned says whether there was an owner. */
static int
take_words(struct registration *r, const struct grammar_line *l, bool *owned,
	   struct err *e)
{
	const char *key = l->count > 0 ? l->word[0].s : "";
	const char *v = l->count == 2 ? l->word[1].s : "";
	uint64_t n = 0;

	if (l->count == 1 && strcmp(key, "dormant") == 0) {
		r->dormant = true;
		return 0;
	}
	if (l->count == 2 && strcmp(key, "grant") == 0)
		return add_string(&r->grant, &r->grants, v, e);
	if (l->count == 2 && strcmp(key, "service") == 0)
		return add_string(&r->service, &r->services, v, e);
	if (l->count == 2 && value_number(v, strlen(v), &n)) {
		if (strcmp(key, "owner") == 0 && n <= UINT32_MAX && !*owned) {
			r->owner = (uid_t)n;
			*owned = true;
			return 0;
		}
		if (strcmp(key, "timeouts") == 0 && n <= TIMEOUTS_MAX) {
			r->timeouts = (unsigned)n;
			return 0;
		}
	}
	return refuse_set(e, EINVAL, "a line that means nothing here");
}

static int
parse_registration(struct registration *r, const struct buf *text,
		   struct err *e)
{
	const char *p = (const char *)text->data;
	const char *end = p + text->len;
	struct grammar_line l = { 0 };
	const char *nl;
	bool owned = false;
	int rc = 0;

	for (; rc == 0 && p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL) {
			rc = refuse_set(e, EINVAL, "it has no end");
			break;
		}
		rc = grammar_split(&l, p, (size_t)(nl - p), e);
		if (rc == 0)
			rc = take_words(r, &l, &owned, e);
	}
	grammar_clear(&l);
	if (rc == 0 && !owned)
		rc = refuse_set(e, EINVAL, "it names no owner");
	return rc == 0 ? judge_all(r, e) : -1;
}

/* --- where it is kept ------------------------------------------------------- */

/* The path of the directory that `path` leads to, if that can be found out. */
static bool
find_real(const char *path, struct buf *out)
{
	char real[PATH_MAX];
	char link[64];
	ssize_t n = -1;
	int fd;

	fd = sys_repo->openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC,
			      0);
	if (fd < 0)
		return false;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = sys_repo->readlinkat(AT_FDCWD, link, real, sizeof(real));
	(void)io_close(fd, path, NULL);
	if (n <= 0 || (size_t)n >= sizeof(real) || real[0] != '/')
		return false;
	buf_add(out, real, (size_t)n);
	return !out->failed;
}

void
registry_name(const char *repository_path, const uint8_t id[16],
	      struct buf *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	struct buf real = { 0 };
	const char *name = repository_path;
	size_t len;
	size_t i;

	if (find_real(repository_path, &real))
		name = buf_str(&real);
	len = strlen(name);
	while (len > 0 && name[len - 1] == '/')
		len--;
	for (i = len; i > 0 && name[i - 1] != '/'; i--)
		;
	name += i;
	len -= i;
	if (len > REGISTRY_NAME_MAX)
		len = REGISTRY_NAME_MAX;
	if (len == 0)
		buf_add_str(out, "repository");
	for (i = 0; i < len; i++) {
		bool good = strchr(plain, name[i]) != NULL && name[i] != '\0' &&
			    (i > 0 || name[i] != '.');

		buf_add_char(out, good ? name[i] : '_');
	}
	buf_printf(out, "-%02x%02x%02x%02x", id[0], id[1], id[2], id[3]);
	buf_clear(&real);
}

/* What is in there decides what is not read: nobody else may put it there. */
static int
check_owner(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (sys_repo->fstat(fd, &st) < 0)
		return err_sys(e, "state directory %s", SHOWN(path));
	if (st.st_uid != geteuid())
		return err_set(e, ERR_USAGE,
			       "state directory %s: belongs to user %u",
			       SHOWN(path), (unsigned)st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(e, ERR_USAGE,
			       "state directory %s: others can write to it",
			       SHOWN(path));
	return 0;
}

int
registry_open_state(const char *name, const uint8_t repository_id[16],
		    struct err *e)
{
	struct buf path = { 0 };
	int fd = -1;

	if (!path_of_ours("ASOF_STATE_DIR", "/var/lib/asof", "XDG_STATE_HOME",
			  ".local/state/asof", &path)) {
		(void)err_set(e, ERR_USAGE,
			      "no place for the state of writers: neither "
			      "XDG_STATE_HOME nor HOME is an absolute path");
		goto out;
	}
	buf_add_char(&path, '/');
	registry_name(name, repository_id, &path);
	if (buf_ok(&path, e) < 0 || io_mkdirs(buf_str(&path), 0700, e) < 0)
		goto out;
	fd = io_open_dir(AT_FDCWD, buf_str(&path), e);
	if (fd >= 0 && check_owner(fd, buf_str(&path), e) < 0) {
		(void)io_close(fd, buf_str(&path), NULL);
		fd = -1;
	}
out:
	buf_clear(&path);
	return fd;
}

/* --- all of them ------------------------------------------------------------ */

static int
cmp_name(const void *name, const void *registration)
{
	const struct registration *r = registration;

	return strcmp(name, r->name);
}

/* The place of the name, or where it would be. */
static size_t
place_of(const struct registry *r, const char *name, bool *found)
{
	return sorted_place(name, r->v, r->count, sizeof(*r->v), cmp_name,
			    found);
}

struct registration *
registry_find(struct registry *r, const char *name)
{
	bool found;
	size_t i = place_of(r, name, &found);

	return found ? &r->v[i] : NULL;
}

/* Room for one more. */
static int
reserve(struct registry *r, struct err *e)
{
	struct registration *v = mem_resize(r->v, r->count + 1, sizeof(*v));

	if (v == NULL)
		return err_nomem(e);
	r->v = v;
	return 0;
}

/* Put it in its place, for which there is room; it is the registry's then. */
static void
insert(struct registry *r, struct registration *what)
{
	struct registration *v = r->v;
	bool found;
	size_t i = place_of(r, what->name, &found);

	memmove(&v[i + 1], &v[i], (r->count - i) * sizeof(*v));
	v[i] = *what;
	r->count++;
	memset(what, 0, sizeof(*what));
}

static void
take_out(struct registry *r, struct registration *what)
{
	size_t i = (size_t)(what - r->v);

	registration_clear(what);
	r->count--;
	memmove(&r->v[i], &r->v[i + 1], (r->count - i) * sizeof(*r->v));
}

static int
load_one(void *ctx, const char *name, struct err *e)
{
	struct registry *r = ctx;
	struct registration what = { 0 };
	struct buf text = { 0 };
	int fd = -1;
	int rc = -1;

	/* Only what this module made is looked at. */
	if (value_writer_fault(name) != NULL)
		return 0;
	fd = registry_dir(r, name, e);
	if (fd < 0)
		goto out;
	rc = io_read_file(fd, REGISTRATION, REGISTRATION_MAX, &text, e);
	if (rc > 0)
		rc = 0;
	else if (rc == 0) {
		what.name = mem_strdup(name);
		rc = what.name == NULL ? err_nomem(e)
				       : parse_registration(&what, &text, e);
		if (rc < 0 && e != NULL && e->kind == ERR_USAGE)
			e->kind = ERR_CORRUPT;
		if (rc == 0)
			rc = reserve(r, e);
		if (rc == 0)
			insert(r, &what);
	}
out:
	if (rc < 0)
		(void)err_prefix(e, "registration of writer %s", name);
	(void)io_close(fd, name, NULL);
	registration_clear(&what);
	buf_clear(&text);
	return rc;
}

int
registry_load(int statefd, struct registry *out, struct err *e)
{
	struct registry r = { -1, NULL, 0 };

	if (io_mkdir(statefd, "writers", 0700, e) < 0)
		return -1;
	r.dirfd = io_open_dir(statefd, "writers", e);
	if (r.dirfd < 0)
		return -1;
	if (io_list(r.dirfd, "writers", load_one, &r, e) < 0) {
		registry_clear(&r);
		return -1;
	}
	*out = r;
	return 0;
}

void
registry_clear(struct registry *r)
{
	size_t i;

	for (i = 0; i < r->count; i++)
		registration_clear(&r->v[i]);
	mem_free(r->v);
	(void)io_close(r->dirfd, "writers", NULL);
	memset(r, 0, sizeof(*r));
	r->dirfd = -1;
}

int
registry_dir(const struct registry *r, const char *name, struct err *e)
{
	return io_open_dir(r->dirfd, name, e);
}

int
registry_journal_dir(const struct registry *r, const char *name, struct err *e)
{
	int dir = registry_dir(r, name, e);
	int fd = -1;

	if (dir >= 0 && io_mkdir(dir, JOURNAL_DIR, 0700, e) == 0)
		fd = io_open_dir(dir, JOURNAL_DIR, e);
	(void)io_close(dir, name, NULL);
	return fd;
}

/* Write the registration into its directory, which is there. */
static int
write_registration(const struct registry *r, const struct registration *what,
		   struct err *e)
{
	struct buf text = { 0 };
	int fd = registry_dir(r, what->name, e);
	int rc = -1;

	print_registration(what, &text);
	if (fd >= 0 && buf_ok(&text, e) == 0)
		rc = io_publish(fd, REGISTRATION, text.data, text.len, true, e);
	(void)io_close(fd, what->name, NULL);
	buf_clear(&text);
	return rc;
}

int
registry_add(struct registry *r, const struct registration *what, struct err *e)
{
	struct registration copy = { 0 };
	int rc = -1;

	if (judge_all(what, e) < 0)
		return -1;
	if (registry_find(r, what->name) != NULL)
		return refuse_set(e, EEXIST, "there is a writer %s",
				  SHOWN(what->name));
	if (r->count >= REGISTRY_WRITERS_MAX)
		return refuse_set(e, EDQUOT, "more than %d writers",
				  REGISTRY_WRITERS_MAX);
	if (reserve(r, e) < 0 || registration_copy(&copy, what, e) < 0)
		return -1;
	/* What is left of one whose removal was cut short. */
	if (io_remove_tree(r->dirfd, what->name, 1, e) < 0 ||
	    io_mkdir(r->dirfd, what->name, 0700, e) < 0 ||
	    write_registration(r, what, e) < 0)
		goto out;
	insert(r, &copy);
	rc = 0;
out:
	registration_clear(&copy);
	return rc;
}

int
registry_save(struct registry *r, const struct registration *what,
	      struct err *e)
{
	struct registration *old = registry_find(r, what->name);
	struct registration copy = { 0 };

	if (old == NULL)
		return refuse_set(e, ENOENT, "no writer %s", SHOWN(what->name));
	if (judge_all(what, e) < 0 || registration_copy(&copy, what, e) < 0)
		return -1;
	if (write_registration(r, what, e) < 0) {
		registration_clear(&copy);
		return -1;
	}
	/* *what may be the old one itself. */
	registration_clear(old);
	*old = copy;
	return 0;
}

int
registry_remove(struct registry *r, const char *name, struct err *e)
{
	struct registration *what = registry_find(r, name);
	int fd;
	int rc;

	if (what == NULL)
		return refuse_set(e, ENOENT, "no writer %s", SHOWN(name));
	fd = registry_dir(r, name, e);
	if (fd < 0)
		return -1;
	rc = io_unlink(fd, REGISTRATION, e);
	if (rc == 0) {
		rc = io_sync_dir(fd, name, e);
		take_out(r, what);
	}
	(void)io_close(fd, name, NULL);
	return rc;
}

int
registry_retire(struct registry *r, const char *name, struct err *e)
{
	const struct registration *what = registry_find(r, name);
	struct registration copy = { 0 };
	int rc;

	if (what == NULL)
		return refuse_set(e, ENOENT, "no writer %s", SHOWN(name));
	if (registration_copy(&copy, what, e) < 0)
		return -1;
	copy.dormant = true;
	rc = registry_save(r, &copy, e);
	registration_clear(&copy);
	return rc;
}

/* What is in a writer's directory, while it is emptied. */
struct sweeping {
	int dirfd;
	bool registered;
};

/* Remove an entry of a writer's directory unless it is the registration. */
static int
remove_rest(void *ctx, const char *name, struct err *e)
{
	struct sweeping *s = ctx;

	if (strcmp(name, REGISTRATION) == 0) {
		s->registered = true;
		return 0;
	}
	if (strcmp(name, JOURNAL_DIR) == 0)
		return io_remove_tree(s->dirfd, name, 0, e);
	return io_unlink(s->dirfd, name, e);
}

int
registry_sweep(const struct registry *r, const char *name, struct err *e)
{
	struct sweeping s = { .dirfd = registry_dir(r, name, e) };
	int rc = -1;

	if (s.dirfd >= 0)
		rc = io_list(s.dirfd, name, remove_rest, &s, e);
	(void)io_close(s.dirfd, name, NULL);
	if (rc == 0 && !s.registered)
		rc = io_remove_tree(r->dirfd, name, 0, e);
	return rc;
}
