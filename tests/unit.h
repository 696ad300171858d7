/* What every unit test includes: cmocka and its prerequisites, and a few comparisons for slices. */
#ifndef PINTLE_TESTS_UNIT_H
#define PINTLE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"

#define assert_slice(s, text)                                                                                          \
    do {                                                                                                               \
        struct slice slice_ = (s);                                                                                     \
        assert_int_equal(slice_.n, strlen(text));                                                                      \
        assert_memory_equal(slice_.n ? slice_.p : "", (text), slice_.n);                                               \
    } while (0)

#endif
