#include "loop/timers.h"

#include "base/mem.h"

enum { HEAP_FIRST_CAP = 64 };

void timers_done(struct timers *t)
{
    timers_clear(t);
    mem_free(t->heap);
    *t = (struct timers){0};
}

void timers_clear(struct timers *t)
{
    for (size_t i = 1; i <= t->n; i++)
        t->heap[i]->heap_index = 0;
    t->n = 0;
}

static bool before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void place(struct timers *t, size_t i, struct loop_timer *timer)
{
    t->heap[i] = timer;
    timer->heap_index = i;
}

static void sift_up(struct timers *t, size_t i, struct loop_timer *timer)
{
    for (; i > 1 && before(timer, t->heap[i / 2]); i /= 2)
        place(t, i, t->heap[i / 2]);
    place(t, i, timer);
}

static void sift_down(struct timers *t, size_t i, struct loop_timer *timer)
{
    for (;;) {
        size_t child = i * 2;
        if (child > t->n)
            break;
        if (child < t->n && before(t->heap[child + 1], t->heap[child]))
            child++;
        if (!before(t->heap[child], timer))
            break;
        place(t, i, t->heap[child]);
        i = child;
    }
    place(t, i, timer);
}

static void grow(struct timers *t)
{
    size_t cap = t->cap ? t->cap * 2 : HEAP_FIRST_CAP;
    struct loop_timer **heap = mem_alloc((cap + 1) * sizeof(*heap));
    if (t->n)
        memcpy(heap, t->heap, (t->n + 1) * sizeof(*heap));
    mem_free(t->heap);
    t->heap = heap;
    t->cap = cap;
}

void timers_arm(struct timers *t, struct loop_timer *timer, uint64_t due)
{
    timers_disarm(t, timer);
    timer->due = due;
    timer->order = ++t->order;
    if (t->n == t->cap)
        grow(t);
    sift_up(t, ++t->n, timer);
}

void timers_disarm(struct timers *t, struct loop_timer *timer)
{
    size_t i = timer->heap_index;
    if (i == 0)
        return;
    timer->heap_index = 0;
    struct loop_timer *last = t->heap[t->n--];
    if (last == timer)
        return;
    if (i > 1 && before(last, t->heap[i / 2]))
        sift_up(t, i, last);
    else
        sift_down(t, i, last);
}

uint64_t timers_next(const struct timers *t)
{
    return t->n ? t->heap[1]->due : UINT64_MAX;
}

void timers_fire(struct timers *t, uint64_t now)
{
    uint64_t newest = t->order;
    while (t->n && t->heap[1]->due <= now && t->heap[1]->order <= newest) {
        struct loop_timer *timer = t->heap[1];
        timers_disarm(t, timer);
        timer->cb(timer);
    }
}
