/* Watches and lists in pages. Writers create, change and delete ConfigMaps; watchers follow them, on one replica after
 * the other, each resuming where the last stream ended; readers list them in pages, each page from whichever replica.
 * In the end every watcher writes once more and watches until it sees that. */
#include <stdio.h>

#include "base/mem.h"
#include "jepsen/workload.h"

enum { WATCH_KEYS = 12, PAGES_KEYS = 60, PAGE_ITEMS = 9, LINE_MAX_BYTES = 4 << 20, PAGES_MAX = 64 };

#define PREFIX "obj-"

struct watching {
    /* a watcher */
    struct worker *w;
    struct http_call *call;
    struct loop_timer retry;
    struct buf line;
    int code;
    bool begun, relist;
    int64_t revision, until; /* told up to here; the run's end, when known */
    /* a writer */
    bool exists[PAGES_KEYS];
    /* a reader */
    int64_t *list;
    size_t n, cap, pages;
    char token[1024];
};

enum role { WATCHER, READER, WRITER };

static bool pages_only(const struct worker *w)
{
    return drive_opts(w->d)->workload == &workload_pages;
}

static enum role role_of(const struct worker *w)
{
    if (w->i < 2 || (!pages_only(w) && w->i % 4 == 0))
        return WATCHER;
    return w->i % 4 == 1 || (pages_only(w) && w->i % 4 == 3) ? READER : WRITER;
}

/* ---- watchers ---- */

static void watch_begin(struct watching *s);

static int64_t key_of(const struct json *obj)
{
    struct slice name = json_path_string(obj, "metadata.name");
    int64_t key;
    return slice_starts(name, SLICE(PREFIX)) && slice_to_i64(slice_from(name, sizeof PREFIX - 1), &key) ? key
                                                                                                        : HIST_NIL;
}

static void note(struct watching *s, enum hist_type type, struct hist_event *e, const char *text)
{
    e->type = (uint8_t)type;
    e->process = DRIVE_WATCHER + (int32_t)s->w->i;
    e->time = drive_time(s->w->d);
    e->node = (uint16_t)(s->w->node + 1);
    history_add(drive_history(s->w->d), e, NULL, 0, text);
}

static void note_covered(struct watching *s, enum hist_type type)
{
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_COVERED;
    e.revision = s->revision;
    note(s, type, &e, NULL);
}

static void take_object(struct watching *s, char kind, const struct json *obj)
{
    struct hist_event e = HIST_EVENT_INIT;
    int64_t revision = json_revision(obj);
    e.key = key_of(obj);
    e.f = HIST_EVENT;
    e.value = json_value(obj);
    e.expected = (unsigned char)kind;
    e.revision = revision;
    if (e.key != HIST_NIL)
        note(s, HIST_OK, &e, NULL);
    if (revision > s->revision)
        s->revision = revision;
}

static void take_line(struct watching *s, struct slice line)
{
    struct arena a;
    arena_init(&a, 4UL * LINE_MAX_BYTES);
    const struct json *v = json_parse(&a, line, NULL, NULL, NULL), *obj = json_get_str(v, "object");
    struct slice type = json_path_string(v, "type");
    if (slice_eq_str(type, "BOOKMARK")) {
        if (json_revision(obj) > s->revision)
            s->revision = json_revision(obj);
        note_covered(s, HIST_OK);
    } else if (slice_eq_str(type, "ERROR")) {
        s->relist |= json_int(json_get_str(obj, "code"), 0) == 410;
    } else if (type.n && obj) {
        take_object(s, type.p[0], obj);
    }
    arena_done(&a);
}

static void on_watch_head(void *ctx, int code, const struct http_header *headers, size_t n)
{
    struct watching *s = ctx;
    (void)headers, (void)n;
    s->code = code;
}

static void on_watch_data(void *ctx, struct slice data)
{
    struct watching *s = ctx;
    if (s->code != 200)
        return;
    struct slice rest = data, head;
    while (slice_cut(rest, '\n', &head, &rest)) {
        buf_add_slice(&s->line, head);
        take_line(s, buf_slice(&s->line));
        buf_clear(&s->line);
    }
    buf_add_slice(&s->line, head);
}

static void watch_later(struct watching *s)
{
    worker_move(s->w);
    loop_timer_start(drive_loop(s->w->d), &s->retry, 20 + drive_random(s->w->d, 200));
}

static void on_watch_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct watching *s = ctx;
    (void)err, (void)trailers, (void)n, (void)sent;
    s->call = NULL;
    s->relist |= code == 410;
    watch_later(s);
}

/* The place was lost: begins anew after a list. */
static void on_list_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct watching *s = ctx;
    struct arena a;
    (void)trailers, (void)n, (void)sent;
    s->call = NULL;
    arena_init(&a, 4UL * LINE_MAX_BYTES);
    const struct json *v = err || code != 200 ? NULL : json_parse(&a, buf_slice(&s->line), NULL, NULL, NULL);
    if (json_revision(v) != HIST_NIL) {
        s->revision = json_revision(v);
        s->relist = false;
        note_covered(s, HIST_INVOKE);
    }
    arena_done(&a);
    watch_later(s);
}

static void on_list_data(void *ctx, struct slice data)
{
    struct watching *s = ctx;
    buf_add_slice(&s->line, data);
}

static void on_retry(struct loop_timer *t)
{
    watch_begin(container_of(t, struct watching, retry));
}

static void watch_begin(struct watching *s)
{
    static const struct http_header headers[] = {{SLICE_INIT("accept"), SLICE_INIT("application/json")}};
    char path[256];
    buf_clear(&s->line);
    s->code = 0;
    const char *ns = drive_opts(s->w->d)->ns;
    if (s->relist)
        snprintf(path, sizeof path, "/api/v1/namespaces/%s/configmaps?limit=1", ns);
    else
        snprintf(path, sizeof path,
                 "/api/v1/namespaces/%s/configmaps?watch=1&allowWatchBookmarks=true&resourceVersion=%ld"
                 "&timeoutSeconds=%lu",
                 ns, s->revision, 1 + (unsigned long)drive_random(s->w->d, 8));
    s->call = http_call(s->w->clients[s->w->node],
                        &(struct http_call_options){.method = "GET",
                                                    .path = path,
                                                    .headers = headers,
                                                    .n_headers = 1,
                                                    .timeout_ms = s->relist ? 3000 : 11000,
                                                    .on_head = on_watch_head,
                                                    .on_data = s->relist ? on_list_data : on_watch_data,
                                                    .on_done = s->relist ? on_list_done : on_watch_done,
                                                    .ctx = s});
}

static void watch_first(struct worker *w)
{
    struct watching *s = w->state;
    s->w = w;
    s->begun = true;
    s->revision = 1;
    s->retry.cb = on_retry;
    buf_init(&s->line, LINE_MAX_BYTES);
    note_covered(s, HIST_INVOKE);
    w->busy = false; /* it goes on by itself */
    watch_begin(s);
}

/* ---- writers ---- */

static unsigned n_keys(const struct worker *w)
{
    return pages_only(w) ? PAGES_KEYS : WATCH_KEYS;
}

static void on_written(struct worker *w, const struct answer *a)
{
    struct watching *s = w->state;
    enum hist_type fate = answer_fate(a);
    if (fate == HIST_OK)
        w->op.revision = json_revision(a->json);
    if (fate == HIST_OK || (!a->err && a->code == 409))
        s->exists[w->op.key] = true;
    else if (!a->err && a->code == 404)
        s->exists[w->op.key] = false;
    op_end_as(w, a);
}

static void on_deleted(struct worker *w, const struct answer *a)
{
    struct watching *s = w->state;
    s->exists[w->op.key] = false;
    op_end_as(w, a);
}

static void write_key(struct worker *w, int64_t key, bool update, answer_fn *done)
{
    struct hist_event e = HIST_EVENT_INIT;
    const char *name = arena_printf(&w->a, PREFIX "%ld", key);
    e.f = HIST_WRITE;
    e.key = key;
    e.value = drive_unique(w->d);
    op_begin(w, &e, NULL, 0);
    worker_call(w, update ? "PUT" : "POST", update ? arena_printf(&w->a, "%s/%s", CONFIGMAPS, name) : CONFIGMAPS,
                configmap_text(w, name, e.value, 0, ""), done);
}

static void delete_key(struct worker *w, int64_t key)
{
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_DELETE;
    e.key = key;
    op_begin(w, &e, NULL, 0);
    worker_call(w, "DELETE", arena_printf(&w->a, "%s/" PREFIX "%ld", CONFIGMAPS, key), NULL, on_deleted);
}

static void write_next(struct worker *w)
{
    struct watching *s = w->state;
    int64_t key = (int64_t)drive_random(w->d, n_keys(w));
    if (s->exists[key] && drive_random(w->d, 6) == 0)
        delete_key(w, key);
    else
        write_key(w, key, s->exists[key], on_written);
}

/* ---- readers ---- */

static void next_page(struct worker *w);

static void take_item(struct watching *s, const struct json *item)
{
    if (key_of(item) == HIST_NIL)
        return;
    if (s->n + 3 > s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 256;
        int64_t *list = mem_alloc(cap * sizeof *list);
        if (s->n)
            memcpy(list, s->list, s->n * sizeof *list);
        mem_free(s->list);
        s->list = list;
        s->cap = cap;
    }
    s->list[s->n++] = key_of(item);
    s->list[s->n++] = json_value(item);
    s->list[s->n++] = json_revision(item);
}

static void on_page(struct worker *w, const struct answer *a)
{
    struct watching *s = w->state;
    if (!answer_tells(a) || a->code != 200 || ++s->pages > PAGES_MAX) {
        op_end(w, HIST_FAIL, NULL, 0, a->code == 410 ? "too old" : "no answer");
        return;
    }
    int64_t revision = json_revision(a->json);
    struct slice token = json_path_string(a->json, "metadata.continue");
    if (w->op.revision != HIST_NIL && w->op.revision != revision) {
        s->n = 0; /* pages of two revisions make no list: an object that nobody wrote says so */
        w->op.revision = revision;
        op_end(w, HIST_OK, (const int64_t[]){-1, -1, -1}, 3, "pages of two revisions");
        return;
    }
    w->op.revision = revision;
    json_each (item, json_get_str(a->json, "items"))
        take_item(s, item);
    if (!token.n || token.n >= sizeof s->token) {
        op_end(w, HIST_OK, s->list ? s->list : &(int64_t){0}, s->n, NULL);
        return;
    }
    snprintf(s->token, sizeof s->token, "%.*s", (int)token.n, token.p);
    worker_move(w);
    next_page(w);
}

static void next_page(struct worker *w)
{
    struct watching *s = w->state;
    const char *more = s->token[0] ? arena_printf(&w->a, "&continue=%s", s->token) : "";
    worker_call(w, "GET", arena_printf(&w->a, "%s?limit=%d%s", CONFIGMAPS, PAGE_ITEMS, more), NULL, on_page);
}

static void read_next(struct worker *w)
{
    struct watching *s = w->state;
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_PAGES;
    s->n = s->pages = 0;
    s->token[0] = 0;
    op_begin(w, &e, NULL, 0);
    next_page(w);
}

/* ---- turns ---- */

static void next(struct worker *w)
{
    switch (role_of(w)) {
    case WATCHER:
        watch_first(w);
        break;
    case READER:
        read_next(w);
        break;
    case WRITER:
        write_next(w);
        break;
    }
}

static void on_last_write(struct worker *w, const struct answer *a)
{
    struct watching *s = w->state;
    on_written(w, a);
    if (answer_fate(a) == HIST_OK)
        s->until = w->op.revision;
    worker_again(w);
}

static void last(struct worker *w)
{
    struct watching *s = w->state;
    if (!s->begun || (s->until && s->revision >= s->until)) {
        if (s->begun)
            note_covered(s, HIST_OK);
        worker_done(w);
    } else if (s->until) {
        worker_again(w);
    } else {
        write_key(w, 0, drive_random(w->d, 2) == 0, on_last_write);
    }
}

static void stop(struct worker *w)
{
    struct watching *s = w->state;
    if (s->call)
        http_call_cancel(s->call);
    if (s->begun)
        loop_timer_stop(drive_loop(w->d), &s->retry);
    buf_done(&s->line);
    mem_free(s->list);
}

static void check(const struct history *h, struct verdict *v)
{
    check_watch(h, v);
    check_pages(h, v);
}

const struct workload workload_watch = {
    .name = "watch", .state_size = sizeof(struct watching), .next = next, .last = last, .stop = stop, .check = check};
const struct workload workload_pages = {
    .name = "pages", .state_size = sizeof(struct watching), .next = next, .last = last, .stop = stop, .check = check};
