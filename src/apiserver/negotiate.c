/* Accept and Content-Type as Kubernetes reads them: the clauses of Accept by falling quality (RFC 9110 §12.5.1), the more
 * specific first among equals; of each the first of our types that it covers and whose parameters can be had.
 * Parameters:
 * as, g, v (another shape of the answer), stream (watch); others do not matter. */
#include "apiserver/internal.h"

enum { CLAUSES_MAX = 32 };

static const struct {
    const char *subtype; /* of application/ */
    enum api_encoding encoding;
    bool streams; /* has a form for watches */
} encodings[] = {
    {"json", ENCODE_JSON, true}, {"yaml", ENCODE_YAML, false}, {"vnd.kubernetes.protobuf", ENCODE_PROTOBUF, true}};

struct clause {
    struct slice type, subtype, params;
    int quality; /* thousandths */
};

/* "0.8" → 800; anything odd counts as 1. */
static int parse_quality(struct slice v)
{
    int q = 0, unit = 1000;
    for (size_t i = 0; i < v.n && unit; i++) {
        if (v.p[i] == '.')
            continue;
        if (v.p[i] < '0' || v.p[i] > '9')
            return 1000;
        q += (v.p[i] - '0') * unit;
        unit /= 10;
    }
    return q;
}

static bool next_param(struct slice *params, struct slice *key, struct slice *value)
{
    struct slice one;
    if (!params->n)
        return false;
    slice_cut(*params, ';', &one, params);
    slice_cut(slice_trim(one), '=', key, value);
    *key = slice_trim(*key);
    *value = slice_trim(*value);
    return true;
}

static struct clause parse_clause(struct slice text)
{
    struct clause c = {.quality = 1000};
    struct slice media, rest, key, value;
    slice_cut(text, ';', &media, &c.params);
    slice_cut(slice_trim(media), '/', &c.type, &c.subtype);
    rest = c.params;
    while (next_param(&rest, &key, &value))
        if (slice_ieq(key, SLICE("q")))
            c.quality = parse_quality(value);
    return c;
}

static bool is_star(struct slice s)
{
    return slice_eq_str(s, "*");
}

static bool comes_before(const struct clause *a, const struct clause *b)
{
    if (a->quality != b->quality)
        return a->quality > b->quality;
    if (is_star(a->type) != is_star(b->type))
        return is_star(b->type);
    return is_star(b->subtype) && !is_star(a->subtype);
}

/* The clauses of Accept in the order of their weight. */
static size_t parse_accept(struct slice accept, struct clause out[CLAUSES_MAX])
{
    struct slice one;
    size_t n = 0;
    while (accept.n && n < CLAUSES_MAX) {
        slice_cut(accept, ',', &one, &accept);
        struct clause c = parse_clause(one);
        size_t i = n++;
        for (; i > 0 && comes_before(&c, &out[i - 1]); i--)
            out[i] = out[i - 1];
        out[i] = c;
    }
    return n;
}

/* The shape that as, g and v name. False when r has none such in that encoding. */
static bool parse_shape(const struct api_request *r, enum api_encoding encoding, struct slice as, struct slice group,
                        struct slice version, enum api_shape *ret, bool *ret_beta)
{
    /* In v1beta1 a list's items have another number in protobuf. */
    *ret_beta = slice_eq_str(version, "v1beta1") && encoding != ENCODE_PROTOBUF;
    bool meta = slice_eq_str(group, "meta.k8s.io") && (slice_eq_str(version, "v1") || *ret_beta);
    if (r->route == ROUTE_API_VERSIONS || r->route == ROUTE_API_GROUPS) {
        *ret = SHAPE_DISCOVERY;
        return slice_eq_str(as, "APIGroupDiscoveryList") && slice_eq_str(group, "apidiscovery.k8s.io") &&
               slice_eq_str(version, "v2");
    }
    *ret = slice_eq_str(as, "Table") ? SHAPE_TABLE : SHAPE_PARTIAL;
    if (*ret == SHAPE_TABLE)
        return meta && r->route == ROUTE_RESOURCE && encoding != ENCODE_PROTOBUF &&
               (r->sub || (r->res->verbs & VERB_LIST)); /* what is never listed has no columns: reviews */
    return meta && (slice_eq_str(as, "PartialObjectMetadata") || slice_eq_str(as, "PartialObjectMetadataList"));
}

static bool parse_params(const struct api_request *r, size_t encoding, struct slice params, enum api_shape *ret,
                         bool *ret_beta)
{
    struct slice key, value, as = SLICE_NONE, group = SLICE_NONE, version = SLICE_NONE;
    while (next_param(&params, &key, &value)) {
        if (slice_ieq(key, SLICE("as")))
            as = value;
        else if (slice_ieq(key, SLICE("g")))
            group = value;
        else if (slice_ieq(key, SLICE("v")))
            version = value;
        else if (slice_ieq(key, SLICE("stream")) && value.n &&
                 (!slice_eq_str(value, "watch") || !encodings[encoding].streams))
            return false;
    }
    *ret = SHAPE_OBJECT;
    *ret_beta = false;
    return (!as.n && !group.n && !version.n) ||
           parse_shape(r, encodings[encoding].encoding, as, group, version, ret, ret_beta);
}

/* Sets r's encoding and shape. False when nothing that is accepted can be had. */
static bool choose(struct api_request *r)
{
    struct clause clauses[CLAUSES_MAX];
    size_t n = parse_accept(slice_trim(r->accept), clauses);
    r->encoding = ENCODE_JSON;
    r->shape = SHAPE_OBJECT;
    r->shape_beta = false;
    for (size_t i = 0; i < n; i++) {
        const struct clause *c = &clauses[i];
        for (size_t e = 0; e < sizeof encodings / sizeof *encodings; e++) {
            bool covers = is_star(c->type)
                              ? is_star(c->subtype)
                              : slice_ieq(c->type, SLICE("application")) &&
                                    (is_star(c->subtype) || slice_ieq(c->subtype, slice_str(encodings[e].subtype)));
            enum api_shape shape;
            bool beta;
            if (!covers || !parse_params(r, e, c->params, &shape, &beta))
                continue;
            r->encoding = encodings[e].encoding;
            r->shape = shape;
            r->shape_beta = beta;
            return true;
        }
    }
    return n == 0;
}

/* Bytes of another's making: what the client accepts is for the other to know. */
static bool passes_through(const struct api_request *r)
{
    static const char *const subs[] = {"log", "exec", "attach", "portforward", "proxy"};
    for (size_t i = 0; r->sub && i < sizeof subs / sizeof *subs; i++)
        if (slice_eq_str(r->sub_name, subs[i]))
            return true;
    return false;
}

static int negotiate_accept(struct api_request *r, struct status *st)
{
    bool watch = r->route == ROUTE_RESOURCE && r->verb == API_WATCH, fine = choose(r);
    if (r->route == ROUTE_FIXED || r->route == ROUTE_NOT_FOUND || passes_through(r))
        return 0;
    if (fine && !(watch && r->encoding == ENCODE_YAML))
        return 0;
    r->encoding = ENCODE_JSON;
    return status_set(st, r->arena, 406, "only the following media types are accepted: %s",
                      watch ? "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
                            : "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

void api_negotiate_errors(struct api_request *r)
{
    choose(r);
    r->shape = SHAPE_OBJECT;
}

static const struct {
    const char *type;
    enum api_patch_type patch;
} patch_types[] = {
    {"application/json-patch+json", PATCH_JSON},
    {"application/merge-patch+json", PATCH_MERGE},
    {"application/strategic-merge-patch+json", PATCH_STRATEGIC},
    {"application/apply-patch+yaml", PATCH_APPLY},
};

static int negotiate_patch(struct api_request *r, struct slice type, struct status *st)
{
    for (size_t i = 0; i < sizeof patch_types / sizeof *patch_types; i++)
        if (slice_ieq(type, slice_str(patch_types[i].type)))
            r->patch_type = patch_types[i].patch;
    if (r->patch_type == PATCH_NONE)
        return status_set(st, r->arena, 415,
                          "the body of the request was in an unknown format - accepted media types include: "
                          "application/json-patch+json, application/merge-patch+json, "
                          "application/strategic-merge-patch+json, application/apply-patch+yaml");
    return 0;
}

int api_negotiate(struct api_request *r, struct status *st)
{
    struct slice type, params;
    int rv = negotiate_accept(r, st);
    if (rv || r->route != ROUTE_RESOURCE)
        return rv;
    slice_cut(r->content_type, ';', &type, &params);
    type = slice_trim(type);
    if (passes_through(r))
        return 0;
    if (r->verb == API_PATCH)
        return negotiate_patch(r, type, st);
    if (!r->body.n || !type.n || slice_ieq(type, SLICE("application/json")) ||
        slice_ieq(type, SLICE("application/yaml")) || slice_ieq(type, SLICE(API_PROTOBUF)))
        return 0;
    return status_set(st, r->arena, 415,
                      "the body of the request was in an unknown format - accepted media types include: "
                      "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}
