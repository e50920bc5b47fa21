/*
 * crc - a checksum against accidents: CRC-64/XZ.
 *
 * For small local files that only their owner writes (a disk that forgets, a
 * write that was torn); what may be forged needs a hash.  The polynomial is
 * ECMA-182's, reflected, with all bits of the start and the result turned
 * around; "123456789" gives 0x995dc9bbdf1939fa.  Any thread.
 */
#ifndef ASOF_BASE_CRC_H
#define ASOF_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Of all bytes so far: begin with 0, go on with what came back. */
uint64_t crc64(uint64_t crc, const void *p, size_t len);

#endif
