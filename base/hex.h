/*
 * hex - bytes as lower-case hexadecimal digits, and back.
 *
 * Ids are written like this everywhere: in names of files, in lines, for people.
 * Pure; any thread.
 */
#ifndef ASOF_BASE_HEX_H
#define ASOF_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* 2 * n digits and a NUL into `out`; the digits alone at the end of *out. */
void hex_format(char *out, const void *p, size_t n);
void hex_add(struct buf *out, const void *p, size_t n);

/*
 * n bytes from exactly 2 * n digits and a NUL; false, and `out` untouched, when
 * `s` is anything else.
 */
bool hex_parse(void *out, size_t n, const char *s);

#endif
