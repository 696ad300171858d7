/* Metrics in Prometheus text format (version 0.0.4): counters, gauges and histograms with fixed label sets.
 *
 * A family is registered once; a series is found by its label text and kept, so that the hot path is one addition.
 * A registry belongs to one replica and one thread. At most METRICS_SERIES_MAX series a family: further ones are
 * folded into one without labels. */
#ifndef PINTLE_BASE_METRICS_H
#define PINTLE_BASE_METRICS_H

#include "base/buf.h"
#include "base/map.h"

enum { METRICS_SERIES_MAX = 2000 };
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric {        /* one series */
    double value;      /* counter, gauge; of a histogram: the sum */
    uint64_t count;    /* histogram */
    uint64_t *buckets; /* histogram, one a bound, not cumulative */
    const struct metric_family *family;
};

struct metric_family {
    const char *name, *help; /* static strings */
    enum metric_kind kind;
    const double *bounds; /* histogram: ascending upper bounds, static */
    size_t n_bounds;
    struct map series; /* label text, e.g. `code="200",verb="GET"` → struct metric */
};

struct metrics {
    struct map families; /* name → struct metric_family */
};

/* Seconds, for request latencies. */
extern const double metrics_seconds[];
extern const size_t metrics_n_seconds;

void metrics_init(struct metrics *m);
void metrics_done(struct metrics *m);
/* Registers a family, or returns the one there is. All strings must be static. */
struct metric_family *metrics_family(struct metrics *m, enum metric_kind kind, const char *name, const char *help);
/* The series with these labels (text between the braces, "" for none), made at its first use. Never NULL. */
struct metric *metric_get(struct metric_family *f, const char *labels);
void metric_observe(struct metric *series, double value);
/* Shorthand: one series without labels. */
struct metric *metrics_one(struct metrics *m, enum metric_kind kind, const char *name, const char *help);
/* Appends all families as text. 0 or -E2BIG, -ENOMEM. */
int metrics_render(const struct metrics *m, struct buf *out);

#endif
