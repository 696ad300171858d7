#include "object/check.h"

#include <math.h>

#include "base/text.h"
#include "base/timefmt.h"
#include "object/quantity.h"

/* Where we are, from the root down; one on the C stack a level. */
struct level {
    const struct level *up;         /* NULL at the root */
    const struct schema_type *type; /* of the struct that holds the member */
    struct slice name;              /* member name or map key */
    size_t index;                   /* number in an array, when name.p is NULL */
};

struct walk {
    struct check *c;
    struct status *st;
};

static int check_value(struct walk *w, const struct schema_field *f, struct json *v, const struct level *at);
static int check_members(struct walk *w, const struct schema_type *type, struct json *obj, const struct level *at);

/* ---- what is told ---- */

/* indexes: with array items and map keys, as strict decoding names fields; Go's type errors leave them out. */
static void write_path(struct buf *out, const struct level *l, bool indexes)
{
    if (!l || !l->up)
        return;
    write_path(out, l->up, indexes);
    if (l->name.p && (indexes || l->type))
        buf_printf(out, "%s%" SLICE_FMT, out->n ? "." : "", SLICE_ARG(l->name));
    else if (indexes)
        buf_printf(out, "[%zu]", l->index);
}

static const char *path_of(struct arena *a, const struct level *l, bool indexes)
{
    struct buf text = BUF_INIT(16 << 10);
    write_path(&text, l, indexes);
    const char *path = arena_copy(a, buf_slice(&text)).p;
    buf_done(&text);
    return path ? path : "";
}

static struct check_warning *add_warning(struct check *c)
{
    struct check_warning *w = arena_new(c->a, struct check_warning);
    if (!w)
        return NULL;
    if (!c->warnings)
        c->warnings_end = &c->warnings;
    *c->warnings_end = w;
    c->warnings_end = &w->next;
    return w;
}

static void warn(struct check *c, const char *what, const char *path, struct slice name)
{
    if (c->mode == CHECK_IGNORE || c->n_warnings == CHECK_WARNINGS_MAX)
        return;
    struct check_warning *w = add_warning(c);
    c->n_warnings++;
    if (w)
        w->text = arena_printf(c->a, "%s field \"%s%s%" SLICE_FMT "\"", what, path, *path ? "." : "", SLICE_ARG(name));
}

void check_on_yaml_duplicate(void *check, size_t line, struct slice key)
{
    struct check *c = check;
    if (c->mode == CHECK_IGNORE || c->n_warnings == CHECK_WARNINGS_MAX)
        return;
    c->n_warnings++;
    if (!c->yaml && (c->yaml = add_warning(c)))
        c->yaml->text = "yaml: unmarshal errors:";
    if (c->yaml)
        c->yaml->text = arena_printf(c->a, "%s\n  line %zu: key \"%" SLICE_FMT "\" already set in map", c->yaml->text,
                                     line, SLICE_ARG(key));
}

void check_on_duplicate(void *check, const char *path, struct slice name)
{
    warn(check, "duplicate", path, name);
}

/* Go's name of a type: v1.PodSpec. */
static void write_type(struct buf *out, const struct schema_type *t)
{
    const char *name = schema_short_name(t), *package = name - (name > t->name);
    while (package > t->name && package[-1] != '.')
        package--;
    buf_add_str(out, package);
}

static void write_go_type(struct buf *out, const struct schema_field *f)
{
    static const char *const names[] = {
        [SCHEMA_STRING] = "string",
        [SCHEMA_BOOL] = "bool",
        [SCHEMA_INT32] = "int32",
        [SCHEMA_INT64] = "int64",
        [SCHEMA_DOUBLE] = "float64",
        [SCHEMA_QUANTITY] = "resource.Quantity",
        [SCHEMA_INT_OR_STRING] = "intstr.IntOrString",
        [SCHEMA_TIME] = "v1.Time",
        [SCHEMA_MICRO_TIME] = "v1.MicroTime",
        [SCHEMA_DURATION] = "v1.Duration",
        [SCHEMA_BYTES] = "[]uint8",
        [SCHEMA_RAW] = "runtime.RawExtension",
        [SCHEMA_ANY] = "interface {}",
    };
    switch (f->kind) {
    case SCHEMA_REF:
        write_type(out, f->type);
        return;
    case SCHEMA_ARRAY:
        buf_add_str(out, "[]");
        write_go_type(out, f->item);
        return;
    case SCHEMA_MAP:
        buf_add_str(out, "map[string]");
        write_go_type(out, f->item);
        return;
    default:
        buf_add_str(out, names[f->kind]);
    }
}

static const char *value_name(const struct json *v)
{
    static const char *const names[] = {"null", "bool", "number", "number", "string", "array", "object"};
    return names[v->type];
}

static int fail(struct walk *w, const char *why)
{
    return status_set(w->st, w->c->a, 400, "%s", why);
}

/* json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container */
static int wrong_type(struct walk *w, const struct schema_field *f, const struct json *v, const struct level *at)
{
    struct buf text = BUF_INIT(16 << 10);
    const struct level *member = at;
    while (member->up && !member->type)
        member = member->up;
    buf_printf(&text, "json: cannot unmarshal %s", value_name(v));
    if ((f->kind == SCHEMA_INT32 || f->kind == SCHEMA_INT64) && v->type <= JSON_REAL && v->type >= JSON_INT) {
        buf_add_char(&text, ' ');
        json_write(&text, v);
    }
    buf_add_str(&text, member->type ? " into Go struct field " : " into Go value");
    if (member->type)
        buf_printf(&text, "%s.%s", schema_short_name(member->type), path_of(w->c->a, at, false));
    buf_add_str(&text, " of type ");
    write_go_type(&text, f);
    int rv = fail(w, text.p ? text.p : "json: cannot unmarshal the object");
    buf_done(&text);
    return rv;
}

/* ---- values ---- */

static void replace(struct json *v, struct json *by)
{
    if (by)
        json_assign(v, by);
}

static int check_quantity(struct walk *w, struct json *v)
{
    struct quantity q;
    if (!quantity_from_json(v, &q))
        return fail(w, "quantities must match the regular expression "
                       "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    replace(v, quantity_to_json(w->c->a, q));
    return 0;
}

static int check_time(struct walk *w, struct json *v, bool micro)
{
    char text[TIME_MICRO_LEN + 1];
    int64_t ns;
    if (v->type != JSON_STRING)
        return status_set(w->st, w->c->a, 400, "json: cannot unmarshal %s into Go value of type string", value_name(v));
    if (!time_parse(v->u.string, &ns))
        return status_set(w->st, w->c->a, 400,
                          "parsing time \"%" SLICE_FMT "\" as \"2006-01-02T15:04:05%sZ07:00\": cannot parse it",
                          SLICE_ARG(v->u.string), micro ? ".000000" : "");
    if (micro)
        time_format_micro(ns, text);
    else
        time_format_sec(ns, text);
    replace(v, json_new_str(w->c->a, text));
    return 0;
}

static int check_integer(struct walk *w, const struct schema_field *f, struct json *v, const struct level *at)
{
    if (v->type == JSON_REAL && v->u.real == floor(v->u.real) && fabs(v->u.real) < 0x1p63) {
        v->type = JSON_INT;
        v->u.integer = (int64_t)v->u.real;
    }
    bool fits =
        v->type == JSON_INT && (f->kind == SCHEMA_INT64 || (v->u.integer >= INT32_MIN && v->u.integer <= INT32_MAX));
    return fits ? 0 : wrong_type(w, f, v, at);
}

static int check_bytes(struct walk *w, const struct schema_field *f, const struct json *v, const struct level *at)
{
    if (v->type != JSON_STRING)
        return wrong_type(w, f, v, at);
    struct buf out = BUF_INIT(v->u.string.n + 4);
    int rv = base64_decode(&out, v->u.string);
    buf_done(&out);
    return rv ? fail(w, "illegal base64 data") : 0;
}

static int check_scalar(struct walk *w, const struct schema_field *f, struct json *v, const struct level *at)
{
    enum json_type t = v->type;
    bool number = t == JSON_INT || t == JSON_REAL, ok = true;
    switch (f->kind) {
    case SCHEMA_STRING:
    case SCHEMA_DURATION:
        ok = t == JSON_STRING;
        break;
    case SCHEMA_BOOL:
        ok = t == JSON_BOOL;
        break;
    case SCHEMA_DOUBLE:
        ok = number;
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return check_integer(w, f, v, at);
    case SCHEMA_INT_OR_STRING:
        ok = t == JSON_STRING || (t == JSON_INT && v->u.integer >= INT32_MIN && v->u.integer <= INT32_MAX);
        break;
    case SCHEMA_QUANTITY:
        return check_quantity(w, v);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return check_time(w, v, f->kind == SCHEMA_MICRO_TIME);
    case SCHEMA_BYTES:
        return check_bytes(w, f, v, at);
    default: /* RAW, ANY: whatever it is */
        break;
    }
    return ok ? 0 : wrong_type(w, f, v, at);
}

/* What Go makes of a null item of a list or map. */
static void zero_value(struct arena *a, const struct schema_field *f, struct json *v)
{
    switch (f->kind) {
    case SCHEMA_BOOL:
        replace(v, json_new_bool(a, false));
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
    case SCHEMA_INT_OR_STRING:
        replace(v, json_new_int(a, 0));
        break;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        replace(v, json_new_str(a, ""));
        break;
    case SCHEMA_QUANTITY:
        replace(v, json_new_str(a, "0"));
        break;
    case SCHEMA_REF:
    case SCHEMA_MAP:
        replace(v, json_new_object(a));
        break;
    case SCHEMA_ARRAY:
        replace(v, json_new_array(a));
        break;
    default:
        break;
    }
}

static int check_items(struct walk *w, const struct schema_field *f, struct json *v, const struct level *at)
{
    struct level item = {.up = at};
    if (v->type != (f->kind == SCHEMA_MAP ? JSON_OBJECT : JSON_ARRAY))
        return wrong_type(w, f, v, at);
    json_each (it, v) {
        item.name = v->type == JSON_OBJECT ? it->key : SLICE_NONE;
        if (it->type == JSON_NULL && !(f->item->flags & SCHEMA_NULLABLE))
            zero_value(w->c->a, f->item, it);
        int rv = check_value(w, f->item, it, &item);
        if (rv)
            return rv;
        item.index++;
    }
    return 0;
}

static int check_value(struct walk *w, const struct schema_field *f, struct json *v, const struct level *at)
{
    if (v->type == JSON_NULL && (f->flags & SCHEMA_NULLABLE))
        return 0;
    switch (f->kind) {
    case SCHEMA_REF:
        if (v->type != JSON_OBJECT)
            return wrong_type(w, f, v, at);
        return check_members(w, f->type, v, at);
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        return check_items(w, f, v, at);
    default:
        return check_scalar(w, f, v, at);
    }
}

/* ---- members ---- */

/* Whether Go would leave the member out. */
static bool is_omitted(const struct schema_field *f, const struct json *v)
{
    if (v->type == JSON_NULL)
        return !(f->flags & SCHEMA_NULLABLE);
    if (!(f->flags & (SCHEMA_OMIT_EMPTY | SCHEMA_OMIT_ZERO)))
        return false;
    bool pointer = f->flags & SCHEMA_POINTER;
    switch (f->kind) {
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        return !pointer && json_len(v) == 0;
    case SCHEMA_REF:
        return !pointer && (f->flags & SCHEMA_OMIT_ZERO) && json_len(v) == 0;
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return !pointer && json_string(v).n == 0;
    case SCHEMA_BOOL:
        return !pointer && !v->u.boolean;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return !pointer && v->u.integer == 0;
    case SCHEMA_DOUBLE:
        return !pointer && json_int(v, 1) == 0;
    default:
        return false;
    }
}

/* What Go writes for a member that is absent, or NULL when nothing (or null, which we leave out). */
static struct json *implied_value(struct arena *a, const struct schema_field *f)
{
    bool always = !(f->flags & (SCHEMA_OMIT_EMPTY | SCHEMA_OMIT_ZERO));
    if (f->flags & (SCHEMA_POINTER | SCHEMA_NULLABLE | SCHEMA_OMIT_ZERO))
        return NULL;
    switch (f->kind) {
    case SCHEMA_REF:
        return json_new_object(a);
    case SCHEMA_STRING:
        return always ? json_new_str(a, "") : NULL;
    case SCHEMA_BOOL:
        return always ? json_new_bool(a, false) : NULL;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
        return always ? json_new_int(a, 0) : NULL;
    default:
        return NULL;
    }
}

static int by_schema(const void *ctx, const struct json *a, const struct json *b)
{
    const struct schema_type *type = ctx;
    const struct schema_field *x = schema_field_find(type, a->key), *y = schema_field_find(type, b->key);
    if (x && y)
        return x < y ? -1 : x > y;
    return (x == NULL) - (y == NULL);
}

static int check_member(struct walk *w, const struct schema_type *type, struct json *obj, struct json *v,
                        const struct level *at)
{
    const struct schema_field *f = schema_field_find(type, v->key);
    struct level here = {.up = at, .type = type, .name = v->key.p ? v->key : SLICE("")};
    if (!f) {
        if (type->flags & SCHEMA_PRESERVE_UNKNOWN)
            return 0;
        if (w->c->mode != CHECK_IGNORE)
            warn(w->c, "unknown", path_of(w->c->a, at, true), v->key);
        json_del(obj, v->key);
        return 0;
    }
    if (v->type != JSON_NULL) {
        int rv = check_value(w, f, v, &here);
        if (rv)
            return rv;
    }
    if (w->c->partial ? v->type == JSON_NULL : is_omitted(f, v))
        json_del(obj, f->name);
    return 0;
}

static int fill_in(struct walk *w, const struct schema_type *type, struct json *obj, const struct level *at)
{
    for (size_t i = 0; i < type->n_fields; i++) {
        const struct schema_field *f = &type->fields[i];
        struct json *v = json_get(obj, f->name) ? NULL : implied_value(w->c->a, f);
        if (!v)
            continue;
        json_set(w->c->a, obj, f->name, v);
        struct level here = {.up = at, .type = type, .name = f->name};
        int rv = f->kind == SCHEMA_REF ? check_members(w, f->type, v, &here) : 0;
        if (rv)
            return rv;
    }
    return 0;
}

static int check_members(struct walk *w, const struct schema_type *type, struct json *obj, const struct level *at)
{
    struct json *next;
    for (struct json *it = json_first(obj); it; it = next) {
        next = it->next;
        int rv = check_member(w, type, obj, it, at);
        if (rv)
            return rv;
    }
    int rv = w->c->partial ? 0 : fill_in(w, type, obj, at);
    if (!rv)
        check_order(type, obj);
    return rv;
}

void check_order(const struct schema_type *type, struct json *obj)
{
    json_sort(obj, by_schema, type);
}

/* ---- whole objects ---- */

bool check_mode_parse(struct slice text, enum check_mode *ret)
{
    static const char *const names[] = {[CHECK_IGNORE] = "Ignore", [CHECK_WARN] = "Warn", [CHECK_STRICT] = "Strict"};
    if (text.n == 0) {
        *ret = CHECK_WARN;
        return true;
    }
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (slice_eq_str(text, names[i])) {
            *ret = (enum check_mode)i;
            return true;
        }
    }
    return false;
}

/* `Pod in version "v1" cannot be handled as a Pod: ` before the reason, when the object says what it is. */
static int explain(struct check *c, const struct json *obj, const char *why, struct status *st)
{
    struct slice group, version, kind = json_string(json_get_str(obj, "kind"));
    if (kind.n == 0 || !api_version_split(json_string(json_get_str(obj, "apiVersion")), &group, &version))
        return status_set(st, c->a, 400, "%s", why);
    return status_set(st, c->a, 400,
                      "%" SLICE_FMT " in version \"%" SLICE_FMT "\" cannot be handled as a %" SLICE_FMT ": %s",
                      SLICE_ARG(kind), SLICE_ARG(version), SLICE_ARG(kind), why);
}

static int strict_error(struct check *c, const struct json *obj, struct status *st)
{
    struct buf text = BUF_INIT(64 << 10);
    buf_add_str(&text, "strict decoding error: ");
    for (const struct check_warning *w = c->warnings; w; w = w->next)
        buf_printf(&text, "%s%s", w == c->warnings ? "" : ", ", w->text);
    int rv = explain(c, obj, text.p ? text.p : "strict decoding error", st);
    buf_done(&text);
    return rv;
}

int check_object(struct check *c, const struct schema_type *type, struct json *obj, struct status *st)
{
    struct walk w = {.c = c, .st = st};
    struct level root = {0};
    if (!json_is(obj, JSON_OBJECT))
        return status_set(st, c->a, 400, "the body must be a JSON object, not %s", obj ? value_name(obj) : "empty");
    if (check_members(&w, type, obj, &root))
        return explain(c, obj, arena_printf(c->a, "%s", st->message), st);
    if (arena_error(c->a))
        return status_errno(st, c->a, arena_error(c->a), "the object");
    return c->mode == CHECK_STRICT && c->n_warnings ? strict_error(c, obj, st) : 0;
}
