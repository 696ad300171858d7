/* Counts HTTP/2 frames before nghttp2 sees them, against floods that its older versions do not bound: rapid resets
 * (CVE-2023-44487), endless CONTINUATION, SETTINGS, PING, PRIORITY and empty DATA frames.
 *
 * Each kind has a bucket that refills with time; a peer that empties one is answered GOAWAY(ENHANCE_YOUR_CALM) by the
 * caller. The allowances are far above what clients do in earnest: a controller manager that cancels a thousand watches
 * at once is fine. */
#ifndef PINTLE_NET_H2_GUARD_H
#define PINTLE_NET_H2_GUARD_H

#include <stddef.h>
#include <stdint.h>

enum {
    H2_CONTINUATIONS_MAX = 16, /* in one head */
    /* At once, and regained each second: */
    H2_RESETS = 2000, /* streams reset, by either side */
    H2_RESETS_PER_SECOND = 100,
    H2_CONTROLS = 1000, /* SETTINGS, PING, and frames of unknown types */
    H2_CONTROLS_PER_SECOND = 100,
    H2_PRIORITIES = 4000, /* PRIORITY */
    H2_PRIORITIES_PER_SECOND = 400,
    H2_EMPTIES = 1000, /* DATA with nothing in it, not even an end */
    H2_EMPTIES_PER_SECOND = 100,
};
enum h2_guarded { H2_GUARD_RESET, H2_GUARD_CONTROL, H2_GUARD_PRIORITY, H2_GUARD_EMPTY, H2_GUARD_KINDS };

struct h2_guard {
    unsigned char head[9]; /* of the frame being read */
    unsigned head_n;
    uint32_t skip; /* payload bytes still to come, the client's preface at first */
    unsigned continuations;
    struct {
        uint32_t tokens;
        uint64_t filled_at; /* loop_now */
    } buckets[H2_GUARD_KINDS];
};

/* preface: bytes before the first frame (24 on the server's side, 0 on the client's). now: loop_now. */
void h2_guard_init(struct h2_guard *g, uint32_t preface, uint64_t now);
/* Looks at n more bytes. 0, or -EPROTO once the peer floods; *ret_why is then a word for the log. */
int h2_guard_feed(struct h2_guard *g, const char *p, size_t n, uint64_t now, const char **ret_why);
/* Counts a reset that we had to send because of the peer's fault, like one it sent. */
int h2_guard_reset(struct h2_guard *g, uint64_t now, const char **ret_why);

#endif
