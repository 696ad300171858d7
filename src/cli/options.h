/* Command lines as tables: one row an option, from which parsing, --help, man pages' option lists, completion and the
 * configuration file's keys all come. */
#ifndef PINTLE_CLI_OPTIONS_H
#define PINTLE_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_FLAG, OPTION_LIST /* may come more than once */ };

enum { OPTION_LIST_MAX = 64, OPTION_FILE_MAX = 1 << 20 };

struct option_list {
    const char *at[OPTION_LIST_MAX];
    size_t n;
};

struct option_row {
    const char *name; /* long name without dashes; the key in the configuration file */
    enum option_kind kind;
    size_t offset;     /* of a const char *, int64_t, bool or struct option_list in the target */
    const char *value; /* what stands for the value in --help, e.g. "DIR" */
    const char *help;  /* one sentence */
};

struct command {
    const char *name;                                           /* "server", "cert init" */
    const char *summary;                                        /* one line */
    const char *arguments;                                      /* positional ones for the usage line, or "" */
    const char *details;                                        /* paragraphs for --help, or NULL */
    const struct option_row *options;                           /* ended by a row without name */
    int (*run)(int argc, char **argv, const struct command *c); /* exit status */
};

/* Fills target from the configuration file (--config FILE or config_default when it exists), then from argv, which wins.
 * Positional arguments stay in argv order: *ret_rest points to them, *ret_n_rest counts. Strings from the file live for
 * the
 * process's life. 0 = go on, 1 = --help was printed (exit 0), 2 = an error was printed (exit 2). */
int options_parse(const struct command *c, int argc, char **argv, void *target, const char *config_default,
                  char ***ret_rest, int *ret_n_rest);
void options_usage(const struct command *c);

#endif
