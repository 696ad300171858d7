#include "cli/options.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "codec/yaml.h"

void options_usage(const struct command *c)
{
    printf("usage: pintle %s [options]%s%s\n\n%s\n", c->name, c->arguments[0] ? " " : "", c->arguments, c->summary);
    if (c->details)
        printf("\n%s\n", c->details);
    printf("\noptions:\n");
    for (const struct option_row *o = c->options; o->name; o++) {
        char head[64];
        snprintf(head, sizeof head, "--%s%s%s", o->name, o->kind == OPTION_FLAG ? "" : " ",
                 o->kind == OPTION_FLAG ? "" : o->value);
        printf("  %-28s %s\n", head, o->help);
    }
    printf("  %-28s %s\n", "--config FILE", "read options from a YAML file with the same names; the command line wins");
    printf("  %-28s %s\n", "--help", "show this and exit");
}

static int set(const struct option_row *o, void *target, const char *value, const char *where)
{
    char *at = (char *)target + o->offset;
    int64_t number;
    switch (o->kind) {
    case OPTION_TEXT:
        *(const char **)(void *)at = value;
        return 0;
    case OPTION_FLAG:
        *(bool *)(void *)at = strcmp(value, "false") != 0;
        return 0;
    case OPTION_NUMBER:
        if (!slice_to_i64(slice_str(value), &number)) {
            fprintf(stderr, "pintle: %s: --%s wants a number, not \"%s\"\n", where, o->name, value);
            return 2;
        }
        *(int64_t *)(void *)at = number;
        return 0;
    case OPTION_LIST: {
        struct option_list *list = (struct option_list *)(void *)at;
        if (list->n == OPTION_LIST_MAX) {
            fprintf(stderr, "pintle: %s: --%s may come at most %d times\n", where, o->name, OPTION_LIST_MAX);
            return 2;
        }
        list->at[list->n++] = value;
        return 0;
    }
    }
    return 2;
}

static const struct option_row *find(const struct command *c, struct slice name)
{
    for (const struct option_row *o = c->options; o->name; o++)
        if (slice_eq_str(name, o->name))
            return o;
    return NULL;
}

static char *scalar_text(const struct json *v)
{
    struct buf out = BUF_INIT(65536);
    if (json_is(v, JSON_STRING))
        buf_add_slice(&out, json_string(v));
    else
        json_write(&out, v);
    char *text = mem_strndup(out.p ? out.p : "", out.n);
    buf_done(&out);
    return text;
}

static int set_from_file(const struct command *c, void *target, const struct json *m, const char *file)
{
    const struct option_row *o = find(c, m->key);
    int rv = 0;
    if (!o) {
        fprintf(stderr, "pintle: %s: unknown option \"%" SLICE_FMT "\"; see pintle %s --help\n", file,
                SLICE_ARG(m->key), c->name);
        return 2;
    }
    if (!json_is(m, JSON_ARRAY))
        return set(o, target, scalar_text(m), file);
    json_each (v, m)
        rv = rv ? rv : set(o, target, scalar_text(v), file);
    return rv;
}

static int read_file(const char *file, struct buf *out)
{
    char piece[4096];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0)
        if (buf_add(out, piece, (size_t)n))
            break;
    if (fd >= 0)
        close(fd);
    return fd < 0 || n < 0 ? -1 : buf_error(out);
}

static int from_file(const struct command *c, void *target, const char *file, bool must_exist)
{
    struct buf text = BUF_INIT(OPTION_FILE_MAX);
    struct arena a;
    const char *error = "";
    int rv = 0;
    if (read_file(file, &text)) {
        buf_done(&text);
        if (must_exist)
            fprintf(stderr, "pintle: the configuration file %s cannot be read\n", file);
        return must_exist ? 2 : 0;
    }
    arena_init(&a, 16 << 20);
    struct json *v = yaml_parse(&a, buf_slice(&text), &error);
    if (!json_is(v, JSON_OBJECT)) {
        fprintf(stderr, "pintle: %s is no YAML mapping: %s\n", file, v ? "top level" : error);
        rv = 2;
    }
    json_each (m, v)
        rv = rv ? rv : set_from_file(c, target, m, file);
    arena_done(&a);
    buf_done(&text);
    return rv;
}

static const char *config_argument(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--config") && i + 1 < argc)
            return argv[i + 1];
        if (!strncmp(argv[i], "--config=", 9))
            return argv[i] + 9;
    }
    return NULL;
}

/* The two short options that hands know from kubectl. */
static const char *long_form(const char *argument)
{
    if (!argument)
        return "";
    return !strcmp(argument, "-n") ? "--namespace" : !strcmp(argument, "-o") ? "--output" : argument;
}

static int from_line(const struct command *c, int argc, char **argv, void *target, char **rest, int *n_rest)
{
    for (int i = 0; i < argc; i++) {
        struct slice name, value, text = slice_str(long_form(argv[i]));
        if (!slice_starts(text, SLICE("--"))) {
            rest[(*n_rest)++] = argv[i];
            continue;
        }
        bool inline_value = slice_cut(slice_from(text, 2), '=', &name, &value);
        if (slice_eq_str(name, "help")) {
            options_usage(c);
            return 1;
        }
        const struct option_row *o = find(c, name);
        bool config = slice_eq_str(name, "config");
        if (!o && !config) {
            fprintf(stderr, "pintle %s: unknown option --%" SLICE_FMT "; see pintle %s --help\n", c->name,
                    SLICE_ARG(name), c->name);
            return 2;
        }
        const char *given = inline_value ? (value.p ? value.p : "") : o && o->kind == OPTION_FLAG ? "true" : NULL;
        if (!given && ++i < argc)
            given = argv[i];
        if (!given) {
            fprintf(stderr, "pintle %s: --%" SLICE_FMT " wants a value\n", c->name, SLICE_ARG(name));
            return 2;
        }
        int rv = config ? 0 : set(o, target, given, "command line");
        if (rv)
            return rv;
    }
    return 0;
}

int options_parse(const struct command *c, int argc, char **argv, void *target, const char *config_default,
                  char ***ret_rest, int *ret_n_rest)
{
    const char *file = config_argument(argc, argv);
    char **rest = argv; /* positional arguments move to the front */
    int n_rest = 0, rv = 0;
    if (file)
        rv = from_file(c, target, file, true);
    else if (config_default)
        rv = from_file(c, target, config_default, false);
    if (!rv)
        rv = from_line(c, argc, argv, target, rest, &n_rest);
    if (!rv && !ret_rest && n_rest) {
        fprintf(stderr, "pintle %s: what is \"%s\"? see pintle %s --help\n", c->name, rest[0], c->name);
        rv = 2;
    }
    if (ret_n_rest)
        *ret_n_rest = n_rest;
    if (ret_rest)
        *ret_rest = rest;
    return rv;
}
