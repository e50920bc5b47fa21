/*
 * claims - the writers' answers to the walk (src/engine/claims.h).
 *
 * doc/control.md, section 11.  Made from the documents, the choice, the bases
 * and what the journals say (reduce.h); then asked from many threads at once.
 * Between walks, by one thread, what the journals say can be renewed.
 *
 * The order of evaluation: excluded; differenced; partial; in a file set, by its
 * mask; else nobody's.
 */
#ifndef ASOF_REQUESTER_CLAIMS_H
#define ASOF_REQUESTER_CLAIMS_H

#include "base/time.h"
#include "src/engine/claims.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct metadata;
struct metadata_files;
struct reduced;
struct resolver;
struct standins;
struct view_gen;
struct writer_claims;

/* An explicit component that takes part.  Borrowed, and written to. */
struct claims_component {
	const char *writer;
	const struct metadata *document;
	const bool *chosen;            /* per component of the document */
	size_t component;              /* its index there */
	bool root;                     /* the writer is root's */
	unsigned effective;            /* enum metadata_type */
	struct view_gen *base;         /* NULL: none, so all of it is read */
	const struct reduced *reduced; /* NULL: nothing is known */
	bool untrusted;                /* an audit found a lie before */
	/*
	 * Whose rights its other places are opened with; NULL: this process's,
	 * for a writer of its own.  Used by one thread at a time.
	 */
	struct resolver *resolver;

	/* What became of it; final once no walk is going on. */
	bool failed;
	char *why;               /* failed: the first sentence; the claims' */
	bool carried;            /* a file set of it is */
	bool lied;               /* an audit found a lie now */
	uint64_t member_bytes;   /* read of its files */
	uint64_t declared_bytes; /* of these, because they were declared */
};

struct claims_options {
	struct claims_component *component; /* those of a writer together */
	size_t components;
	/* Of writers that do not take part: their files are theirs as well. */
	const struct metadata *const *other;
	size_t others;
	bool log; /* a log session: nothing is walked */
	const char *const *source; /* absolute, normal */
	size_t sources;
	const struct standins *standins; /* of a snapshot; NULL: there is none */
	unsigned audit; /* percent; 0: none */
	/* Something worth a line.  One at a time. */
	void (*note)(void *ctx, const char *text);
	void *ctx;
};

/* `o` and what it points to must live as long. */
int writer_claims_new(const struct claims_options *o,
		      struct writer_claims **out, struct err *e);
void writer_claims_free(struct writer_claims *w); /* takes NULL */

/*
 * What the walk asks.  Its `copied` is `copied` here, with this ctx.  A name of
 * a member that the person excludes fails the component, as the walk tells.
 */
typedef int (*claims_copied_fn)(void *ctx, struct graft *g, struct err *e);
struct claims *writer_claims_engine(struct writer_claims *w,
				    claims_copied_fn copied, void *ctx);

/* Another state of the journals, one for each component; no walk is going on. */
int writer_claims_renew(struct writer_claims *w,
			const struct reduced *const *reduced, struct err *e);

/* The component has failed: from now on its files are plain ones. */
int writer_claims_fail(struct writer_claims *w, size_t component, struct err *e,
		       const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Files that are named one by one and were not met fail their component. */
int writer_claims_missing(struct writer_claims *w, struct err *e);

/* Is file set `set` of its document taken from the base, as the component's? */
bool writer_claims_is_carried(const struct writer_claims *w, size_t component,
			      size_t set);

/* Is it in a file set of another component, or of a writer that is not in? */
bool writer_claims_is_others(struct writer_claims *w, size_t component,
			     const char *path);

typedef int (*claims_path_fn)(void *ctx, size_t component, const char *path,
			      struct err *e);

/*
 * Call fn for the files of components, that have not failed, that the walk did
 * not meet and that have to be read: those that only are at an alternate path,
 * `from`, in a log session all of the file sets that it requires.
 */
typedef int (*claims_unmet_fn)(void *ctx, size_t component, const char *path,
			       const char *from, struct err *e);
int writer_claims_unmet(struct writer_claims *w, claims_unmet_fn fn, void *ctx,
			struct err *e);
/*
 * In a log session: what an earlier generation has in these file sets, and the
 * disk has not; directories, too.
 */
int writer_claims_gone(struct writer_claims *w, struct view_gen *before,
		       claims_path_fn fn, void *ctx, struct err *e);
/*
 * The component has failed.  What is in the tree only because of what it said:
 * names that were carried and are not there any more, or that are at an
 * alternate path only (relics); and what is there and was not read whole, or
 * elsewhere, or was excluded by its writer (members).  In a log session its files are those of
 * the tree that it has taken over, as all plain ones; but for those that were
 * read by what was said in it.
 */
int writer_claims_relics(struct writer_claims *w, size_t component,
			 claims_path_fn fn, void *ctx, struct err *e);
int writer_claims_members(struct writer_claims *w, size_t component,
			  claims_path_fn fn, void *ctx, struct err *e);

/*
 * How many bytes of reduced->file[file] were read as declared; and why its
 * ranges were not used: NULL when they were, or when nobody asked.
 */
uint64_t writer_claims_read(const struct writer_claims *w, size_t component,
			    size_t file, const char **refused);

#endif
