/*
 * value - what the words of statements and documents stand for.
 *
 * doc/control.md, section 3.  A `fault` function returns NULL when all is
 * well, else a sentence that says what is wrong, to go with the word.
 */
#ifndef ASOF_WRITER_VALUE_H
#define ASOF_WRITER_VALUE_H

#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define VALUE_PATH_MAX      4095 /* bytes of a path, as the kernel has it */
#define VALUE_NAME_MAX      255  /* bytes of any one name */
#define VALUE_COMPONENT_MAX 255  /* bytes of a component's directory name */

/*
 * Must be an absolute path in normal form: it begins with a slash, has no
 * "//", no "." or ".." and no slash at the end; "/" is one.
 */
const char *value_path_fault(const char *s);

/* The same for a file: not "/". */
const char *value_file_fault(const char *s);

/* Drop one slash at the end of a directory's path, where it may have one. */
void value_trim_dir(char *s, size_t *len);

/* The name of a writer: a file name of printable ASCII, no dot in front. */
const char *value_writer_fault(const char *s);

/*
 * Must be the full name of a component: names joined by slashes, the logical
 * path and the name itself, such as "instance/db"; and short enough to become
 * a directory's name.
 */
const char *value_component_fault(const char *s);

/*
 * Append what the component is called as a directory under components/: `/`,
 * `%`, blanks, control bytes and a dot in front as %XX.
 */
void value_component_dir(const char *s, struct buf *out);

/*
 * Append the component that a directory name stands for.  False when no
 * component is called like that (only what value_component_dir writes is).
 */
bool value_component_of_dir(const char *dir, size_t len, struct buf *out);

/* How many of the bytes look like a number: letters and digits. */
size_t value_number_len(const char *s, size_t len);

/* All of s[0..len): decimal, or hexadecimal behind 0x; no sign; 64 bits. */
bool value_number(const char *s, size_t len, uint64_t *out);

/*
 * RFC 3339 with a zone and at most nine digits behind the point, or @SECONDS
 * or @SECONDS.NANOSECONDS with exactly nine digits: with fewer it is not clear
 * whether they are nanoseconds or a fraction, and the later of the two instants
 * would mean less reading.
 */
bool value_time(const char *s, struct ts *out);

/* Append it as value_time reads it: RFC 3339 in UTC where there is a year. */
void value_print_time(struct ts t, struct buf *out);

#endif
