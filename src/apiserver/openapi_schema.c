/* Schemas of types: definitions of v2, components of v3. */
#include "apiserver/openapi_impl.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

/* Values that are no objects of ours and yet have schemas of their own. */
static const struct {
    unsigned kind;
    const char *name, *v2, *v3, *description;
} values[] = {
    {SCHEMA_QUANTITY, "io.k8s.apimachinery.pkg.api.resource.Quantity", "\"type\":\"string\"",
     "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]",
     "An amount: a decimal number with an optional suffix (n, u, m, k, M, G, T, P, E, or Ki, Mi, Gi, Ti, Pi, Ei, or an "
     "exponent)."},
    {SCHEMA_INT_OR_STRING, "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
     "\"type\":\"string\",\"format\":\"int-or-string\"",
     "\"format\":\"int-or-string\",\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]",
     "A whole number, or text such as a port's name or a percentage."},
    {SCHEMA_TIME, META "Time", "\"type\":\"string\",\"format\":\"date-time\"",
     "\"type\":\"string\",\"format\":\"date-time\"", "A time in the form of RFC 3339, in whole seconds."},
    {SCHEMA_MICRO_TIME, META "MicroTime", "\"type\":\"string\",\"format\":\"date-time\"",
     "\"type\":\"string\",\"format\":\"date-time\"", "A time in the form of RFC 3339, in microseconds."},
    {SCHEMA_DURATION, META "Duration", "\"type\":\"string\"", "\"type\":\"string\"", "A duration such as 1h30m."},
    {SCHEMA_RAW, "io.k8s.apimachinery.pkg.runtime.RawExtension", "\"type\":\"object\"", "\"type\":\"object\"",
     "An object of a kind that is not known here."},
    {SCHEMA_ANY, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "", "", "Any JSON value."},
};

static const char fields_v1[] = META "FieldsV1", patch[] = META "Patch";

static void ref(struct openapi *o, const char *name, const struct schema_type *type, unsigned kind)
{
    buf_printf(&o->out, "\"$ref\":\"#/%s/%s\"", o->v3 ? "components/schemas" : "definitions", name);
    if (map_put(&o->seen, slice_str(name), (void *)(uintptr_t)name) || o->n_schemas == OPENAPI_TYPES_MAX)
        return;
    o->schemas[o->n_schemas++] = (struct openapi_schema){name, type, kind};
}

void openapi_ref(struct openapi *o, const struct schema_type *type)
{
    buf_add_char(&o->out, '{');
    if (type)
        ref(o, type->name, type, SCHEMA_REF);
    else
        ref(o, patch, NULL, SCHEMA_RAW);
    buf_add_char(&o->out, '}');
}

/* The schema that a field's value refers to, or false when it is spelt out where it stands. */
static bool write_ref(struct openapi *o, const struct schema_field *f)
{
    if (f->kind == SCHEMA_REF) {
        ref(o, f->type->name, f->type, SCHEMA_REF);
        return true;
    }
    if (f->kind == SCHEMA_RAW && slice_eq_str(f->name, "fieldsV1")) {
        ref(o, fields_v1, NULL, SCHEMA_RAW);
        return true;
    }
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (values[i].kind == f->kind) {
            ref(o, values[i].name, NULL, f->kind);
            return true;
        }
    }
    return false;
}

static void write_item(struct openapi *o, const struct schema_field *f);

static void write_plain(struct openapi *o, const struct schema_field *f)
{
    static const char *const plain[] = {
        [SCHEMA_STRING] = "\"type\":\"string\"",
        [SCHEMA_BOOL] = "\"type\":\"boolean\"",
        [SCHEMA_INT32] = "\"type\":\"integer\",\"format\":\"int32\"",
        [SCHEMA_INT64] = "\"type\":\"integer\",\"format\":\"int64\"",
        [SCHEMA_DOUBLE] = "\"type\":\"number\",\"format\":\"double\"",
        [SCHEMA_BYTES] = "\"type\":\"string\",\"format\":\"byte\"",
        [SCHEMA_ARRAY] = "\"type\":\"array\",\"items\":",
        [SCHEMA_MAP] = "\"type\":\"object\",\"additionalProperties\":",
    };
    buf_add_str(&o->out, plain[f->kind]);
    if (f->kind == SCHEMA_ARRAY || f->kind == SCHEMA_MAP)
        write_item(o, f->item);
}

/* What a list or map holds. */
static void write_item(struct openapi *o, const struct schema_field *f)
{
    buf_add_char(&o->out, '{');
    if (!write_ref(o, f))
        write_plain(o, f);
    buf_add_char(&o->out, '}');
}

static void write_merge(struct buf *out, const struct schema_field *f)
{
    static const char *const lists[] = {
        [SCHEMA_LIST_ATOMIC] = "atomic", [SCHEMA_LIST_SET] = "set", [SCHEMA_LIST_MAP] = "map"};
    bool list = f->kind == SCHEMA_ARRAY, atomic = f->list_type == SCHEMA_LIST_ATOMIC;
    if (list && f->list_type && f->list_type <= SCHEMA_LIST_MAP)
        buf_printf(out, ",\"x-kubernetes-list-type\":\"%s\"", lists[f->list_type]);
    if (!list && atomic)
        buf_add_str(out, ",\"x-kubernetes-map-type\":\"atomic\"");
    for (const char *const *k = f->list_keys; k && *k; k++)
        buf_printf(out, "%s\"%s\"%s", k == f->list_keys ? ",\"x-kubernetes-list-map-keys\":[" : ",", *k,
                   k[1] ? "" : "]");
    if (f->patch)
        buf_printf(out, ",\"x-kubernetes-patch-strategy\":\"%s%s%s%s\"", f->patch & SCHEMA_PATCH_MERGE ? "merge" : "",
                   f->patch & SCHEMA_PATCH_REPLACE ? "replace" : "",
                   f->patch & SCHEMA_PATCH_RETAIN_KEYS && f->patch != SCHEMA_PATCH_RETAIN_KEYS ? "," : "",
                   f->patch & SCHEMA_PATCH_RETAIN_KEYS ? "retainKeys" : "");
    if (f->merge_key)
        buf_printf(out, ",\"x-kubernetes-patch-merge-key\":\"%s\"", f->merge_key);
}

static void write_enum(struct buf *out, const struct schema_field *f)
{
    if (!f->enums || f->flags & SCHEMA_ENUM_KNOWN)
        return;
    for (const char *const *e = f->enums; *e; e++)
        buf_printf(out, "%s\"%s\"%s", e == f->enums ? ",\"enum\":[" : ",", *e, e[1] ? "" : "]");
}

static void write_field(struct openapi *o, const struct schema_type *type, const struct schema_field *f)
{
    struct buf *out = &o->out;
    bool refers = f->kind == SCHEMA_REF;
    buf_add_str(out, "{\"description\":");
    openapi_describe_field(out, type, f);
    buf_add_char(out, ',');
    size_t before = out->n;
    if (o->v3) { /* beside $ref nothing else may stand */
        buf_add_str(out, "\"allOf\":[{");
        refers = write_ref(o, f);
        buf_add_str(out, "}]");
    } else {
        refers = write_ref(o, f);
    }
    if (!refers) {
        out->n = before;
        write_plain(o, f);
    }
    if (o->v3 && (f->default_json || (f->kind == SCHEMA_REF && !(f->flags & SCHEMA_POINTER))))
        buf_printf(out, ",\"default\":%s", f->default_json ? f->default_json : "{}");
    write_enum(out, f);
    write_merge(out, f);
    buf_add_char(out, '}');
}

/* ---- which kinds an object of a type can be ---- */

static void add_kind(struct buf *out, bool *first, const char *group, const char *version, const char *kind)
{
    buf_printf(out, "%s{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}",
               *first ? ",\"x-kubernetes-group-version-kind\":[" : ",", group, kind, version);
    *first = false;
}

static void add_kinds_of(struct buf *out, bool *first, const struct schema_type *t, const struct resource *res)
{
    size_t n = strlen(res->type->name);
    if (res->type == t)
        add_kind(out, first, res->group, res->version, res->kind);
    else if (res->list_kind[0] && !strncmp(t->name, res->type->name, n) && !strcmp(t->name + n, "List"))
        add_kind(out, first, res->group, res->version, res->list_kind);
    for (size_t i = 0; i < res->n_subs; i++) {
        const struct resource_sub *sub = &res->subs[i];
        if (sub->type == t && t != res->type && *first)
            add_kind(out, first, sub->group, sub->version, sub->kind);
    }
}

static void write_kinds(struct buf *out, const struct schema_type *t)
{
    bool first = true, meta = !strncmp(t->name, META, sizeof META - 1);
    const char *name = schema_short_name(t);
    for (size_t i = 0; i < resource_count() && !meta; i++)
        add_kinds_of(out, &first, t, resource_at(i));
    if (meta && (!strcmp(name, "Status") || !strncmp(name, "API", 3)))
        add_kind(out, &first, "", "v1", name);
    for (size_t i = 0; i < api_group_count() && meta && (!strcmp(name, "DeleteOptions") || !strcmp(name, "WatchEvent"));
         i++)
        for (const char *const *v = api_group_at(i)->versions; *v; v++)
            add_kind(out, &first, api_group_at(i)->name, *v, name);
    if (!first)
        buf_add_char(out, ']');
}

/* Of some types only one of several members may be there. */
static void write_union(struct buf *out, const struct schema_type *t)
{
    static const struct {
        const char *type, *fields;
    } unions[] = {
        {"io.k8s.api.core.v1.AppArmorProfile", "\"localhostProfile\":\"LocalhostProfile\""},
        {"io.k8s.api.core.v1.SeccompProfile", "\"localhostProfile\":\"LocalhostProfile\""},
        {"io.k8s.api.flowcontrol.v1.LimitResponse", "\"queuing\":\"Queuing\""},
        {"io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec", "\"exempt\":\"Exempt\",\"limited\":\"Limited\""},
    };
    for (size_t i = 0; i < sizeof unions / sizeof *unions; i++)
        if (!strcmp(t->name, unions[i].type))
            buf_printf(out, ",\"x-kubernetes-unions\":[{\"discriminator\":\"type\",\"fields-to-discriminateBy\":{%s}}]",
                       unions[i].fields);
}

static void write_type(struct openapi *o, const struct schema_type *t)
{
    struct buf *out = &o->out;
    bool first = true;
    buf_printf(out, "\"%s\":{\"description\":", t->name);
    openapi_describe_type(out, t);
    for (unsigned i = 0; i < t->n_fields; i++) {
        if (!(t->fields[i].flags & SCHEMA_REQUIRED))
            continue;
        buf_printf(out, "%s\"%" SLICE_FMT "\"", first ? ",\"required\":[" : ",", SLICE_ARG(t->fields[i].name));
        first = false;
    }
    buf_add_str(out, first ? "" : "]");
    for (unsigned i = 0; i < t->n_fields; i++) {
        buf_printf(out, "%s\"%" SLICE_FMT "\":", i ? "," : ",\"properties\":{", SLICE_ARG(t->fields[i].name));
        write_field(o, t, &t->fields[i]);
    }
    buf_add_str(out, t->n_fields ? "},\"type\":\"object\"" : ",\"type\":\"object\"");
    write_kinds(out, t);
    write_union(out, t);
    if (t->flags & SCHEMA_ATOMIC)
        buf_add_str(out, ",\"x-kubernetes-map-type\":\"atomic\"");
    buf_add_char(out, '}');
}

static void write_value(struct openapi *o, const struct openapi_schema *s)
{
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *text = o->v3 ? values[i].v3 : values[i].v2;
        if (!strcmp(values[i].name, s->name)) {
            buf_printf(&o->out, "\"%s\":{\"description\":\"%s\"%s%s}", s->name, values[i].description, *text ? "," : "",
                       text);
            return;
        }
    }
    buf_printf(&o->out, "\"%s\":{\"description\":\"%s\",\"type\":\"object\"}", s->name,
               s->name == fields_v1 ? "A set of fields: nested objects, one for each step of a path."
                                    : "A change to an object, in the form that the media type names.");
}

void openapi_write_schemas(struct openapi *o)
{
    for (size_t i = 0; i < o->n_schemas; i++) { /* writing one may find more */
        if (i)
            buf_add_char(&o->out, ',');
        if (o->schemas[i].type)
            write_type(o, o->schemas[i].type);
        else
            write_value(o, &o->schemas[i]);
    }
}
