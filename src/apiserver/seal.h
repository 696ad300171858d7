/* Encryption at rest: objects of some resources (Secrets) are sealed before they reach the log, and opened when they are
 * read. Log, snapshots, backups and the memory of the store hold them sealed only.
 *
 * A sealed object is stored as
 *   {"kind":K,"apiVersion":V,"metadata":{"resourceVersion":"N","creationTimestamp":null},"sealed":"KEY:BASE64"}
 * What is sealed is the value as it would have been stored, all of it (annotations may repeat the data), with the
 * numbers that say where resourceVersion belongs, so that opening gives the very bytes. Kind, version and key of the
 * object are the associated data. Its labels and selectable fields stay in the clear beside it, for selecting.
 * No other object begins its metadata with resourceVersion: every object has a name, which comes before.
 *
 * Objects from before encryption was switched on are read as they are. Failures: an object whose key is missing or
 * wrong
 * is never served in any form: 500 with the key's name. Thread: the state loop's. */
#ifndef PINTLE_APISERVER_SEAL_H
#define PINTLE_APISERVER_SEAL_H

#include "apiserver/internal.h"
#include "store/item.h"

/* An item's JSON for readers. */
struct api_plain {
    struct blob *value; /* a reference */
    unsigned type_len;
};

/* Whether objects of res may be sealed. */
bool api_may_be_sealed(const struct api *api, const struct resource *res);
bool api_is_sealed(const struct store_item *item);
/* The name of the key it was sealed with. */
struct slice api_seal_key(const struct store_item *item);
/* Opens, or takes what was never sealed. 0, -ENOKEY, -EBADMSG or -ENOMEM. */
int api_open(const struct api *api, const struct store_item *item, struct api_plain *ret);
/* What to tell when that failed. */
void api_open_status(const struct store_item *item, int err, struct arena *a, struct status *st);
/* Answers r with it. */
void api_reply_locked(struct api_request *r, const struct store_item *item, int err);
/* Tries to open; when that fails, answers r and returns true. */
bool api_locked(struct api_request *r, const struct store_item *item);

/* Seals an encoded value (encode.h) of res where that is asked for. 0 or a negative errno. */
int api_seal(struct api *api, const struct resource *res, struct slice key, struct buf *value, uint32_t *hole,
             uint32_t *type_len);
/* Whether a write of the same object should be done all the same: it is not sealed as it should be. */
bool api_seal_outdated(const struct api *api, const struct resource *res, const struct store_item *item);
/* Counts sealed objects by key. */
void api_seal_metrics(struct api *api);

#endif
