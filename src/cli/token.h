/* Making join tokens, for `pintle token create` and `pintle member add`. */
#ifndef PINTLE_CLI_TOKEN_H
#define PINTLE_CLI_TOKEN_H

#include "cli/remote.h"

struct token_wish {
    const char *ttl;         /* "30m", "24h", "7d"; "0" = for ever */
    const char *description; /* may be NULL */
    const char *usage;       /* "server" or "node" */
    bool witness;            /* of the line that is printed */
};

/* Creates the token and prints it, and the command line that uses it. 0, or the exit status. */
int token_make(struct remote *r, const struct remote_options *o, const char *command, const struct token_wish *w);

#endif
