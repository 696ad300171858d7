#include "raft/secure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/tls.h"

void secure_accept(struct loop *l, void *tls, struct stream *s, void (*done)(void *ctx, int err, struct conn *c),
                   void *ctx)
{
    if (tls)
        tls_accept(l, tls, s, done, ctx);
    else
        done(ctx, 0, conn_plain(s));
}

void secure_connect(struct loop *l, void *tls, struct stream *s, void (*done)(void *ctx, int err, struct conn *c),
                    void *ctx)
{
    if (tls)
        tls_connect(l, tls, s, NULL, done, ctx);
    else
        done(ctx, 0, conn_plain(s));
}

static bool has_org(const struct tls_identity *who, const char *org)
{
    for (size_t i = 0; i < who->n_orgs; i++)
        if (strcmp(who->orgs[i], org) == 0)
            return true;
    return false;
}

bool secure_speaks_for(void *tls, const struct conn *c, uint64_t id)
{
    char name[64];
    if (!tls)
        return true;
    const struct tls_identity *who = tls_peer(c);
    snprintf(name, sizeof(name), "pintle:server:%" PRIu64, id);
    return who && strcmp(who->common_name, name) == 0 && has_org(who, "pintle:servers");
}
