/* RBAC objects: the first byte chooses the kind, then come one or two objects with a byte 0xff between, in JSON that was
 * not validated: what is stored may be older than the rules. A user without bindings may do nothing. */
#include "fuzz.h"

#include "auth/rbac.h"

static void ask(const struct rbac *r, struct arena *a, const struct json *obj)
{
    static const struct slice groups[] = {SLICE_INIT("dev")};
    const struct user u = {.name = SLICE_INIT("alice"), .groups = groups, .n_groups = 1};
    const struct access q = {.verb = SLICE_INIT("get"), .resource = SLICE_INIT("pods"), .ns = SLICE_INIT("ns")};
    const struct access path = {.verb = SLICE_INIT("get"), .path = SLICE_INIT("/healthz")};
    const char *why = NULL;
    (void)rbac_allows(r, &u, &q, &why);
    (void)rbac_allows(r, &u, &path, &why);
    rbac_rules(r, &u, SLICE("ns"), a, json_new_array(a), json_new_array(a));
    (void)rbac_covers(r, &u, SLICE("ns"), json_get_str(obj, "rules"), a, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char *const roles[] = {"ClusterRole", "Role"};
    static const char *const bindings[] = {"ClusterRoleBinding", "RoleBinding"};
    if (n == 0)
        return 0;
    struct slice first = slice_of(p + 1, n - 1), second = SLICE_NONE, ns = p[0] & 1 ? SLICE("ns") : SLICE("");
    (void)fuzz_split(first, &first, &second);
    struct arena a;
    arena_init(&a, FUZZ_ARENA_MAX);
    struct rbac *r = rbac_new();
    const struct json *role = fuzz_json(&a, first), *binding = fuzz_json(&a, second);
    struct slice kind = slice_str(roles[p[0] & 1]), bkind = slice_str(bindings[p[0] >> 1 & 1]);
    if (json_is(role, JSON_OBJECT)) {
        rbac_set(r, kind, ns, SLICE("r"), role);
        if (json_is(binding, JSON_OBJECT))
            rbac_set(r, bkind, p[0] & 2 ? SLICE("ns") : SLICE(""), SLICE("b"), binding);
        ask(r, &a, role);
        rbac_set(r, kind, ns, SLICE("r"), NULL);
        ask(r, &a, role);
    }
    rbac_free(r);
    arena_done(&a);
    return 0;
}
