/* What the libFuzzer programs share. Each takes bytes as a stranger may send them, walks the code that reads them, and
 * checks what must hold of everything that is accepted; the sanitizers watch the rest. Built by --enable-fuzz, run by
 * scripts/fuzz. */
#ifndef PINTLE_TESTS_FUZZ_H
#define PINTLE_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"
#include "codec/json.h"

enum { FUZZ_ARENA_MAX = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Ends the run as a finding when what must hold does not. */
#define FUZZ_CHECK(what)                                                                                               \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static inline struct json *fuzz_json(struct arena *a, struct slice text)
{
    struct json_error err;
    return json_parse(a, text, &err, NULL, NULL);
}

/* Cuts s at the first byte 0xff, which neither JSON nor YAML can hold. False when there is none. */
static inline bool fuzz_split(struct slice s, struct slice *ret_before, struct slice *ret_after)
{
    const char *at = s.n ? memchr(s.p, 0xff, s.n) : NULL;
    if (!at)
        return false;
    *ret_before = slice_of(s.p, (size_t)(at - s.p));
    *ret_after = slice_from(s, (size_t)(at - s.p) + 1);
    return true;
}

#endif
