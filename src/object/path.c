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
