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
    struct buf b = BUF_INIT(2UL * VALUE_TEXT_MAX);
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
    ret->group = *res->group ? res->group : NULL;
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
    const struct json *root, *old_root;
    struct slice sub;
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

static rule_function *find_in(const struct rule_table *t, struct slice name)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = slice_cmp(name, slice_str(t->entries[middle].name));
        if (order == 0)
            return t->entries[middle].function;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

rule_function *rule_find_slice(struct slice name)
{
    static const struct rule_table *const tables[] = {
        &rules_general, &rules_values,  &rules_pod,       &rules_container,   &rules_volumes,      &rules_placement,
        &rules_podsub,  &rules_network, &rules_storage,   &rules_workloads,   &rules_jobs,         &rules_policy,
        &rules_extend,  &rules_devices, &rules_resources, &rules_definitions, &rules_certificates, &rules_kinds,
    };
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        rule_function *f = find_in(tables[t], name);
        if (f)
            return f;
    }
    return NULL;
}

rule_function *rule_find(const char *name)
{
    return rule_find_slice(slice_str(name));
}

/* What stands behind the "part/" of a check's name: the check is for writes to that subresource alone. */
static struct slice check_name(const struct schema_rule *rule, struct slice *ret_sub)
{
    struct slice head, tail, name = slice_str(rule->check);
    if (!slice_cut(name, '/', &head, &tail)) {
        *ret_sub = SLICE_NONE;
        return name;
    }
    *ret_sub = head;
    return tail;
}

/* Calls the rule with the place its path leads to; the path's steps become places on the C stack. */
static void apply_rule(struct walk *w, const struct schema_rule *rule, struct slice path, const struct json *value,
                       const struct json *old, const struct place *at)
{
    struct slice step, rest;
    if (path.n == 0) {
        struct slice sub;
        rule_function *f = rule_find_slice(check_name(rule, &sub));
        struct rule_call c = {w->v, at, value, old, w->root, w->old_root, rule->argument, w->update};
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
    if (slice_eq_str(w->sub, "status")) /* controllers write it, and what they leave out is theirs to know */
        return;
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

/* Lists of texts out of a closed set: told at the item, but access modes as a whole, as Kubernetes does. */
static void check_items(struct walk *w, const struct schema_field *f, const struct json *list, const struct place *at)
{
    bool whole = slice_eq_str(f->name, "accessModes");
    size_t i = 0;
    if (f->kind != SCHEMA_ARRAY || !f->enums || (f->flags & SCHEMA_ENUM_KNOWN) || f->item->kind != SCHEMA_STRING)
        return;
    json_each (it, list) {
        struct place here = place_item(at, i++);
        if (!text_is_one_of(json_string(it), f->enums))
            place_not_supported(w->v, whole ? at : &here, it, f->enums);
    }
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

/* Rules of the object itself: which of them a write to this subresource has to keep. */
static bool is_for(const struct walk *w, const struct schema_rule *rule)
{
    struct slice sub;
    check_name(rule, &sub);
    bool status = slice_starts(slice_str(rule->path), SLICE("status"));
    if (sub.n || w->sub.n)
        return slice_eq(sub, w->sub) || (status && slice_eq_str(w->sub, "status"));
    return !status;
}

static bool is_walked(const struct walk *w, struct slice field)
{
    if (slice_eq_str(field, "metadata") || slice_eq_str(w->sub, "approval"))
        return false;
    return slice_eq_str(field, "status") == slice_eq_str(w->sub, "status");
}

static void walk_type(struct walk *w, const struct schema_type *type, const struct json *obj, const struct json *old,
                      const struct place *at)
{
    for (size_t i = 0; i < type->n_checks; i++)
        if (at->up || is_for(w, &type->checks[i]))
            apply_rule(w, &type->checks[i], slice_str(type->checks[i].path), obj, old, at);
    for (size_t i = 0; i < type->n_fields; i++) {
        const struct schema_field *f = &type->fields[i];
        const struct json *value = json_get(obj, f->name);
        struct place here = {.up = at, .name = f->name};
        if (!at->up && !is_walked(w, f->name))
            continue;
        check_field(w, type, f, value, &here);
        if (!slice_eq_str(w->sub, "status"))
            check_items(w, f, value, &here);
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

/* Subresources whose writers choose nothing that needs looking at. */
static bool is_untyped(struct slice sub)
{
    return slice_eq_str(sub, "finalize") || slice_eq_str(sub, "binding");
}

int validate_update(struct arena *a, const struct resource *res, struct slice sub, const struct json *obj,
                    const struct json *old, struct status *st)
{
    struct validation v = {.a = a};
    struct walk w = {.v = &v, .root = obj, .old_root = old, .sub = sub, .update = true};
    struct place root = {0};
    validate_metadata(&v, res, obj);
    validate_metadata_update(&v, res, sub.n == 0, obj, old);
    if (!is_untyped(sub))
        walk_type(&w, res->type, obj, old, &root);
    return validation_result(&v, res, obj, st);
}
