#include "base/metrics.h"

#include <math.h>

#include "base/mem.h"

const double metrics_seconds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                  0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
const size_t metrics_n_seconds = sizeof metrics_seconds / sizeof *metrics_seconds;

void metrics_init(struct metrics *m)
{
    map_init(&m->families, 0);
}

static void family_free(struct metric_family *f)
{
    for (struct map_entry *e = map_first(&f->series); e; e = map_next(&f->series, e)) {
        struct metric *series = e->value;
        mem_free(series->buckets);
        mem_free(series);
    }
    map_done(&f->series);
    mem_free(f);
}

void metrics_done(struct metrics *m)
{
    for (struct map_entry *e = map_first(&m->families); e; e = map_next(&m->families, e))
        family_free(e->value);
    map_done(&m->families);
}

struct metric_family *metrics_family(struct metrics *m, enum metric_kind kind, const char *name, const char *help)
{
    struct metric_family *f = map_get(&m->families, slice_str(name));
    if (f)
        return f;
    f = mem_new(struct metric_family);
    f->name = name;
    f->help = help;
    f->kind = kind;
    f->bounds = metrics_seconds;
    f->n_bounds = metrics_n_seconds;
    map_init(&f->series, 0);
    map_put(&m->families, slice_str(name), f);
    return f;
}

struct metric *metric_get(struct metric_family *f, const char *labels)
{
    struct metric *series = map_get(&f->series, slice_str(labels));
    if (series)
        return series;
    if (f->series.n >= METRICS_SERIES_MAX && labels[0])
        return metric_get(f, "");
    series = mem_new(struct metric);
    series->family = f;
    if (f->kind == METRIC_HISTOGRAM)
        series->buckets = mem_zalloc(f->n_bounds * sizeof *series->buckets);
    map_put(&f->series, slice_str(labels), series);
    return series;
}

struct metric *metrics_one(struct metrics *m, enum metric_kind kind, const char *name, const char *help)
{
    return metric_get(metrics_family(m, kind, name, help), "");
}

void metric_observe(struct metric *series, double value)
{
    const struct metric_family *f = series->family;
    series->value += value;
    series->count++;
    for (size_t i = 0; i < f->n_bounds; i++) {
        if (value <= f->bounds[i]) {
            series->buckets[i]++;
            return;
        }
    }
}

static void render_number(struct buf *out, double v)
{
    if (fabs(v) < 9e15 && v == floor(v))
        buf_printf(out, "%.0f\n", v);
    else
        buf_printf(out, "%.9g\n", v);
}

static void render_histogram(const struct metric *s, const char *labels, struct buf *out)
{
    const struct metric_family *f = s->family;
    const char *comma = labels[0] ? "," : "";
    uint64_t below = 0;
    for (size_t i = 0; i < f->n_bounds; i++) {
        below += s->buckets[i];
        buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %lu\n", f->name, labels, comma, f->bounds[i], below);
    }
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %lu\n", f->name, labels, comma, s->count);
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    buf_printf(out, "%s_sum%s%s%s ", f->name, open, labels, close);
    render_number(out, s->value);
    buf_printf(out, "%s_count%s%s%s %lu\n", f->name, open, labels, close, s->count);
}

static void render_family(const struct metric_family *f, struct buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, kinds[f->kind]);
    for (struct map_entry *e = map_first(&f->series); e; e = map_next(&f->series, e)) {
        const struct metric *s = e->value;
        if (f->kind == METRIC_HISTOGRAM) {
            render_histogram(s, e->key.p, out);
        } else {
            buf_printf(out, "%s%s%s%s ", f->name, e->key.n ? "{" : "", e->key.p, e->key.n ? "}" : "");
            render_number(out, s->value);
        }
    }
}

int metrics_render(const struct metrics *m, struct buf *out)
{
    for (struct map_entry *e = map_first(&m->families); e; e = map_next(&m->families, e))
        render_family(e->value, out);
    return buf_error(out);
}
