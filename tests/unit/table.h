/* Test tables: files of tests/data whose rows are lines and whose columns are separated by tabs; lines that begin with
 * '#' explain. */
#ifndef PINTLE_TESTS_TABLE_H
#define PINTLE_TESTS_TABLE_H

#include "unit_json.h"

#include <stdlib.h>

enum { TABLE_COLUMNS_MAX = 16, TABLE_FILE_MAX = 4 << 20 };

struct table {
    char *text;
    struct slice rest;
    size_t line;
    size_t wrong;                           /* expectations that did not hold */
    struct slice column[TABLE_COLUMNS_MAX]; /* of the current row; absent ones are empty */
};

static inline void table_open(struct table *t, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is missing", path);
    *t = (struct table){.text = malloc(TABLE_FILE_MAX)};
    t->rest = slice_of(t->text, fread(t->text, 1, TABLE_FILE_MAX, f));
    fclose(f);
}

/* Fails when a row was wrong. */
static inline void table_close(struct table *t)
{
    free(t->text);
    assert_int_equal(t->wrong, 0);
}

/* Tells what is wrong with the current row, and goes on. */
#define table_wrong(t, ...)                                                                                            \
    do {                                                                                                               \
        print_error("line %zu: ", (t)->line);                                                                          \
        print_error(__VA_ARGS__);                                                                                      \
        print_error("\n");                                                                                             \
        (t)->wrong++;                                                                                                  \
    } while (0)

/* The next row. False at the end. */
static inline bool table_next(struct table *t)
{
    struct slice line;
    do {
        if (!t->rest.n)
            return false;
        slice_cut(t->rest, '\n', &line, &t->rest);
        t->line++;
    } while (!line.n || line.p[0] == '#');
    memset(t->column, 0, sizeof t->column);
    for (size_t i = 0; line.n && i < TABLE_COLUMNS_MAX; i++)
        slice_cut(line, '\t', &t->column[i], &line);
    return true;
}

/* A column as text in a. */
static inline const char *table_text(struct arena *a, const struct table *t, size_t column)
{
    return arena_printf(a, "%" SLICE_FMT, SLICE_ARG(t->column[column]));
}

/* A column's JSON, or NULL when it is empty. */
static inline struct json *table_json(struct arena *a, const struct table *t, size_t column)
{
    return t->column[column].n ? json_of(a, table_text(a, t, column)) : NULL;
}

#endif
