/*
 * names - users, groups, this host and this machine.
 *
 * Looks names up in the system's databases, each once.  One thread.
 */
#ifndef ASOF_ENGINE_NAMES_H
#define ASOF_ENGINE_NAMES_H

#include "base/buf.h"
#include "src/engine/record.h"

#include <stdint.h>

struct err;

/* /etc/machine-id, or the host name where there is none; the host's name. */
int names_machine(struct buf *out, struct err *e);
int names_host(struct buf *out, struct err *e);

/* A set of numbers with room for many; all-zero is empty. */
struct id_set {
	uint32_t *v;
	size_t count, cap;
	uint32_t last; /* most files have the owner of the one before */
};
int id_set_add(struct id_set *s, uint32_t v, struct err *e);
void id_set_clear(struct id_set *s);

/*
 * Names for all ids of the set that have one, ascending, as record tables;
 * the strings are in *memory, the array is freed with mem_free.  At most
 * RECORD_LIST_MAX.  Each call wants a *memory of its own: what is appended
 * to it later may move the strings.
 */
int names_users(const struct id_set *s, struct buf *memory,
		struct record_name **out, size_t *count, struct err *e);
int names_groups(const struct id_set *s, struct buf *memory,
		 struct record_name **out, size_t *count, struct err *e);

/* For restore: the local id of a name, or `fallback`.  Any thread. */
uint32_t names_local_user(const char *name, uint32_t fallback);
uint32_t names_local_group(const char *name, uint32_t fallback);

#endif
