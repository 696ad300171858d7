/* YAML to JSON values (libyaml), with the rules kubectl and Kubernetes use: YAML 1.1 core scalars, one document,
 * string keys, anchors and aliases expanded within the arena's limit (no billion laughs). */
#ifndef PINTLE_CODEC_YAML_H
#define PINTLE_CODEC_YAML_H

#include "codec/json.h"

/* Called for a key that its map has already; line counts from 1. */
typedef void (*yaml_duplicate_fn)(void *ctx, size_t line, struct slice key);

/* Reads the first document of text. NULL on error; *ret_error then is a message in the arena with the line. */
struct json *yaml_parse(struct arena *a, struct slice text, const char **ret_error);
/* The same; dup (may be NULL) hears of keys that stand twice in a map, of which the last counts. */
struct json *yaml_parse_noting(struct arena *a, struct slice text, yaml_duplicate_fn dup, void *ctx,
                               const char **ret_error);
/* Appends v as YAML block style with sorted members, as `kubectl -o yaml` would. 0, -E2BIG or -ENOMEM. */
int yaml_write(struct buf *out, const struct json *v);

#endif
