/* Encodings of stored objects that had to be made from their bytes (protobuf, PartialObjectMetadata, other versions), kept
 * for the next who asks for the same: a watch event is encoded once for all its watchers, a list's items once for its
 * two
 * passes and for the next lists.
 *
 * An entry belongs to a value (it holds a reference, so that the value's address stays its name) and a form. What was
 * kept first goes first when the budget is used up. Thread: the state loop's. */
#ifndef PINTLE_APISERVER_DERIVED_H
#define PINTLE_APISERVER_DERIVED_H

#include "base/blob.h"

struct api_derived;

/* budget: bytes of made encodings to keep. */
struct api_derived *api_derived_new(size_t budget);
/* NULL is fine. */
void api_derived_free(struct api_derived *d);
/* What was kept for value in form, with a reference for the caller; or NULL. */
struct blob *api_derived_get(const struct api_derived *d, const struct blob *value, unsigned form);
/* Keeps made (a reference of its own), unless it is larger than an eighth of the budget. */
void api_derived_put(struct api_derived *d, struct blob *value, unsigned form, struct blob *made);
/* Bytes kept now. */
size_t api_derived_bytes(const struct api_derived *d);

#endif
