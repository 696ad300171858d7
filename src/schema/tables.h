/* What the generated tables.c gives to schema.c; nobody else needs it. */
#ifndef PINTLE_SCHEMA_TABLES_H
#define PINTLE_SCHEMA_TABLES_H

#include "schema/schema.h"

extern const struct schema_type *const schema_types; /* sorted by name */
extern const size_t schema_n_types;
extern const struct resource *const schema_resources;
extern const size_t schema_n_resources;
extern const struct api_group *const schema_groups;
extern const size_t schema_n_groups;

struct schema_text {
    const char *name, *text;
};
extern const struct schema_text schema_texts[]; /* sorted by name */
extern const size_t schema_n_texts;

#endif
