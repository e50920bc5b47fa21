/*
 * path - names and paths as bytes.
 *
 * A name is what one directory entry is called: 1 to 255 bytes, no slash, no
 * NUL, not "." or "..".  Anything else that a repository or a person offers
 * as a name is refused where it is parsed.  Nothing here touches a file.
 */
#ifndef ASOF_BASE_PATH_H
#define ASOF_BASE_PATH_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;

#define PATH_NAME_MAX 255
#define PATH_LEN_MAX  65536 /* of a path that a person gives us */

bool path_name_ok(const void *name, size_t len);

/*
 * Append `path` made absolute and normal, lexically: below `cwd` when it is
 * relative; no ".", "..", doubled or trailing slashes.  ".." above the root
 * stays at the root.
 */
int path_absolute(const char *cwd, const char *path, struct buf *out,
		  struct err *e);

/*
 * Walk a path: sets *name and *len to the next component at or after *pos
 * and moves *pos behind it.  Returns false at the end.
 */
bool path_next(const char *path, size_t *pos, const char **name, size_t *len);

/* True when `path` is `top` itself or lies beneath it (both normal). */
bool path_beneath(const char *path, const char *top);

/*
 * Where this program keeps files of one kind: what the variable `own` says; else
 * for root `root`, for others `asof` in what the variable `xdg` says, or `home`
 * in HOME.  Only absolute paths count.  Appended; false when there is none.
 */
bool path_of_ours(const char *own, const char *root, const char *xdg,
		  const char *home, struct buf *out);

/*
 * Append a name or path for people: printable UTF-8 stays, everything else
 * (controls, escapes, invalid bytes, backslash) becomes \xHH or \n and so
 * on.  Safe in a terminal, in a log line and inside our messages.
 */
void path_show(struct buf *out, const void *path, size_t len);

/*
 * The same into a fixed array for messages, cut with "..." when too long.
 * Returns `out`.
 */
#define PATH_SHOW_LEN 300
const char *path_show_in(char out[PATH_SHOW_LEN], const void *path, size_t len);

#endif
