/* Becoming a replica of a cluster that runs (`pintle server --join`): what happens before the replica starts.
 *
 * Happy path: asks one of the servers for its authority's certificate, over a connection that trusts nobody; compares
 * it
 * with what the token says; asks again, over a connection that trusts that authority alone, to be made a member; writes
 * the
 * certificate and keys it is given into the directory of certificates, and who it is into the data directory.
 *
 * The key stays in the data directory until all is written, so every step may be repeated: the cluster knows the key
 * again
 * and answers with the same id. Failures: a server that does not answer, or has no leader, is asked again until
 * timeout_s is over; what no repetition can heal ends at once. Both are told on the log and to stderr. */
#ifndef PINTLE_CLI_JOIN_H
#define PINTLE_CLI_JOIN_H

#include "cli/identity.h"

struct join_options {
    const char *const *servers; /* "https://ip:port" or "ip:port" */
    size_t n_servers;
    const char *token, *token_file; /* one of both */
    const char *data_dir, *cert_dir;
    const char *peer, *api; /* how others will reach us */
    bool witness;
    unsigned timeout_s;
};

/* Blocking; l is not running. Fills id, cluster, members and addresses of *ret, and has written everything but
 * server.json. 0, or the exit status: a message was printed. */
int join_cluster(struct loop *l, const struct join_options *o, struct identity *ret);
/* To be called once server.json is there: the key's second copy goes. */
void join_finish(struct loop *l, const char *data_dir);

#endif
