/*
 * statx.c
 *
 * libfuse reads requests through a function of ours, which answers this one and
 * reads on.  The answer is the kernel's struct statx behind two headers.
 *
 * A thread of libfuse that reads may be cancelled, by which it is ended; one
 * that looks something up may not, for it holds locks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/statx.h"

#include "base/err.h"
#include "fuse/attr.h"
#include "fuse/fs.h"
#include "fuse/ops.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

/* From the kernel's linux/fuse.h of 6.6, which may be younger than ours. */
#define OP_STATX 52

struct answer {
	struct fuse_out_header head;
	uint64_t valid_s; /* for so long the kernel may believe it */
	uint32_t valid_ns, flags;
	uint64_t spare[2];
	struct statx stat;
};

_Static_assert(sizeof(struct answer) == 16 + 32 + 256, "the kernel's length");

static struct statx_timestamp
time_of(struct timespec t)
{
	return (struct statx_timestamp){ .tv_sec = t.tv_sec,
					 .tv_nsec = (uint32_t)t.tv_nsec };
}

static void
fill(const struct attr *a, struct statx *out)
{
	const struct stat *st = &a->stat;

	out->stx_mask = STATX_BASIC_STATS | (a->has_birth ? STATX_BTIME : 0);
	out->stx_blksize = (uint32_t)st->st_blksize;
	out->stx_nlink = (uint32_t)st->st_nlink;
	out->stx_uid = st->st_uid;
	out->stx_gid = st->st_gid;
	out->stx_mode = (uint16_t)st->st_mode;
	out->stx_ino = st->st_ino;
	out->stx_size = (uint64_t)st->st_size;
	out->stx_blocks = (uint64_t)st->st_blocks;
	out->stx_atime = time_of(st->st_atim);
	out->stx_btime = time_of(a->birth);
	out->stx_ctime = time_of(st->st_ctim);
	out->stx_mtime = time_of(st->st_mtim);
	out->stx_rdev_major = major(st->st_rdev);
	out->stx_rdev_minor = minor(st->st_rdev);
}

/* Whoever asked may have gone meanwhile: then the kernel does not take it. */
static void
answer(int device, struct fs *fs, const struct fuse_in_header *head)
{
	struct answer a = { .head = { .unique = head->unique } };
	struct attr attr = { 0 };
	int error = ops_attr(fs, head->nodeid, &attr);

	counts_request(&fs->counts, COUNTS_STATX);
	a.head.len = error != 0 ? sizeof(a.head) : sizeof(a);
	a.head.error = -error;
	a.valid_s = (uint64_t)attr.timeout;
	fill(&attr, &a.stat);
	while (write(device, &a, a.head.len) < 0 && errno == EINTR)
		;
}

static ssize_t
read_request(int device, void *p, size_t len, void *user_data)
{
	struct fuse_in_header head;
	ssize_t n;
	int state;

	for (;;) {
		n = read(device, p, len);
		if (n < (ssize_t)sizeof(head))
			return n;
		memcpy(&head, p, sizeof(head));
		if (head.opcode != OP_STATX)
			return n;
		(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		answer(device, user_data, &head);
		(void)pthread_setcancelstate(state, NULL);
	}
}

static ssize_t
write_answer(int device, struct iovec *v, int count, void *user_data)
{
	(void)user_data;
	return writev(device, v, count);
}

int
statx_attach(struct fuse_session *se, int device, struct err *e)
{
	static const struct fuse_custom_io io = {
		.writev = write_answer,
		.read = read_request,
	};
	int rc = fuse_session_custom_io(se, &io, device);

	if (rc == 0)
		return 0;
	errno = rc < 0 ? -rc : EINVAL;
	return err_sys(e, "attach the session to its device");
}
