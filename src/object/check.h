/* From a client's JSON to a typed object: types are checked against the schema, unknown members dropped, the rest
 * brought into the form in which it is stored.
 *
 * This is the place of Go's decoder and encoder. What comes out has members in schema order (kind and apiVersion
 * first), no nulls, no empty omitempty members, quantities and times in canonical form. Wrong types are a 400 with
 * the decoder's message. Unknown members and duplicates are told as fieldValidation asks:
 *  - CHECK_STRICT: 400 `strict decoding error: unknown field "spec.foo", duplicate field "spec.bar"`;
 *  - CHECK_WARN: each becomes a warning for a Warning header;
 *  - CHECK_IGNORE: silence.
 * The object is changed in place, in its own arena. At most CHECK_WARNINGS_MAX warnings are kept. */
#ifndef PINTLE_OBJECT_CHECK_H
#define PINTLE_OBJECT_CHECK_H

#include "base/status.h"
#include "codec/json.h"
#include "schema/schema.h"

enum { CHECK_WARNINGS_MAX = 100 };

enum check_mode { CHECK_IGNORE, CHECK_WARN, CHECK_STRICT };

struct check_warning {
    const char *text; /* `unknown field "spec.foo"` or `duplicate field "spec.bar"` */
    struct check_warning *next;
};

/* Collects what strict decoding complains about. Zero it before use; set arena and mode. */
struct check {
    struct arena *a;
    enum check_mode mode;
    bool partial; /* an apply patch: keep what is given, do not fill in what Go would always write */
    size_t n_warnings;
    struct check_warning *warnings, **warnings_end;
    struct check_warning *yaml; /* the one of YAML's duplicates */
};

/* For fieldValidation=: "" and "Warn", "Strict", "Ignore". False when it is none of them. */
bool check_mode_parse(struct slice text, enum check_mode *ret);
/* To be given as json_parse's dup with a struct check as ctx, so that duplicates are told like unknown fields. */
void check_on_duplicate(void *check, const char *path, struct slice name);
/* The same for yaml_parse_noting, in the words of Go's YAML reader, which says all of them in one. */
void check_on_yaml_duplicate(void *check, size_t line, struct slice key);
/* Checks and normalises obj against type. 0, or 400 in st. In strict mode duplicates noted before count too. */
int check_object(struct check *c, const struct schema_type *type, struct json *obj, struct status *st);

/* Puts the members of one object (not those below it) into schema order. */
void check_order(const struct schema_type *type, struct json *obj);

#endif
