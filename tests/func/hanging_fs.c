/*
 * A file system that takes requests and never answers some of them:
 *
 *     hanging_fs DIR
 *
 * Its file `file` can be looked up, and an open of it waits for ever.  It lasts
 * until it is killed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 35
#endif

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_INO 2

static struct stat
stat_of(fuse_ino_t ino)
{
	struct stat st = { .st_ino = ino, .st_nlink = 1 };

	st.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	return st;
}

static void
on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .ino = FILE_INO };

	(void)parent;
	entry.attr = stat_of(FILE_INO);
	if (strcmp(name, "file") == 0)
		(void)fuse_reply_entry(req, &entry);
	else
		(void)fuse_reply_err(req, ENOENT);
}

static void
on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = stat_of(ino);

	(void)fi;
	(void)fuse_reply_attr(req, &st, 0);
}

static void
on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)req;
	(void)ino;
	(void)fi;
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = on_lookup,
	.getattr = on_getattr,
	.open = on_open,
};

int
main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *s;

	if (argc != 2 || fuse_opt_add_arg(&args, argv[0]) < 0)
		return 2;
	s = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (s == NULL || fuse_session_mount(s, argv[1]) != 0)
		return 1;
	(void)puts("ready");
	(void)fflush(stdout);
	return fuse_session_loop(s) == 0 ? 0 : 1;
}
