/* Reviews: what may this user do? (authorization.k8s.io, authentication.k8s.io SelfSubjectReview) Answered on the spot,
 * never stored. */
#include "apiserver/special.h"
#include "auth/authn.h"

static struct slice text(const struct json *v, const char *path)
{
    return json_path_string(v, path);
}

/* The user that a SubjectAccessReview names. */
static void reviewed_user(struct api_request *r, const struct json *spec, struct user *u)
{
    size_t n = json_len(json_get_str(spec, "groups"));
    struct slice *groups = arena_alloc(r->arena, (n + 1) * sizeof *groups);
    *u = (struct user){.name = text(spec, "user"), .uid = text(spec, "uid"), .groups = groups};
    if (groups)
        json_each (g, json_get_str(spec, "groups"))
            groups[u->n_groups++] = json_string(g);
}

static struct access asked(const struct json *spec)
{
    const struct json *res = json_get_str(spec, "resourceAttributes"),
                      *path = json_get_str(spec, "nonResourceAttributes");
    if (path && !res)
        return (struct access){.verb = text(path, "verb"), .path = text(path, "path")};
    return (struct access){.verb = text(res, "verb"),
                           .group = text(res, "group"),
                           .resource = text(res, "resource"),
                           .sub = text(res, "subresource"),
                           .ns = text(res, "namespace"),
                           .name = text(res, "name")};
}

/* A LocalSubjectAccessReview asks about the namespace it is sent to and no other: who may create it there need not be
 * told about elsewhere. */
static void check_place(struct api_request *r, const struct json *obj, struct status *st)
{
    const struct json *res = json_path(obj, "spec.resourceAttributes");
    struct slice own = json_path_string(obj, "metadata.namespace");
    if (!res)
        status_set(st, r->arena, 400, "spec.nonResourceAttributes: disallowed on this kind of request");
    else if (own.n && !slice_eq(own, r->ns))
        status_set(st, r->arena, 400,
                   "the namespace of the provided object does not match the namespace sent on the request");
    else if (!slice_eq(text(res, "namespace"), r->ns))
        status_set(st, r->arena, 400, "spec.resourceAttributes.namespace must match namespace: %" SLICE_FMT,
                   SLICE_ARG(r->ns));
}

void api_access_review(struct api_request *r)
{
    struct status st = {0};
    struct arena *a = r->arena;
    struct json *obj = api_decode(r, r->res, NULL, false, &st);
    const struct json *spec = json_get_str(obj, "spec");
    if (obj && !json_get_str(spec, "resourceAttributes") && !json_get_str(spec, "nonResourceAttributes"))
        status_set(&st, a, 400, "exactly one of nonResourceAttributes or resourceAttributes must be specified");
    if (obj && !st.code && r->res->namespaced)
        check_place(r, obj, &st);
    if (st.code) {
        api_reply_status(r, &st);
        return;
    }
    struct user other;
    const struct user *u = &r->user;
    if (!slice_starts(slice_str(r->res->plural), SLICE("self"))) {
        reviewed_user(r, spec, &other);
        u = &other;
    }
    struct access q = asked(spec);
    const char *why = "";
    bool allowed = api_access_allowed(r->api, u, &q, &why);
    struct json *status = json_new_object(a);
    json_set_str(a, status, "allowed", json_new_bool(a, allowed));
    if (allowed && why && why[0])
        json_set_str(a, status, "reason", json_new_str(a, why));
    json_set_str(a, obj, "status", status);
    api_reply_json(r, 201, obj);
}

void api_rules_review(struct api_request *r)
{
    struct status st = {0};
    struct arena *a = r->arena;
    struct json *obj = api_decode(r, r->res, NULL, false, &st);
    if (!obj) {
        api_reply_status(r, &st);
        return;
    }
    struct json *status = json_new_object(a), *resources = json_new_array(a), *paths = json_new_array(a);
    api_access_rules(r->api, &r->user, text(obj, "spec.namespace"), a, resources, paths);
    json_set_str(a, status, "resourceRules", resources);
    json_set_str(a, status, "nonResourceRules", paths);
    json_set_str(a, status, "incomplete", json_new_bool(a, false));
    json_set_str(a, obj, "status", status);
    api_reply_json(r, 201, obj);
}

/* Values of one key are a list. */
static struct json *extra_json(struct arena *a, const struct user *u)
{
    struct json *v = json_new_object(a);
    for (size_t i = 0; i < u->n_extra; i++) {
        struct json *values = json_get(v, u->extra[i].key);
        if (!values) {
            values = json_new_array(a);
            json_set(a, v, u->extra[i].key, values);
        }
        json_append(values, json_new_string(a, u->extra[i].value));
    }
    return v;
}

static struct json *user_json(struct arena *a, const struct user *u)
{
    struct json *v = json_new_object(a), *groups = json_new_array(a);
    json_set_str(a, v, "username", json_new_string(a, u->name));
    if (u->uid.n)
        json_set_str(a, v, "uid", json_new_string(a, u->uid));
    for (size_t i = 0; i < u->n_groups; i++)
        json_append(groups, json_new_string(a, u->groups[i]));
    json_set_str(a, v, "groups", groups);
    if (u->n_extra)
        json_set_str(a, v, "extra", extra_json(a, u));
    return v;
}

void api_self_review(struct api_request *r)
{
    struct arena *a = r->arena;
    struct json *obj = json_new_object(a), *status = json_new_object(a);
    json_set_str(a, obj, "kind", json_new_str(a, r->res->kind));
    json_set_str(a, obj, "apiVersion", json_new_str(a, r->res->api_version));
    json_set_str(a, obj, "metadata", json_new_object(a));
    json_set_str(a, status, "userInfo", user_json(a, &r->user));
    json_set_str(a, obj, "status", status);
    api_reply_json(r, 201, obj);
}

static void review_token(struct api_request *r, int err)
{
    struct status st = {0};
    struct arena *a = r->arena;
    const char *why = "token review is not available without an authenticator";
    struct user u;
    struct json *obj = err ? NULL : api_decode(r, r->res, NULL, false, &st);
    if (!obj) {
        if (err)
            api_reply_errno(r, err, "confirming the state");
        else
            api_reply_status(r, &st);
        return;
    }
    struct slice aud = json_string(json_at(json_path(obj, "spec.audiences"), 0));
    int rv = r->api->o.authn ? authn_token(r->api->o.authn, text(obj, "spec.token"), aud, a, &u, &why) : -1;
    struct json *status = json_new_object(a);
    json_set_str(a, status, "authenticated", json_new_bool(a, rv == 0));
    if (rv)
        json_set_str(a, status, "error", json_new_str(a, why));
    else
        json_set_str(a, status, "user", user_json(a, &u));
    json_set_str(a, obj, "status", status);
    api_reply_json(r, 201, obj);
}

/* A token may be of an account that was made a moment ago, at another replica: first this one has to know it too. */
void api_token_review(struct api_request *r)
{
    api_when_confirmed(r, review_token);
}
