/* serviceaccounts/NAME/token: a fresh token, bound to a pod (or secret, node) and to time. */
#include "apiserver/output.h"
#include "apiserver/special.h"
#include "auth/sa_token.h"
#include "base/timefmt.h"
#include "object/meta.h"

#define TOKEN_INVALID "TokenRequest.authentication.k8s.io \"\" is invalid: "

enum { TOKEN_MIN_S = 600, TOKEN_MAX_S = 86400, TOKEN_DEFAULT_S = 3600, TOKEN_AUDIENCES_MAX = 16 };

static void bind_pod(struct api_request *r, const struct json *pod, struct sa_token_request *q)
{
    q->pod_name = meta_name(pod);
    q->pod_uid = meta_uid(pod);
    q->node_name = json_path_string(pod, "spec.nodeName");
    const struct json *node = q->node_name.n ? api_object(r, resource_core("nodes"), SLICE_NONE, q->node_name) : NULL;
    q->node_uid = meta_uid(node);
}

/* The object the token shall die with must exist, with the uid the caller knows, and a pod must use this account. */
static int bind_token(struct api_request *r, const struct json *ref, struct sa_token_request *q, struct status *st)
{
    static const struct {
        const char *kind, *plural;
    } kinds[] = {{"Pod", "pods"}, {"Secret", "secrets"}, {"Node", "nodes"}};
    struct slice kind = json_path_string(ref, "kind"), name = json_path_string(ref, "name"),
                 uid = json_path_string(ref, "uid"), version = json_path_string(ref, "apiVersion");
    size_t i = 0;
    if (!ref)
        return 0;
    while (i < 3 && !slice_eq_str(kind, kinds[i].kind))
        i++;
    if (i == 3 || (version.n && !slice_eq_str(version, "v1")))
        return status_set(st, r->arena, 400, "cannot bind token to object of type %" SLICE_FMT ", Kind=%" SLICE_FMT,
                          SLICE_ARG(version), SLICE_ARG(kind));
    const struct json *obj = api_object(r, resource_core(kinds[i].plural), i == 2 ? SLICE_NONE : r->ns, name);
    if (!obj)
        return status_not_found(st, r->arena, SLICE(""), slice_str(kinds[i].plural), name);
    if (uid.n && !slice_eq(uid, meta_uid(obj)))
        return status_set(st, r->arena, 409,
                          "Operation cannot be fulfilled on %s \"%" SLICE_FMT "\": the UID in the bound object "
                          "reference (%" SLICE_FMT ") does not match the UID in record. The object might have been "
                          "deleted and then recreated",
                          kinds[i].plural, SLICE_ARG(name), SLICE_ARG(uid));
    if (i == 0 && !slice_eq(json_path_string(obj, "spec.serviceAccountName"), r->name))
        return status_set(st, r->arena, 400,
                          "cannot bind token for serviceaccount \"%" SLICE_FMT "\" to pod running with different "
                          "serviceaccount name.",
                          SLICE_ARG(r->name));
    if (i == 0) {
        bind_pod(r, obj, q);
    } else if (i == 1) {
        q->secret_name = name;
        q->secret_uid = meta_uid(obj);
    } else {
        q->node_name = name;
        q->node_uid = meta_uid(obj);
    }
    return 0;
}

/* A node gets tokens for the pods that run on it, bound to them, and no others (Kubernetes' NodeRestriction). */
static int check_node(struct api_request *r, const struct json *ref, const struct sa_token_request *q,
                      struct status *st)
{
    static const struct slice prefix = SLICE_INIT("system:node:");
    if (!user_in_group(&r->user, SLICE("system:nodes")) || !slice_starts(r->user.name, prefix))
        return 0;
    if (q->pod_name.n && json_path_string(ref, "uid").n && slice_eq(q->node_name, slice_from(r->user.name, prefix.n)))
        return 0;
    return status_set(st, r->arena, 403,
                      "serviceaccounts \"%" SLICE_FMT
                      "\" is forbidden: a node requests tokens only bound to a pod (by its uid) that is running on it",
                      SLICE_ARG(r->name));
}

static void take_audiences(struct api_request *r, const struct json *list, struct sa_token_request *q)
{
    struct slice *audiences = arena_always(r->arena, TOKEN_AUDIENCES_MAX * sizeof *audiences);
    json_each (aud, list)
        if (q->n_audiences < TOKEN_AUDIENCES_MAX)
            audiences[q->n_audiences++] = json_string(aud);
    if (!q->n_audiences)
        audiences[q->n_audiences++] = slice_str(q->issuer);
    q->audiences = audiences;
}

static void reply_token(struct api_request *r, struct json *obj, const struct sa_token_request *q)
{
    struct buf token = BUF_INIT(16384);
    struct arena *a = r->arena;
    char until[TIME_SEC_LEN + 1];
    if (sa_token_make(r->api->o.signer, r->api->loop, q, &token)) {
        buf_done(&token);
        api_reply_error(r, 500, "the token could not be signed");
        return;
    }
    struct json *status = json_new_object(a), *spec = json_object_at(a, obj, "spec"), *audiences = json_new_array(a);
    time_format_sec(q->now + q->seconds * NS_PER_SEC, until);
    json_set_str(a, status, "token", json_new_string(a, buf_slice(&token)));
    json_set_str(a, status, "expirationTimestamp", json_new_str(a, until));
    for (size_t i = 0; i < q->n_audiences; i++)
        json_append(audiences, json_new_string(a, q->audiences[i]));
    json_set_str(a, spec, "audiences", audiences);
    json_set_str(a, spec, "expirationSeconds", json_new_int(a, q->seconds));
    json_set_str(a, obj, "status", status);
    buf_done(&token);
    api_reply_json(r, 201, obj);
}

void api_token_request(struct api_request *r)
{
    struct status st = {0};
    struct json *obj = r->body.n ? api_decode(r, r->res, r->sub, false, &st) : json_new_object(r->arena);
    const struct json *account = api_object(r, resource_core("serviceaccounts"), r->ns, r->name);
    const char *issuer = r->api->o.service_account_issuer;
    struct sa_token_request q = {.issuer = issuer ? issuer : "https://kubernetes.default.svc.cluster.local",
                                 .ns = r->ns,
                                 .name = r->name,
                                 .uid = meta_uid(account),
                                 .now = loop_wall(r->api->loop)};
    if (!st.code && !account)
        status_not_found(&st, r->arena, SLICE(""), SLICE("serviceaccounts"), r->name);
    else if (!st.code && !r->api->o.signer)
        status_set(&st, r->arena, 503, "this server has no key to sign service account tokens with");
    q.seconds = json_int(json_path(obj, "spec.expirationSeconds"), TOKEN_DEFAULT_S);
    if (!st.code && (q.seconds < TOKEN_MIN_S || q.seconds > (1LL << 32)))
        status_set(&st, r->arena, 422,
                   TOKEN_INVALID "spec.expirationSeconds: Invalid value: %ld: may not specify a "
                                 "duration less than 10 minutes",
                   q.seconds);
    if (q.seconds > TOKEN_MAX_S)
        q.seconds = TOKEN_MAX_S;
    if (!st.code && !bind_token(r, json_path(obj, "spec.boundObjectRef"), &q, &st))
        check_node(r, json_path(obj, "spec.boundObjectRef"), &q, &st);
    if (st.code) {
        api_reply_status(r, &st);
        return;
    }
    take_audiences(r, json_path(obj, "spec.audiences"), &q);
    reply_token(r, obj, &q);
}
