/* JSON values as a tree in an arena: what every module above the codec works on. yyjson does the reading.
 *
 * A value never moves; strings point into the arena (or into static text given by the caller). Members keep their
 * order, as on the wire. Numbers keep what Kubernetes needs: int64 exactly, anything else as double.
 *
 * Lookup in a large object builds an index at the first use, so that nobody can make lookups quadratic. All functions
 * take NULL for "absent" and answer absence, so that paths can be chained without checks; makers return NULL when
 * the arena is full (its error sticks), and setters ignore NULL values then. Owned by the arena's thread. */
#ifndef PINTLE_CODEC_JSON_H
#define PINTLE_CODEC_JSON_H

#include "base/arena.h"
#include "base/buf.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_index;

struct json {
    struct json *next; /* sibling in its array or object */
    struct json *prev;
    struct slice key; /* member name, when in an object */
    enum json_type type;
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct slice string;
        struct {
            struct json *first, *last;
            size_t n;
            struct json_index *index;
        } items; /* array, object */
    } u;
};

enum { JSON_DEPTH_MAX = 128 };

struct json_error {
    size_t offset;       /* byte at fault */
    const char *message; /* static text */
    bool duplicate;      /* the text is well-formed but repeats a member name */
};

/* Reads one JSON text; trailing white space only. text need not outlive the call. NULL on error: malformed, deeper
 * than JSON_DEPTH_MAX, or the arena is full (err->message says which). Of repeated member names the last wins, and
 * dup (may be NULL) is called for each with the path of the object, such as "spec.containers[0]", and the name. */
struct json *json_parse(struct arena *a, struct slice text, struct json_error *err,
                        void (*dup)(void *ctx, const char *path, struct slice name), void *ctx);
/* Appends compact JSON. 0, -E2BIG or -ENOMEM. Escapes as Go does without HTML escaping: control characters, quotes,
 * backslashes, U+2028, U+2029. */
int json_write(struct buf *out, const struct json *v);
/* Appends s as a JSON string with its quotes. */
int json_write_string(struct buf *out, struct slice s);

/* ---- making ---- */
struct json *json_new_null(struct arena *a);
struct json *json_new_bool(struct arena *a, bool v);
struct json *json_new_int(struct arena *a, int64_t v);
struct json *json_new_real(struct arena *a, double v);
/* Copies s. */
struct json *json_new_string(struct arena *a, struct slice s);
struct json *json_new_str(struct arena *a, const char *s);
/* Formatted text. */
struct json *json_new_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct json *json_new_array(struct arena *a);
struct json *json_new_object(struct arena *a);
/* A deep copy into a. */
struct json *json_clone(struct arena *a, const struct json *v);

/* ---- reading ---- */
static inline bool json_is(const struct json *v, enum json_type t)
{
    return v && v->type == t;
}
/* First item of an array or object, or NULL; then follow ->next. */
static inline struct json *json_first(const struct json *v)
{
    return v && v->type >= JSON_ARRAY ? v->u.items.first : NULL;
}
/* Items of an array or object; 0 for anything else. */
static inline size_t json_len(const struct json *v)
{
    return v && v->type >= JSON_ARRAY ? v->u.items.n : 0;
}
/* NOLINTNEXTLINE(bugprone-macro-parentheses): it is the name of what is declared */
#define json_each(it, v) for (struct json *it = json_first(v); it; it = it->next)

/* The member, or NULL when absent or v is no object. A JSON null is returned as a value. */
struct json *json_get(const struct json *obj, struct slice key);
struct json *json_get_str(const struct json *obj, const char *key);
/* Members by a dotted path of plain names: json_path(pod, "spec.nodeName"). */
struct json *json_path(const struct json *v, const char *path);
struct json *json_at(const struct json *array, size_t i);
/* The string, or an empty slice when v is absent or no string. */
struct slice json_string(const struct json *v);
/* The integer (a real without fraction counts), or fallback. */
int64_t json_int(const struct json *v, int64_t fallback);
bool json_bool(const struct json *v, bool fallback);
/* Whether the member of an object is there and true. */
bool json_flag(const struct json *obj, const char *name);
/* Shorthands over json_path. */
static inline struct slice json_path_string(const struct json *v, const char *path)
{
    return json_string(json_path(v, path));
}
/* Deep equality; member order does not count, 1 and 1.0 are equal. */
bool json_equal(const struct json *a, const struct json *b);

/* ---- changing ---- */
/* Replaces or appends a member; key is copied unless it is static (json_set_str). v must be in no other container. */
void json_set(struct arena *a, struct json *obj, struct slice key, struct json *v);
void json_set_str(struct arena *a, struct json *obj, const char *static_key, struct json *v);
/* Puts a member first, replacing one of the same name. */
void json_set_first(struct arena *a, struct json *obj, const char *static_key, struct json *v);
/* The member as an object, made when absent or null; NULL when it is something else or the arena is full. */
struct json *json_object_at(struct arena *a, struct json *obj, const char *static_key);
/* Removes a member; false when there was none. */
bool json_del(struct json *obj, struct slice key);
bool json_del_str(struct json *obj, const char *key);
void json_append(struct json *array, struct json *v);
/* Inserts before item i (≤ length). */
void json_insert(struct json *array, size_t i, struct json *v);
/* Takes item i out. */
struct json *json_remove_at(struct json *array, size_t i);
/* Sorts the items of an array or object; stable, in place. order answers <0, 0, >0. */
void json_sort(struct json *box, int (*order)(const void *ctx, const struct json *a, const struct json *b),
               const void *ctx);
/* Replaces what *v holds by what *w holds, in place (key and sibling stay). */
void json_assign(struct json *v, const struct json *w);

#endif
