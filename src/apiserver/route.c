/* From method, path and query to what is asked of which object. */
#include <errno.h>

#include "apiserver/nonresource.h"
#include "apiserver/request.h"
#include "base/text.h"

static const char *const verb_text[API_VERBS] = {
    [API_GET] = "get",       [API_LIST] = "list",
    [API_WATCH] = "watch",   [API_CREATE] = "create",
    [API_UPDATE] = "update", [API_PATCH] = "patch",
    [API_DELETE] = "delete", [API_DELETECOLLECTION] = "deletecollection",
};

const char *api_verb_name(enum api_verb v)
{
    return v < API_VERBS ? verb_text[v] : ""; /* a method that the path does not allow */
}

/* ---- query ---- */

static bool next_parameter(struct api_request *r, struct slice *rest, struct slice *name, struct slice *value)
{
    struct slice pair;
    while (rest->n) {
        slice_cut(*rest, '&', &pair, rest);
        if (!pair.n)
            continue;
        slice_cut(pair, '=', name, value);
        *name = percent_decode(r->arena, *name, true);
        *value = percent_decode(r->arena, *value, true);
        if (name->p && value->p)
            return true;
    }
    return false;
}

void api_query_each(struct api_request *r, struct slice name, void (*each)(void *ctx, struct slice value), void *ctx)
{
    struct slice rest = r->query, found, value;
    while (next_parameter(r, &rest, &found, &value))
        if (slice_eq(found, name))
            each(ctx, value);
}

enum option_type { OPT_TEXT, OPT_INT, OPT_BOOL };

static const struct {
    const char *name;
    enum option_type type;
    size_t offset;
} option_rows[] = {
    {"labelSelector", OPT_TEXT, offsetof(struct api_query, label_selector)},
    {"fieldSelector", OPT_TEXT, offsetof(struct api_query, field_selector)},
    {"resourceVersion", OPT_TEXT, offsetof(struct api_query, resource_version)},
    {"resourceVersionMatch", OPT_TEXT, offsetof(struct api_query, resource_version_match)},
    {"continue", OPT_TEXT, offsetof(struct api_query, continue_token)},
    {"fieldManager", OPT_TEXT, offsetof(struct api_query, field_manager)},
    {"propagationPolicy", OPT_TEXT, offsetof(struct api_query, propagation)},
    {"includeObject", OPT_TEXT, offsetof(struct api_query, include_object)},
    {"pintleAsOf", OPT_TEXT, offsetof(struct api_query, as_of)},
    {"limit", OPT_INT, offsetof(struct api_query, limit)},
    {"timeoutSeconds", OPT_INT, offsetof(struct api_query, timeout_seconds)},
    {"gracePeriodSeconds", OPT_INT, offsetof(struct api_query, grace_seconds)},
    {"watch", OPT_BOOL, offsetof(struct api_query, watch)},
    {"allowWatchBookmarks", OPT_BOOL, offsetof(struct api_query, bookmarks)},
    {"sendInitialEvents", OPT_BOOL, offsetof(struct api_query, send_initial_events)},
    {"force", OPT_BOOL, offsetof(struct api_query, force)},
};

/* As Go's strconv.ParseBool, with the empty value meaning true ("?watch"). */
static bool parse_bool(struct slice v)
{
    return !(slice_ieq(v, SLICE("false")) || slice_eq_str(v, "0") || slice_ieq(v, SLICE("f")));
}

static int set_option(struct api_request *r, struct slice name, struct slice value, struct status *st)
{
    char *base = (char *)&r->options;
    for (size_t i = 0; i < sizeof option_rows / sizeof *option_rows; i++) {
        if (!slice_eq_str(name, option_rows[i].name))
            continue;
        char *at = base + option_rows[i].offset;
        if (option_rows[i].type == OPT_TEXT)
            *(struct slice *)(void *)at = value;
        else if (option_rows[i].type == OPT_BOOL)
            *(bool *)(void *)at = parse_bool(value);
        else if (value.n && !slice_to_i64(value, (int64_t *)(void *)at))
            return status_set(st, r->arena, 400, "strconv.ParseInt: parsing \"%" SLICE_FMT "\": invalid syntax",
                              SLICE_ARG(value));
        return 0;
    }
    return 0; /* unknown parameters are ignored, as Kubernetes does */
}

/* Those that are more than a value. What they may not say is told by options.c. */
static void special_option(struct api_request *r, struct slice name, struct slice value)
{
    if (slice_eq_str(name, "dryRun")) {
        r->options.dry_run = true;
        if (!slice_eq_str(value, "All"))
            r->options.bad_dry_run = value;
    } else if (slice_eq_str(name, "sendInitialEvents")) {
        r->options.send_initial_set = true;
    } else if (slice_eq_str(name, "force")) {
        r->options.force_set = true;
    } else if (slice_eq_str(name, "orphanDependents")) {
        r->options.orphan_set = true;
        r->options.orphan = parse_bool(value);
    } else if (slice_eq_str(name, "pretty") && value.n) {
        r->options.pretty = slice_eq_str(value, "1") || slice_ieq(value, SLICE("t")) || slice_ieq(value, SLICE("true"));
    } else if (slice_eq_str(name, "fieldValidation") && value.n) {
        if (slice_eq_str(value, "Strict"))
            r->options.validation = VALIDATION_STRICT;
        else if (slice_eq_str(value, "Ignore"))
            r->options.validation = VALIDATION_IGNORE;
        else if (!slice_eq_str(value, "Warn"))
            r->options.bad_validation = value;
    }
}

static int parse_options(struct api_request *r, struct status *st)
{
    struct slice rest = r->query, name, value;
    r->options.limit = r->options.timeout_seconds = r->options.grace_seconds = -1;
    while (next_parameter(r, &rest, &name, &value)) {
        int rv = set_option(r, name, value, st);
        if (rv)
            return rv;
        special_option(r, name, value);
    }
    return 0;
}

/* ---- path ---- */

struct parts {
    struct slice at[API_PATH_PARTS_MAX];
    size_t n;
};

static int split_path(struct api_request *r, struct parts *parts, struct status *st)
{
    struct slice rest = slice_from(r->path, 1), part;
    parts->n = 0;
    while (rest.n) {
        slice_cut(rest, '/', &part, &rest);
        if (!part.n)
            continue;
        part = percent_decode(r->arena, part, false);
        if (!part.p || parts->n == API_PATH_PARTS_MAX)
            return status_set(st, r->arena, 400, "the path is malformed or has more than %d parts", API_PATH_PARTS_MAX);
        parts->at[parts->n++] = part;
    }
    return 0;
}

/* What follows the path's first n parts, which end with /proxy, keeps its encoding and slashes. */
static struct slice after_proxy(const struct api_request *r, size_t n)
{
    size_t at = 0;
    for (; n; n--) {
        while (at < r->path.n && r->path.p[at] == '/')
            at++;
        while (at < r->path.n && r->path.p[at] != '/')
            at++;
    }
    return slice_from(r->path, at);
}

static bool is_namespace_sub(struct slice s)
{
    return slice_eq_str(s, "status") || slice_eq_str(s, "finalize");
}

/* parts from `at` on: [namespaces NS] PLURAL [NAME [SUB …]] */
static void route_resource(struct api_request *r, const struct parts *p, size_t at)
{
    if (at < p->n && slice_eq_str(p->at[at], "watch")) { /* the deprecated prefix */
        r->options.watch = true;
        at++;
    }
    r->route = ROUTE_RESOURCE;
    r->res = NULL;
    if (at == p->n) /* nothing behind the prefix */
        return;
    bool in_namespace = p->n > at + 2 && slice_eq_str(p->at[at], "namespaces") && !is_namespace_sub(p->at[at + 2]);
    if (in_namespace) {
        r->ns = p->at[at + 1];
        at += 2;
    }
    r->plural = p->at[at];
    r->name = at + 1 < p->n ? p->at[at + 1] : SLICE_NONE;
    r->sub_name = at + 2 < p->n ? p->at[at + 2] : SLICE_NONE;
    r->res = resource_find(r->group, r->version, r->plural);
    if (!r->res || r->res->namespaced != in_namespace) {
        bool all_namespaces = r->res && r->res->namespaced && !r->name.n; /* GET /api/v1/pods */
        if (!all_namespaces)
            r->res = NULL;
    }
    if (r->res && r->sub_name.n) {
        r->sub = resource_sub_find(r->res, r->sub_name);
        if (!r->sub || (at + 3 < p->n && !slice_eq_str(r->sub_name, "proxy")))
            r->res = NULL;
        else if (slice_eq_str(r->sub_name, "proxy"))
            r->rest = after_proxy(r, at + 3);
    }
    if (r->res && slice_eq_str(r->plural, "namespaces"))
        r->ns = r->name; /* authorization of a Namespace looks into it */
}

static void route_path(struct api_request *r, const struct parts *p)
{
    bool core = p->n && slice_eq_str(p->at[0], "api"), named = p->n && slice_eq_str(p->at[0], "apis");
    r->fixed = api_fixed_find(r->path);
    if (!r->fixed && r->path.n > 1 && r->path.p[r->path.n - 1] == '/') /* "/version/", as OpenAPI has it */
        r->fixed = api_fixed_find(slice_of(r->path.p, r->path.n - 1));
    if (r->fixed) {
        r->route = ROUTE_FIXED;
    } else if (core && p->n == 1) {
        r->route = ROUTE_API_VERSIONS;
    } else if (core && slice_eq_str(p->at[1], "v1")) {
        r->version = p->at[1];
        if (p->n == 2)
            r->route = ROUTE_API_LIST;
        else
            route_resource(r, p, 2);
    } else if (named && p->n == 1) {
        r->route = ROUTE_API_GROUPS;
    } else if (named) {
        r->group = p->at[1];
        r->version = p->n > 2 ? p->at[2] : SLICE_NONE;
        if (!api_group_find(r->group) || !r->group.n)
            r->route = ROUTE_NOT_FOUND;
        else if (p->n <= 3)
            r->route = p->n == 2 ? ROUTE_API_GROUP : ROUTE_API_LIST;
        else
            route_resource(r, p, 3);
    }
}

/* ---- verb ---- */

static bool by_method(struct api_request *r)
{
    static const struct {
        const char *method;
        enum api_verb on_name, on_collection;
    } rows[] = {
        {"GET", API_GET, API_LIST},     {"HEAD", API_GET, API_LIST},     {"POST", API_CREATE, API_CREATE},
        {"PUT", API_UPDATE, API_VERBS}, {"PATCH", API_PATCH, API_VERBS}, {"DELETE", API_DELETE, API_DELETECOLLECTION},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!slice_eq_str(r->method, rows[i].method))
            continue;
        r->verb = r->name.n ? rows[i].on_name : rows[i].on_collection;
        if (r->options.watch && (r->verb == API_LIST || (r->verb == API_GET && !r->sub)))
            r->verb = API_WATCH;
        return r->verb != API_VERBS;
    }
    return false;
}

static unsigned verb_bit(enum api_verb v)
{
    static const unsigned bits[API_VERBS] = {VERB_GET,    VERB_LIST,  VERB_WATCH,  VERB_CREATE,
                                             VERB_UPDATE, VERB_PATCH, VERB_DELETE, VERB_DELETECOLLECTION};
    return bits[v];
}

static int check_verb(struct api_request *r, struct status *st)
{
    unsigned allowed = r->sub ? r->sub->verbs : r->res->verbs;
    /* POST to a name is only there for subresources. */
    bool misplaced =
        !r->sub && ((r->verb == API_CREATE && r->name.n) || (r->res->namespaced && !r->ns.n && r->verb == API_CREATE));
    if (!(allowed & verb_bit(r->verb)) || misplaced)
        return status_set(st, r->arena, 405, "the server does not allow this method on the requested resource");
    return 0;
}

int api_route_request(struct api_request *r, struct status *st)
{
    struct parts parts;
    int rv = split_path(r, &parts, st);
    if (rv)
        return rv;
    route_path(r, &parts);
    /* The query of a proxied request is the other server's. */
    bool proxied = r->route == ROUTE_RESOURCE && r->res && r->sub && !strcmp(r->sub->name, "proxy");
    rv = proxied ? 0 : parse_options(r, st);
    if (rv)
        return rv;
    bool known = by_method(r);
    if (r->route != ROUTE_RESOURCE)
        return known || r->route == ROUTE_NOT_FOUND
                   ? 0
                   : status_set(st, r->arena, 405, "the server does not allow this method on the requested resource");
    if (!r->res)
        return status_set(st, r->arena, 404, "the server could not find the requested resource");
    if (!known)
        return status_set(st, r->arena, 405, "the server does not allow this method on the requested resource");
    return check_verb(r, st);
}
