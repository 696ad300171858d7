/* Times as Kubernetes writes them: RFC 3339 in UTC, whole seconds (Time) or six digits (MicroTime).
 * In memory a time is an int64_t of nanoseconds since 1970-01-01T00:00:00Z. */
#ifndef PINTLE_BASE_TIMEFMT_H
#define PINTLE_BASE_TIMEFMT_H

#include "base/slice.h"

enum { TIME_SEC_LEN = 20, TIME_MICRO_LEN = 27 };
#define NS_PER_SEC 1000000000LL
#define NS_PER_MS  1000000LL

/* "2026-11-21T08:00:00Z" and a NUL. */
void time_format_sec(int64_t ns, char out[TIME_SEC_LEN + 1]);
/* The same of milliseconds, as the log and backups keep them. */
void time_format_ms(uint64_t ms, char out[TIME_SEC_LEN + 1]);
/* "2026-11-21T08:00:00.000000Z" and a NUL. */
void time_format_micro(int64_t ns, char out[TIME_MICRO_LEN + 1]);
/* Reads RFC 3339 with any fraction and any offset. False when s is not one. */
bool time_parse(struct slice s, int64_t *ret_ns);

#endif
