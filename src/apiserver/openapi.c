/* OpenAPI v3 documents, one a group and version, derived from the schema tables: paths with their query parameters (clients
 * look there whether fieldValidation and dryRun are understood), and the schemas of all types reached. Made at first
 * use and
 * kept. */
#include <stdio.h>

#include "apiserver/internal.h"
#include "apiserver/openapi.h"
#include "base/hash.h"
#include "base/mem.h"

enum { DOCUMENT_MAX = 16 << 20 };

/* ---- schemas ---- */

struct schemas {
    struct buf out;
    struct map seen; /* type name → itself */
    const struct schema_type *todo[4096];
    size_t n_todo;
};

static void want(struct schemas *s, const struct schema_type *t)
{
    if (map_put(&s->seen, slice_str(t->name), (void *)(uintptr_t)t) || s->n_todo == sizeof s->todo / sizeof *s->todo)
        return;
    s->todo[s->n_todo++] = t;
}

static void write_field(struct schemas *s, const struct schema_field *f);

static void write_kind(struct schemas *s, const struct schema_field *f)
{
    static const char *const plain[] = {
        [SCHEMA_STRING] = "\"type\":\"string\"",
        [SCHEMA_BOOL] = "\"type\":\"boolean\"",
        [SCHEMA_INT32] = "\"type\":\"integer\",\"format\":\"int32\"",
        [SCHEMA_INT64] = "\"type\":\"integer\",\"format\":\"int64\"",
        [SCHEMA_DOUBLE] = "\"type\":\"number\",\"format\":\"double\"",
        [SCHEMA_QUANTITY] = "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]",
        [SCHEMA_INT_OR_STRING] =
            "\"format\":\"int-or-string\",\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]",
        [SCHEMA_TIME] = "\"type\":\"string\",\"format\":\"date-time\"",
        [SCHEMA_MICRO_TIME] = "\"type\":\"string\",\"format\":\"date-time\"",
        [SCHEMA_DURATION] = "\"type\":\"string\"",
        [SCHEMA_BYTES] = "\"type\":\"string\",\"format\":\"byte\"",
        [SCHEMA_RAW] = "\"type\":\"object\"",
        [SCHEMA_ANY] = "\"x-kubernetes-preserve-unknown-fields\":true",
    };
    switch (f->kind) {
    case SCHEMA_REF:
        want(s, f->type);
        buf_printf(&s->out, "\"allOf\":[{\"$ref\":\"#/components/schemas/%s\"}],\"default\":{}", f->type->name);
        break;
    case SCHEMA_ARRAY:
        buf_add_str(&s->out, "\"type\":\"array\",\"items\":");
        write_field(s, f->item);
        break;
    case SCHEMA_MAP:
        buf_add_str(&s->out, "\"type\":\"object\",\"additionalProperties\":");
        write_field(s, f->item);
        break;
    default:
        buf_add_str(&s->out, plain[f->kind]);
    }
}

static void write_merge(struct schemas *s, const struct schema_field *f)
{
    static const char *const lists[] = {
        [SCHEMA_LIST_ATOMIC] = "atomic", [SCHEMA_LIST_SET] = "set", [SCHEMA_LIST_MAP] = "map"};
    if (f->kind == SCHEMA_ARRAY && f->list_type && f->list_type <= SCHEMA_LIST_MAP)
        buf_printf(&s->out, ",\"x-kubernetes-list-type\":\"%s\"", lists[f->list_type]);
    for (const char *const *k = f->list_keys; k && *k; k++)
        buf_printf(&s->out, "%s\"%s\"%s", k == f->list_keys ? ",\"x-kubernetes-list-map-keys\":[" : ",", *k,
                   k[1] ? "" : "]");
    if (f->patch)
        buf_printf(&s->out, ",\"x-kubernetes-patch-strategy\":\"%s%s%s\"", f->patch & SCHEMA_PATCH_MERGE ? "merge" : "",
                   f->patch == (SCHEMA_PATCH_MERGE | SCHEMA_PATCH_RETAIN_KEYS) ? "," : "",
                   f->patch & SCHEMA_PATCH_RETAIN_KEYS ? "retainKeys" : "");
    if (f->merge_key)
        buf_printf(&s->out, ",\"x-kubernetes-patch-merge-key\":\"%s\"", f->merge_key);
}

static void write_field(struct schemas *s, const struct schema_field *f)
{
    buf_add_char(&s->out, '{');
    write_kind(s, f);
    write_merge(s, f);
    if (f->enums && !(f->flags & SCHEMA_ENUM_KNOWN))
        for (const char *const *e = f->enums; *e; e++)
            buf_printf(&s->out, "%s\"%s\"%s", e == f->enums ? ",\"enum\":[" : ",", *e, e[1] ? "" : "]");
    buf_add_char(&s->out, '}');
}

static void write_type(struct schemas *s, const struct schema_type *t)
{
    bool first = true;
    buf_printf(&s->out, "\"%s\":{\"description\":\"%s\",\"type\":\"object\"", t->name, schema_short_name(t));
    for (unsigned i = 0; i < t->n_fields; i++) {
        if (!(t->fields[i].flags & SCHEMA_REQUIRED))
            continue;
        buf_printf(&s->out, "%s\"%" SLICE_FMT "\"", first ? ",\"required\":[" : ",", SLICE_ARG(t->fields[i].name));
        first = false;
    }
    buf_add_str(&s->out, first ? ",\"properties\":{" : "],\"properties\":{");
    for (unsigned i = 0; i < t->n_fields; i++) {
        buf_printf(&s->out, "%s\"%" SLICE_FMT "\":", i ? "," : "", SLICE_ARG(t->fields[i].name));
        write_field(s, &t->fields[i]);
    }
    buf_add_char(&s->out, '}');
    for (size_t i = 0, n = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        if (res->type != t || n++)
            continue;
        buf_printf(&s->out,
                   ",\"x-kubernetes-group-version-kind\":[{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}]",
                   res->group, res->kind, res->version);
    }
    buf_add_char(&s->out, '}');
}

/* ---- paths ---- */

static const char write_parameters[] = "\"parameters\":[{\"name\":\"dryRun\",\"in\":\"query\",\"schema\":{\"type\":"
                                       "\"string\"}},{\"name\":\"fieldManager\",\"in\":\"query\","
                                       "\"schema\":{\"type\":\"string\"}},{\"name\":\"fieldValidation\",\"in\":"
                                       "\"query\",\"schema\":{\"type\":\"string\"}}]";

static void write_operation(struct buf *out, const struct resource *res, const char *method, const char *action,
                            bool first)
{
    bool writes = strcmp(method, "get") != 0;
    buf_printf(out,
               "%s\"%s\":{\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{\"application/"
               "json\":{\"schema\":{\"$ref\":"
               "\"#/components/schemas/%s\"}}}}},",
               first ? "" : ",", method, res->type->name);
    if (writes)
        buf_printf(out, "%s,", write_parameters);
    buf_printf(out,
               "\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":{\"group\":\"%s\",\"kind\":\"%s\","
               "\"version\":\"%s\"}}",
               action, res->group, res->kind, res->version);
}

static void write_path(struct buf *out, const struct resource *res, bool item, bool *first)
{
    static const struct {
        unsigned verb;
        const char *method, *action;
        bool item;
    } rows[] = {{VERB_GET, "get", "get", true},
                {VERB_UPDATE, "put", "put", true},
                {VERB_PATCH, "patch", "patch", true},
                {VERB_DELETE, "delete", "delete", true},
                {VERB_LIST, "get", "list", false},
                {VERB_CREATE, "post", "post", false},
                {VERB_DELETECOLLECTION, "delete", "deletecollection", false}};
    bool any = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].item != item || !(res->verbs & rows[i].verb))
            continue;
        if (!any)
            buf_printf(out, "%s\"%s%s/%s%s/%s%s\":{", *first ? "" : ",", res->group[0] ? "/apis/" : "/api", res->group,
                       res->version, res->namespaced ? "/namespaces/{namespace}" : "", res->plural,
                       item ? "/{name}" : "");
        write_operation(out, res, rows[i].method, rows[i].action, !any);
        *first = false;
        any = true;
    }
    if (any)
        buf_add_char(out, '}');
}

static struct blob *document(struct slice group, struct slice version)
{
    struct schemas *s = mem_new(struct schemas);
    bool first = true;
    buf_init(&s->out, DOCUMENT_MAX);
    map_init(&s->seen, 0);
    buf_add_str(&s->out,
                "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Kubernetes\",\"version\":\"v1.36\"},\"paths\":{");
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        if (!slice_eq_str(group, res->group) || !slice_eq_str(version, res->version))
            continue;
        want(s, res->type);
        write_path(&s->out, res, false, &first);
        write_path(&s->out, res, true, &first);
    }
    buf_add_str(&s->out, "},\"components\":{\"schemas\":{");
    for (size_t i = 0; i < s->n_todo; i++) {
        if (i)
            buf_add_char(&s->out, ',');
        write_type(s, s->todo[i]); /* finds more to do */
    }
    buf_add_str(&s->out, "}}}\n");
    struct blob *b = first || buf_error(&s->out) ? NULL : blob_copy(buf_slice(&s->out));
    buf_done(&s->out);
    map_done(&s->seen);
    mem_free(s);
    return b;
}

/* ---- serving ---- */

static struct blob *kept(struct api *api, struct slice path, struct slice group, struct slice version)
{
    struct blob **slot = map_get(&api->documents, path);
    if (slot)
        return *slot;
    struct blob *b = document(group, version);
    if (b) {
        slot = mem_new(struct blob *);
        *slot = b;
        map_put(&api->documents, path, slot);
    }
    return b;
}

static const char *relative_path(struct api_request *r, const char *group, const char *version)
{
    return arena_printf(r->arena, "%s%s%s%s", group[0] ? "apis/" : "api", group, "/", version);
}

static void serve_index(struct api_request *r)
{
    struct arena *a = r->arena;
    struct json *v = json_new_object(a), *paths = json_new_object(a);
    for (size_t i = 0; i < api_group_count(); i++) {
        const struct api_group *g = api_group_at(i);
        for (const char *const *version = g->versions; *version; version++) {
            const char *path = relative_path(r, g->name, *version);
            struct blob *b =
                kept(r->api, slice_str(arena_printf(a, "openapi/%s", path)), slice_str(g->name), slice_str(*version));
            struct json *one = json_new_object(a);
            if (!b)
                continue;
            json_set_str(a, one, "serverRelativeURL",
                         json_new_printf(a, "/openapi/v3/%s?hash=%016lX", path, hash64(blob_slice(b), 1)));
            json_set(a, paths, slice_str(path), one);
        }
    }
    json_set_str(a, v, "paths", paths);
    api_reply_json(r, 200, v);
}

void api_openapi_v3(struct api_request *r)
{
    struct slice rest = slice_from(r->path, sizeof "/openapi/v3" - 1), kind, group = SLICE_NONE, version;
    if (rest.n <= 1) {
        serve_index(r);
        return;
    }
    rest = slice_from(rest, 1);
    struct slice path = rest;
    slice_cut(rest, '/', &kind, &version);
    if (slice_eq_str(kind, "apis"))
        slice_cut(version, '/', &group, &version);
    const char *key = arena_printf(r->arena, "openapi/%" SLICE_FMT, SLICE_ARG(path));
    struct blob *b = version.n ? kept(r->api, slice_str(key), group, version) : NULL;
    if (b)
        api_reply_bytes(r, 200, "application/json", chunk_part(b, 0, b->n));
    else
        api_reply_bytes(r, 404, "text/plain; charset=utf-8", chunk_static(SLICE("404 page not found\n")));
}
