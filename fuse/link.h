/*
 * link - the few words between the server of a mount and its supervisor.
 *
 * The server asks for the mount and gets the device, or why not; later it says
 * that it is ready.  That is all it can say: what the supervisor does for it
 * does not depend on a server that was taken over behaving.
 *
 * One thread at each end.
 */
#ifndef ASOF_FUSE_LINK_H
#define ASOF_FUSE_LINK_H

struct err;

/* Two ends; both are close-on-exec. */
int link_make(int out[2], struct err *e);

/* --- the server's --------------------------------------------------------- */

/*
 * Have it mounted.  Both paths are absolute; the repository's is only for the
 * table of mounts.  The device is the caller's.
 */
int link_mount(int fd, const char *mountpoint, const char *repository,
	       int *device, struct err *e);

/* Requests are answered from now on. */
int link_ready(int fd, struct err *e);

/* --- the supervisor's ----------------------------------------------------- */

#define LINK_MESSAGE_MAX 16384

enum link_word {
	LINK_END,   /* the server has hung up, or says what nobody says */
	LINK_MOUNT, /* with the two paths */
	LINK_READY,
};

struct link_message {
	enum link_word word;
	const char *mountpoint, *repository; /* in text */
	char text[LINK_MESSAGE_MAX];
};

/* Wait for one word. */
void link_hear(int fd, struct link_message *out);

/* The answers to LINK_MOUNT. */
int link_give(int fd, int device, struct err *e);
void link_refuse(int fd, const struct err *why);

#endif
