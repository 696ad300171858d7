/* Changing stored objects: one way for create, update, patch, delete and the subresources that write.
 *
 * A write loads the stored object, computes the new one, prepares, admits and validates it, and proposes a transaction
 * that
 * holds only if the stored object is still the one it was computed from. If another write came in between, it is
 * computed
 * anew (unless the caller named a resourceVersion: then 409). An answer is the stored object. */
#ifndef PINTLE_APISERVER_WRITE_H
#define PINTLE_APISERVER_WRITE_H

#include "apiserver/internal.h"

/* Another object that changes in the same transaction, or none does: an eviction takes from a disruption budget. */
struct write_also {
    const struct resource *res; /* NULL = nothing */
    struct store_item *old;     /* reference; it must be the stored one still */
    struct json *obj;
    struct buf value, attrs;
};

struct write {
    /* Returns the object as it should be, in r's arena, or NULL with *st set (code 0: nothing to do, answer with what is
     * stored). old is NULL when there is none. */
    struct json *(*compute)(struct api_request *r, struct write *w, struct json *old, struct status *st);
    /* Answers; NULL = with the item. created tells 201 from 200. */
    void (*reply)(struct api_request *r, struct write *w, const struct store_item *item, bool created);
    /* Answers a dry run that would have succeeded; NULL = with the object. */
    void (*reply_dry)(struct api_request *r, struct write *w, const struct json *obj);
    const struct resource *res;
    struct slice ns, name;    /* name empty = from the object (create) */
    struct slice sub;         /* the part that may change: "" or a subresource */
    struct slice manager_sub; /* subresource for managedFields */
    bool may_create, must_create, dry_run, keep_managed_fields;
    bool remove;         /* compute: delete the object (obj is its last state) */
    bool deletes;        /* the caller asked for a deletion, whatever comes of it */
    bool force_finalize; /* compute: the object may vanish now that its finalizers are gone */
    uint64_t expected;   /* resourceVersion the caller insists on, 0 = any */
    struct slice expected_uid;
    unsigned tries;
    bool generated_name; /* metadata.name was made from generateName */
    void *ctx;           /* compute's own */
    /* of the current try */
    struct store_item *old; /* reference */
    struct json *obj;
    struct buf value, attrs;
    struct write_also also; /* compute: set it anew at each try */
};

/* Runs w; answers r in the end. w lives in r's arena. On the leader. */
void api_write(struct api_request *r, struct write *w);

/* Decodes r's body as an object of type (JSON, YAML or protobuf), checked and normalised; warnings go to r. NULL with *st
 * set. partial: an apply patch. */
struct json *api_decode(struct api_request *r, const struct resource *res, const struct resource_sub *sub, bool partial,
                        struct status *st);
/* Decodes r's body as any JSON or YAML value. NULL with *st set. */
struct json *api_decode_any(struct api_request *r, struct status *st);

/* ---- strategy.c: what a kind does on create and update beyond the tables ---- */
/* Fills obj before validation; old NULL on create. 0, or an HTTP error with *st set. */
int api_strategy(struct api_request *r, struct write *w, struct json *obj, const struct json *old, struct status *st);
/* For writes to subresources that are a part of the object (strategy_sub.c): old with that part of obj; obj itself for
 * all others. */
struct json *api_strategy_part(struct api_request *r, struct write *w, struct json *obj, const struct json *old);
/* A random UUID (RFC 9562 version 4). */
struct slice api_uuid(struct api_request *r);

/* ---- encode.c ---- */
/* obj as the store wants it: value without resourceVersion, hole and type length. 0 or negative errno. */
int api_encode(const struct json *obj, struct buf *value, uint32_t *ret_hole, uint32_t *ret_type_len);

#endif
