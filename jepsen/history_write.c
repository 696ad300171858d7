/* Histories as EDN (Jepsen's form) and JSON: the same structure, two spellings. */
#include <errno.h>
#include <stdio.h>

#include "codec/json.h"
#include "jepsen/history.h"

struct pen {
    struct buf *out;
    bool edn;
};

static void member(const struct pen *p, const char *name, bool first)
{
    if (p->edn)
        buf_printf(p->out, first ? ":%s " : ", :%s ", name);
    else
        buf_printf(p->out, first ? "\"%s\":" : ",\"%s\":", name);
}

static void word(const struct pen *p, const char *name)
{
    buf_printf(p->out, p->edn ? ":%s" : "\"%s\"", name);
}

static void number(const struct pen *p, int64_t v)
{
    if (v == HIST_NIL)
        buf_add_str(p->out, p->edn ? "nil" : "null");
    else
        buf_printf(p->out, "%ld", v);
}

static void gap(const struct pen *p)
{
    buf_add_char(p->out, p->edn ? ' ' : ',');
}

static void numbers(const struct pen *p, const int64_t *v, size_t n)
{
    buf_add_char(p->out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            gap(p);
        number(p, v[i]);
    }
    buf_add_char(p->out, ']');
}

static void micros(const struct pen *p, const struct history *h, const struct hist_event *e)
{
    struct hist_micro m;
    size_t at = 0;
    buf_add_char(p->out, '[');
    while (hist_micro_next(h, e, &at, &m)) {
        if (p->out->p[p->out->n - 1] != '[')
            gap(p);
        buf_add_char(p->out, '[');
        word(p, m.kind == HIST_MICRO_APPEND ? "append" : "r");
        gap(p);
        number(p, m.key);
        gap(p);
        if (m.kind == HIST_MICRO_READ)
            numbers(p, m.items, m.n);
        else
            number(p, m.kind == HIST_MICRO_APPEND ? m.value : HIST_NIL);
        buf_add_char(p->out, ']');
    }
    buf_add_char(p->out, ']');
}

/* What stands behind the key. */
static void bare_value(const struct pen *p, const struct history *h, const struct hist_event *e)
{
    if (e->f == HIST_TXN) {
        micros(p, h, e);
    } else if (e->list) {
        numbers(p, history_list(h, e), e->n_list);
    } else if (e->expected != HIST_NIL || e->f == HIST_CAS) {
        buf_add_char(p->out, '[');
        number(p, e->expected);
        gap(p);
        number(p, e->value);
        buf_add_char(p->out, ']');
    } else {
        number(p, e->value);
    }
}

static void value(const struct pen *p, const struct history *h, const struct hist_event *e)
{
    if (e->key == HIST_NIL) {
        bare_value(p, h, e);
        return;
    }
    buf_add_char(p->out, '[');
    number(p, e->key);
    gap(p);
    bare_value(p, h, e);
    buf_add_char(p->out, ']');
}

void history_format(const struct history *h, size_t i, bool edn, struct buf *out)
{
    const struct hist_event *e = &h->events[i];
    const struct pen p = {out, edn};
    buf_add_char(out, '{');
    member(&p, "type", true);
    word(&p, hist_type_name(e->type));
    member(&p, "f", false);
    word(&p, hist_f_name(e->f));
    member(&p, "value", false);
    value(&p, h, e);
    member(&p, "process", false);
    if (e->process < 0)
        word(&p, "nemesis");
    else
        buf_printf(out, "%d", e->process);
    member(&p, "time", false);
    buf_printf(out, "%lu", e->time);
    member(&p, "index", false);
    buf_printf(out, "%zu", i);
    if (e->node) {
        member(&p, "node", false);
        buf_printf(out, "%u", e->node);
    }
    if (e->revision != HIST_NIL) {
        member(&p, "revision", false);
        number(&p, e->revision);
    }
    if (e->note) {
        member(&p, "error", false);
        json_write_string(out, slice_str(history_note(h, e)));
    }
    buf_add_char(out, '}');
}

int history_write(const struct history *h, const char *path, bool edn)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return -errno;
    struct buf line = BUF_INIT(64 << 20);
    if (!edn)
        fputs("[\n", f);
    for (size_t i = 0; i < h->n; i++) {
        buf_clear(&line);
        history_format(h, i, edn, &line);
        buf_add_str(&line, edn || i + 1 == h->n ? "\n" : ",\n");
        fwrite(line.p, 1, line.n, f);
    }
    if (!edn)
        fputs("]\n", f);
    int err = ferror(f) ? -EIO : buf_error(&line);
    buf_done(&line);
    return fclose(f) ? -errno : err;
}
