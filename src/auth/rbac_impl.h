/* What rbac.c (the index) and rbac_rules.c (matching, listing, escalation) share.
 *
 * Index: each subject that a binding names ("U" + user name, "G" + group) leads to the bindings that name it; a binding
 * leads to its role by key at the time of the decision, as it may come before the role or outlive it. An aggregated
 * ClusterRole has no rules of its own but a list of the plain roles it stands for, kept up whenever roles change. */
#ifndef PINTLE_AUTH_RBAC_IMPL_H
#define PINTLE_AUTH_RBAC_IMPL_H

#include "auth/rbac.h"
#include "base/list.h"
#include "base/map.h"
#include "object/selector.h"

struct texts {
    const struct slice *items;
    size_t n;
};

struct rbac_rule {
    struct texts verbs, groups, resources, names, urls;
};

struct rbac_role {
    struct arena arena; /* everything below */
    struct slice name;
    const struct rbac_rule *rules;
    size_t n_rules;
    const struct json *labels;
    const struct selector *selectors; /* of an aggregated role: a role that matches any of them belongs to it */
    size_t n_selectors;
    bool aggregated;
    struct rbac_role **parts; /* the plain roles an aggregated one stands for */
    size_t n_parts, parts_cap;
    unsigned mark; /* last walk that came by */
};

struct rbac_binding;

struct rbac_link { /* a binding in a subject's list */
    struct list link;
    struct rbac_binding *binding;
    const char *why;      /* for the reason of a review */
    struct slice subject; /* its key in rbac.subjects */
};

struct rbac_binding {
    struct arena arena;
    struct slice ns;       /* empty = cluster-wide */
    struct slice role_key; /* in rbac.roles or rbac.cluster_roles */
    bool cluster_role;
    struct rbac_link *links;
    size_t n_links;
};

struct rbac_subject {
    struct list links;
};

struct rbac {
    struct map cluster_roles, roles;       /* name or "ns/name" → struct rbac_role */
    struct map cluster_bindings, bindings; /* → struct rbac_binding */
    struct map subjects;                   /* → struct rbac_subject */
    unsigned mark;
};

/* Calls each(ctx, rule, link) for every rule that holds for u in ns (empty: cluster-wide ones only) until it returns
 * true; that is the answer. */
bool rbac_walk(const struct rbac *r, const struct user *u, struct slice ns,
               bool (*each)(void *ctx, const struct rbac_rule *rule, const struct rbac_link *link), void *ctx);
/* Reads a PolicyRule into a. False when memory is short. */
bool rbac_rule_read(struct rbac_rule *rule, struct arena *a, const struct json *v);

#endif
