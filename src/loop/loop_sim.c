#include <errno.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "loop/sim_impl.h"

#define SIM_EPOCH (1790000000LL * NS_PER_SEC) /* the wall clock's start */

enum { HEAP_FIRST_CAP = 256, TURN_MIN_NS = 1000, TURN_MAX_NS = 20000, DYING_OPS_MAX = 4 };

/* ---- randomness and trace ---- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(struct sim *s)
{
    s->rng += 0x9e3779b97f4a7c15ULL;
    return mix(s->rng);
}

uint64_t sim_random(struct sim *s, uint64_t bound)
{
    return next_random(s) % bound;
}

uint64_t sim_between(struct sim *s, uint64_t min, uint64_t max)
{
    return min >= max ? min : min + sim_random(s, max - min + 1);
}

void sim_trace(struct sim *s, uint64_t what)
{
    s->trace = mix(s->trace ^ mix(what + s->now));
}

uint64_t sim_trace_hash(const struct sim *s)
{
    return s->trace;
}

uint64_t sim_now(const struct sim *s)
{
    return s->now;
}

/* ---- events ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void place(struct sim *s, size_t i, struct sim_event *e)
{
    s->heap[i] = e;
    e->heap_index = i;
}

static void sift(struct sim *s, size_t i, struct sim_event *e)
{
    for (; i > 1 && before(e, s->heap[i / 2]); i /= 2)
        place(s, i, s->heap[i / 2]);
    for (size_t child; (child = i * 2) <= s->n; i = child) {
        if (child < s->n && before(s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s->heap[child], e))
            break;
        place(s, i, s->heap[child]);
    }
    place(s, i, e);
}

static void grow(struct sim *s)
{
    size_t cap = s->cap ? s->cap * 2 : HEAP_FIRST_CAP;
    struct sim_event **heap = mem_alloc((cap + 1) * sizeof(struct sim_event *));
    if (s->n)
        memcpy(heap, s->heap, (s->n + 1) * sizeof(struct sim_event *));
    mem_free(s->heap);
    s->heap = heap;
    s->cap = cap;
}

static void heap_remove(struct sim *s, struct sim_event *e)
{
    size_t i = e->heap_index;
    if (i == 0)
        return;
    e->heap_index = 0;
    struct sim_event *last = s->heap[s->n--];
    if (last != e)
        sift(s, i, last);
}

void sim_event_remove(struct sim *s, struct sim_event *e)
{
    heap_remove(s, e);
    if (e->ready.next)
        list_remove(&e->ready);
}

void sim_event_at(struct sim *s, struct sim_event *e, uint64_t at)
{
    sim_event_remove(s, e);
    list_init(&e->ready);
    e->at = at > s->now ? at : s->now;
    e->seq = ++s->seq;
    if (s->n == s->cap)
        grow(s);
    sift(s, ++s->n, e);
}

/* ---- turns ---- */

static uint64_t latest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void schedule_turn(struct sim_host *h)
{
    if (!sim_event_armed(&h->turn))
        sim_event_at(h->sim, &h->turn, latest(h->busy_until, h->paused_until));
}

/* Runs the callbacks of the turn; false when the host died of one. */
static bool run_batch(struct sim_host *h)
{
    uint64_t generation = h->generation;
    if (!list_empty(&h->ready)) {
        list_insert(h->ready.prev, &h->batch);
        list_remove(&h->ready);
    }
    for (struct list *it; (it = list_pop(&h->batch));) {
        struct sim_event *e = container_of(it, struct sim_event, ready);
        sim_trace(h->sim, e->seq);
        e->cb(e);
        if (h->generation != generation)
            return false;
    }
    loop_run_hooks(&h->base);
    return h->generation == generation;
}

static void run_turn(struct sim_event *e)
{
    struct sim_host *h = container_of(e, struct sim_host, turn);
    if (h->paused_until > h->sim->now) {
        sim_event_at(h->sim, e, h->paused_until);
        return;
    }
    if (!run_batch(h))
        return;
    sim_net_flush(h);
    h->busy_until = latest(h->busy_until, h->sim->now) + sim_between(h->sim, TURN_MIN_NS, TURN_MAX_NS);
    if (!list_empty(&h->ready))
        schedule_turn(h);
}

bool sim_step(struct sim *s)
{
    if (s->n == 0)
        return false;
    struct sim_event *e = s->heap[1];
    heap_remove(s, e);
    s->now = latest(s->now, e->at);
    if (!e->host) {
        e->cb(e);
        return true;
    }
    list_push(&e->host->ready, &e->ready);
    schedule_turn(e->host);
    return true;
}

void sim_run_ms(struct sim *s, uint64_t ms)
{
    uint64_t end = s->now + ms * NS_PER_MS;
    while (s->n && s->heap[1]->at <= end)
        sim_step(s);
    s->now = end;
}

/* ---- a host's loop ---- */

static uint64_t host_now(struct loop *l)
{
    return sim_host_of(l)->sim->now;
}

static int64_t host_wall(struct loop *l)
{
    return SIM_EPOCH + (int64_t)sim_host_of(l)->sim->now + sim_host_of(l)->wall_offset;
}

static void host_random(struct loop *l, void *p, size_t n)
{
    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        uint64_t v = next_random(sim_host_of(l)->sim);
        memcpy((char *)p + i, &v, n - i < sizeof(v) ? n - i : sizeof(v));
    }
}

static void host_timers_changed(struct loop *l)
{
    struct sim_host *h = sim_host_of(l);
    if (!h->alive) {
        timers_clear(&l->timers);
        return;
    }
    uint64_t due = timers_next(&l->timers);
    if (!sim_event_armed(&h->timer) || due < h->timer.at)
        sim_event_at(h->sim, &h->timer, due);
}

static void fire_timers(struct sim_event *e)
{
    struct sim_host *h = container_of(e, struct sim_host, timer);
    uint64_t generation = h->generation;
    timers_fire(&h->base.timers, h->sim->now);
    if (h->generation == generation && timers_next(&h->base.timers) != UINT64_MAX)
        sim_event_at(h->sim, e, timers_next(&h->base.timers));
}

struct sim_post {
    struct sim_event ev;
    void (*cb)(void *arg);
    void *arg;
};

static void drop_post(struct sim_event *e)
{
    mem_free(container_of(e, struct sim_post, ev));
}

static void run_post(struct sim_event *e)
{
    struct sim_post p = *container_of(e, struct sim_post, ev);
    drop_post(e);
    p.cb(p.arg);
}

static void host_post(struct loop *l, void (*cb)(void *arg), void *arg)
{
    struct sim_host *h = sim_host_of(l);
    if (!h->alive)
        return;
    struct sim_post *p = mem_new(struct sim_post);
    *p = (struct sim_post){.ev = {.host = h, .cb = run_post, .drop = drop_post}, .cb = cb, .arg = arg};
    sim_event_at(h->sim, &p->ev, h->sim->now);
}

static void next_work(struct sim_lane *lane)
{
    struct sim_host *h = lane->host;
    if (!list_empty(&lane->queue) && !sim_event_armed(&lane->ev))
        sim_event_at(h->sim, &lane->ev, h->sim->now + sim_between(h->sim, h->disk.sync_min_ns, h->disk.sync_max_ns));
}

static void run_work(struct sim_host *h, struct loop_work *w)
{
    h->in_work = true;
    w->run(w);
    h->in_work = false;
}

static void finish_work(struct sim_event *e)
{
    struct sim_lane *lane = container_of(e, struct sim_lane, ev);
    struct loop_work *w = container_of(list_pop(&lane->queue), struct loop_work, link);
    run_work(lane->host, w);
    next_work(lane);
    w->done(w);
}

static void host_work_queue(struct loop *l, unsigned lane, struct loop_work *w)
{
    struct sim_host *h = sim_host_of(l);
    list_init(&w->link);
    if (!h->alive)
        return;
    list_push(&h->lanes[lane].queue, &w->link);
    next_work(&h->lanes[lane]);
}

static void host_run(struct loop *l)
{
    struct sim_host *h = sim_host_of(l);
    h->stop = false;
    while (!h->stop && sim_step(h->sim))
        ;
}

static void host_stop(struct loop *l)
{
    sim_host_of(l)->stop = true;
}

static void host_free(struct loop *l)
{
    (void)l; /* hosts live as long as their world */
}

static const struct loop_ops sim_loop_ops = {
    .is_sim = true,
    .now = host_now,
    .wall = host_wall,
    .random = host_random,
    .timers_changed = host_timers_changed,
    .post = host_post,
    .work_queue = host_work_queue,
    .listen = sim_net_listen,
    .connect = sim_net_connect,
    .run = host_run,
    .stop = host_stop,
    .free = host_free,
};

bool loop_is_dead(const struct loop *l)
{
    return l->ops == &sim_loop_ops && !sim_host_of((struct loop *)l)->alive;
}

/* ---- the world ---- */

struct sim *sim_new(uint64_t seed)
{
    struct sim *s = mem_new(struct sim);
    s->rng = mix(seed + 1);
    s->now = NS_PER_SEC;
    return s;
}

static void init_lanes(struct sim_host *h)
{
    for (unsigned i = 0; i < LOOP_LANES; i++) {
        h->lanes[i].host = h;
        h->lanes[i].ev = (struct sim_event){.host = h, .cb = finish_work};
        list_init(&h->lanes[i].queue);
    }
}

struct loop *sim_host(struct sim *s, const char *name)
{
    if (s->n_hosts == SIM_HOSTS_MAX)
        return NULL;
    struct sim_host *h = mem_new(struct sim_host);
    loop_init(&h->base, &sim_loop_ops, name);
    h->sim = s;
    h->index = s->n_hosts;
    h->alive = true;
    h->next_port = SIM_PORT_FIRST;
    list_init(&h->ready);
    list_init(&h->batch);
    list_init(&h->streams);
    list_init(&h->listeners);
    list_init(&h->connects);
    list_init(&h->flush);
    h->turn.cb = run_turn;
    h->timer = (struct sim_event){.host = h, .cb = fire_timers};
    init_lanes(h);
    sim_disk_init(h);
    for (size_t i = 0; i < SIM_HOSTS_MAX; i++)
        h->links[i] = (struct sim_link){.min_ns = 100 * NS_PER_US, .max_ns = 500 * NS_PER_US};
    h->links[h->index] = (struct sim_link){.min_ns = 10 * NS_PER_US, .max_ns = 50 * NS_PER_US};
    s->hosts[s->n_hosts++] = h;
    return &h->base;
}

/* Takes all of the host's own events out of the world. */
static void drop_events(struct sim_host *h)
{
    struct sim *s = h->sim;
    for (size_t i = 1; i <= s->n;) {
        struct sim_event *e = s->heap[i];
        if (e->host != h) {
            i++;
            continue;
        }
        heap_remove(s, e);
        if (e->drop)
            e->drop(e);
        i = 1; /* the heap was rearranged */
    }
    struct list *queues[] = {&h->ready, &h->batch};
    for (size_t q = 0; q < 2; q++)
        for (struct list *it; (it = list_pop(queues[q]));) {
            struct sim_event *e = container_of(it, struct sim_event, ready);
            if (e->drop)
                e->drop(e);
        }
    sim_event_remove(s, &h->turn);
}

/* What the pool threads were doing when the host died: some of it happened, nobody hears of it. */
static void half_run_works(struct sim_host *h)
{
    for (unsigned i = 0; i < LOOP_LANES; i++) {
        struct sim_lane *lane = &h->lanes[i];
        if (list_empty(&lane->queue) || sim_random(h->sim, 2) == 0)
            continue;
        h->disk.dying = true;
        h->disk.ops_left = sim_random(h->sim, DYING_OPS_MAX);
        run_work(h, container_of(lane->queue.next, struct loop_work, link));
        h->disk.dying = false;
    }
}

static void drop_registered(struct sim_host *h)
{
    timers_clear(&h->base.timers);
    while (list_pop(&h->base.hooks))
        ;
    if (h->base.hook_next)
        h->base.hook_next = &h->base.hooks;
    for (unsigned i = 0; i < LOOP_LANES; i++)
        while (list_pop(&h->lanes[i].queue))
            ;
}

static void end_host(struct sim_host *h, bool crash)
{
    h->alive = false;
    h->crashed = crash;
    h->generation++;
    drop_events(h);
    drop_registered(h);
    sim_net_kill(h, crash);
    sim_disk_kill(h, crash);
}

void sim_kill(struct sim *s, struct loop *host, bool crash)
{
    struct sim_host *h = sim_host_of(host);
    if (!h->alive)
        return;
    sim_trace(s, crash ? 0xdead : 0xdeaf);
    half_run_works(h);
    end_host(h, crash);
}

void sim_start(struct sim *s, struct loop *host)
{
    struct sim_host *h = sim_host_of(host);
    if (h->alive)
        return;
    sim_trace(s, 0xbeef);
    h->alive = true;
    h->crashed = false;
    h->stop = false;
    h->busy_until = h->paused_until = 0;
    sim_net_start(h);
}

bool sim_alive(const struct sim *s, const struct loop *host)
{
    (void)s;
    return !loop_is_dead(host);
}

void sim_pause(struct sim *s, struct loop *host, uint64_t ms)
{
    struct sim_host *h = sim_host_of(host);
    h->paused_until = latest(h->paused_until, s->now + ms * NS_PER_MS);
}

void sim_cut(struct sim *s, struct loop *from, struct loop *to, bool cut)
{
    (void)s;
    sim_net_cut(sim_host_of(from), sim_host_of(to), cut);
}

void sim_latency(struct sim *s, struct loop *from, struct loop *to, uint64_t min_us, uint64_t max_us)
{
    (void)s;
    struct sim_link *link = &sim_host_of(from)->links[sim_host_of(to)->index];
    link->min_ns = min_us * NS_PER_US;
    link->max_ns = max_us * NS_PER_US;
}

void sim_disk(struct sim *s, struct loop *host, uint64_t min_us, uint64_t max_us)
{
    (void)s;
    sim_host_of(host)->disk.sync_min_ns = min_us * NS_PER_US;
    sim_host_of(host)->disk.sync_max_ns = max_us * NS_PER_US;
}

void sim_disk_limit(struct sim *s, struct loop *host, uint64_t bytes)
{
    (void)s;
    sim_host_of(host)->disk.limit = bytes;
}

void sim_disk_ordered(struct sim *s, struct loop *host, bool ordered)
{
    (void)s;
    sim_host_of(host)->disk.ordered = ordered;
}

void sim_disk_fail(struct sim *s, struct loop *host, uint64_t nth, int err)
{
    (void)s;
    sim_host_of(host)->disk.fail_nth = nth;
    sim_host_of(host)->disk.fail_err = err;
}

void sim_wall_jump(struct sim *s, struct loop *host, int64_t ns)
{
    (void)s;
    sim_host_of(host)->wall_offset += ns;
}

void sim_free(struct sim *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_hosts; i++)
        end_host(s->hosts[i], false);
    for (size_t i = 0; i < s->n_hosts; i++)
        sim_net_done(s->hosts[i]);
    while (s->n) {
        struct sim_event *e = s->heap[1];
        heap_remove(s, e);
        if (e->drop)
            e->drop(e);
    }
    for (size_t i = 0; i < s->n_hosts; i++) {
        sim_disk_done(s->hosts[i]);
        loop_done(&s->hosts[i]->base);
        mem_free(s->hosts[i]);
    }
    mem_free(s->heap);
    mem_free(s);
}
