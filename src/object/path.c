#include "object/path.h"

/* Takes the first step off the path: a member name, or what stands in brackets. */
static struct slice next_step(struct slice *path)
{
    struct slice s = *path, step;
    size_t i = 0;
    if (s.n && s.p[0] == '[') {
        slice_cut(slice_from(s, 1), ']', &step, path);
    } else {
        while (i < s.n && s.p[i] != '.' && s.p[i] != '[')
            i++;
        step = slice_of(s.p, i);
        *path = slice_from(s, i);
    }
    if (path->n && path->p[0] == '.')
        *path = slice_from(*path, 1);
    return step;
}

struct json *path_get(const struct json *v, struct slice path)
{
    while (v && path.n) {
        struct slice step = next_step(&path);
        uint64_t i;
        if (v->type == JSON_ARRAY)
            v = slice_to_u64(step, &i) ? json_at(v, (size_t)i) : NULL;
        else
            v = json_get(v, step);
    }
    return (struct json *)v;
}

struct json *path_get_str(const struct json *v, const char *path)
{
    return path_get(v, slice_str(path));
}

struct json *path_first(const struct json *v, struct slice paths)
{
    struct slice path;
    while (paths.n) {
        slice_cut(paths, '|', &path, &paths);
        struct json *found = path_get(v, path);
        bool empty = !found || found->type == JSON_NULL || (found->type == JSON_STRING && found->u.string.n == 0);
        if (!empty)
            return found;
    }
    return NULL;
}

struct slice path_text(struct arena *a, const struct json *scalar)
{
    struct buf text = BUF_INIT(64);
    struct slice copy = SLICE_NONE;
    if (json_is(scalar, JSON_STRING))
        return scalar->u.string;
    if (!scalar || scalar->type == JSON_NULL || scalar->type >= JSON_ARRAY)
        return SLICE_NONE;
    if (json_write(&text, scalar) == 0)
        copy = arena_copy(a, buf_slice(&text));
    buf_done(&text);
    return copy;
}

/* The object that holds the path's last step, made when a is given; *last is that step. NULL when there is none. */
static struct json *holder(struct arena *a, struct json *obj, struct slice path, struct slice *last)
{
    for (;;) {
        *last = next_step(&path);
        if (path.n == 0 || !obj)
            return json_is(obj, JSON_OBJECT) ? obj : NULL;
        struct json *next = json_get(obj, *last);
        if (a && (!next || next->type == JSON_NULL)) {
            next = json_new_object(a);
            json_set(a, obj, *last, next);
        }
        obj = next;
    }
}

void path_set(struct arena *a, struct json *obj, struct slice path, struct json *v)
{
    struct slice last;
    struct json *box = holder(a, obj, path, &last);
    json_set(a, box, last, v);
}

void path_del(struct json *obj, struct slice path)
{
    struct slice last;
    json_del(holder(NULL, obj, path, &last), last);
}
