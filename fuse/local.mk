noinst_LIBRARIES += libfuseview.a
libfuseview_a_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)
libfuseview_a_SOURCES = \
	%D%/attr.c %D%/attr.h \
	%D%/control.c %D%/control.h \
	%D%/control_events.c %D%/control_events.h \
	%D%/control_file.c %D%/control_file.h \
	%D%/control_ops.c %D%/control_ops.h \
	%D%/control_place.c %D%/control_place.h \
	%D%/control_state.h \
	%D%/control_text.c %D%/control_text.h \
	%D%/control_tree.c %D%/control_tree.h \
	%D%/counts.c %D%/counts.h \
	%D%/device.c %D%/device.h \
	%D%/file.c %D%/file.h \
	%D%/fs.h \
	%D%/fusesay.c %D%/fusesay.h \
	%D%/history.c %D%/history.h \
	%D%/inode.c %D%/inode.h \
	%D%/link.c %D%/link.h \
	%D%/loop.c %D%/loop.h \
	%D%/mount.c %D%/mount.h \
	%D%/mountpoint.c %D%/mountpoint.h \
	%D%/mounts.c %D%/mounts.h \
	%D%/ops.c %D%/ops.h \
	%D%/pattern.c %D%/pattern.h \
	%D%/prefetch.c %D%/prefetch.h \
	%D%/process.c %D%/process.h \
	%D%/reply.c %D%/reply.h \
	%D%/report.c %D%/report.h \
	%D%/root.c %D%/root.h \
	%D%/sandbox.c %D%/sandbox.h \
	%D%/statx.c %D%/statx.h \
	%D%/stored.c %D%/stored.h \
	%D%/supervisor.c %D%/supervisor.h \
	%D%/versions.c %D%/versions.h \
	%D%/virtual.c %D%/virtual.h \
	%D%/vnode.c %D%/vnode.h \
	%D%/watch.c %D%/watch.h
