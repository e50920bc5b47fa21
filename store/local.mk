noinst_LIBRARIES += libstore.a
libstore_a_CPPFLAGS = $(AM_CPPFLAGS) $(LMDB_CFLAGS) $(ZSTD_CFLAGS) \
	$(BLAKE3_CFLAGS)
libstore_a_SOURCES = \
	%D%/cache.c %D%/cache.h \
	%D%/catalogue.c %D%/catalogue.h \
	%D%/catcheck.c %D%/catcheck.h \
	%D%/chunk.h \
	%D%/chunker.c %D%/chunker.h \
	%D%/config.c %D%/config.h \
	%D%/damage.c %D%/damage.h \
	%D%/frame.c %D%/frame.h \
	%D%/id.c %D%/id.h \
	%D%/idset.c %D%/idset.h \
	%D%/index.c %D%/index.h \
	%D%/index_internal.h \
	%D%/index_merge.c \
	%D%/index_own.c \
	%D%/index_sync.c \
	%D%/index_view.c \
	%D%/pack.c %D%/pack.h \
	%D%/packset.c %D%/packset.h \
	%D%/repository.c %D%/repository.h \
	%D%/run.c %D%/run.h \
	%D%/segment.c %D%/segment.h \
	%D%/session.c %D%/session.h \
	%D%/shelf.c %D%/shelf.h \
	%D%/split.c %D%/split.h \
	%D%/store.c %D%/store.h \
	%D%/verify.c %D%/verify.h \
	%D%/writer.c %D%/writer.h

STORE_LIBS = libstore.a libbase.a
STORE_SYSLIBS = $(LMDB_LIBS) $(ZSTD_LIBS) $(BLAKE3_LIBS)

if BLAKE3_SOURCE
noinst_LIBRARIES += libblake3.a
libblake3_a_CPPFLAGS = $(BLAKE3_CFLAGS)
libblake3_a_CFLAGS = $(SAN_CFLAGS) -O3
libblake3_a_CCASFLAGS = $(BLAKE3_CFLAGS)
libblake3_a_SOURCES = %D%/b3/blake3.c %D%/b3/dispatch.c %D%/b3/portable.c
if BLAKE3_X86
libblake3_a_SOURCES += %D%/b3/sse2.S %D%/b3/sse41.S %D%/b3/avx2.S \
	%D%/b3/avx512.S
endif
if BLAKE3_NEON
libblake3_a_SOURCES += %D%/b3/neon.c
endif
STORE_LIBS += libblake3.a
endif
