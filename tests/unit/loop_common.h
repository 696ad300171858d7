/* What every implementation of loop.h must do, whichever it is: the same scenarios run on the real and on the
 * simulated loop. */
#ifndef PINTLE_TESTS_LOOP_COMMON_H
#define PINTLE_TESTS_LOOP_COMMON_H

#include "unit.h"

#include "loop/loop.h"

struct loop_case {
    struct loop *l;
    const char *host; /* what to listen on: "127.0.0.1", or a simulated host's name */
    const char *dir;  /* an existing empty directory for files */
};

void loop_case_timers(struct loop_case *c);
void loop_case_turns(struct loop_case *c);
void loop_case_posts(struct loop_case *c);
void loop_case_lanes(struct loop_case *c);
void loop_case_random(struct loop_case *c);
/* addr: where to listen; NULL = any port of c->host. */
void loop_case_echo(struct loop_case *c, const char *addr);
void loop_case_backpressure(struct loop_case *c);
void loop_case_shutdown(struct loop_case *c);
void loop_case_connect_refused(struct loop_case *c);
void loop_case_connect_cancel(struct loop_case *c);
void loop_case_close_tells_peer(struct loop_case *c);
void loop_case_files(struct loop_case *c);

/* All that need nothing but the case. */
#define LOOP_CASES(X)                                                                                                  \
    X(timers)                                                                                                          \
    X(turns)                                                                                                           \
    X(posts)                                                                                                           \
    X(lanes)                                                                                                           \
    X(random)                                                                                                          \
    X(backpressure)                                                                                                    \
    X(shutdown)                                                                                                        \
    X(connect_refused)                                                                                                 \
    X(connect_cancel)                                                                                                  \
    X(close_tells_peer)                                                                                                \
    X(files)
/* A cmocka test of one; its state is the case. */
#define LOOP_CASE_RUN(name)                                                                                            \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        loop_case_##name(*state);                                                                                      \
    }

#endif
