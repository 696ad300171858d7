#include "object/diff.h"

#include <stdio.h>
#include <string.h>

static void compare(struct diff *d, size_t at, const struct json *old, const struct json *new);

/* Appends to the path; returns its new end. What does not fit is left out. */
static size_t enter(struct diff *d, size_t at, const char *before, struct slice name, const char *after)
{
    int n = snprintf(d->path + at, sizeof d->path - at, "%s%" SLICE_FMT "%s", before, SLICE_ARG(name), after);
    return n < 0 ? at : at + (size_t)n < sizeof d->path ? at + (size_t)n : sizeof d->path - 1;
}

static void compare_member(struct diff *d, size_t at, struct slice key, const struct json *old, const struct json *new)
{
    compare(d, enter(d, at, at ? "." : "", key, ""), old, new);
    d->path[at] = '\0';
}

static void compare_objects(struct diff *d, size_t at, const struct json *old, const struct json *new)
{
    json_each (m, old)
        compare_member(d, at, m->key, m, json_get(new, m->key));
    json_each (m, new)
        if (!json_get(old, m->key))
            compare_member(d, at, m->key, NULL, m);
}

static bool all_named(const struct json *array)
{
    json_each (v, array)
        if (!json_string(json_get_str(v, "name")).n)
            return false;
    return true;
}

static const struct json *by_name(const struct json *array, struct slice name)
{
    json_each (v, array)
        if (slice_eq(json_string(json_get_str(v, "name")), name))
            return v;
    return NULL;
}

static void compare_named(struct diff *d, size_t at, const struct json *old, const struct json *new)
{
    json_each (v, old) {
        struct slice name = json_string(json_get_str(v, "name"));
        compare(d, enter(d, at, "[", name, "]"), v, by_name(new, name));
        d->path[at] = '\0';
    }
    json_each (v, new) {
        struct slice name = json_string(json_get_str(v, "name"));
        if (by_name(old, name))
            continue;
        compare(d, enter(d, at, "[", name, "]"), NULL, v);
        d->path[at] = '\0';
    }
}

static void compare_places(struct diff *d, size_t at, const struct json *old, const struct json *new)
{
    const struct json *a = json_first(old), *b = json_first(new);
    for (size_t i = 0; a || b; i++) {
        char place[24];
        snprintf(place, sizeof place, "%zu", i);
        compare(d, enter(d, at, "[", slice_str(place), "]"), a, b);
        d->path[at] = '\0';
        a = a ? a->next : NULL;
        b = b ? b->next : NULL;
    }
}

static void compare(struct diff *d, size_t at, const struct json *old, const struct json *new)
{
    if (old && new &&json_equal(old, new))
        return;
    if (json_is(old, JSON_OBJECT) && json_is(new, JSON_OBJECT))
        compare_objects(d, at, old, new);
    else if (json_is(old, JSON_ARRAY) && json_is(new, JSON_ARRAY) && all_named(old) && all_named(new))
        compare_named(d, at, old, new);
    else if (json_is(old, JSON_ARRAY) && json_is(new, JSON_ARRAY))
        compare_places(d, at, old, new);
    else
        d->each(d, d->path, old, new);
}

void diff_run(struct diff *d, const struct json *old, const struct json *new)
{
    d->path[0] = '\0';
    compare(d, 0, old, new);
}
