#include "codec/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/map.h"
#include "base/mem.h"

struct loader {
    struct arena *a;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    struct map anchors; /* name → struct json, finished ones only */
    const char *error;
    yaml_duplicate_fn duplicate;
    void *ctx;
};

/* ---- scalars ---- */

static bool one_of(struct slice s, const char *words)
{
    struct slice rest = slice_str(words), word;
    while (rest.n) {
        slice_cut(rest, ' ', &word, &rest);
        if (slice_eq(s, word))
            return true;
    }
    return false;
}

/* YAML 1.1 integers as Kubernetes' reader takes them: 0x, 0o, 0b, leading-0 octal, underscores. */
static bool parse_int(struct slice s, int64_t *ret)
{
    char text[70];
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_')
            text[n++] = s.p[i];
        if (n == sizeof text - 1)
            return false;
    }
    text[n] = '\0';
    bool negative = text[0] == '-';
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    int base = 10;
    if (digits[0] == '0' && digits[1]) {
        base = digits[1] == 'x' ? 16 : digits[1] == 'b' ? 2 : 8;
        digits += digits[1] == 'x' || digits[1] == 'b' || digits[1] == 'o' ? 2 : 1;
    }
    char *end;
    errno = 0;
    bool starts = (digits[0] >= '0' && digits[0] <= '9') || (base == 16 && strchr("abcdefABCDEF", digits[0]));
    unsigned long long v = strtoull(digits, &end, base);
    if (!*digits || !starts || *end || errno || v > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static bool parse_float(struct slice s, double *ret)
{
    char text[70], *end;
    bool digit = false;
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!strchr("0123456789+-.eE", s.p[i]))
            return false;
        digit |= s.p[i] >= '0' && s.p[i] <= '9';
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    double v = strtod(text, &end);
    if (!digit || *end || !isfinite(v) || text[0] == 'e' || text[0] == 'E')
        return false;
    *ret = v;
    return true;
}

/* What a plain scalar means; strings when nothing else. */
static struct json *resolve(struct arena *a, struct slice s)
{
    int64_t i;
    double r;
    if (s.n == 0 || one_of(s, "~ null Null NULL"))
        return json_new_null(a);
    if (one_of(s, "y Y yes Yes YES true True TRUE on On ON"))
        return json_new_bool(a, true);
    if (one_of(s, "n N no No NO false False FALSE off Off OFF"))
        return json_new_bool(a, false);
    if (parse_int(s, &i))
        return json_new_int(a, i);
    if (parse_float(s, &r))
        return json_new_real(a, r);
    return json_new_string(a, s);
}

static struct json *load_scalar(struct loader *l)
{
    struct slice s = slice_of(l->event.data.scalar.value, l->event.data.scalar.length);
    const char *tag = (const char *)l->event.data.scalar.tag;
    if (tag && strcmp(tag, YAML_STR_TAG) == 0)
        return json_new_string(l->a, s);
    return l->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? resolve(l->a, s) : json_new_string(l->a, s);
}

/* ---- loading ---- */

static struct json *fail(struct loader *l, const char *what)
{
    if (!l->error)
        l->error = arena_printf(l->a, "yaml: line %zu: %s", l->event.start_mark.line + 1, what);
    return NULL;
}

static bool next_event(struct loader *l)
{
    yaml_event_delete(&l->event);
    if (yaml_parser_parse(&l->parser, &l->event))
        return true;
    if (!l->error)
        l->error = arena_printf(l->a, "yaml: line %zu: %s", l->parser.problem_mark.line + 1,
                                l->parser.problem ? l->parser.problem : "malformed document");
    return false;
}

static struct json *load_node(struct loader *l, unsigned depth);

/* A member name: Kubernetes' reader turns plain numbers and booleans into their text. */
static bool key_text(struct loader *l, struct slice *ret)
{
    struct buf out = BUF_INIT(256);
    if (l->event.type != YAML_SCALAR_EVENT)
        return fail(l, "a map key must be a scalar");
    struct json *key = load_scalar(l);
    if (!key || key->type == JSON_NULL)
        return fail(l, "unsupported map key");
    if (key->type == JSON_STRING) {
        *ret = key->u.string;
        return true;
    }
    json_write(&out, key);
    *ret = arena_copy(l->a, buf_slice(&out));
    buf_done(&out);
    return ret->p != NULL;
}

/* The members of a `<<` value that are not there yet. */
static bool merge_into(struct loader *l, struct json *obj, const struct json *from)
{
    if (json_is(from, JSON_ARRAY)) {
        json_each (it, from)
            if (!merge_into(l, obj, it))
                return false;
        return true;
    }
    if (!json_is(from, JSON_OBJECT))
        return fail(l, "map merge requires a map or a list of maps");
    json_each (it, from)
        if (!json_get(obj, it->key))
            json_set(l->a, obj, it->key, json_clone(l->a, it));
    return true;
}

static struct json *load_mapping(struct loader *l, unsigned depth)
{
    struct json *obj = json_new_object(l->a), *merge = NULL;
    while (next_event(l) && l->event.type != YAML_MAPPING_END_EVENT) {
        struct slice key = SLICE_NONE;
        size_t line = l->event.start_mark.line + 1;
        bool plain = l->event.type == YAML_SCALAR_EVENT && l->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (!key_text(l, &key) || !next_event(l))
            return NULL;
        struct json *v = load_node(l, depth + 1);
        if (!v)
            return NULL;
        if (plain && slice_eq_str(key, "<<")) {
            merge = v;
            continue;
        }
        if (l->duplicate && json_get(obj, key))
            l->duplicate(l->ctx, line, key);
        json_set(l->a, obj, key, v);
    }
    if (l->error || (merge && !merge_into(l, obj, merge)))
        return NULL;
    return obj;
}

static struct json *load_sequence(struct loader *l, unsigned depth)
{
    struct json *array = json_new_array(l->a);
    while (next_event(l) && l->event.type != YAML_SEQUENCE_END_EVENT) {
        struct json *v = load_node(l, depth + 1);
        if (!v)
            return NULL;
        json_append(array, v);
    }
    return l->error ? NULL : array;
}

static struct json *load_alias(struct loader *l)
{
    const struct json *v = map_get(&l->anchors, slice_str((const char *)l->event.data.alias.anchor));
    return v ? json_clone(l->a, v) : fail(l, "unknown anchor referenced");
}

static void anchor(struct loader *l, struct slice name, struct json *v)
{
    if (name.n && v)
        map_put(&l->anchors, name, v);
}

/* Loads the node that starts at the current event. */
static struct json *load_node(struct loader *l, unsigned depth)
{
    struct slice name;
    struct json *v;
    if (depth > JSON_DEPTH_MAX)
        return fail(l, "exceeded max depth");
    switch (l->event.type) {
    case YAML_ALIAS_EVENT:
        return load_alias(l);
    case YAML_SCALAR_EVENT:
        v = load_scalar(l);
        anchor(l, slice_str((const char *)l->event.data.scalar.anchor), v);
        return v;
    case YAML_SEQUENCE_START_EVENT:
        name = arena_copy(l->a, slice_str((const char *)l->event.data.sequence_start.anchor));
        v = load_sequence(l, depth);
        break;
    case YAML_MAPPING_START_EVENT:
        name = arena_copy(l->a, slice_str((const char *)l->event.data.mapping_start.anchor));
        v = load_mapping(l, depth);
        break;
    default:
        return fail(l, "unexpected event");
    }
    anchor(l, name, v);
    return v;
}

static struct json *load_document(struct loader *l)
{
    do {
        if (!next_event(l))
            return NULL;
    } while (l->event.type == YAML_STREAM_START_EVENT);
    if (l->event.type == YAML_STREAM_END_EVENT)
        return json_new_null(l->a);
    return next_event(l) ? load_node(l, 1) : NULL;
}

struct json *yaml_parse(struct arena *a, struct slice text, const char **ret_error)
{
    return yaml_parse_noting(a, text, NULL, NULL, ret_error);
}

struct json *yaml_parse_noting(struct arena *a, struct slice text, yaml_duplicate_fn dup, void *ctx,
                               const char **ret_error)
{
    struct loader l = {.a = a, .duplicate = dup, .ctx = ctx};
    if (!yaml_parser_initialize(&l.parser)) {
        *ret_error = "out of memory";
        return NULL;
    }
    map_init(&l.anchors, (uint64_t)(uintptr_t)a);
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    struct json *v = load_document(&l);
    if (arena_error(a)) {
        v = NULL;
        l.error = "the document is too large";
    }
    if (!v)
        *ret_error = l.error ? l.error : "malformed document";
    yaml_event_delete(&l.event);
    yaml_parser_delete(&l.parser);
    map_done(&l.anchors);
    return v;
}

/* ---- writing ---- */

static int on_write(void *ctx, unsigned char *p, size_t n)
{
    return buf_add(ctx, p, n) == 0;
}

static int emit_text(yaml_emitter_t *e, struct slice s, yaml_scalar_style_t style)
{
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)(s.p ? s.p : ""), (int)s.n, 1, 1,
                                        style) &&
                   yaml_emitter_emit(e, &event)
               ? 0
               : -ENOMEM;
}

/* Go's writer: literal blocks for lines, double quotes for what would read back as something else. */
static int emit_string(yaml_emitter_t *e, struct slice s)
{
    struct arena scratch;
    arena_init(&scratch, 4096 + 2 * s.n);
    struct json *back = resolve(&scratch, s);
    bool ambiguous = !back || back->type != JSON_STRING;
    arena_done(&scratch);
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
    if (ambiguous)
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    else if (s.n && memchr(s.p, '\n', s.n))
        style = YAML_LITERAL_SCALAR_STYLE;
    return emit_text(e, s, style);
}

static int emit_node(yaml_emitter_t *e, const struct json *v, unsigned depth);

static int by_key(const void *x, const void *y)
{
    const struct json *const *a = x, *const *b = y;
    return slice_cmp((*a)->key, (*b)->key);
}

static int emit_members(yaml_emitter_t *e, const struct json *v, unsigned depth)
{
    size_t n = json_len(v), i = 0;
    const struct json **sorted = mem_try((n + 1) * sizeof *sorted);
    int rv = sorted ? 0 : -ENOMEM;
    if (rv)
        return rv;
    json_each (it, v)
        sorted[i++] = it;
    qsort(sorted, n, sizeof *sorted, by_key);
    for (i = 0; i < n && !rv; i++) {
        rv = emit_string(e, sorted[i]->key);
        if (!rv)
            rv = emit_node(e, sorted[i], depth + 1);
    }
    mem_free(sorted);
    return rv;
}

static int emit_event(yaml_emitter_t *e, int made, yaml_event_t *event)
{
    return made && yaml_emitter_emit(e, event) ? 0 : -ENOMEM;
}

static int emit_object(yaml_emitter_t *e, const struct json *v, unsigned depth)
{
    yaml_event_t event;
    int rv =
        emit_event(e, yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE), &event);
    if (!rv)
        rv = emit_members(e, v, depth);
    return rv ? rv : emit_event(e, yaml_mapping_end_event_initialize(&event), &event);
}

static int emit_array(yaml_emitter_t *e, const struct json *v, unsigned depth)
{
    yaml_event_t event;
    int rv =
        emit_event(e, yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE), &event);
    for (struct json *it = json_first(v); it && !rv; it = it->next)
        rv = emit_node(e, it, depth + 1);
    return rv ? rv : emit_event(e, yaml_sequence_end_event_initialize(&event), &event);
}

static int emit_node(yaml_emitter_t *e, const struct json *v, unsigned depth)
{
    struct buf text = BUF_INIT(64);
    if (depth > JSON_DEPTH_MAX)
        return -E2BIG;
    switch (v->type) {
    case JSON_STRING:
        return emit_string(e, v->u.string);
    case JSON_ARRAY:
        return emit_array(e, v, depth);
    case JSON_OBJECT:
        return emit_object(e, v, depth);
    default:
        break;
    }
    int rv = json_write(&text, v);
    if (!rv)
        rv = emit_text(e, buf_slice(&text), YAML_PLAIN_SCALAR_STYLE);
    buf_done(&text);
    return rv;
}

static int emit_document(yaml_emitter_t *e, const struct json *v)
{
    yaml_event_t event;
    int rv = emit_event(e, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event);
    if (!rv)
        rv = emit_event(e, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1), &event);
    if (!rv)
        rv = emit_node(e, v, 1);
    if (!rv)
        rv = emit_event(e, yaml_document_end_event_initialize(&event, 1), &event);
    return rv ? rv : emit_event(e, yaml_stream_end_event_initialize(&event), &event);
}

int yaml_write(struct buf *out, const struct json *v)
{
    static const struct json null = {.type = JSON_NULL};
    yaml_emitter_t e;
    if (!yaml_emitter_initialize(&e))
        return -ENOMEM;
    yaml_emitter_set_output(&e, on_write, out);
    yaml_emitter_set_unicode(&e, 1);
    yaml_emitter_set_width(&e, -1);
    int rv = emit_document(&e, v ? v : &null);
    yaml_emitter_delete(&e);
    return buf_error(out) ? buf_error(out) : rv;
}
