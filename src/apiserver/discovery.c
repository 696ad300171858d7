/* Discovery: what resources there are, in the legacy form (APIVersions, APIGroupList, APIResourceList) and the aggregated
 * one (APIGroupDiscoveryList of apidiscovery.k8s.io/v2). Documents are encoded at their first use and kept. */
#include <stdio.h>

#include "apiserver/internal.h"
#include "apiserver/output.h"
#include "base/hash.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "object/protobuf.h"

static const char aggregated_params[] = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

static struct json *text_array(struct arena *a, const char *const *texts)
{
    struct json *v = json_new_array(a);
    for (; texts && *texts; texts++)
        json_append(v, json_new_str(a, *texts));
    return v;
}

static struct json *verbs_json(struct arena *a, unsigned verbs)
{
    const char *names[8];
    size_t n = verb_names(verbs, names);
    struct json *v = json_new_array(a);
    for (size_t i = 0; i < n; i++)
        json_append(v, json_new_str(a, names[i]));
    return v;
}

static struct json *document(struct arena *a, const char *kind, const char *api_version)
{
    struct json *v = json_new_object(a);
    json_set_str(a, v, "kind", json_new_str(a, kind));
    json_set_str(a, v, "apiVersion", json_new_str(a, api_version));
    return v;
}

/* ---- aggregated ---- */

/* Empty where equal to what encloses it. */
static struct json *response_kind(struct arena *a, const struct resource *res, const char *group, const char *version,
                                  const char *kind)
{
    struct json *v = json_new_object(a);
    bool same = !strcmp(group, res->group) && !strcmp(version, res->version);
    json_set_str(a, v, "group", json_new_str(a, same ? "" : group));
    json_set_str(a, v, "version", json_new_str(a, same ? "" : version));
    json_set_str(a, v, "kind", json_new_str(a, kind));
    return v;
}

static struct json *aggregated_resource(struct arena *a, const struct resource *res)
{
    struct json *v = json_new_object(a);
    json_set_str(a, v, "resource", json_new_str(a, res->plural));
    json_set_str(a, v, "responseKind", response_kind(a, res, res->group, res->version, res->kind));
    json_set_str(a, v, "scope", json_new_str(a, res->namespaced ? "Namespaced" : "Cluster"));
    json_set_str(a, v, "singularResource", json_new_str(a, res->singular));
    json_set_str(a, v, "verbs", verbs_json(a, res->verbs));
    if (res->short_names && *res->short_names)
        json_set_str(a, v, "shortNames", text_array(a, res->short_names));
    if (res->categories && *res->categories)
        json_set_str(a, v, "categories", text_array(a, res->categories));
    struct json *subs = res->n_subs ? json_new_array(a) : NULL;
    for (size_t i = 0; i < res->n_subs; i++) {
        const struct resource_sub *sub = &res->subs[i];
        struct json *s = json_new_object(a);
        json_set_str(a, s, "subresource", json_new_str(a, sub->name));
        json_set_str(a, s, "responseKind", response_kind(a, res, sub->group, sub->version, sub->kind));
        json_set_str(a, s, "verbs", verbs_json(a, sub->verbs));
        json_append(subs, s);
    }
    if (subs)
        json_set_str(a, v, "subresources", subs);
    return v;
}

static struct json *aggregated_group(struct arena *a, const struct api_group *g)
{
    struct json *v = json_new_object(a), *meta = json_new_object(a), *versions = json_new_array(a);
    if (g->name[0])
        json_set_str(a, meta, "name", json_new_str(a, g->name));
    json_set_str(a, v, "metadata", meta);
    for (const char *const *version = g->versions; *version; version++) {
        struct json *one = json_new_object(a), *resources = json_new_array(a);
        json_set_str(a, one, "version", json_new_str(a, *version));
        for (size_t i = 0; i < resource_count(); i++) {
            const struct resource *res = resource_at(i);
            if (!strcmp(res->group, g->name) && !strcmp(res->version, *version))
                json_append(resources, aggregated_resource(a, res));
        }
        json_set_str(a, one, "resources", resources);
        json_set_str(a, one, "freshness", json_new_str(a, "Current"));
        json_append(versions, one);
    }
    json_set_str(a, v, "versions", versions);
    return v;
}

static struct json *aggregated(struct arena *a, bool core)
{
    struct json *v = document(a, "APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"), *items = json_new_array(a);
    json_set_str(a, v, "metadata", json_new_object(a));
    for (size_t i = 0; i < api_group_count(); i++)
        if ((api_group_at(i)->name[0] == '\0') == core)
            json_append(items, aggregated_group(a, api_group_at(i)));
    json_set_str(a, v, "items", items);
    return v;
}

/* ---- legacy ---- */

/* address: of this server, or NULL */
static struct json *api_versions(struct arena *a, const char *address)
{
    struct json *v = json_new_object(a), *versions = json_new_array(a), *servers = json_new_array(a);
    json_set_str(a, v, "kind", json_new_str(a, "APIVersions"));
    json_append(versions, json_new_str(a, "v1"));
    json_set_str(a, v, "versions", versions);
    if (address) {
        struct json *one = json_new_object(a);
        json_set_str(a, one, "clientCIDR", json_new_str(a, "0.0.0.0/0"));
        json_set_str(a, one, "serverAddress", json_new_str(a, address));
        json_append(servers, one);
    }
    json_set_str(a, v, "serverAddressByClientCIDRs", servers);
    return v;
}

static struct json *group_version(struct arena *a, const char *group, const char *version)
{
    struct json *v = json_new_object(a);
    json_set_str(a, v, "groupVersion", json_new_printf(a, "%s/%s", group, version));
    json_set_str(a, v, "version", json_new_str(a, version));
    return v;
}

static void fill_group(struct arena *a, struct json *v, const struct api_group *g)
{
    struct json *versions = json_new_array(a);
    json_set_str(a, v, "name", json_new_str(a, g->name));
    for (const char *const *version = g->versions; *version; version++)
        json_append(versions, group_version(a, g->name, *version));
    json_set_str(a, v, "versions", versions);
    json_set_str(a, v, "preferredVersion", group_version(a, g->name, g->versions[0]));
}

static struct json *api_group_list(struct arena *a)
{
    struct json *v = document(a, "APIGroupList", "v1"), *groups = json_new_array(a);
    for (size_t i = 0; i < api_group_count(); i++) {
        struct json *g = json_new_object(a);
        if (!api_group_at(i)->name[0])
            continue;
        fill_group(a, g, api_group_at(i));
        json_append(groups, g);
    }
    json_set_str(a, v, "groups", groups);
    return v;
}

static struct json *legacy_resource(struct arena *a, const struct resource *res, const struct resource_sub *sub)
{
    struct json *v = json_new_object(a);
    const char *group = sub ? sub->group : res->group, *version = sub ? sub->version : res->version;
    json_set_str(a, v, "name",
                 sub ? json_new_printf(a, "%s/%s", res->plural, sub->name) : json_new_str(a, res->plural));
    json_set_str(a, v, "singularName", json_new_str(a, sub ? "" : res->singular));
    json_set_str(a, v, "namespaced", json_new_bool(a, res->namespaced));
    if (strcmp(group, res->group) != 0 || strcmp(version, res->version) != 0) {
        json_set_str(a, v, "group", json_new_str(a, group));
        json_set_str(a, v, "version", json_new_str(a, version));
    }
    json_set_str(a, v, "kind", json_new_str(a, sub ? sub->kind : res->kind));
    json_set_str(a, v, "verbs", verbs_json(a, sub ? sub->verbs : res->verbs));
    if (!sub && res->short_names && *res->short_names)
        json_set_str(a, v, "shortNames", text_array(a, res->short_names));
    if (!sub && res->categories && *res->categories)
        json_set_str(a, v, "categories", text_array(a, res->categories));
    if (!sub && res->storage_hash && res->storage_hash[0])
        json_set_str(a, v, "storageVersionHash", json_new_str(a, res->storage_hash));
    return v;
}

static struct json *api_resource_list(struct arena *a, struct slice group, struct slice version)
{
    struct json *v = document(a, "APIResourceList", "v1"), *resources = json_new_array(a);
    size_t found = 0;
    json_set_str(
        a, v, "groupVersion",
        json_new_printf(a, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(group), group.n ? "/" : "", SLICE_ARG(version)));
    for (size_t i = 0; i < resource_count(); i++) {
        const struct resource *res = resource_at(i);
        if (!slice_eq_str(group, res->group) || !slice_eq_str(version, res->version))
            continue;
        found++;
        json_append(resources, legacy_resource(a, res, NULL));
        for (size_t j = 0; j < res->n_subs; j++)
            json_append(resources, legacy_resource(a, res, &res->subs[j]));
    }
    json_set_str(a, v, "resources", resources);
    return found ? v : NULL;
}

/* ---- serving ---- */

void api_document_free(struct api_document *d)
{
    if (!d)
        return;
    blob_unref(d->body);
    blob_unref(d->packed);
    mem_free(d);
}

static int encode(struct api_request *r, const struct json *v, struct buf *out)
{
    if (r->encoding == ENCODE_PROTOBUF)
        return protobuf_encode(out, api_answer_type(r->arena, v), v);
    if (r->encoding == ENCODE_YAML)
        return yaml_write(out, v);
    json_write(out, v);
    return buf_add_char(out, '\n');
}

static struct api_document *keep(struct api_request *r, struct slice key, const struct json *v)
{
    struct buf out = BUF_INIT(4 << 20);
    struct api_document *e = NULL;
    if (v && !encode(r, v, &out)) {
        e = mem_new(struct api_document);
        e->body = blob_copy(buf_slice(&out));
        snprintf(e->etag, sizeof e->etag, "\"%016lX\"", hash64(buf_slice(&out), 1));
    }
    buf_done(&out);
    if (e && !e->body) {
        mem_free(e);
        return NULL;
    }
    if (e)
        map_put(&r->api->documents, key, e);
    return e;
}

static struct json *build(struct api_request *r, bool wants_aggregated)
{
    switch (r->route) {
    case ROUTE_API_VERSIONS:
        return wants_aggregated ? aggregated(r->arena, true)
                                : api_versions(r->arena, api_address_of(r->api, r->api->o.id));
    case ROUTE_API_GROUPS:
        return wants_aggregated ? aggregated(r->arena, false) : api_group_list(r->arena);
    case ROUTE_API_GROUP: {
        struct json *v = document(r->arena, "APIGroup", "v1");
        fill_group(r->arena, v, api_group_find(r->group));
        return v;
    }
    default:
        return api_resource_list(r->arena, r->group, r->version);
    }
}

void api_discovery(struct api_request *r)
{
    static const char *const types[] = {
        [ENCODE_JSON] = "application/json", [ENCODE_YAML] = "application/yaml", [ENCODE_PROTOBUF] = API_PROTOBUF};
    bool wants_aggregated = r->shape == SHAPE_DISCOVERY;
    const char *address = r->route == ROUTE_API_VERSIONS ? api_address_of(r->api, r->api->o.id) : NULL;
    const char *key =
        arena_printf(r->arena, "%d %d %d %" SLICE_FMT "/%" SLICE_FMT " %s", (int)r->route, wants_aggregated,
                     (int)r->encoding, SLICE_ARG(r->group), SLICE_ARG(r->version), address ? address : "");
    struct api_document *e = map_get(&r->api->documents, slice_str(key));
    if (!e)
        e = keep(r, slice_str(key), build(r, wants_aggregated));
    if (!e) {
        api_reply_error(r, 404, "the server could not find the requested resource");
        return;
    }
    const char *type = arena_printf(r->arena, "%s%s", types[r->encoding], wants_aggregated ? aggregated_params : "");
    api_reply_document(r, type, e->etag, chunk_part(e->body, 0, e->body->n), false);
}
