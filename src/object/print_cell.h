/* Shared by print.c and print_*.c only: what a cell function gets, and the tables of functions. */
#ifndef PINTLE_OBJECT_PRINT_CELL_H
#define PINTLE_OBJECT_PRINT_CELL_H

#include "object/print.h"

enum { CELL_ARGS_MAX = 4 };

/* One cell being computed. */
struct cell {
    struct arena *a;
    const struct json *obj;
    int64_t now;
    struct slice args[CELL_ARGS_MAX]; /* of the function called, quotes taken off */
    size_t n_args;
};

/* The cell's value, or NULL for "absent". */
typedef struct json *cell_function(const struct cell *c);

struct cell_entry {
    const char *name;
    cell_function *function;
};

extern const struct cell_entry cell_general[]; /* print_cell.c; all end with a NULL name */
extern const struct cell_entry cell_pod[];     /* print_pod.c */
extern const struct cell_entry cell_kinds[];   /* print_kinds.c */

/* ---- helpers ---- */

/* The text of b as a JSON string, or NULL when it failed; b is emptied. */
struct json *cell_take(const struct cell *c, struct buf *b);
/* The time since an RFC 3339 text, "<unknown>" when there is none. */
struct json *cell_since(const struct cell *c, struct slice time);
/* Appends text with sep before it, unless it is the first. */
void cell_join(struct buf *b, const char *sep, struct slice text);
/* Appends " + N more..." when total is larger than shown. */
void cell_more(struct buf *b, size_t shown, size_t total);
/* status.conditions[type], or NULL. */
const struct json *cell_condition(const struct json *obj, const char *type);
/* Its status; p is NULL when there is none. */
struct slice cell_condition_status(const struct json *obj, const char *type);
/* Ip or else hostname of each status.loadBalancer.ingress, sorted, without repetitions, joined by ','. */
void cell_load_balancer(const struct cell *c, struct buf *b);

/* A LabelSelector as text: "a=b,c in (d,e)". */
struct json *cell_selector(const struct cell *c, const struct json *label_selector);

#endif
