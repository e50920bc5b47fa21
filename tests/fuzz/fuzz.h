/*
 * fuzz - what the fuzz targets share.
 *
 * A target is one function, called with bytes of somebody else's choice.  It
 * is linked with libFuzzer, or with replay.c to run a corpus.
 */
#ifndef ASOF_TESTS_FUZZ_FUZZ_H
#define ASOF_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the bytes are. */
#define MUST(x)                                                                \
	do {                                                                   \
		if (!(x)) {                                                    \
			(void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, \
				      __LINE__, #x);                           \
			abort();                                               \
		}                                                              \
	} while (0)

#endif
