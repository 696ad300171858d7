/* Who a request speaks for, as every authenticator answers and every authorizer asks. Strings live in the arena given. */
#ifndef PINTLE_AUTH_USER_H
#define PINTLE_AUTH_USER_H

#include "base/arena.h"

enum { USER_GROUPS_MAX = 128 };

struct user_extra {
    struct slice key, value; /* a key may come more than once */
};

struct user {
    struct slice name;          /* "admin", "system:node:n1", "system:serviceaccount:ns:name", "system:anonymous" */
    struct slice uid;           /* may be empty */
    const struct slice *groups; /* "system:authenticated" or "system:unauthenticated" included */
    size_t n_groups;
    const struct user_extra *extra;
    size_t n_extra;
    bool anonymous;
    bool forwarded; /* another replica vouches for it (request headers over mutual TLS) */
};

bool user_in_group(const struct user *u, struct slice group);
/* A deep copy into a. */
void user_copy(struct user *to, struct arena *a, const struct user *from);
/* "system:admin" in group system:masters: our own parts. */
void user_set_superuser(struct user *u, struct arena *a);
/* "system:anonymous" in group system:unauthenticated. */
void user_set_anonymous(struct user *u, struct arena *a);

#endif
