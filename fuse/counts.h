/*
 * counts - how many requests of each kind the kernel has made.
 *
 * The daemon counts; whoever may open the mount asks by an ioctl on any
 * directory in it.  An ioctl, because the kernel passes it on whatever it was
 * told before, where it stops asking for xattrs after one ENOSYS; and because
 * it needs no second place, such as a socket, that must be found, guarded and
 * cleaned up.  Asking is not counted.
 */
#ifndef ASOF_FUSE_COUNTS_H
#define ASOF_FUSE_COUNTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

struct err;

/* In the order of their names in counts.c. */
enum counts_kind {
	COUNTS_LOOKUP,
	COUNTS_FORGET, /* messages; one may forget many nodes */
	COUNTS_GETATTR,
	COUNTS_READLINK,
	COUNTS_OPEN,
	COUNTS_OPENDIR,
	COUNTS_READDIR,
	COUNTS_READDIRPLUS,
	COUNTS_READ,
	COUNTS_LSEEK,
	COUNTS_GETXATTR,
	COUNTS_LISTXATTR,
	COUNTS_ACCESS,
	COUNTS_FLUSH,
	COUNTS_IOCTL,
	COUNTS_STATFS,
	COUNTS_STATX,
	COUNTS_PUSH, /* no request: contents given before they were asked for */
	COUNTS_KINDS
};

/* All-zero: nothing has been asked yet.  Any thread. */
struct counts {
	_Atomic uint64_t requests[COUNTS_KINDS];
	_Atomic uint64_t bytes[COUNTS_KINDS];
};

void counts_request(struct counts *c, enum counts_kind kind);

/* So many bytes of contents or of a listing were given. */
void counts_bytes(struct counts *c, enum counts_kind kind, size_t n);

/* --- the question --------------------------------------------------------- */

#define COUNTS_NAME_LEN 16
#define COUNTS_ROWS_MAX 48

/* With names, so that programs of different versions understand each other. */
struct counts_row {
	char name[COUNTS_NAME_LEN]; /* "lookup", a NUL behind it */
	uint64_t requests;
	uint64_t bytes;
};

struct counts_answer {
	char magic[8]; /* COUNTS_MAGIC, without a NUL */
	uint64_t rows;
	struct counts_row row[COUNTS_ROWS_MAX];
};

#define COUNTS_MAGIC    "asofcnt1"
#define COUNTS_QUESTION _IOR(0xa5, 0x0f, struct counts_answer)

/* What the daemon says. */
void counts_tell(const struct counts *c, struct counts_answer *out);

/*
 * Ask the mount that the directory `path` lies in.  ERR_USAGE when it is no
 * directory or in no mount of this program, ERR_SYS when it cannot be asked.
 */
int counts_ask(const char *path, struct counts_answer *out, struct err *e);

#endif
