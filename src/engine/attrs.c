/*
 * Whatever can be changed through the descriptor is, so that nobody can put
 * another thing in its place meanwhile.  What is neither a file nor a
 * directory cannot be opened for real; its O_PATH descriptor serves for
 * owner, mode and times, and only extended attributes go by the name.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/attrs.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"
#include "src/engine/names.h"
#include "src/engine/record.h"
#include "store/chunk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Flags that only the super-user may set, that links cannot be made to, ... */
#define FLAGS_ROOT (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_JOURNAL_DATA_FL)
#define FLAGS_LATE (FS_IMMUTABLE_FL | FS_APPEND_FL)
/* ... that have an effect on empty files only, */
#define FLAGS_EARLY (FS_NOCOW_FL | FS_COMPR_FL | FS_NOCOMP_FL)
/* ... and all that can be set: the rest describes the file system. */
#define FLAGS_KEPT                                                             \
	(FLAGS_ROOT | FLAGS_EARLY | FS_SYNC_FL | FS_DIRSYNC_FL |               \
	 FS_NODUMP_FL | FS_NOATIME_FL | FS_NOTAIL_FL | FS_TOPDIR_FL)

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/* An ACL as an extended attribute: a head, and entries of tag, bits, id. */
#define ACL_VERSION   2
#define ACL_HEAD_LEN  4
#define ACL_ENTRY_LEN 8
#define ACL_TAG_USER  0x02
#define ACL_TAG_GROUP 0x08

/* A user or group of the record, and which one it is here. */
struct id_name {
	uint32_t id;
	const char *name;           /* the record's */
	atomic_uint_fast64_t local; /* NOT_ASKED, or the local id */
};

#define NOT_ASKED UINT64_MAX

struct id_names {
	struct id_name *v; /* sorted by id */
	size_t count;
};

struct attrs {
	struct id_names users, groups; /* empty: numbers as they are */
	bool no_owner;
	uid_t uid; /* who we are */
	gid_t gid;
};

static int
cmp_ids(const void *pa, const void *pb)
{
	const struct id_name *a = pa;
	const struct id_name *b = pb;

	return a->id < b->id ? -1 : a->id > b->id;
}

static int
copy_names(const struct record_name *v, size_t count, struct id_names *out,
	   struct err *e)
{
	size_t i;

	if (count == 0)
		return 0;
	out->v = mem_array(count, sizeof(*out->v));
	if (out->v == NULL)
		return err_nomem(e);
	for (i = 0; i < count; i++) {
		out->v[i].id = v[i].id;
		out->v[i].name = v[i].name;
		atomic_init(&out->v[i].local, NOT_ASKED);
	}
	qsort(out->v, count, sizeof(*out->v), cmp_ids);
	out->count = count;
	return 0;
}

int
attrs_new(const struct record *rec, bool numeric, bool no_owner,
	  struct attrs **out, struct err *e)
{
	struct attrs *a;

	a = mem_zalloc(sizeof(*a));
	if (a == NULL)
		return err_nomem(e);
	a->no_owner = no_owner;
	a->uid = geteuid();
	a->gid = getegid();
	if (!numeric &&
	    (copy_names(rec->user, rec->user_count, &a->users, e) < 0 ||
	     copy_names(rec->group, rec->group_count, &a->groups, e) < 0)) {
		attrs_free(a);
		return -1;
	}
	*out = a;
	return 0;
}

void
attrs_free(struct attrs *a)
{
	if (a == NULL)
		return;
	mem_free(a->users.v);
	mem_free(a->groups.v);
	mem_free(a);
}

/*
 * The local id of what the record calls `id`.  Asked for once, because it is
 * wanted several times for every file.
 */
static uint32_t
local_id(const struct id_names *names, uint32_t id,
	 uint32_t (*ask)(const char *name, uint32_t fallback))
{
	struct id_name key = { .id = id };
	struct id_name *hit = NULL;
	uint_fast64_t local;

	if (names->count > 0)
		hit = bsearch(&key, names->v, names->count, sizeof(key),
			      cmp_ids);
	if (hit == NULL)
		return id;
	local = atomic_load_explicit(&hit->local, memory_order_relaxed);
	if (local == NOT_ASKED) {
		local = ask(hit->name, id);
		atomic_store_explicit(&hit->local, local, memory_order_relaxed);
	}
	return (uint32_t)local;
}

static uid_t
local_user(const struct attrs *a, uint32_t id)
{
	return local_id(&a->users, id, names_local_user);
}

static gid_t
local_group(const struct attrs *a, uint32_t id)
{
	return local_id(&a->groups, id, names_local_group);
}

mode_t
attrs_first_mode(const struct attrs *a, const struct entry *en)
{
	mode_t mode = en->mode & 0777;
	mode_t all;

	if (a->no_owner || (local_user(a, en->uid) == a->uid &&
			    local_group(a, en->gid) == a->gid))
		return mode;
	all = mode >> 6 & mode >> 3 & mode & 7;
	return (mode & 0700) | all << 3 | all;
}

/* --- owner and mode --------------------------------------------------------- */

/* What attrs_apply works on. */
struct work {
	const struct attrs *a;
	const struct entry *en;
	const struct attrs_at *at;
	bool user_ok;  /* the owner is the one that the entry says */
	bool group_ok; /* the group too */
};

static int
set_owner(struct work *w, struct err *e)
{
	uid_t uid = local_user(w->a, w->en->uid);
	gid_t gid = local_group(w->a, w->en->gid);
	bool same = w->at->ours && uid == w->a->uid && gid == w->a->gid;
	int rc = 0;

	w->user_ok = uid == w->a->uid;
	w->group_ok = gid == w->a->gid && w->at->ours;
	if (w->a->no_owner || same)
		return 0;
	if (w->at->path_only)
		rc = sys_target->fchownat(w->at->fd, "", uid, gid,
					  AT_EMPTY_PATH);
	else
		rc = sys_target->fchown(w->at->fd, uid, gid);
	if (rc < 0) {
		w->user_ok = false;
		w->group_ok = false;
		return err_sys(e, "set its owner");
	}
	/* -1 leaves what is there; no real thing has this id. */
	w->user_ok = uid != (uid_t)-1;
	w->group_ok = gid != (gid_t)-1;
	return 0;
}

/* The mode in the end: special bits only for the owner they were given to. */
static mode_t
final_mode(const struct work *w)
{
	mode_t mode = w->en->mode;

	if (w->en->type == ENTRY_DIR)
		return mode;
	if (!w->user_ok)
		mode &= ~(mode_t)S_ISUID;
	if (!w->group_ok)
		mode &= ~(mode_t)S_ISGID;
	return mode;
}

static void
fd_path(char out[40], int fd)
{
	(void)snprintf(out, 40, "/proc/self/fd/%d", fd);
}

static int
set_mode(const struct work *w, struct err *e)
{
	char path[40];
	mode_t mode = final_mode(w);
	int rc;

	if (w->en->type == ENTRY_SYMLINK || mode == w->at->mode)
		return 0;
	if (w->at->path_only) {
		/* fchmod refuses O_PATH; the link in /proc is the same thing. */
		fd_path(path, w->at->fd);
		rc = sys_target->fchmodat(AT_FDCWD, path, mode);
	} else {
		rc = sys_target->fchmod(w->at->fd, mode);
	}
	return rc < 0 ? err_sys(e, "set its mode") : 0;
}

/* --- extended attributes ---------------------------------------------------- */

static uint32_t
get_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static void
put_le32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

/* An ACL holds numbers of users and groups; those go by name too. */
static void
map_acl(const struct attrs *a, uint8_t *p, size_t len)
{
	size_t at;

	if (len < ACL_HEAD_LEN || get_le32(p) != ACL_VERSION)
		return;
	for (at = ACL_HEAD_LEN; len - at >= ACL_ENTRY_LEN;
	     at += ACL_ENTRY_LEN) {
		unsigned tag = p[at] | (unsigned)p[at + 1] << 8;
		uint32_t id = get_le32(p + at + 4);

		if (tag == ACL_TAG_USER)
			put_le32(p + at + 4, local_user(a, id));
		else if (tag == ACL_TAG_GROUP)
			put_le32(p + at + 4, local_group(a, id));
	}
}

static bool
is_acl(const char *name)
{
	return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

static bool
for_root_only(const char *name)
{
	return strncmp(name, "trusted.", 8) == 0 ||
	       strncmp(name, "security.", 9) == 0;
}

static int
set_one_xattr(const struct work *w, const char *name, const void *value,
	      size_t len, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	char path[40 + PATH_NAME_MAX + 2];
	size_t at;
	int rc;

	if (w->at->path_only) {
		/* By name, because the call that takes O_PATH follows links. */
		fd_path(path, w->at->dirfd);
		at = strlen(path);
		(void)snprintf(path + at, sizeof(path) - at, "/%s",
			       w->at->name);
		rc = sys_target->lsetxattr(path, name, value, len, 0);
	} else {
		rc = sys_target->fsetxattr(w->at->fd, name, value, len, 0);
	}
	if (rc == 0)
		return 0;
	if (errno == EPERM && w->a->uid != 0 && for_root_only(name))
		return 0;
	(void)err_sys(e, "set its attribute %s",
		      path_show_in(shown, name, strlen(name)));
	/* ext4 says so of a value too long for it, too: no reason to stop. */
	if (e->saved_errno == ENOSPC)
		e->saved_errno = E2BIG;
	return -1;
}

/* A value that is changed on the way. */
static int
set_acl(const struct work *w, const char *name, const void *value, size_t len,
	struct err *e)
{
	uint8_t *copy;
	int rc;

	copy = mem_alloc(len);
	if (copy == NULL)
		return err_nomem(e);
	memcpy(copy, value, len);
	map_acl(w->a, copy, len);
	rc = set_one_xattr(w, name, copy, len, e);
	mem_free(copy);
	return rc;
}

static int
set_xattr(const struct work *w, struct chunk_reader *r, const struct xattr *x,
	  bool *damage, struct err *e)
{
	struct chunk chunk = { 0 };
	const void *value = x->value;
	char name[PATH_NAME_MAX + 1];
	int rc;

	memcpy(name, x->name, x->name_len);
	name[x->name_len] = '\0';
	if (!x->inlined) {
		rc = chunk_get(r, KIND_DATA, &x->id, &chunk, e);
		if (rc == 0 && chunk.len != x->len)
			rc = err_set(e, ERR_CORRUPT,
				     "the value has another length");
		if (rc < 0) {
			*damage = true;
			chunk_release(r, &chunk);
			return err_prefix(e, "read its attribute %s", name);
		}
		value = chunk.data;
	}
	if (is_acl(name) && x->len > 0)
		rc = set_acl(w, name, value, x->len, e);
	else
		rc = set_one_xattr(w, name, value, x->len, e);
	chunk_release(r, &chunk);
	return rc;
}

static int
set_xattrs(const struct work *w, struct chunk_reader *r, bool *damage,
	   struct err *e)
{
	struct rd rd = xattr_first(w->en);
	struct xattr x;
	int rc = 0;

	while (xattr_next(&rd, &x)) {
		struct err why = { 0 };
		bool bad = false;

		if (set_xattr(w, r, &x, &bad, &why) == 0)
			continue;
		if (e->kind == ERR_NONE)
			*damage = bad;
		err_move(e, &why);
		rc = -1;
	}
	return rc;
}

/* --- times and flags -------------------------------------------------------- */

static int
set_times(const struct work *w, struct err *e)
{
	const struct entry *en = w->en;
	struct timespec ts[2] = {
		{ .tv_sec = en->atime.sec, .tv_nsec = en->atime.nsec },
		{ .tv_sec = en->mtime.sec, .tv_nsec = en->mtime.nsec },
	};
	int rc;

	if (w->at->path_only)
		rc = sys_target->utimensat(w->at->fd, "", ts, AT_EMPTY_PATH);
	else
		rc = sys_target->futimens(w->at->fd, ts);
	return rc < 0 ? err_sys(e, "set its times") : 0;
}

static uint32_t
flags_of(const struct attrs *a, const struct entry *en)
{
	uint32_t flags;

	if ((en->flags & ENTRY_INODE_FLAGS) == 0)
		return 0;
	flags = en->inode_flags & FLAGS_KEPT;
	return a->uid == 0 ? flags : flags & ~(uint32_t)FLAGS_ROOT;
}

uint32_t
attrs_late_flags(const struct attrs *a, const struct entry *en)
{
	return flags_of(a, en) & FLAGS_LATE;
}

int
attrs_add_flags(const struct attrs *a, int fd, uint32_t flags, struct err *e)
{
	/* Declared as a long, the kernel reads and writes an int. */
	unsigned now[sizeof(long) / sizeof(unsigned)] = { 0 };

	if (flags == 0 || sys_target->ioctl(fd, FS_IOC_GETFLAGS, now) < 0 ||
	    (now[0] | flags) == now[0])
		return 0;
	now[0] |= flags;
	if (sys_target->ioctl(fd, FS_IOC_SETFLAGS, now) == 0)
		return 0;
	if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL)
		return 0;
	if (errno == EPERM && a->uid != 0)
		return 0;
	return err_sys(e, "set its inode flags");
}

void
attrs_apply_early(const struct attrs *a, const struct entry *en, int fd)
{
	(void)attrs_add_flags(a, fd, flags_of(a, en) & FLAGS_EARLY, NULL);
}

static int
set_flags(const struct work *w, struct err *e)
{
	uint32_t flags = flags_of(w->a, w->en) & ~(uint32_t)FLAGS_EARLY;

	if (w->at->path_only)
		return 0;
	if (w->en->type == ENTRY_DIR)
		flags = flags_of(w->a, w->en);
	if (w->at->linked)
		flags &= ~(uint32_t)FLAGS_LATE;
	return attrs_add_flags(w->a, w->at->fd, flags, e);
}

int
attrs_apply(const struct attrs *a, struct chunk_reader *r,
	    const struct entry *en, const struct attrs_at *at, bool *damage,
	    struct err *e)
{
	struct work w = { .a = a, .en = en, .at = at };
	struct err why = { 0 };

	*damage = false;
	/* The first failure stays in `why`; the other steps are done too. */
	(void)set_owner(&w, &why);
	(void)set_mode(&w, &why);
	(void)set_xattrs(&w, r, damage, &why);
	(void)set_times(&w, &why);
	(void)set_flags(&w, &why);
	if (why.kind == ERR_NONE)
		return 0;
	err_move(e, &why);
	return -1;
}

/* --- a file that was there --------------------------------------------------- */

bool
attrs_owned(const struct attrs *a, const struct entry *en, uid_t uid, gid_t gid)
{
	return a->no_owner || (local_user(a, en->uid) == uid &&
			       local_group(a, en->gid) == gid);
}

/* Is it the kind of attribute that backups keep, and restores set? */
static bool
is_ours(const struct attrs *a, const char *name)
{
	if (strncmp(name, "user.", 5) == 0 || is_acl(name))
		return true;
	return a->uid == 0 && (strncmp(name, "trusted.", 8) == 0 ||
			       strcmp(name, "security.capability") == 0);
}

static bool
entry_has_xattr(const struct entry *en, const char *name)
{
	struct rd rd = xattr_first(en);
	struct xattr x;

	while (xattr_next(&rd, &x))
		if (x.name_len == strlen(name) &&
		    memcmp(x.name, name, x.name_len) == 0)
			return true;
	return false;
}

int
attrs_drop_others(const struct attrs *a, const struct entry *en, int fd,
		  struct err *e)
{
	char shown[PATH_SHOW_LEN];
	const char *name;
	char *names = NULL;
	ssize_t n = sys_target->flistxattr(fd, NULL, 0);
	int rc = 0;

	if (n < 0 && errno != EOPNOTSUPP)
		return err_sys(e, "list its attributes");
	if (n <= 0)
		return 0;
	names = mem_zalloc((size_t)n + 1);
	if (names == NULL)
		return err_nomem(e);
	n = sys_target->flistxattr(fd, names, (size_t)n);
	if (n < 0)
		rc = err_sys(e, "list its attributes");
	for (name = names; rc == 0 && name < names + n;
	     name += strlen(name) + 1) {
		if (!is_ours(a, name) || entry_has_xattr(en, name) ||
		    sys_target->fremovexattr(fd, name) == 0 || errno == ENODATA)
			continue;
		rc = err_sys(e, "remove its attribute %s",
			     path_show_in(shown, name, strlen(name)));
	}
	mem_free(names);
	return rc;
}

/* --- what a directory hands on ---------------------------------------------- */

bool
attrs_hands_on(int dirfd)
{
	return sys_target->fgetxattr(dirfd, ACL_DEFAULT, NULL, 0) > 0;
}

int
attrs_drop_inherited(int fd, bool dir, struct err *e)
{
	static const uint8_t none[ACL_HEAD_LEN] = { ACL_VERSION };

	/* An ACL without entries is taken as none. */
	if (dir &&
	    sys_target->fsetxattr(fd, ACL_DEFAULT, none, sizeof(none), 0) < 0)
		return err_sys(e, "drop an inherited default ACL");
	if (sys_target->fsetxattr(fd, ACL_ACCESS, none, sizeof(none), 0) < 0)
		return err_sys(e, "drop an inherited ACL");
	return 0;
}
