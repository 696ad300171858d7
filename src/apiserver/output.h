/* Stored objects as answers: raw JSON where that is what was asked, else a Table row, PartialObjectMetadata, another
 * version, YAML or protobuf, made from it and kept (derived.h) where it can be used again. */
#ifndef PINTLE_APISERVER_OUTPUT_H
#define PINTLE_APISERVER_OUTPUT_H

#include "apiserver/request.h"
#include "store/item.h"

/* True when the stored bytes are the answer. */
bool api_output_raw(const struct api_request *r);
/* The object of an item as r wants it inside a list or event: a row when Tables are asked (columns: with
 * columnDefinitions, a whole Table), PartialObjectMetadata, or the object in r's version. NULL when it cannot be made.
 */
struct json *api_output_item(struct api_request *r, struct arena *a, const struct store_item *item, bool columns);
/* obj, of r's kind and version, in the shape that r wants it: for objects that are not stored (bookmarks). */
struct json *api_output_tree(struct api_request *r, struct arena *a, struct json *obj, bool columns);
/* The same as one list item's bytes, through a scratch arena; in protobuf with the tag and length that stand before it in
 * a list. 0 or negative errno. */
int api_output_list_item(struct api_request *r, const struct store_item *item, struct chunk *ret);
/* JSON of one object by itself, with its kind and apiVersion, which a list's items do not have. */
int api_output_alone(struct api_request *r, const struct store_item *item, struct chunk *ret);
/* Protobuf: the whole object in its envelope, as api_envelope's chunks. 0 or negative errno. */
enum { API_ENVELOPE_CHUNKS = 3 };
int api_output_envelope(struct api_request *r, const struct store_item *item,
                        struct chunk out[static API_ENVELOPE_CHUNKS]);
/* The type of an answer by its kind and apiVersion, or NULL when the schema has none or it cannot be had in protobuf. */
const struct schema_type *api_answer_type(struct arena *a, const struct json *v);
/* apiVersion and kind of what r's answers hold: an object, or with list the list of them. */
struct api_kind {
    const char *api_version, *kind;
};
struct api_kind api_answer_kind(const struct api_request *r, bool list);
/* Answers with one object. */
void api_reply_item(struct api_request *r, int code, const struct store_item *item);
/* Answers with one object given as a tree, in the shape asked for. */
void api_reply_object(struct api_request *r, int code, struct json *obj);
/* Answers with a list of these, at the current revision; takes over the references. items lives in r's arena. read.c. */
void api_list_items(struct api_request *r, struct store_item **items, size_t n);
/* Answers with a list of r's resource that has nothing in it, in the shape asked for. */
void api_list_none(struct api_request *r);
/* Parses an item's JSON. NULL when memory is short, or it is sealed and cannot be opened (seal.h). */
struct json *api_item_json(const struct api *api, struct arena *a, const struct store_item *item);
/* The stored object in r's arena; NULL when there is none (ns: SLICE_NONE for cluster scope) or memory is short. */
struct json *api_object(struct api_request *r, const struct resource *res, struct slice ns, struct slice name);

#endif
