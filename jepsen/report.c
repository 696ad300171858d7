#include "jepsen/report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { LEFT = 120, WIDTH = 1100, ROW = 22, SECONDS_MAX = 100000, DOTS_MAX = 9000, SPANS_MAX = 4000, NODES_MAX = 16 };

struct page {
    FILE *f;
    const struct history *h;
    const struct report_options *o;
    const struct verdict *v;
    struct hist_op *ops;
    size_t n_ops, nodes;
    double seconds; /* of the whole run */
    int y;          /* where the next panel begins */
};

/* ---- small pieces ---- */

static double x_of(const struct page *p, uint64_t ns)
{
    return LEFT + (double)ns / 1e9 / p->seconds * WIDTH;
}

static void text(FILE *f, const char *s)
{
    for (; *s; s++) {
        if (*s == '<')
            fputs("&lt;", f);
        else if (*s == '&')
            fputs("&amp;", f);
        else
            fputc(*s, f);
    }
}

static const char *fate_class(enum hist_type t)
{
    return t == HIST_OK ? "ok" : t == HIST_FAIL ? "no" : "un";
}

static double latency_ms(const struct hist_op *op)
{
    return op->ret ? (double)(op->ret->time - op->call->time) / 1e6 : 0;
}

static void panel(struct page *p, const char *title, int height)
{
    fprintf(p->f, "<text class=\"t\" x=\"0\" y=\"%d\">%s</text>", p->y + 14, title);
    fprintf(p->f, "<rect class=\"bg\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>", LEFT, p->y, WIDTH, height);
}

/* ---- faults ---- */

struct span {
    uint64_t from, until;
    char what[96];
    unsigned nodes;
    int lane;
};

static unsigned nodes_in(const char *note)
{
    unsigned nodes = 0;
    for (const char *at = note; (at = strstr(at, " n")); at += 2)
        if (at[2] >= '1' && at[2] <= '9')
            nodes |= 1u << (at[2] - '1');
    return nodes;
}

static int free_lane(const struct span *spans, size_t n, uint64_t from)
{
    for (int lane = 0;; lane++) {
        bool taken = false;
        for (size_t i = 0; i < n; i++)
            taken |= spans[i].lane == lane && spans[i].until > from;
        if (!taken)
            return lane;
    }
}

static void begin_span(struct span *spans, size_t *n, const struct hist_event *e, const char *note, uint64_t end)
{
    struct span *s = &spans[*n];
    *s = (struct span){.from = e->time, .until = end, .nodes = nodes_in(note), .lane = free_lane(spans, *n, e->time)};
    snprintf(s->what, sizeof s->what, "%.90s", note);
    ++*n;
}

static size_t find_spans(const struct page *p, struct span *spans)
{
    size_t n = 0;
    uint64_t end = (uint64_t)(p->seconds * 1e9);
    for (size_t i = 0; i < p->h->n && n < SPANS_MAX; i++) {
        const struct hist_event *e = &p->h->events[i];
        const char *note = history_note(p->h, e);
        if (e->f != HIST_FAULT)
            continue;
        if (!strncmp(note, "begin ", 6))
            begin_span(spans, &n, e, note + 6, end);
        for (size_t k = n; !strncmp(note, "end ", 4) && k-- > 0;) {
            if (strcmp(spans[k].what, note + 4) != 0 || spans[k].until != end)
                continue;
            spans[k].until = e->time;
            break;
        }
    }
    return n;
}

/* A fault's colour: by its family. */
static const char *fault_class(const char *what)
{
    static const struct {
        const char *start, *name;
    } families[] = {{"kill", "fk"}, {"crash", "fk"},  {"restart", "fk"}, {"member", "fk"},
                    {"join", "fk"}, {"pause", "fp"},  {"cut", "fn"},     {"hide", "fn"},
                    {"loss", "fn"}, {"slow-d", "fd"}, {"slow", "fn"},    {"clock", "fc"}};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strncmp(what, families[i].start, strlen(families[i].start)))
            return families[i].name;
    return "fd";
}

static void draw_faults(struct page *p, const struct span *spans, size_t n)
{
    int lanes = 1;
    for (size_t i = 0; i < n; i++)
        if (spans[i].lane + 1 > lanes)
            lanes = spans[i].lane + 1;
    panel(p, "faults", lanes * ROW);
    for (size_t i = 0; i < n; i++) {
        const struct span *s = &spans[i];
        double x = x_of(p, s->from), w = x_of(p, s->until) - x;
        int y = p->y + s->lane * ROW;
        fprintf(p->f, "<g><title>%.2f s to %.2f s: ", (double)s->from / 1e9, (double)s->until / 1e9);
        text(p->f, s->what);
        fprintf(p->f, "</title><rect class=\"%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"3\"/>",
                fault_class(s->what), x, y + 2, w < 2 ? 2 : w, ROW - 4);
        size_t room = (size_t)(w / 6.2);
        if (room > 3)
            fprintf(p->f, "<text class=\"l\" x=\"%.1f\" y=\"%d\">%.*s</text>", x + 4, y + 15,
                    (int)(room < strcspn(s->what, ":") ? room : strcspn(s->what, ":")), s->what);
        fputs("</g>\n", p->f);
    }
    p->y += lanes * ROW + 14;
}

/* ---- replicas: who leads, who is touched ---- */

static void draw_leaders(struct page *p, const struct span *spans, size_t n)
{
    const struct hist_event *leads = NULL;
    int height = (int)p->nodes * ROW;
    panel(p, "replicas", height);
    for (size_t k = 0; k < p->nodes; k++)
        fprintf(p->f, "<text class=\"s\" x=\"%d\" y=\"%d\">n%zu</text>", LEFT - 24, p->y + (int)k * ROW + 15, k + 1);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < p->nodes; k++)
            if (spans[i].nodes >> k & 1)
                fprintf(p->f, "<rect class=\"%s h\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>",
                        fault_class(spans[i].what), x_of(p, spans[i].from), p->y + (int)k * ROW + 1,
                        x_of(p, spans[i].until) - x_of(p, spans[i].from), ROW - 2);
    for (size_t i = 0; i <= p->h->n; i++) {
        const struct hist_event *e = i < p->h->n ? &p->h->events[i] : NULL;
        if (e && e->f != HIST_LEADER)
            continue;
        double until = e ? x_of(p, e->time) : LEFT + WIDTH;
        if (leads && leads->node)
            fprintf(p->f,
                    "<g><title>n%u leads term %ld from %.2f s</title><rect class=\"lead\" x=\"%.1f\" y=\"%d\" "
                    "width=\"%.1f\" height=\"8\" rx=\"2\"/></g>",
                    leads->node, leads->value, (double)leads->time / 1e9, x_of(p, leads->time),
                    p->y + (leads->node - 1) * ROW + 7, until - x_of(p, leads->time));
        leads = e;
    }
    p->y += height + 14;
}

/* ---- throughput ---- */

static void draw_throughput(struct page *p)
{
    enum { HEIGHT = 120, BARS = 220 };
    size_t(*bins)[HIST_TYPES] = mem_zalloc(BARS * sizeof *bins), most = 1;
    for (size_t i = 0; i < p->n_ops; i++) {
        const struct hist_op *op = &p->ops[i];
        uint64_t at = op->ret ? op->ret->time : op->call->time;
        size_t bin = (size_t)((double)at / 1e9 / p->seconds * BARS);
        if (bin < BARS)
            bins[bin][hist_outcome(op)]++;
    }
    for (size_t i = 0; i < BARS; i++) {
        size_t sum = bins[i][HIST_OK] + bins[i][HIST_FAIL] + bins[i][HIST_INFO];
        most = sum > most ? sum : most;
    }
    panel(p, "operations/s", HEIGHT);
    double per_second = (double)BARS / p->seconds, w = (double)WIDTH / BARS;
    fprintf(p->f, "<text class=\"s\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%.0f</text>", LEFT - 6, p->y + 10,
            (double)most * per_second);
    for (size_t i = 0; i < BARS; i++) {
        static const enum hist_type order[] = {HIST_OK, HIST_FAIL, HIST_INFO};
        double y = p->y + HEIGHT;
        for (int k = 0; k < 3; k++) {
            double height = (double)bins[i][order[k]] / (double)most * (HEIGHT - 4);
            y -= height;
            if (height > 0)
                fprintf(p->f, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>",
                        fate_class(order[k]), LEFT + (double)i * w, y, w - 0.4, height);
        }
    }
    mem_free(bins);
    p->y += HEIGHT + 14;
}

/* ---- latencies ---- */

static void draw_latencies(struct page *p)
{
    enum { HEIGHT = 220 };
    static const double marks[] = {0.3, 1, 10, 100, 1000, 4000};
    double low = log10(0.3), scale = HEIGHT / (log10(6000) - low);
    size_t step = p->n_ops / DOTS_MAX + 1;
    panel(p, "latency", HEIGHT);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        double y = p->y + HEIGHT - (log10(marks[i]) - low) * scale;
        fprintf(
            p->f,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text class=\"s\" x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\">%g ms</text>",
            LEFT, LEFT + WIDTH, y, y, LEFT - 6, y + 4, marks[i]);
    }
    for (size_t i = 0; i < p->n_ops; i++) {
        const struct hist_op *op = &p->ops[i];
        double ms = latency_ms(op);
        bool plain = hist_outcome(op) != HIST_INFO && ms < 200;
        if (plain && i % step != 0)
            continue;
        double y = p->y + HEIGHT - (log10(ms < 0.3 ? 0.3 : ms > 6000 ? 6000 : ms) - low) * scale;
        fprintf(p->f, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>", fate_class(hist_outcome(op)),
                x_of(p, op->call->time), y, plain ? "1.2" : "1.8");
    }
    p->y += HEIGHT + 14;
}

/* ---- operations that took long, by client ---- */

static void draw_slow(struct page *p)
{
    enum { LANES = 24, LANE = 7, SLOW_MS = 60 };
    int lanes = 0;
    for (size_t i = 0; i < p->n_ops; i++)
        if (p->ops[i].call->process % LANES + 1 > lanes)
            lanes = p->ops[i].call->process % LANES + 1;
    panel(p, "waits", lanes * LANE);
    size_t drawn = 0;
    for (size_t i = 0; i < p->n_ops && drawn < DOTS_MAX; i++) {
        const struct hist_op *op = &p->ops[i];
        double ms = latency_ms(op), x = x_of(p, op->call->time);
        if (ms < SLOW_MS)
            continue;
        drawn++;
        fprintf(p->f,
                "<g><title>process %d: %s on n%u, %.0f ms, %s, event %zu</title><rect class=\"%s\" x=\"%.1f\" y=\"%d\" "
                "width=\"%.1f\" height=\"%d\"/></g>",
                op->call->process, hist_f_name(op->call->f), op->call->node, ms, hist_type_name(hist_outcome(op)),
                op->called, fate_class(hist_outcome(op)), x, p->y + op->call->process % LANES * LANE + 1,
                x_of(p, op->ret->time) - x, LANE - 2);
    }
    p->y += lanes * LANE + 14;
}

static void draw_axis(struct page *p)
{
    double every = p->seconds / 12, steps[] = {0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 3600};
    size_t i = 0;
    while (i + 1 < sizeof steps / sizeof *steps && steps[i] < every)
        i++;
    for (unsigned k = 0; k * steps[i] <= p->seconds; k++)
        fprintf(p->f, "<text class=\"s\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g s</text>",
                x_of(p, (uint64_t)(k * steps[i] * 1e9)), p->y, k * steps[i]);
    p->y += 12;
}

/* ---- words ---- */

static const char style[] =
    "<style>:root{color-scheme:light dark;--fg:#1c2330;--dim:#68707d;--bg:#fff;--panel:#f3f5f8;--grid:#dfe3ea}"
    "@media(prefers-color-scheme:dark){:root{--fg:#e4e8ef;--dim:#98a1ae;--bg:#14181f;--panel:#1d232d;--grid:#333b48}}"
    "body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1240px;color:var(--fg);background:var(--bg);"
    "padding:0 12px}h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:24px 0 6px}"
    ".badge{display:inline-block;padding:2px 10px;border-radius:12px;color:#fff;font-weight:600}"
    ".good{background:#1a8f4b}.bad{background:#c62f2f}.hm{background:#a3720a}"
    ".facts{color:var(--dim);margin:6px 0 18px}.facts b{color:var(--fg)}svg{width:100%;height:auto;display:block}"
    "svg text{fill:var(--fg);font:12px system-ui,sans-serif}svg .s{fill:var(--dim);font-size:11px}"
    "svg .t{font-weight:600}svg .l{fill:#fff;font-size:11px;pointer-events:none}"
    ".bg{fill:var(--panel)}.grid{stroke:var(--grid)}.ok{fill:#3a7bd5}.no{fill:#9aa3b0}.un{fill:#e0533d}"
    ".lead{fill:#1a8f4b}.fk{fill:#b5342b}.fp{fill:#8a5cc2}.fn{fill:#d98a1f}.fd{fill:#6b5b4b}.fc{fill:#2c8c99}"
    ".h{opacity:.28}.key span{margin-right:16px}.key i{display:inline-block;width:11px;height:11px;border-radius:3px;"
    "margin-right:5px;vertical-align:-1px}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:4px "
    "10px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}</style>";

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void write_head(struct page *p)
{
    const struct verdict *v = p->v;
    size_t fate[HIST_TYPES] = {0}, n = 0;
    double *ms = mem_alloc((p->n_ops + 1) * sizeof *ms);
    for (size_t i = 0; i < p->n_ops; i++) {
        fate[hist_outcome(&p->ops[i])]++;
        if (hist_outcome(&p->ops[i]) == HIST_OK)
            ms[n++] = latency_ms(&p->ops[i]);
    }
    qsort(ms, n, sizeof *ms, by_number);
    fprintf(p->f, "<!doctype html><meta charset=\"utf-8\"><title>pintle-jepsen: %s</title>%s<h1>%s ", p->o->workload,
            style, p->o->workload);
    fprintf(p->f, "<span class=\"badge %s\">%s</span></h1>",
            v->n         ? "bad"
            : v->unknown ? "hm"
                         : "good",
            v->n         ? "anomalies"
            : v->unknown ? "nothing proved"
                         : "no anomaly");
    fprintf(
        p->f,
        "<p class=\"facts\">seed <b>%lu</b> · faults <b>%s</b> · <b>%zu</b> replicas · <b>%.0f s</b> · <b>%zu</b> "
        "operations: <b>%zu</b> ok, <b>%zu</b> refused, <b>%zu</b> of unknown fate · latency median <b>%.1f ms</b>, "
        "99th percentile <b>%.0f ms</b></p>",
        p->o->seed, p->o->faults, p->nodes, p->seconds, p->n_ops, fate[HIST_OK], fate[HIST_FAIL], fate[HIST_INFO],
        n ? ms[n / 2] : 0, n ? ms[n * 99 / 100] : 0);
    fputs(
        "<p class=\"key\"><span><i class=\"ok\" style=\"background:#3a7bd5\"></i>ok</span><span><i "
        "style=\"background:#9aa3b0\"></i>refused</span><span><i style=\"background:#e0533d\"></i>fate unknown</span>"
        "<span><i style=\"background:#1a8f4b\"></i>leads</span><span><i style=\"background:#b5342b\"></i>process</span>"
        "<span><i style=\"background:#8a5cc2\"></i>pause</span><span><i style=\"background:#d98a1f\"></i>network</span>"
        "<span><i style=\"background:#6b5b4b\"></i>disk</span><span><i style=\"background:#2c8c99\"></i>clock</span>"
        "</p>",
        p->f);
    mem_free(ms);
}

static void write_anomalies(const struct page *p)
{
    if (!p->v->n)
        return;
    fprintf(p->f, "<h2>%zu anomalies</h2><table>", p->v->n);
    for (size_t i = 0; i < p->v->n && i < VERDICT_ANOMALIES; i++) {
        fprintf(p->f, "<tr><th>%s</th><td>", p->v->anomalies[i].name);
        text(p->f, p->v->anomalies[i].text);
        fputs("</td></tr>", p->f);
    }
    fputs("</table>", p->f);
}

/* What happened, in words: faults and leaders in order. */
static void write_story(const struct page *p)
{
    enum { LINES_MAX = 400 };
    size_t lines = 0;
    fputs("<h2>What happened</h2><table>", p->f);
    for (size_t i = 0; i < p->h->n && lines < LINES_MAX; i++) {
        const struct hist_event *e = &p->h->events[i];
        if (e->f != HIST_FAULT && e->f != HIST_LEADER)
            continue;
        lines++;
        fprintf(p->f, "<tr><td>%.2f s</td><td>", (double)e->time / 1e9);
        if (e->f == HIST_FAULT)
            text(p->f, history_note(p->h, e));
        else if (e->node)
            fprintf(p->f, "<b>n%u leads</b> term %ld", e->node, e->value);
        else
            fputs("nobody leads", p->f);
        fputs("</td></tr>\n", p->f);
    }
    fputs("</table>", p->f);
}

static void measure(struct page *p)
{
    uint64_t last = 1;
    for (size_t i = 0; i < p->h->n; i++) {
        const struct hist_event *e = &p->h->events[i];
        last = e->time > last ? e->time : last;
        if (e->node > p->nodes && e->node <= NODES_MAX)
            p->nodes = e->node;
    }
    p->seconds = (double)last / 1e9;
}

int report_write(const struct history *h, const struct report_options *o, const struct verdict *v, const char *path)
{
    struct page p = {.f = fopen(path, "w"), .h = h, .o = o, .v = v, .nodes = o->nodes, .y = 4};
    if (!p.f)
        return -errno;
    struct span *spans = mem_alloc(SPANS_MAX * sizeof *spans);
    p.n_ops = history_ops(h, &p.ops);
    measure(&p);
    size_t n = find_spans(&p, spans);
    write_head(&p);
    char *drawing = NULL;
    size_t drawn = 0;
    FILE *page = p.f;
    p.f = open_memstream(&drawing, &drawn); /* its height is known when it is done */
    draw_leaders(&p, spans, n);
    draw_faults(&p, spans, n);
    draw_throughput(&p);
    draw_latencies(&p);
    draw_slow(&p);
    draw_axis(&p);
    fclose(p.f);
    p.f = page;
    fprintf(p.f, "<svg viewBox=\"0 0 %d %d\" xmlns=\"http://www.w3.org/2000/svg\">", LEFT + WIDTH + 10, p.y);
    fwrite(drawing, 1, drawn, p.f);
    fputs("</svg>", p.f);
    free(drawing);
    write_anomalies(&p);
    write_story(&p);
    mem_free(p.ops);
    mem_free(spans);
    return fclose(p.f) ? -errno : 0;
}
