#include "jepsen/history.h"

#include "base/mem.h"

void history_init(struct history *h)
{
    *h = (struct history){0};
}

void history_done(struct history *h)
{
    mem_free(h->events);
    mem_free(h->numbers);
    mem_free(h->text);
    *h = (struct history){0};
}

/* Room for one more piece of n elements. */
static void *grown(void *p, size_t used, size_t n, size_t *cap, size_t size)
{
    if (used + n <= *cap)
        return p;
    size_t want = *cap ? *cap * 2 : 1024;
    while (want < used + n)
        want *= 2;
    void *q = mem_alloc(want * size);
    if (used)
        memcpy(q, p, used * size);
    mem_free(p);
    *cap = want;
    return q;
}

static uint32_t add_list(struct history *h, const int64_t *list, size_t n)
{
    h->numbers = grown(h->numbers, h->n_numbers, n + 1, &h->cap_numbers, sizeof *h->numbers);
    if (n)
        memcpy(h->numbers + h->n_numbers, list, n * sizeof *list);
    h->n_numbers += n;
    return (uint32_t)(h->n_numbers - n + 1);
}

static uint32_t add_note(struct history *h, const char *note)
{
    size_t n = strlen(note) + 1;
    h->text = grown(h->text, h->n_text, n + 1, &h->cap_text, 1);
    if (!h->n_text)
        h->text[h->n_text++] = 0;
    memcpy(h->text + h->n_text, note, n);
    h->n_text += n;
    return (uint32_t)(h->n_text - n);
}

size_t history_add(struct history *h, const struct hist_event *e, const int64_t *list, size_t n, const char *note)
{
    h->events = grown(h->events, h->n, 1, &h->cap, sizeof *h->events);
    struct hist_event *copy = &h->events[h->n];
    *copy = *e;
    copy->list = list ? add_list(h, list, n) : 0;
    copy->n_list = (uint32_t)(list ? n : 0);
    copy->note = note && *note ? add_note(h, note) : 0;
    return h->n++;
}

/* ---- operations ---- */

size_t history_ops(const struct history *h, struct hist_op **ret)
{
    struct hist_op *ops = mem_alloc((h->n + 1) * sizeof *ops);
    size_t n = 0, n_open = 0;
    for (size_t i = 0; i < h->n; i++)
        if (h->events[i].process >= 0 && (size_t)h->events[i].process + 1 > n_open)
            n_open = (size_t)h->events[i].process + 1;
    size_t *open = mem_alloc((n_open + 1) * sizeof *open); /* of each process: its operation under way, or SIZE_MAX */
    for (size_t i = 0; i < n_open; i++)
        open[i] = SIZE_MAX;
    for (size_t i = 0; i < h->n; i++) {
        const struct hist_event *e = &h->events[i];
        if (e->process < 0)
            continue;
        size_t *mine = &open[e->process];
        if (e->type == HIST_INVOKE) {
            *mine = n;
            ops[n++] = (struct hist_op){.call = e, .called = i, .returned = SIZE_MAX};
        } else if (*mine != SIZE_MAX && ops[*mine].call->f == e->f) {
            ops[*mine].ret = e;
            if (e->type != HIST_INFO)
                ops[*mine].returned = i;
            *mine = SIZE_MAX;
        }
    }
    mem_free(open);
    *ret = ops;
    return n;
}

bool hist_micro_next(const struct history *h, const struct hist_event *e, size_t *at, struct hist_micro *ret)
{
    const int64_t *p = history_list(h, e);
    if (!p || *at + 3 > e->n_list)
        return false;
    p += *at;
    *ret = (struct hist_micro){.kind = p[0], .key = p[1], .value = p[2]};
    *at += 3;
    if (ret->kind != HIST_MICRO_READ)
        return true;
    if (p[2] < 0 || (uint64_t)p[2] > e->n_list - *at)
        return false;
    ret->items = p + 3;
    ret->n = (size_t)p[2];
    *at += ret->n;
    return true;
}

/* ---- names ---- */

static const char *const types[HIST_TYPES] = {"invoke", "ok", "fail", "info"};
static const char *const fs[HIST_FS] = {
    [HIST_READ] = "read",     [HIST_WRITE] = "write",     [HIST_CAS] = "cas",     [HIST_DELETE] = "delete",
    [HIST_ADD] = "add",       [HIST_TXN] = "txn",         [HIST_EVENT] = "event", [HIST_COVERED] = "covered",
    [HIST_PAGES] = "pages",   [HIST_ACQUIRE] = "acquire", [HIST_RENEW] = "renew", [HIST_RELEASE] = "release",
    [HIST_EXPIRE] = "expire", [HIST_SCALE] = "scale",     [HIST_PODS] = "pods",   [HIST_FAULT] = "fault",
    [HIST_LEADER] = "leader", [HIST_MEMBERS] = "members",
};

const char *hist_type_name(enum hist_type t)
{
    return types[t];
}

const char *hist_f_name(enum hist_f f)
{
    return fs[f];
}
