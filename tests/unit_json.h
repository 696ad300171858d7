/* For unit tests that work on JSON: an arena as the test's state, values from text with ' for ", comparisons. */
#ifndef PINTLE_TESTS_UNIT_JSON_H
#define PINTLE_TESTS_UNIT_JSON_H

#include "unit.h"

#include <stdio.h>

#include "base/mem.h"
#include "codec/json.h"

static inline int arena_setup(void **state)
{
    struct arena *a = mem_new(struct arena);
    arena_init(a, 64 << 20);
    *state = a;
    return 0;
}

static inline int arena_teardown(void **state)
{
    arena_done(*state);
    mem_free(*state);
    return 0;
}

/* The value of text, in which ' stands for ". */
static inline struct json *json_of(struct arena *a, const char *text)
{
    struct slice s = arena_copy(a, slice_str(text));
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\'')
            ((char *)s.p)[i] = '"';
    struct json *v = json_parse(a, s, NULL, NULL, NULL);
    if (!v)
        fail_msg("bad JSON in test: %s", text);
    return v;
}

/* v as text with ' for ", in a. */
static inline const char *json_text(struct arena *a, const struct json *v)
{
    struct buf out = BUF_INIT(16 << 20);
    assert_int_equal(json_write(&out, v), 0);
    struct slice s = arena_copy(a, buf_slice(&out));
    buf_done(&out);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '"')
            ((char *)s.p)[i] = '\'';
    return s.p;
}

#define assert_json(a, v, text) assert_string_equal(json_text((a), (v)), (text))
#define unit(test)              cmocka_unit_test_setup_teardown(test, arena_setup, arena_teardown)

#endif
