/*
 * remote - what components depend on that is on other machines.
 *
 * A backup is of one machine.  Who has such a dependency is told of it before
 * anything is read or written, and sees to it, or fails.
 */
#ifndef ASOF_WRITER_REMOTE_H
#define ASOF_WRITER_REMOTE_H

#include <stddef.h>

struct buf;
struct metadata;

/*
 * Append those of the component and of all in its set, joined by newlines, each
 * in words of grammar.h: WRITER //MACHINE/COMPONENT.
 */
void remote_list(const struct metadata *m, size_t component, struct buf *out);

#endif
