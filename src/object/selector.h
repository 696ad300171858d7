/* Label and field selectors: from text or from a LabelSelector object to requirements, and matching.
 *
 * Text: =, ==, !=, in (…), notin (…), key, !key, and for field selectors =, ==, != only. LabelSelector: matchLabels
 * and matchExpressions. Errors are 400 with Kubernetes' words. Parsed selectors live in the arena given, never
 * change, and may be shared between threads while it lives. Limit: SELECTOR_MAX requirements. */
#ifndef PINTLE_OBJECT_SELECTOR_H
#define PINTLE_OBJECT_SELECTOR_H

#include "base/status.h"
#include "codec/json.h"
#include "schema/schema.h"

enum { SELECTOR_MAX = 1000, SELECTOR_VALUES_MAX = 10000 };

enum selector_op {
    SELECTOR_IN,
    SELECTOR_NOT_IN,
    SELECTOR_EXISTS,
    SELECTOR_NOT_EXISTS,
    SELECTOR_GREATER,
    SELECTOR_LESS
};

struct selector_term {
    struct slice key;
    enum selector_op op;
    bool exact;                 /* written with = or != instead of in or notin */
    const struct slice *values; /* sorted; one for GREATER and LESS */
    size_t n_values;
};

/* All terms must hold; none = everything matches. */
struct selector {
    const struct selector_term *terms; /* in byte order of keys */
    size_t n;
    bool nothing; /* matches nothing at all: the meaning of an absent LabelSelector */
};

/* Parses the labelSelector query parameter; "" matches everything. 0 or 400. */
int selector_parse_labels(struct arena *a, struct slice text, struct selector *ret, struct status *st);
/* Parses the fieldSelector query parameter for a kind; field labels are checked against res->selectable. 0 or 400.
 * Values may escape ',', '=' and '\' with '\'. */
int selector_parse_fields(struct arena *a, const struct resource *res, struct slice text, struct selector *ret,
                          struct status *st);
/* Compiles a LabelSelector ({matchLabels, matchExpressions}). NULL matches nothing, {} everything. 0, or -EINVAL when
 * it is malformed. */
int selector_from_object(struct arena *a, const struct json *label_selector, struct selector *ret);
/* Compiles a plain map such as a Service's selector. NULL or {} matches nothing. 0 or -ENOMEM. */
int selector_from_map(struct arena *a, const struct json *map, struct selector *ret);

/* Against an object of strings (metadata.labels); labels may be NULL. */
bool selector_matches_labels(const struct selector *s, const struct json *labels);
/* Against labels or fields that get looks up, such as the attributes the store keeps with an object. get answers with
 * p NULL for what is absent; that counts as "" for fields. */
bool selector_matches(const struct selector *s, bool fields, struct slice (*get)(const void *ctx, struct slice key),
                      const void *ctx);
/* Against an object's selectable fields, read through res->selectable. */
bool selector_matches_fields(const struct selector *s, const struct resource *res, const struct json *obj);

/* The value of one selectable field of obj as text, "" at least; numbers are written into a. label is metadata.name,
 * metadata.namespace or one of res->selectable; p is NULL when it is none of them. */
struct slice selector_field_value(struct arena *a, const struct resource *res, const struct json *obj,
                                  struct slice label);
/* If the selector fixes key to one value (k=v), that value; p is NULL otherwise. For index lookups. */
struct slice selector_exact(const struct selector *s, struct slice key);
/* Appends the canonical text: "a=b,c in (d,e),!f". 0 or -E2BIG, -ENOMEM. */
int selector_write(struct buf *out, const struct selector *s);

#endif
