/* Checkers: pure functions from a history to a verdict. The same ones judge runs on real processes, simulated runs, and
 * the known-good and known-bad histories of their own tests.
 *
 * A verdict is valid when nothing was found. unknown: the search was given up at a limit, nothing is proved. Anomalies
 * have names (the usual ones: stale-read, lost-update, G1c …) and one sentence for people; at most VERDICT_ANOMALIES
 * are
 * kept, all are counted. */
#ifndef PINTLE_JEPSEN_CHECK_H
#define PINTLE_JEPSEN_CHECK_H

#include "jepsen/history.h"

enum { VERDICT_ANOMALIES = 16, VERDICT_NAME = 32, VERDICT_TEXT = 400 };

struct anomaly {
    char name[VERDICT_NAME];
    char text[VERDICT_TEXT];
};

struct verdict {
    bool unknown;
    size_t n; /* anomalies found */
    struct anomaly anomalies[VERDICT_ANOMALIES];
    size_t checked;  /* operations (or events) judged */
    size_t explored; /* steps of a search */
};

static inline bool verdict_valid(const struct verdict *v)
{
    return !v->n && !v->unknown;
}
void verdict_add(struct verdict *v, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool verdict_has(const struct verdict *v, const char *name);

/* Each adds to *v, which the caller zeroed. */

/* Registers with read, write, cas and delete: for each key, is there an order of its operations that respects real time
 * and explains every answer? Wing and Gong's search with Lowe's memory of configurations, depth first; `limit` is the
 * most configurations remembered for a key (0 = 20 million), beyond it the verdict is unknown.
 * Anomalies: dirty-read, stale-read, lost-update by quick rules that name them; non-linearizable by the search. */
void check_linear(const struct history *h, size_t limit, struct verdict *v);

/* A set: adds, and reads of all members. Anomalies: lost (acknowledged, then absent), stale (absent from a read that
 * began after somebody knew it was in), phantom (never added), doubled. */
void check_set(const struct history *h, struct verdict *v);

/* A counter: every read lies between what was surely and what may have been added before. */
void check_counter(const struct history *h, struct verdict *v);

/* Transactions of appends and reads over lists: strict serializability through cycles of dependencies. Anomalies: G0,
 * G1a, G1b, G1c, G-single, G2, each with "-realtime" when real time is part of the cycle; internal, incompatible-order,
 * duplicate, phantom, lost-append. */
void check_txn(const struct history *h, struct verdict *v);

/* Watches: no event lost, doubled, reordered or made up, kinds that fit, the same for all watchers. Anomalies: lost-event,
 * doubled-event, reordered-event, phantom-event, wrong-event, wrong-kind. */
void check_watch(const struct history *h, struct verdict *v);

/* Lists read in pages: each is exactly the state at its revision, as the watch events of the same history tell it, and
 * not older than what was acknowledged before it began. Anomalies: wrong-page, missing-object, extra-object,
 * doubled-object, stale-page. */
void check_pages(const struct history *h, struct verdict *v);

/* Leases: never two holders at a time; and what has a time to live is neither gone early nor there much too late
 * (slack_ns after it). Anomalies: two-holders, early-expiry, late-expiry. */
void check_lease(const struct history *h, uint64_t slack_ns, struct verdict *v);

/* Membership as leaders tell it: one leader a term, what is committed stays committed, ids and places belong together,
 * two voters are never made one, and all are there in the end. Anomalies: two-leaders, commit-went-back,
 * id-used-twice, two-at-a-place, few-voters, not-whole. */
void check_members(const struct history *h, struct verdict *v);

/* Deployments: the last look at each finds as many pods as were asked for last, and no others. Anomalies:
 * not-converged, orphan, never-looked. */
void check_pods(const struct history *h, struct verdict *v);

#endif
