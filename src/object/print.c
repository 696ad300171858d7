#include "object/print.h"

#include <stdio.h>

#include "object/meta.h"
#include "object/path.h"
#include "object/print_cell.h"

static const struct cell_entry *const tables[] = {cell_general, cell_pod, cell_kinds};

/* ---- expressions ---- */

static bool is_absent(const struct json *v)
{
    return !v || v->type == JSON_NULL || (v->type == JSON_STRING && v->u.string.n == 0);
}

static struct slice unquote(struct slice s)
{
    s = slice_trim(s);
    return s.n >= 2 && s.p[0] == '\'' && s.p[s.n - 1] == '\'' ? slice_of(s.p + 1, s.n - 2) : s;
}

/* Cuts s at the first c that stands in no quotes and no parentheses. */
static bool cut_outside(struct slice s, char c, struct slice *head, struct slice *tail)
{
    bool quoted = false;
    int depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        quoted ^= s.p[i] == '\'';
        if (quoted)
            continue;
        depth += (s.p[i] == '(') - (s.p[i] == ')');
        if (s.p[i] != c || depth)
            continue;
        *head = slice_of(s.p, i);
        *tail = slice_from(s, i + 1);
        return true;
    }
    *head = s;
    *tail = SLICE_NONE;
    return false;
}

static cell_function *function_of(struct slice name)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct cell_entry *e = tables[t]; e->name; e++)
            if (slice_eq_str(name, e->name))
                return e->function;
    return NULL;
}

static struct json *call(struct cell *c, struct slice name, struct slice args)
{
    cell_function *f = function_of(name);
    c->n_args = 0;
    while (args.n && c->n_args < CELL_ARGS_MAX) {
        struct slice one;
        cut_outside(args, ',', &one, &args);
        c->args[c->n_args++] = unquote(one);
    }
    return f ? f(c) : NULL;
}

static struct json *eval_one(struct cell *c, struct slice e)
{
    struct slice name, args;
    int64_t number;
    if (e.n && e.p[0] == '\'')
        return json_new_string(c->a, unquote(e));
    if (slice_to_i64(e, &number))
        return json_new_int(c->a, number);
    if (slice_eq_str(e, "true") || slice_eq_str(e, "false"))
        return json_new_bool(c->a, e.n == 4);
    if (slice_ends(e, SLICE(")")) && slice_cut(slice_of(e.p, e.n - 1), '(', &name, &args))
        return call(c, name, args);
    return json_clone(c->a, path_get(c->obj, e));
}

static struct json *eval(struct cell *c, const char *expression)
{
    struct slice rest = slice_str(expression), one;
    struct json *v = NULL;
    while (rest.n && is_absent(v)) {
        cut_outside(rest, '|', &one, &rest);
        v = eval_one(c, one);
    }
    return v;
}

/* What stands in a cell without a value. */
static struct json *empty_cell(struct arena *a, const struct resource *res, const struct resource_column *col)
{
    if (res->index >= resource_count())
        return json_new_null(a);
    if (strcmp(col->type, "integer") == 0)
        return json_new_int(a, 0);
    return strcmp(col->type, "boolean") == 0 ? json_new_bool(a, false) : json_new_str(a, "");
}

/* ---- tables ---- */

/* For kinds without columns of their own. */
static const struct resource_column plain_columns[] = {
    {"Name", "string", "name", "", 0, "metadata.name"},
    {"Age", "string", "", "", 0, "age(metadata.creationTimestamp)"},
};

static const struct resource_column *columns_of(const struct resource *res, size_t *n)
{
    *n = res->n_columns ? res->n_columns : sizeof plain_columns / sizeof *plain_columns;
    return res->n_columns ? res->columns : plain_columns;
}

struct json *print_columns(struct arena *a, const struct resource *res)
{
    size_t n;
    const struct resource_column *col = columns_of(res, &n);
    struct json *list = json_new_array(a);
    for (size_t i = 0; i < n; i++) {
        struct json *d = json_new_object(a);
        json_set_str(a, d, "name", json_new_str(a, col[i].name));
        json_set_str(a, d, "type", json_new_str(a, col[i].type));
        json_set_str(a, d, "format", json_new_str(a, col[i].format));
        json_set_str(a, d, "description", json_new_str(a, col[i].description));
        json_set_str(a, d, "priority", json_new_int(a, col[i].priority));
        json_append(list, d);
    }
    return list;
}

struct json *print_cells(struct arena *a, const struct resource *res, const struct json *obj, int64_t now)
{
    size_t n;
    const struct resource_column *col = columns_of(res, &n);
    struct json *cells = json_new_array(a);
    for (size_t i = 0; i < n; i++) {
        struct cell c = {.a = a, .obj = obj, .now = now};
        struct json *v = eval(&c, col[i].cell);
        json_append(cells, v && v->type != JSON_NULL ? v : empty_cell(a, res, &col[i]));
    }
    return cells;
}

/* kubectl hides rows of finished pods by this. */
static struct json *row_conditions(struct arena *a, const struct resource *res, const struct json *obj)
{
    struct slice phase = json_path_string(obj, "status.phase");
    bool failed = slice_eq_str(phase, "Failed");
    if (strcmp(res->kind, "Pod") != 0 || *res->group || !(failed || slice_eq_str(phase, "Succeeded")))
        return NULL;
    struct json *list = json_new_array(a), *c = json_new_object(a);
    json_set_str(a, c, "type", json_new_str(a, "Completed"));
    json_set_str(a, c, "status", json_new_str(a, "True"));
    json_set_str(a, c, "reason", json_new_string(a, phase));
    json_set_str(a, c, "message", json_new_str(a, failed ? "The pod failed." : "The pod has completed successfully."));
    json_append(list, c);
    return list;
}

struct json *print_row(struct arena *a, const struct resource *res, const struct json *obj, int64_t now,
                       struct json *object)
{
    struct json *row = json_new_object(a);
    json_set_str(a, row, "cells", print_cells(a, res, obj, now));
    json_set_str(a, row, "conditions", row_conditions(a, res, obj));
    json_set_str(a, row, "object", object);
    return row;
}

struct json *print_partial(struct arena *a, const struct json *obj)
{
    struct json *partial = json_new_object(a);
    json_set_str(a, partial, "kind", json_new_str(a, "PartialObjectMetadata"));
    json_set_str(a, partial, "apiVersion", json_new_str(a, "meta.k8s.io/v1"));
    json_set_str(a, partial, "metadata", json_clone(a, json_get_str(obj, "metadata")));
    return partial;
}

/* ---- durations ---- */

/* Two units, the second left out when it is 0. */
static void two_units(char out[DURATION_TEXT_MAX], int64_t big, char big_unit, int64_t small, char small_unit)
{
    if (small)
        snprintf(out, DURATION_TEXT_MAX, "%d%c%d%c", (int)big, big_unit, (int)small, small_unit);
    else
        snprintf(out, DURATION_TEXT_MAX, "%d%c", (int)big, big_unit);
}

void print_duration(int64_t ns, char out[DURATION_TEXT_MAX])
{
    int64_t s = ns / 1000000000, minutes = s / 60, hours = minutes / 60, days = hours / 24;
    if (s < -1)
        snprintf(out, DURATION_TEXT_MAX, "<invalid>");
    else if (s < 120)
        two_units(out, s < 0 ? 0 : s, 's', 0, 0);
    else if (minutes < 10)
        two_units(out, minutes, 'm', s % 60, 's');
    else if (minutes < 180)
        two_units(out, minutes, 'm', 0, 0);
    else if (hours < 8)
        two_units(out, hours, 'h', minutes % 60, 'm');
    else if (hours < 48)
        two_units(out, hours, 'h', 0, 0);
    else if (days < 8)
        two_units(out, days, 'd', hours % 24, 'h');
    else if (days < 2L * 365)
        two_units(out, days, 'd', 0, 0);
    else if (days < 8L * 365)
        two_units(out, days / 365, 'y', days % 365, 'd');
    else
        two_units(out, days / 365, 'y', 0, 0);
}
