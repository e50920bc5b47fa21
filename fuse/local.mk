noinst_LIBRARIES += libfuseview.a
libfuseview_a_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)
libfuseview_a_SOURCES = \
	%D%/attr.c %D%/attr.h \
	%D%/counts.c %D%/counts.h \
	%D%/file.c %D%/file.h \
	%D%/fs.h \
	%D%/inode.c %D%/inode.h \
	%D%/mount.c %D%/mount.h \
	%D%/mountpoint.c %D%/mountpoint.h \
	%D%/ops.c %D%/ops.h \
	%D%/pattern.c %D%/pattern.h \
	%D%/prefetch.c %D%/prefetch.h \
	%D%/reply.c %D%/reply.h \
	%D%/report.c %D%/report.h \
	%D%/root.c %D%/root.h \
	%D%/stored.c %D%/stored.h \
	%D%/virtual.c %D%/virtual.h \
	%D%/watch.c %D%/watch.h
