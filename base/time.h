/*
 * time - instants, as seconds and nanoseconds since 1970 UTC.
 *
 * Seconds are signed and 64 bits wide: before 1970 and after 2038 are
 * ordinary times.  0 <= nsec < 10^9 always.
 */
#ifndef ASOF_BASE_TIME_H
#define ASOF_BASE_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

struct ts {
	int64_t sec;
	uint32_t nsec;
};

int ts_cmp(struct ts a, struct ts b); /* -1, 0, 1 */
struct ts ts_add_ns(struct ts t, int64_t ns);

struct ts time_now(void);        /* CLOCK_REALTIME */
struct ts time_now_coarse(void); /* what the kernel stamps files with */
uint64_t time_monotonic_ns(void);

/* One clock tick: how far apart two file stamps must be to be told apart. */
int64_t time_tick_ns(void);

/* "2026-11-21T20:25:13Z"; `local` gives local time with its offset. */
#define TIME_TEXT_LEN 40
const char *time_text(char out[TIME_TEXT_LEN], struct ts t, bool local);

/*
 * Parse what people type: "2026-11-21" (then *day is set and the instant is
 * the last one of that local day), "2026-11-21T20:25[:13][Z|+01:00]",
 * "2026-11-21 20:25", local without a zone.  False when it is none of these.
 */
bool time_parse(const char *s, struct ts *out, bool *day);

#endif
