#include "object/validate.h"

#include "object/meta.h"
#include "object/path.h"
#include "object/validate_rules.h"

/* Texts of values in messages are cut here. */
enum { VALUE_TEXT_MAX = 16 << 10 };

/* ---- collecting ---- */

static const char *value_text(struct validation *v, const struct json *value)
{
    struct buf b = BUF_INIT(VALUE_TEXT_MAX);
    const char *text = json_write(&b, value) ? "..." : arena_copy(v->a, buf_slice(&b)).p;
    buf_done(&b);
    return text ? text : "...";
}

static void add(struct validation *v, const char *reason, const char *path, const char *type, const struct json *value,
                const char *detail)
{
    struct buf b = BUF_INIT(2 * VALUE_TEXT_MAX);
    buf_add_str(&b, type);
    if (value)
        buf_printf(&b, ": %s", value_text(v, value));
    if (detail && *detail)
        buf_printf(&b, ": %s", detail);
    status_cause(&v->st, v->a, reason, path, "%s", b.p ? b.p : type);
    buf_done(&b);
}

void validation_required(struct validation *v, const char *path, const char *detail)
{
    add(v, "FieldValueRequired", path, "Required value", NULL, detail);
}

void validation_invalid(struct validation *v, const char *path, const struct json *value, const char *detail)
{
    static const struct json null = {.type = JSON_NULL};
    add(v, "FieldValueInvalid", path, "Invalid value", value ? value : &null, detail);
}

void validation_not_supported(struct validation *v, const char *path, const struct json *value,
                              const char *const *supported)
{
    struct buf b = BUF_INIT(VALUE_TEXT_MAX);
    for (size_t i = 0; supported[i]; i++)
        buf_printf(&b, "%s\"%s\"", i ? ", " : "supported values: ", supported[i]);
    add(v, "FieldValueNotSupported", path, "Unsupported value", value, b.p);
    buf_done(&b);
}

void validation_forbidden(struct validation *v, const char *path, const char *detail)
{
    add(v, "FieldValueForbidden", path, "Forbidden", NULL, detail);
}

void validation_duplicate(struct validation *v, const char *path, const struct json *value)
{
    add(v, "FieldValueDuplicate", path, "Duplicate value", value, NULL);
}

void validation_not_found(struct validation *v, const char *path, const struct json *value)
{
    add(v, "FieldValueNotFound", path, "Not found", value, NULL);
}

void validation_too_long(struct validation *v, const char *path, int64_t max)
{
    add(v, "FieldValueTooLong", path, "Too long", NULL,
        arena_printf(v->a, "may not be more than %lld bytes", (long long)max));
}

void validation_too_many(struct validation *v, const char *path, int64_t n, int64_t max)
{
    add(v, "FieldValueTooMany", path, "Too many", json_new_int(v->a, n),
        arena_printf(v->a, "must have at most %lld item%s", (long long)max, max == 1 ? "" : "s"));
}

static bool is_repeated(const struct status_cause *first, const struct status_cause *c)
{
    for (; first != c; first = first->next)
        if (strcmp(first->field, c->field) == 0 && strcmp(first->message, c->message) == 0)
            return true;
    return false;
}

int validation_result(struct validation *v, const struct resource *res, const struct json *obj, struct status *ret)
{
    struct buf b = BUF_INIT(256 << 10);
    size_t n = 0;
    if (v->st.n_causes == 0)
        return 0;
    for (const struct status_cause *c = v->st.causes; c; c = c->next)
        if (!is_repeated(v->st.causes, c))
            buf_printf(&b, "%s%s: %s", n++ ? ", " : "", c->field, c->message);
    struct slice name = meta_name(obj);
    const char *message =
        arena_printf(v->a, "%s%s%s \"%" SLICE_FMT "\" is invalid: %s%s%s", res->kind, *res->group ? "." : "",
                     res->group, SLICE_ARG(name), n > 1 ? "[" : "", b.p ? b.p : "", n > 1 ? "]" : "");
    buf_done(&b);
    *ret = v->st;
    ret->code = 422;
    ret->reason = "Invalid";
    ret->message = message;
    ret->name = arena_copy(v->a, name).p;
    ret->group = res->group;
    ret->kind = res->kind;
    return 422;
}

/* ---- places ---- */

static void write_place(struct buf *out, const struct place *at)
{
    if (!at || !at->up)
        return;
    write_place(out, at->up);
    if (!at->name.p)
        buf_printf(out, "[%zu]", at->index);
    else
        buf_printf(out, at->key ? "%s[%" SLICE_FMT "]" : "%s%" SLICE_FMT, out->n && !at->key ? "." : "",
                   SLICE_ARG(at->name));
}

const char *place_path(const struct validation *v, const struct place *at)
{
    struct buf b = BUF_INIT(VALUE_TEXT_MAX);
    write_place(&b, at);
    const char *path = arena_copy(v->a, buf_slice(&b)).p;
    buf_done(&b);
    return path ? path : "";
}

void place_required(struct validation *v, const struct place *at, const char *detail)
{
    validation_required(v, place_path(v, at), detail);
}

void place_invalid(struct validation *v, const struct place *at, const struct json *value, const char *why)
{
    if (why)
        validation_invalid(v, place_path(v, at), value, why);
}

void place_forbidden(struct validation *v, const struct place *at, const char *detail)
{
    validation_forbidden(v, place_path(v, at), detail);
}

void place_duplicate(struct validation *v, const struct place *at, const struct json *value)
{
    validation_duplicate(v, place_path(v, at), value);
}

void place_not_supported(struct validation *v, const struct place *at, const struct json *value,
                         const char *const *supported)
{
    validation_not_supported(v, place_path(v, at), value, supported);
}

/* ---- the walk ---- */

struct walk {
    struct validation *v;
    const struct json *root;
    bool update;
};

static void walk_type(struct walk *w, const struct schema_type *type, const struct json *obj, const struct json *old,
                      const struct place *at);

bool is_blank(const struct json *v)
{
    if (!v || v->type == JSON_NULL)
        return true;
    return v->type >= JSON_ARRAY ? json_len(v) == 0 : v->type == JSON_STRING && v->u.string.n == 0;
}

rule_function *rule_find(const char *name)
{
    static const struct rule_entry *const tables[] = {rules_general, rules_pod, rules_workloads, rules_kinds};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct rule_entry *e = tables[t]; e->name; e++)
            if (strcmp(name, e->name) == 0)
                return e->function;
    return NULL;
}

/* Calls the rule with the place its path leads to; the path's steps become places on the C stack. */
static void apply_rule(struct walk *w, const struct schema_rule *rule, struct slice path, const struct json *value,
                       const struct json *old, const struct place *at)
{
    struct slice step, rest;
    if (path.n == 0) {
        rule_function *f = rule_find(rule->check);
        struct rule_call c = {w->v, at, value, old, w->root, rule->argument, w->update};
        if (f)
            f(&c);
        return;
    }
    slice_cut(path, '.', &step, &rest);
    struct place here = {.up = at, .name = step};
    apply_rule(w, rule, rest, json_get(value, step), json_get(old, step), &here);
}

static bool may_be_empty(const struct schema_type *type, struct slice name)
{
    for (size_t i = 0; i < type->n_checks; i++)
        if (slice_eq_str(name, type->checks[i].path) && strcmp(type->checks[i].check, "may-be-empty") == 0)
            return true;
    return false;
}

/* What the schema itself asks for: required strings and references, values out of a list. */
static void check_field(struct walk *w, const struct schema_type *type, const struct schema_field *f,
                        const struct json *value, const struct place *at)
{
    bool text = f->kind == SCHEMA_STRING || f->kind == SCHEMA_BYTES;
    bool needed = text || (f->kind == SCHEMA_REF && (f->flags & SCHEMA_POINTER));
    bool blank = text ? is_blank(value) : !value || value->type == JSON_NULL;
    if ((f->flags & SCHEMA_REQUIRED) && needed && blank && !may_be_empty(type, f->name)) {
        place_required(w->v, at, NULL);
        return;
    }
    if (!f->enums || (f->flags & SCHEMA_ENUM_KNOWN) || !text || is_blank(value))
        return;
    for (size_t i = 0; f->enums[i]; i++)
        if (slice_eq_str(json_string(value), f->enums[i]))
            return;
    place_not_supported(w->v, at, value, f->enums);
}

static void walk_value(struct walk *w, const struct schema_field *f, const struct json *value, const struct json *old,
                       const struct place *at)
{
    size_t i = 0;
    if (f->kind == SCHEMA_REF && json_is(value, JSON_OBJECT))
        walk_type(w, f->type, value, old, at);
    if ((f->kind != SCHEMA_ARRAY && f->kind != SCHEMA_MAP) || f->item->kind < SCHEMA_REF)
        return;
    json_each (it, value) {
        struct place here = f->kind == SCHEMA_MAP ? place_key(at, it->key) : place_item(at, i++);
        walk_value(w, f->item, it, NULL, &here);
    }
}

static void walk_type(struct walk *w, const struct schema_type *type, const struct json *obj, const struct json *old,
                      const struct place *at)
{
    for (size_t i = 0; i < type->n_checks; i++)
        apply_rule(w, &type->checks[i], slice_str(type->checks[i].path), obj, old, at);
    for (size_t i = 0; i < type->n_fields; i++) {
        const struct schema_field *f = &type->fields[i];
        const struct json *value = json_get(obj, f->name);
        struct place here = {.up = at, .name = f->name};
        bool skipped = !at->up && (slice_eq_str(f->name, "metadata") || slice_eq_str(f->name, "status"));
        if (skipped)
            continue;
        check_field(w, type, f, value, &here);
        if (value)
            walk_value(w, f, value, json_get(old, f->name), &here);
    }
}

/* ---- whole objects ---- */

int validate_create(struct arena *a, const struct resource *res, const struct json *obj, struct status *st)
{
    struct validation v = {.a = a};
    struct walk w = {.v = &v, .root = obj};
    struct place root = {0};
    validate_metadata(&v, res, obj);
    walk_type(&w, res->type, obj, NULL, &root);
    return validation_result(&v, res, obj, st);
}

int validate_update(struct arena *a, const struct resource *res, struct slice sub, const struct json *obj,
                    const struct json *old, struct status *st)
{
    struct validation v = {.a = a};
    struct walk w = {.v = &v, .root = obj, .update = true};
    struct place root = {0};
    validate_metadata(&v, res, obj);
    validate_metadata_update(&v, res, sub.n == 0, obj, old);
    if (sub.n == 0)
        walk_type(&w, res->type, obj, old, &root);
    return validation_result(&v, res, obj, st);
}
