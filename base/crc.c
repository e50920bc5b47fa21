/*
 * Eight bytes a step, each through a table of its own ("slicing by eight"):
 * about 1.5 GB/s, where one table would do 0.4.  The tables are made when they
 * are first needed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/crc.h"

#include <endian.h>
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL UINT64_C(0xc96c5795d7870f42)

/* [k][b]: what byte b does to the sum when k bytes follow it. */
static uint64_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
make_tables(void)
{
	uint64_t crc;
	unsigned b;
	unsigned k;

	for (b = 0; b < 256; b++) {
		crc = b;
		for (k = 0; k < 8; k++)
			crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
		table[0][b] = crc;
	}
	for (k = 1; k < 8; k++)
		for (b = 0; b < 256; b++) {
			crc = table[k - 1][b];
			table[k][b] = (crc >> 8) ^ table[0][crc & 255];
		}
}

uint64_t
crc64(uint64_t crc, const void *p, size_t len)
{
	const uint8_t *s = p;
	uint64_t word;

	(void)pthread_once(&once, make_tables);
	crc = ~crc;
	for (; len >= 8; len -= 8, s += 8) {
		memcpy(&word, s, sizeof(word));
		crc ^= le64toh(word);
		crc = table[7][crc & 255] ^ table[6][crc >> 8 & 255] ^
		      table[5][crc >> 16 & 255] ^ table[4][crc >> 24 & 255] ^
		      table[3][crc >> 32 & 255] ^ table[2][crc >> 40 & 255] ^
		      table[1][crc >> 48 & 255] ^ table[0][crc >> 56];
	}
	for (; len > 0; len--)
		crc = (crc >> 8) ^ table[0][(crc ^ *s++) & 255];
	return ~crc;
}
