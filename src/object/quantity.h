/* Resource quantities ("100m", "1.5Gi", "2e3"): exact arithmetic in nano units, canonical text on output.
 *
 * A quantity is a 128-bit count of nano units, so that nothing Kubernetes can express is lost (finer values are
 * rounded up to nano, larger ones than 2^63-1 units are capped, as there). The suffix family (decimal, binary,
 * exponent) is remembered and chosen for output. Pure functions, any thread. */
#ifndef PINTLE_OBJECT_QUANTITY_H
#define PINTLE_OBJECT_QUANTITY_H

#include "base/buf.h"
#include "codec/json.h"

__extension__ typedef __int128 quantity_nano;

enum quantity_format { QUANTITY_DECIMAL, QUANTITY_BINARY, QUANTITY_EXPONENT };

struct quantity {
    quantity_nano nano;
    enum quantity_format format;
};

/* False when s is not a quantity. */
bool quantity_parse(struct slice s, struct quantity *ret);
/* From a JSON string or number; false otherwise (ret is untouched). */
bool quantity_from_json(const struct json *v, struct quantity *ret);
/* The quantity of units n, decimal. */
struct quantity quantity_of(int64_t n);
struct quantity quantity_of_milli(int64_t milli);
/* <0, 0, >0. */
int quantity_cmp(struct quantity a, struct quantity b);
/* Sums keep a's format; saturate at the limits. */
struct quantity quantity_add(struct quantity a, struct quantity b);
struct quantity quantity_sub(struct quantity a, struct quantity b);
bool quantity_is_zero(struct quantity q);
/* Whole units or milli units, rounded up, saturated. */
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q);
/* Rounded up to whole milli units (the defaulting rule of resource lists). */
struct quantity quantity_round_milli(struct quantity q);
/* Appends the canonical text. 0 or -E2BIG, -ENOMEM. */
int quantity_write(struct buf *out, struct quantity q);
/* The canonical text as a JSON string. */
struct json *quantity_to_json(struct arena *a, struct quantity q);

#endif
