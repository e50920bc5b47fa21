/*
 * store_fixture - a repository in a scratch directory with its cache, and
 * chunks whose bytes follow from a number.
 */
#ifndef ASOF_TESTS_LIB_STORE_FIXTURE_H
#define ASOF_TESTS_LIB_STORE_FIXTURE_H

#include "base/err.h"
#include "store/repository.h"
#include "store/session.h"
#include "store/store.h"
#include "store/writer.h"
#include "tests/lib/cmocka_all.h"
#include "tests/lib/failing.h"
#include "tests/lib/scratch.h"

struct fixture {
	struct scratch scratch;
	struct repository *repository;
	struct session *session;
	struct store *store;
	struct writer *writer;
};

/* Fails the test with the sentence. */
#define MUST(call, e)                                                          \
	do {                                                                   \
		if ((call) < 0)                                                \
			fail_msg("%s: %s", #call, (e)->text);                  \
	} while (0)

/* A directory of the repository, or a file in it. */
static inline const char *
fixture_at(const struct fixture *f, const char *dir, const char *name)
{
	char path[600];

	(void)snprintf(path, sizeof(path), "r/%.200s/%.300s", dir, name);
	return scratch_at(&f->scratch, path);
}

/* An empty repository; nothing is open. */
static inline void
fixture_begin(struct fixture *f)
{
	struct err e = { 0 };

	memset(f, 0, sizeof(*f));
	scratch_begin(&f->scratch);
	failing_install();
	assert_int_equal(
		setenv("ASOF_CACHE_DIR", scratch_at(&f->scratch, "cache"), 1),
		0);
	MUST(repository_init(scratch_at(&f->scratch, "r"), &e), &e);
}

static inline void
fixture_close(struct fixture *f)
{
	writer_close(f->writer);
	store_close(f->store);
	session_end(f->session);
	repository_close(f->repository);
	f->writer = NULL;
	f->store = NULL;
	f->session = NULL;
	f->repository = NULL;
}

static inline void
fixture_end(struct fixture *f)
{
	fixture_close(f);
	failing_remove();
	assert_int_equal(unsetenv("ASOF_CACHE_DIR"), 0);
	scratch_end(&f->scratch);
}

/* Repository, session and store; -1 with what was opened closed again. */
static inline int
fixture_try_open(struct fixture *f, const struct store_options *opt,
		 struct err *e)
{
	if (repository_open(scratch_at(&f->scratch, "r"), &f->repository, e) <
		    0 ||
	    session_begin(f->repository, "test", &f->session, e) < 0 ||
	    store_open(f->repository, f->session, opt, &f->store, e) < 0) {
		fixture_close(f);
		return -1;
	}
	return 0;
}

static inline void
fixture_open(struct fixture *f, const struct store_options *opt)
{
	struct err e = { 0 };

	MUST(fixture_try_open(f, opt, &e), &e);
}

static inline void
fixture_open_writer(struct fixture *f, const struct writer_options *opt)
{
	struct err e = { 0 };

	MUST(writer_open(f->store, opt, &f->writer, &e), &e);
}

/*
 * The bytes of chunk `n`: half of them random, so that they compress, and
 * different from those of any other.
 */
static inline void
fixture_bytes(unsigned n, uint8_t *p, size_t len)
{
	uint64_t x = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i;

	for (i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = i % 2 == 0 ? (uint8_t)(x >> 24) : 'a';
	}
}

#define FIXTURE_CHUNK_MAX ((size_t)2 << 20)

/* Put chunk `n` of `len` bytes; its id, and whether it was new. */
static inline int
fixture_put(struct fixture *f, enum id_kind kind, unsigned n, size_t len,
	    struct id *id, bool *fresh, struct err *e)
{
	uint8_t *p = malloc(len);
	int rc;

	assert_non_null(p);
	fixture_bytes(n, p, len);
	id_compute(&f->repository->keys, kind, p, len, id);
	rc = writer_put(f->writer, kind, id, p, len, false, fresh, e);
	free(p);
	return rc;
}

/* Get a chunk and compare it with chunk `n`: 0, or -1 when it cannot be had. */
static inline int
fixture_get(struct fixture *f, enum id_kind kind, unsigned n, size_t len,
	    const struct id *id, struct err *e)
{
	struct chunk_reader *r = store_reader(f->store);
	struct chunk c = { 0 };
	uint8_t *p;

	if (chunk_get(r, kind, id, &c, e) < 0) {
		assert_null(c.owner);
		return -1;
	}
	p = malloc(len);
	assert_non_null(p);
	fixture_bytes(n, p, len);
	assert_int_equal(c.len, len);
	assert_memory_equal(c.data, p, len);
	free(p);
	chunk_release(r, &c);
	return 0;
}

/* Chunks `first` ... of `len` bytes each, flushed; their ids. */
static inline void
fixture_fill(struct fixture *f, enum id_kind kind, unsigned first,
	     unsigned count, size_t len, struct id *ids)
{
	struct err e = { 0 };
	unsigned i;

	for (i = 0; i < count; i++)
		MUST(fixture_put(f, kind, first + i, len, &ids[i], NULL, &e),
		     &e);
	MUST(writer_flush(f->writer, &e), &e);
}

static inline void
fixture_must_get(struct fixture *f, enum id_kind kind, unsigned first,
		 unsigned count, size_t len, const struct id *ids)
{
	struct err e = { 0 };
	unsigned i;

	for (i = 0; i < count; i++)
		MUST(fixture_get(f, kind, first + i, len, &ids[i], &e), &e);
}

/* Names of the packs. */
static inline size_t
fixture_packs(const struct fixture *f, char (*names)[256], size_t max)
{
	return scratch_count(fixture_at(f, "packs", ""), names, max);
}

#endif
