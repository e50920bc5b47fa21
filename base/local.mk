noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	%D%/block.c %D%/block.h \
	%D%/buf.c %D%/buf.h \
	%D%/child.c %D%/child.h \
	%D%/crc.c %D%/crc.h \
	%D%/cred.c %D%/cred.h \
	%D%/cursor.c %D%/cursor.h \
	%D%/err.c %D%/err.h \
	%D%/hex.c %D%/hex.h \
	%D%/io.c %D%/io.h \
	%D%/mem.c %D%/mem.h \
	%D%/outlive.c %D%/outlive.h \
	%D%/path.c %D%/path.h \
	%D%/pool.c %D%/pool.h \
	%D%/src.c %D%/src.h \
	%D%/sys.c %D%/sys.h \
	%D%/time.c %D%/time.h
