/* Asking a cluster's operator API from the command line, over TLS with the caller's certificate.
 *
 * Happy path: a command puts REMOTE_ROWS into its options, calls remote_open, then remote_call or remote_stream as
 * often
 * as it likes, then remote_close. Each call goes to the first server that answers; a server that cannot be reached
 * leaves the call to the next one, as long as nothing of it can have been done. While all say that they cannot do it
 * right now (503, 429: there is no leader, or leadership moves), they are asked again for some seconds.
 *
 * Failures: every function prints what went wrong and what to do about it to stderr and returns the exit status.
 * Thread: the process's only one; each call runs the loop until it is done. */
#ifndef PINTLE_CLI_REMOTE_H
#define PINTLE_CLI_REMOTE_H

#include "base/buf.h"
#include "cli/options.h"
#include "loop/loop.h"

enum { REMOTE_TIMEOUT_MS = 30000, REMOTE_BODY_MAX = 64 << 20, REMOTE_SERVERS_MAX = 9 };

struct remote_options {
    const char *cert_dir, *user, *output;
    struct option_list servers;
};

/* The rows of a command whose options struct type has a struct remote_options member called remote. */
#define REMOTE_ROWS(type)                                                                                              \
    {"server", OPTION_LIST, offsetof(type, remote.servers), "ADDR",                                                    \
     "a replica's API address; more than one are tried in turn (127.0.0.1:6443)"},                                     \
        {"cert-dir", OPTION_TEXT, offsetof(type, remote.cert_dir), "DIR",                                              \
         "ca.crt, USER.crt, USER.key (/etc/pintle/pki)"},                                                              \
        {"user", OPTION_TEXT, offsetof(type, remote.user), "NAME", "whose certificate (admin)"},                       \
    {                                                                                                                  \
        "output", OPTION_TEXT, offsetof(type, remote.output), "json", "print JSON"                                     \
    }

struct remote;

/* Reads the certificates; nothing is sent yet. command: its name, for messages. 0, or the exit status. */
int remote_open(const struct remote_options *o, const char *command, struct remote **ret);
/* NULL is fine. */
void remote_close(struct remote *r);
struct loop *remote_loop(struct remote *r);
/* Whether --output json was given. */
bool remote_wants_json(const struct remote *r);
/* One request, the answer's body in *out (cleared first). body is JSON (of a PATCH: a merge patch) or empty. 0 when the answer's code is 2xx. */
int remote_call(struct remote *r, const char *method, const char *path, struct slice body, struct buf *out);
/* The same for an answer of any size: on_data gets its bytes as they come; not 0 ends the call with that status. There
 * is no limit of time as long as bytes come (REMOTE_TIMEOUT_MS between two of them). */
int remote_stream(struct remote *r, const char *method, const char *path, struct slice body,
                  int (*on_data)(void *ctx, struct slice data), void *ctx);

#endif
