/*
 * json - results for programs.
 *
 * A thin coat over jansson that writes straight through: a value that could
 * not be made marks the whole as failed, and json_print() says so once.
 * The names and forms that come out are promised in asof(1): times are RFC
 * 3339 in UTC, bytes are integers, identities lower-case hexadecimal, and a
 * name that is not UTF-8 comes twice, readable and exact.
 *
 * One thread.
 */
#ifndef ASOF_CLI_JSON_H
#define ASOF_CLI_JSON_H

#include "base/time.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct json {
	json_t *value;
	bool failed;
};

struct json json_object_begin(void);
struct json json_array_begin(void);
struct json json_text(const char *s);
struct json json_u64(uint64_t v);

void json_put_text(struct json *j, const char *key, const char *s);
void json_put_u64(struct json *j, const char *key, uint64_t v);
void json_put_bool(struct json *j, const char *key, bool v);
void json_put_real(struct json *j, const char *key, double v);
void json_put_null(struct json *j, const char *key);
void json_put_time(struct json *j, const char *key, struct ts t);
void json_put_hex(struct json *j, const char *key, const void *p, size_t n);

/* A name or path: `key`, and `key`_hex where it is not UTF-8. */
void json_put_name(struct json *j, const char *key, const void *p, size_t n);

/* Take `child` over as a member, or as the next item of an array. */
void json_put(struct json *j, const char *key, struct json *child);
void json_add(struct json *array, struct json *child);

/*
 * Write it to standard output, on one line or laid out, and free it.
 */
int json_print(struct json *j, bool one_line, struct err *e);

/* Free without printing. */
void json_clear(struct json *j);

#endif
