/* Accept and Content-Type (RFC 9110 §12.5.1) as Kubernetes uses them: media types with parameters "as", "v", "g". */
#include "apiserver/request.h"

static const struct {
    const char *type;
    enum api_encoding encoding;
} encodings[] = {
    {"application/json", ENCODE_JSON}, {"*/*", ENCODE_JSON},        {"application/*", ENCODE_JSON},
    {"application/yaml", ENCODE_YAML}, {"text/plain", ENCODE_JSON},
};

struct offer {
    enum api_encoding encoding;
    enum api_shape shape;
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

static bool parse_shape(struct slice as, bool v1, enum api_shape *ret)
{
    if (!as.n)
        *ret = SHAPE_OBJECT;
    else if (slice_eq_str(as, "Table") && v1)
        *ret = SHAPE_TABLE;
    else if (slice_starts(as, SLICE("PartialObjectMetadata")) && v1)
        *ret = SHAPE_PARTIAL;
    else
        return false;
    return true;
}

/* One element of Accept; false when we cannot give it. */
static bool parse_offer(struct slice text, struct offer *ret)
{
    struct slice type, params, param, key, value, as = SLICE_NONE;
    bool v1 = true, known = false;
    ret->quality = 1000;
    slice_cut(text, ';', &type, &params);
    type = slice_trim(type);
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings && !known; i++) {
        known = slice_ieq(type, slice_str(encodings[i].type));
        ret->encoding = encodings[i].encoding;
    }
    while (params.n) {
        slice_cut(params, ';', &param, &params);
        slice_cut(slice_trim(param), '=', &key, &value);
        if (slice_ieq(key, SLICE("as")))
            as = value;
        else if (slice_ieq(key, SLICE("v")))
            v1 = slice_eq_str(value, "v1");
        else if (slice_ieq(key, SLICE("q")))
            ret->quality = parse_quality(value);
    }
    return known && ret->quality > 0 && parse_shape(as, v1, &ret->shape);
}

static int negotiate_accept(struct api_request *r, struct status *st)
{
    struct slice rest = r->accept, one;
    struct offer best = {.quality = 0}, offer;
    if (!slice_trim(rest).n)
        return 0; /* anything goes: JSON */
    while (rest.n) {
        slice_cut(rest, ',', &one, &rest);
        if (parse_offer(one, &offer) && offer.quality > best.quality)
            best = offer;
    }
    if (!best.quality)
        return status_set(st, r->arena, 406,
                          "only the following media types are accepted: application/json, application/yaml");
    r->encoding = best.encoding;
    r->shape = best.shape;
    return 0;
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
    if (r->verb == API_PATCH)
        return negotiate_patch(r, type, st);
    if (!r->body.n || !type.n || slice_ieq(type, SLICE("application/json")) ||
        slice_ieq(type, SLICE("application/yaml")) || slice_ieq(type, SLICE("application/vnd.kubernetes.protobuf")))
        return 0;
    if (r->sub && (slice_eq_str(r->sub_name, "proxy") || slice_eq_str(r->sub_name, "exec")))
        return 0;
    return status_set(st, r->arena, 415,
                      "the body of the request was in an unknown format - accepted media types include: "
                      "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}
