#include "apiserver/nonresource.h"

#include <stdio.h>

#include "apiserver/internal.h"
#include "apiserver/openapi.h"
#include "apiserver/seal.h"
#include "base/hash.h"
#include "base/mem.h"

/* ---- health ---- */

struct health_check {
    const char *name;
    bool (*ok)(const struct api *api);
};

static bool check_ping(const struct api *api)
{
    (void)api;
    return true;
}

static bool check_leader(const struct api *api)
{
    return replica_leader(api->o.replica) != 0;
}

static bool check_shutdown(const struct api *api)
{
    return !api->draining;
}

static bool check_bootstrap(const struct api *api)
{
    /* A fresh replica is ready once it has the objects every cluster starts with. */
    return store_revision(api->store) > 0;
}

static bool check_fence(const struct api *api)
{
    return !replica_fenced(api->o.replica);
}

static const struct health_check checks[] = {
    {"ping", check_ping},         {"raft-leader", check_leader}, {"state", check_bootstrap},
    {"state-sound", check_fence}, {"shutdown", check_shutdown},
};

/* How many of the checks, from the first on, a path asks for. */
static size_t checks_of(struct slice path)
{
    return slice_starts(path, SLICE("/readyz")) ? sizeof checks / sizeof *checks : 1;
}

static void note_exclude(void *ctx, struct slice value)
{
    unsigned *excluded = ctx;
    for (unsigned i = 0; i < sizeof checks / sizeof *checks; i++)
        if (slice_eq_str(value, checks[i].name))
            *excluded |= 1u << i;
}

static void note_presence(void *ctx, struct slice value)
{
    (void)value;
    *(bool *)ctx = true;
}

static void serve_health(struct api_request *r)
{
    struct slice endpoint, one, path = slice_from(r->path, 1);
    unsigned excluded = 0;
    bool verbose = false, healthy = true;
    struct buf out = BUF_INIT(4096);
    slice_cut(path, '/', &endpoint, &one);
    api_query_each(r, SLICE("exclude"), note_exclude, &excluded);
    api_query_each(r, SLICE("verbose"), note_presence, &verbose);
    for (unsigned i = 0; i < checks_of(r->path); i++) {
        if ((one.n && !slice_eq_str(one, checks[i].name)) || (excluded & 1u << i))
            continue;
        bool ok = checks[i].ok(r->api);
        healthy &= ok;
        buf_printf(&out, ok ? "[+]%s ok\n" : "[-]%s failed\n", checks[i].name);
    }
    if (!verbose && healthy)
        buf_clear(&out);
    if (verbose || !healthy)
        buf_printf(&out, "%" SLICE_FMT " check %s\n", SLICE_ARG(endpoint), healthy ? "passed" : "failed");
    else
        buf_add_str(&out, "ok");
    struct blob *b = blob_copy(buf_slice(&out));
    buf_done(&out);
    api_reply_bytes(r, healthy ? 200 : 500, "text/plain; charset=utf-8", b ? chunk_take(b) : chunk_static(SLICE("ok")));
}

/* ---- version, metrics, root ---- */

static void serve_version(struct api_request *r)
{
    static const char text[] = "{\n"
                               "  \"major\": \"1\",\n"
                               "  \"minor\": \"36\",\n"
                               "  \"emulationMajor\": \"1\",\n"
                               "  \"emulationMinor\": \"36\",\n"
                               "  \"minCompatibilityMajor\": \"1\",\n"
                               "  \"minCompatibilityMinor\": \"35\",\n"
                               "  \"gitVersion\": \"v1.36.4+pintle-0.1.0\",\n"
                               "  \"gitCommit\": \"\",\n"
                               "  \"gitTreeState\": \"clean\",\n"
                               "  \"buildDate\": \"2026-11-21T00:00:00Z\",\n"
                               "  \"goVersion\": \"none\",\n"
                               "  \"compiler\": \"gcc\",\n"
                               "  \"platform\": \"linux/amd64\"\n"
                               "}\n";
    api_reply_bytes(r, 200, "application/json", chunk_static(slice_of(text, sizeof text - 1)));
}

static void store_metrics(struct api *api)
{
    struct metrics *m = api->o.metrics;
    const struct store *s = api->store;
    metrics_one(m, METRIC_GAUGE, "pintle_store_revision", "Revision of the local state.")->value =
        (double)store_revision(s);
    metrics_one(m, METRIC_GAUGE, "pintle_store_compacted_revision", "Events up to this revision are gone.")->value =
        (double)store_compacted(s);
    metrics_one(m, METRIC_GAUGE, "pintle_store_format", "Format in force: what commands and snapshots may contain.")
        ->value = store_format(s);
    metrics_one(m, METRIC_GAUGE, "pintle_store_window_events", "Changes in the event window.")->value =
        (double)store_window_events(s);
    metrics_one(m, METRIC_GAUGE, "pintle_store_window_age_seconds", "Age of the oldest change in the event window.")
        ->value = (double)(store_time_ms(s) - store_oldest_time(s)) / 1e3;
    metrics_one(m, METRIC_GAUGE, "pintle_store_bytes", "Bytes of stored objects.")->value = (double)store_bytes(s);
    metrics_one(m, METRIC_GAUGE, "pintle_store_window_bytes", "Bytes held only by the event window.")->value =
        (double)store_window_bytes(s);
    struct metric_family *objects =
        metrics_family(m, METRIC_GAUGE, "apiserver_storage_objects", "Stored objects by resource.");
    for (size_t i = 0;; i++) {
        const struct store_table *t = store_table_at(s, i);
        char labels[256];
        if (!t)
            break;
        snprintf(labels, sizeof labels, "resource=\"%" SLICE_FMT "\"", SLICE_ARG(store_table_name(t)));
        metric_get(objects, labels)->value = (double)tree_count(store_root(t));
    }
}

static void serve_metrics(struct api_request *r)
{
    struct buf out = BUF_INIT(16 << 20);
    store_metrics(r->api);
    api_seal_metrics(r->api);
    int rv = metrics_render(r->api->o.metrics, &out);
    struct blob *b = rv ? NULL : blob_copy(buf_slice(&out));
    buf_done(&out);
    if (!b)
        api_reply_error(r, 503, "metrics: memory is short, try again later");
    else
        api_reply_bytes(r, 200, "text/plain; version=0.0.4; charset=utf-8", chunk_take(b));
}

static void serve_root(struct api_request *r);

static const struct api_fixed fixed[] = {
    {"/", false, false, serve_root},
    {"/healthz", true, true, serve_health},
    {"/livez", true, true, serve_health},
    {"/readyz", true, true, serve_health},
    {"/version", false, true, serve_version},
    {"/metrics", false, false, serve_metrics},
    {"/.well-known/openid-configuration", false, false, api_issuer},
    {"/openid/v1/jwks", false, false, api_issuer_keys},
    {"/pintle/v1/deleted", false, false, api_deleted},
    {"/pintle/v1/hash", false, false, api_hash},
    {"/pintle/v1/history", false, false, api_history},
    {"/pintle/v1/snapshot", false, false, api_snapshot},
    {"/openapi/v2", false, false, api_openapi_v2},
    {"/openapi/v3", true, false, api_openapi_v3},
    {"/pintle/v1/ca", false, true, api_ca},
    {"/pintle/v1/join", false, false, api_join},
    {"/pintle/v1/kv", true, false, api_kv},
    {"/pintle/v1/members", true, false, api_members},
};

static void serve_root(struct api_request *r)
{
    struct json *v = json_new_object(r->arena), *paths = json_new_array(r->arena);
    json_append(paths, json_new_str(r->arena, "/api"));
    json_append(paths, json_new_str(r->arena, "/apis"));
    for (size_t i = 0; i < api_group_count(); i++)
        if (api_group_at(i)->name[0])
            json_append(paths, json_new_printf(r->arena, "/apis/%s", api_group_at(i)->name));
    for (size_t i = 1; i < sizeof fixed / sizeof *fixed; i++)
        json_append(paths, json_new_str(r->arena, fixed[i].path));
    json_set_str(r->arena, v, "paths", paths);
    api_reply_json(r, 200, v);
}

const struct api_fixed *api_fixed_find(struct slice path)
{
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        struct slice row = slice_str(fixed[i].path);
        if (slice_eq(path, row))
            return &fixed[i];
        if (fixed[i].prefix && slice_starts(path, row) && path.p[row.n] == '/')
            return &fixed[i];
    }
    return NULL;
}
