/* Role-based access control (rbac.authorization.k8s.io/v1): roles and bindings compiled into an index that follows the
 * objects, and the decisions made with it. Group system:masters may do everything. Thread: the state loop's. */
#ifndef PINTLE_AUTH_RBAC_H
#define PINTLE_AUTH_RBAC_H

#include "auth/user.h"
#include "codec/json.h"

/* What is asked. */
struct access {
    struct slice verb;                           /* "get", "list" … */
    struct slice group, resource, sub, ns, name; /* sub: "log" of pods/log; ns empty = cluster-wide */
    struct slice path;                           /* non-resource requests; then resource is empty */
};

struct rbac;

struct rbac *rbac_new(void);
void rbac_free(struct rbac *r);
/* Adds, replaces or (obj NULL) removes. kind: "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding". Aggregated
 * ClusterRoles (aggregationRule) get their rules from the roles whose labels match, whenever those change. */
void rbac_set(struct rbac *r, struct slice kind, struct slice ns, struct slice name, const struct json *obj);
/* why: on success the binding that allows it (for the reason of a review), valid until the next rbac_set; may be NULL. */
bool rbac_allows(const struct rbac *r, const struct user *u, const struct access *q, const char **why);
/* Appends the rules that hold for u in ns, as JSON arrays resourceRules and nonResourceRules of a SelfSubjectRulesReview's
 * status. */
void rbac_rules(const struct rbac *r, const struct user *u, struct slice ns, struct arena *a,
                struct json *resource_rules, struct json *nonresource_rules);
/* Whether u already holds every rule of a role (escalation prevention); *missing names the first one it lacks. */
bool rbac_covers(const struct rbac *r, const struct user *u, struct slice ns, const struct json *rules, struct arena *a,
                 const char **missing);

#endif
