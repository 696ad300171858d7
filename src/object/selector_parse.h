/* Shared by selector.c and selector_parse.c only. */
#ifndef PINTLE_OBJECT_SELECTOR_PARSE_H
#define PINTLE_OBJECT_SELECTOR_PARSE_H

#include "object/selector.h"

/* Sorts the terms and makes them the selector's. */
void selector_sort(struct selector_term *terms, size_t n, struct selector *ret);
/* True when lists of this kind can be selected by the field label. */
bool selector_has_field(const struct resource *res, struct slice label);

#endif
