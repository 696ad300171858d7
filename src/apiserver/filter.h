/* Which stored objects a list or watch is about: namespace, name, label and field selectors, matched against the
 * attributes that were taken out when the object was stored. */
#ifndef PINTLE_APISERVER_FILTER_H
#define PINTLE_APISERVER_FILTER_H

#include "apiserver/request.h"
#include "object/selector.h"
#include "store/item.h"

struct api_filter {
    struct selector labels, fields;
    struct slice prefix; /* keys start with it: "ns/" or "" */
    struct slice only;   /* the one key that can match (metadata.name fixed), or p NULL */
};

/* From r's namespace, name and options. 0, or 400 with *st. Lives in r's arena. */
int api_filter_parse(struct api_request *r, struct api_filter *f, struct status *st);
/* Where a scan in key order begins, and whether it has passed the last key that can match. */
struct slice api_filter_start(const struct api_filter *f);
bool api_filter_past(const struct api_filter *f, const struct store_item *item);
/* NULL never matches. */
bool api_filter_match(const struct api_filter *f, const struct store_item *item);
/* Whether selectors leave anything out. */
bool api_filter_selects(const struct api_filter *f);

/* Encodes obj's labels and selectable fields for the store. 0 or negative errno. */
int api_attrs(struct arena *a, const struct resource *res, const struct json *obj, struct buf *ret);

#endif
