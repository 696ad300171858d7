/* Cell functions that serve many kinds, and the helpers of all. */
#include "object/print_cell.h"

#include <stdlib.h>

#include "base/timefmt.h"
#include "object/path.h"
#include "object/selector.h"

enum { CELL_MAX = 64 << 10, SORT_MAX = 1000 };

/* ---- helpers ---- */

struct json *cell_take(const struct cell *c, struct buf *b)
{
    struct json *v = buf_error(b) ? NULL : json_new_string(c->a, buf_slice(b));
    buf_done(b);
    return v;
}

struct json *cell_since(const struct cell *c, struct slice time)
{
    char text[DURATION_TEXT_MAX];
    int64_t ns;
    if (!time_parse(time, &ns))
        return json_new_str(c->a, "<unknown>");
    print_duration(c->now - ns, text);
    return json_new_str(c->a, text);
}

void cell_join(struct buf *b, const char *sep, struct slice text)
{
    if (b->n)
        buf_add_str(b, sep);
    buf_add_slice(b, text);
}

void cell_more(struct buf *b, size_t shown, size_t total)
{
    if (total > shown)
        buf_printf(b, " + %zu more...", total - shown);
}

const struct json *cell_condition(const struct json *obj, const char *type)
{
    json_each (it, json_path(obj, "status.conditions"))
        if (slice_eq_str(json_path_string(it, "type"), type))
            return it;
    return NULL;
}

struct slice cell_condition_status(const struct json *obj, const char *type)
{
    return json_path_string(cell_condition(obj, type), "status");
}

void cell_load_balancer(const struct cell *c, struct buf *b)
{
    const struct json *list = json_path(c->obj, "status.loadBalancer.ingress");
    struct slice *names = arena_alloc(c->a, (json_len(list) + 1) * sizeof *names);
    size_t n = 0;
    if (!names)
        return;
    json_each (it, list) {
        struct slice ip = json_path_string(it, "ip");
        names[n] = ip.n ? ip : json_path_string(it, "hostname");
        n += names[n].n > 0;
    }
    qsort(names, n, sizeof *names, slice_order);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !slice_eq(names[i], names[i - 1]))
            cell_join(b, ",", names[i]);
}

static const struct json *arg(const struct cell *c, size_t i)
{
    return i < c->n_args ? path_get(c->obj, c->args[i]) : NULL;
}

static struct slice arg_text(const struct cell *c, size_t i)
{
    return path_text(c->a, arg(c, i));
}

/* ---- functions ---- */

/* age(path): since then; <unknown> without a time. */
static struct json *age(const struct cell *c)
{
    return cell_since(c, arg_text(c, 0));
}

/* since(path): the same, but absent without a time. */
static struct json *since(const struct cell *c)
{
    struct slice time = arg_text(c, 0);
    return time.n ? cell_since(c, time) : NULL;
}

/* seconds(path): a number of seconds as a duration. */
static struct json *seconds(const struct cell *c)
{
    char text[DURATION_TEXT_MAX];
    const struct json *v = arg(c, 0);
    if (!v)
        return NULL;
    print_duration(json_int(v, 0) * NS_PER_SEC, text);
    return json_new_str(c->a, text);
}

/* date(path): custom resources' date columns; absent without a time, <invalid> when it is none. */
static struct json *date(const struct cell *c)
{
    struct slice time = arg_text(c, 0);
    int64_t ns;
    if (time.n == 0)
        return NULL;
    return time_parse(time, &ns) ? cell_since(c, time) : json_new_str(c->a, "<invalid>");
}

/* len(path, …): items in all of them. */
static struct json *len(const struct cell *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_args; i++)
        n += json_len(arg(c, i));
    return json_new_int(c->a, (int64_t)n);
}

/* join(path, separator): a list of strings. */
static struct json *join(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    const char *sep = arena_copy(c->a, c->args[1]).p;
    json_each (it, arg(c, 0))
        cell_join(&b, sep ? sep : ",", json_string(it));
    return cell_take(c, &b);
}

/* pluck(path, member, separator): one member of each item. */
static struct json *pluck(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    const char *sep = arena_copy(c->a, c->args[2]).p;
    json_each (it, arg(c, 0))
        cell_join(&b, sep ? sep : ",", json_string(json_get(it, c->args[1])));
    return cell_take(c, &b);
}

static int by_key(const void *ctx, const struct json *a, const struct json *b)
{
    (void)ctx;
    return slice_cmp(a->key, b->key);
}

/* labels(path): k=v sorted, or <none>. */
static struct json *labels(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    struct json *map = json_clone(c->a, arg(c, 0));
    json_sort(map, by_key, NULL);
    json_each (it, map) {
        cell_join(&b, ",", it->key);
        buf_printf(&b, "=%" SLICE_FMT, SLICE_ARG(json_string(it)));
    }
    if (b.n == 0)
        buf_add_str(&b, "<none>");
    return cell_take(c, &b);
}

/* selector(path): a LabelSelector as text, <none> when empty. */
struct json *cell_selector(const struct cell *c, const struct json *label_selector)
{
    struct buf b = BUF_INIT(CELL_MAX);
    struct selector s;
    if (json_len(label_selector) == 0)
        return json_new_str(c->a, "<none>");
    if (selector_from_object(c->a, label_selector, &s))
        return json_new_str(c->a, "<error>");
    selector_write(&b, &s);
    if (b.n == 0)
        buf_add_str(&b, "<none>");
    return cell_take(c, &b);
}

static struct json *selector(const struct cell *c)
{
    return cell_selector(c, arg(c, 0));
}

/* text(path): a number as text, too. */
static struct json *text(const struct cell *c)
{
    struct slice s = path_text(c->a, arg(c, 0));
    return s.n ? json_new_string(c->a, s) : NULL;
}

/* slash(path, a, b): members a/b of the object there; absent without it. */
static struct json *slash(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    const struct json *o = arg(c, 0);
    if (!json_is(o, JSON_OBJECT))
        return NULL;
    buf_add_slice(&b, json_string(json_get(o, c->args[1])));
    buf_add_char(&b, '/');
    buf_add_slice(&b, json_string(json_get(o, c->args[2])));
    return cell_take(c, &b);
}

/* ratio(path, path): a/b. */
static struct json *ratio(const struct cell *c)
{
    return json_new_printf(c->a, "%lld/%lld", (long long)json_int(arg(c, 0), 0), (long long)json_int(arg(c, 1), 0));
}

static struct json *trim(const struct cell *c)
{
    return json_new_string(c->a, slice_trim(arg_text(c, 0)));
}

/* title(path): True or False. */
static struct json *title(const struct cell *c)
{
    const struct json *v = arg(c, 0);
    return json_is(v, JSON_BOOL) ? json_new_str(c->a, v->u.boolean ? "True" : "False") : NULL;
}

/* condition(type): its status. */
static struct json *condition(const struct cell *c)
{
    const char *type = arena_copy(c->a, c->args[0]).p;
    struct slice s = cell_condition_status(c->obj, type ? type : "");
    return s.n ? json_new_string(c->a, s) : NULL;
}

static struct json *terminating(const struct cell *c)
{
    return json_path_string(c->obj, "metadata.deletionTimestamp").n ? json_new_str(c->a, "Terminating") : NULL;
}

static struct json *load_balancer(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    cell_load_balancer(c, &b);
    return cell_take(c, &b);
}

/* default_class(annotation, …): the name, marked when one of the annotations is true. */
static struct json *default_class(const struct cell *c)
{
    const struct json *notes = json_path(c->obj, "metadata.annotations");
    bool marked = false;
    for (size_t i = 0; i < c->n_args; i++)
        marked |= slice_eq_str(json_string(json_get(notes, c->args[i])), "true");
    return json_new_printf(c->a, "%" SLICE_FMT "%s", SLICE_ARG(json_path_string(c->obj, "metadata.name")),
                           marked ? " (default)" : "");
}

const struct cell_entry cell_general[] = {
    {"age", age},
    {"condition", condition},
    {"date", date},
    {"default_class", default_class},
    {"join", join},
    {"labels", labels},
    {"len", len},
    {"load_balancer", load_balancer},
    {"pluck", pluck},
    {"ratio", ratio},
    {"seconds", seconds},
    {"selector", selector},
    {"since", since},
    {"slash", slash},
    {"terminating", terminating},
    {"text", text},
    {"title", title},
    {"trim", trim},
    {NULL, NULL},
};
