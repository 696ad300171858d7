/* Histories from EDN or JSON. Both become the same tree (keywords are strings, maps are objects), and one reader takes
 * events from it. EDN: what histories are made of; no tagged values but their content, no characters, no ratios. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "codec/json.h"
#include "jepsen/history.h"

enum { EDN_DEPTH_MAX = 32, LINE_ARENA = 64 << 20 };

struct edn {
    struct arena *a;
    const char *p, *end;
};

/* ---- EDN as a tree ---- */

static struct json *edn_value(struct edn *r, int depth);

static void skip(struct edn *r)
{
    for (; r->p < r->end; r->p++) {
        if (*r->p == ';')
            while (r->p < r->end && *r->p != '\n')
                r->p++;
        else if (*r->p != ',' && !isspace((unsigned char)*r->p))
            return;
    }
}

static struct slice token(struct edn *r)
{
    const char *from = r->p;
    while (r->p < r->end && !isspace((unsigned char)*r->p) && !memchr(",()[]{}\"", *r->p, 8))
        r->p++;
    return slice_of(from, (size_t)(r->p - from));
}

static struct json *edn_string(struct edn *r)
{
    struct buf text = BUF_INIT(1 << 20);
    for (r->p++; r->p < r->end && *r->p != '"'; r->p++) {
        if (*r->p == '\\' && r->p + 1 < r->end)
            r->p++, buf_add_char(&text, *r->p == 'n' ? '\n' : *r->p == 't' ? '\t' : *r->p);
        else
            buf_add_char(&text, *r->p);
    }
    struct json *v = r->p++ < r->end ? json_new_string(r->a, buf_slice(&text)) : NULL;
    buf_done(&text);
    return v;
}

static struct json *edn_items(struct edn *r, char close, int depth)
{
    struct json *list = json_new_array(r->a);
    for (r->p++;;) {
        skip(r);
        if (r->p >= r->end)
            return NULL;
        if (*r->p == close) {
            r->p++;
            return list;
        }
        struct json *v = edn_value(r, depth + 1);
        if (!v)
            return NULL;
        json_append(list, v);
    }
}

static struct json *edn_map(struct edn *r, int depth)
{
    struct json *items = edn_items(r, '}', depth), *map = json_new_object(r->a);
    while (items && json_len(items)) {
        struct json *key = json_remove_at(items, 0), *v = json_len(items) ? json_remove_at(items, 0) : NULL;
        if (!v || !json_is(key, JSON_STRING))
            return NULL;
        json_set(r->a, map, json_string(key), v);
    }
    return items ? map : NULL;
}

static struct json *edn_atom(struct edn *r)
{
    struct slice s = token(r);
    int64_t i;
    if (s.n && *s.p == ':')
        return json_new_string(r->a, slice_from(s, 1));
    if (slice_eq_str(s, "nil"))
        return json_new_null(r->a);
    if (slice_eq_str(s, "true") || slice_eq_str(s, "false"))
        return json_new_bool(r->a, *s.p == 't');
    if (s.n > 1 && s.p[s.n - 1] == 'N')
        s.n--;
    return slice_to_i64(s, &i) ? json_new_int(r->a, i) : s.n ? json_new_string(r->a, s) : NULL;
}

static struct json *edn_value(struct edn *r, int depth)
{
    skip(r);
    if (depth > EDN_DEPTH_MAX || r->p >= r->end)
        return NULL;
    switch (*r->p) {
    case '"':
        return edn_string(r);
    case '[':
        return edn_items(r, ']', depth);
    case '(':
        return edn_items(r, ')', depth);
    case '{':
        return edn_map(r, depth);
    case '#': /* a set, or a tag before a value or a record's map */
        if (++r->p < r->end && *r->p == '{')
            return edn_items(r, '}', depth);
        token(r);
        return edn_value(r, depth + 1);
    default:
        return edn_atom(r);
    }
}

/* ---- events from a tree ---- */

struct numbers {
    int64_t *at;
    size_t n, cap;
};

static void push(struct numbers *v, int64_t x)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 64;
        int64_t *at = mem_alloc(cap * sizeof *at);
        if (v->n)
            memcpy(at, v->at, v->n * sizeof *at);
        mem_free(v->at);
        v->at = at;
        v->cap = cap;
    }
    v->at[v->n++] = x;
}

static bool name_index(const char *(*name)(int i), int n, struct slice s, uint8_t *ret)
{
    for (int i = 0; i < n; i++) {
        if (slice_eq_str(s, name(i))) {
            *ret = (uint8_t)i;
            return true;
        }
    }
    return false;
}

static const char *type_name(int i)
{
    return hist_type_name((enum hist_type)i);
}

static const char *f_name(int i)
{
    return hist_f_name((enum hist_f)i);
}

static bool take_micros(const struct json *v, struct numbers *list)
{
    json_each (m, v) {
        struct slice kind = json_string(json_at(m, 0));
        const struct json *what = json_at(m, 2);
        bool append = slice_eq_str(kind, "append");
        if (!append && !slice_eq_str(kind, "r"))
            return false;
        push(list, append ? HIST_MICRO_APPEND : json_is(what, JSON_ARRAY) ? HIST_MICRO_READ : HIST_MICRO_UNREAD);
        push(list, json_int(json_at(m, 1), HIST_NIL));
        push(list, json_is(what, JSON_ARRAY) ? (int64_t)json_len(what) : json_int(what, HIST_NIL));
        json_each (item, what)
            push(list, json_int(item, HIST_NIL));
    }
    return true;
}

static bool has_key(uint8_t f)
{
    return f != HIST_ADD && f != HIST_TXN && f != HIST_FAULT && f != HIST_LEADER && f != HIST_COVERED &&
           f != HIST_PAGES && f != HIST_MEMBERS;
}

static bool has_expected(uint8_t f)
{
    return f == HIST_CAS || f == HIST_EVENT || f == HIST_ACQUIRE || f == HIST_RENEW || f == HIST_EXPIRE ||
           f == HIST_PODS;
}

/* The value's parts, by what is asked: [key value], [key [expected value]], value, or a list. */
static bool take_value(const struct json *v, struct hist_event *e, struct numbers *list, bool *is_list)
{
    if (e->f == HIST_TXN) {
        *is_list = true;
        return take_micros(v, list);
    }
    bool pair = e->f == HIST_CAS && !json_is(json_at(v, 1), JSON_ARRAY); /* a single register's [expected value] */
    if (has_key(e->f) && json_is(v, JSON_ARRAY) && !*is_list && !pair) {
        e->key = json_int(json_at(v, 0), HIST_NIL);
        v = json_at(v, 1);
    }
    if (has_expected(e->f) && json_is(v, JSON_ARRAY)) {
        e->expected = json_int(json_at(v, 0), HIST_NIL);
        e->value = json_int(json_at(v, 1), HIST_NIL);
    } else if (json_is(v, JSON_ARRAY)) {
        *is_list = true;
        json_each (item, v)
            push(list, json_int(item, HIST_NIL));
    } else {
        *is_list = false;
        e->value = json_int(v, HIST_NIL);
    }
    return true;
}

static int take_event(struct history *h, const struct json *v, bool sets)
{
    struct hist_event e = HIST_EVENT_INIT;
    struct numbers list = {0};
    const struct json *process = json_get_str(v, "process");
    if (!name_index(type_name, HIST_TYPES, json_path_string(v, "type"), &e.type) ||
        !name_index(f_name, HIST_FS, json_path_string(v, "f"), &e.f))
        return -EBADMSG;
    bool is_list = sets && e.f == HIST_READ;
    if (!take_value(json_get_str(v, "value"), &e, &list, &is_list)) {
        mem_free(list.at);
        return -EBADMSG;
    }
    e.process = (int32_t)json_int(process, -1);
    e.time = (uint64_t)json_int(json_get_str(v, "time"), 0);
    e.node = (uint16_t)json_int(json_get_str(v, "node"), 0);
    e.revision = json_int(json_get_str(v, "revision"), HIST_NIL);
    struct slice note = json_path_string(v, "error");
    char *text = note.n ? mem_strndup(note.p, note.n) : NULL;
    history_add(h, &e, is_list ? (list.at ? list.at : &(int64_t){0}) : NULL, list.n, text);
    mem_free(text);
    mem_free(list.at);
    return 0;
}

static int take_line(struct history *h, struct slice line, bool json, bool sets)
{
    struct arena a;
    arena_init(&a, LINE_ARENA);
    struct edn r = {.a = &a, .p = line.p, .end = line.p + line.n};
    struct json *v = json ? json_parse(&a, line, NULL, NULL, NULL) : edn_value(&r, 0);
    int err = json_is(v, JSON_OBJECT) ? take_event(h, v, sets) : -EBADMSG;
    arena_done(&a);
    return err;
}

/* Whether this is a set's history: reads give a list then, not a key and a value. */
static bool adds_members(struct slice text)
{
    static const char *const marks[] = {":f :add", "\"f\":\"add\""};
    for (size_t i = 0; i < 2; i++)
        if (text.n && memmem(text.p, text.n, marks[i], strlen(marks[i])))
            return true;
    return false;
}

int history_parse(struct history *h, struct slice text, size_t *ret_line)
{
    bool sets = adds_members(text), json = memmem(text.p, text.n, "\"type\":", 7) != NULL;
    struct slice line;
    *ret_line = 0;
    while (text.n) {
        slice_cut(text, '\n', &line, &text);
        line = slice_trim(line);
        ++*ret_line;
        if (json && line.n && line.p[line.n - 1] == ',')
            line.n--;
        if (!line.n || slice_eq_str(line, "[") || slice_eq_str(line, "]"))
            continue;
        int err = take_line(h, line, json, sets);
        if (err)
            return err;
    }
    return 0;
}

int history_read(struct history *h, const char *path, size_t *ret_line)
{
    FILE *f = fopen(path, "r");
    *ret_line = 0;
    if (!f)
        return -errno;
    struct buf text = BUF_INIT(HIST_FILE_MAX);
    char chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buf_add(&text, chunk, n);
    fclose(f);
    int err = buf_error(&text);
    if (!err && text.n)
        err = history_parse(h, buf_slice(&text), ret_line);
    buf_done(&text);
    return err;
}
