/* Who makes ServiceAccount tokens and by which keys they are known, as OpenID Connect clients look it up.
 * https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
 * Which accounts may read it is RBAC's: system:service-account-issuer-discovery. */
#include "apiserver/internal.h"
#include "apiserver/nonresource.h"
#include "auth/sa_token.h"

enum { DOCUMENT_MAX = 64 << 10 };

static struct json *list_of(struct arena *a, const char *one)
{
    struct json *list = json_new_array(a);
    json_append(list, json_new_str(a, one));
    return list;
}

static void reply(struct api_request *r, const char *type, struct buf *text, int err)
{
    struct blob *body = err ? NULL : blob_copy(buf_slice(text));
    buf_done(text);
    if (body)
        api_reply_bytes(r, 200, type, chunk_take(body));
    else
        api_reply_error(r, 500, "the document could not be made");
}

/* The keys are where the document was found: every replica has them, and the client can reach this one. */
void api_issuer(struct api_request *r)
{
    struct arena *a = r->arena;
    struct buf text = BUF_INIT(DOCUMENT_MAX);
    struct json *v = json_new_object(a);
    const char *issuer = r->api->o.service_account_issuer;
    struct slice host = r->http ? http_request_header(r->http, "host") : SLICE_NONE;
    if (!host.n)
        host = SLICE("kubernetes.default.svc");
    json_set_str(a, v, "issuer", json_new_str(a, issuer ? issuer : "https://kubernetes.default.svc.cluster.local"));
    json_set_str(a, v, "jwks_uri", json_new_printf(a, "https://%" SLICE_FMT "/openid/v1/jwks", SLICE_ARG(host)));
    json_set_str(a, v, "response_types_supported", list_of(a, "id_token"));
    json_set_str(a, v, "subject_types_supported", list_of(a, "public"));
    json_set_str(a, v, "id_token_signing_alg_values_supported",
                 list_of(a, r->api->o.signer ? sa_signer_algorithm(r->api->o.signer) : "RS256"));
    reply(r, "application/json", &text, json_write(&text, v));
}

void api_issuer_keys(struct api_request *r)
{
    struct buf text = BUF_INIT(DOCUMENT_MAX);
    int err = r->api->o.signer ? sa_signer_jwks(r->api->o.signer, &text) : buf_add_str(&text, "{\"keys\":[]}");
    reply(r, "application/jwk-set+json", &text, err);
}
