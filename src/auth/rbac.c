#include <errno.h>

#include "auth/rbac_impl.h"
#include "base/mem.h"

enum {
    OBJECT_ARENA_MAX = 32 << 20, /* of one role or binding; objects are at most 3 MiB as text */
    KEY_MAX = 1024
};

/* ---- reading roles ---- */

static bool read_texts(struct texts *t, struct arena *a, const struct json *list)
{
    size_t n = json_len(list);
    struct slice *items = n ? arena_alloc(a, n * sizeof *items) : NULL;
    *t = (struct texts){items, 0};
    if (!items)
        return n == 0;
    json_each (it, list)
        if (json_is(it, JSON_STRING))
            items[t->n++] = arena_copy(a, json_string(it));
    return !arena_error(a);
}

bool rbac_rule_read(struct rbac_rule *rule, struct arena *a, const struct json *v)
{
    return read_texts(&rule->verbs, a, json_get_str(v, "verbs")) &&
           read_texts(&rule->groups, a, json_get_str(v, "apiGroups")) &&
           read_texts(&rule->resources, a, json_get_str(v, "resources")) &&
           read_texts(&rule->names, a, json_get_str(v, "resourceNames")) &&
           read_texts(&rule->urls, a, json_get_str(v, "nonResourceURLs"));
}

static bool read_rules(struct rbac_role *role, const struct json *list)
{
    size_t n = json_len(list), i = 0;
    struct rbac_rule *rules = arena_alloc(&role->arena, n * sizeof *rules + 1);
    if (!rules)
        return false;
    json_each (it, list)
        if (!rbac_rule_read(&rules[i++], &role->arena, it))
            return false;
    role->rules = rules;
    role->n_rules = i;
    return true;
}

static bool read_selectors(struct rbac_role *role, const struct json *list)
{
    size_t n = json_len(list), i = 0;
    struct selector *selectors = arena_alloc(&role->arena, n * sizeof *selectors + 1);
    if (!selectors)
        return false;
    json_each (it, list)
        if (selector_from_object(&role->arena, json_clone(&role->arena, it), &selectors[i]) == 0)
            i++;
    role->selectors = selectors;
    role->n_selectors = i;
    return !arena_error(&role->arena);
}

static void role_free(struct rbac_role *role)
{
    if (!role)
        return;
    arena_done(&role->arena);
    mem_free(role->parts);
    mem_free(role);
}

/* A role that cannot be held in memory grants nothing. */
static struct rbac_role *role_read(struct slice name, const struct json *obj)
{
    struct rbac_role *role = mem_new(struct rbac_role);
    const struct json *aggregation = json_get_str(obj, "aggregationRule");
    arena_init(&role->arena, OBJECT_ARENA_MAX);
    role->name = arena_copy(&role->arena, name);
    role->labels = json_clone(&role->arena, json_path(obj, "metadata.labels"));
    role->aggregated = json_is(aggregation, JSON_OBJECT);
    bool ok = role->aggregated ? read_selectors(role, json_get_str(aggregation, "clusterRoleSelectors"))
                               : read_rules(role, json_get_str(obj, "rules"));
    if (!ok)
        role->n_rules = role->n_selectors = 0;
    return role;
}

/* ---- aggregation ---- */

static bool selects(const struct rbac_role *whole, const struct rbac_role *part)
{
    for (size_t i = 0; i < whole->n_selectors; i++)
        if (selector_matches_labels(&whole->selectors[i], part->labels))
            return true;
    return false;
}

static void add_part(struct rbac_role *whole, struct rbac_role *part)
{
    if (whole->n_parts == whole->parts_cap) {
        size_t cap = whole->parts_cap ? whole->parts_cap * 2 : 8;
        struct rbac_role **grown = mem_alloc(cap * sizeof(struct rbac_role *));
        if (whole->n_parts)
            memcpy(grown, whole->parts, whole->n_parts * sizeof(struct rbac_role *));
        mem_free(whole->parts);
        whole->parts = grown;
        whole->parts_cap = cap;
    }
    whole->parts[whole->n_parts++] = part;
}

/* Collects the plain roles that `at` stands for into whole; aggregated roles may stand for further ones. */
static void collect(struct rbac *r, struct rbac_role *whole, struct rbac_role *at)
{
    for (struct map_entry *e = map_first(&r->cluster_roles); e; e = map_next(&r->cluster_roles, e)) {
        struct rbac_role *part = e->value;
        if (part->mark == r->mark || !part->labels || !selects(at, part))
            continue;
        part->mark = r->mark;
        if (part->aggregated)
            collect(r, whole, part);
        else
            add_part(whole, part);
    }
}

static void aggregate_all(struct rbac *r)
{
    for (struct map_entry *e = map_first(&r->cluster_roles); e; e = map_next(&r->cluster_roles, e)) {
        struct rbac_role *whole = e->value;
        if (!whole->aggregated)
            continue;
        whole->n_parts = 0;
        whole->mark = ++r->mark;
        collect(r, whole, whole);
    }
}

/* Whether some aggregated role looks different with and without this one. */
static bool matters_to_others(const struct rbac *r, const struct rbac_role *role)
{
    if (!role || role->aggregated)
        return role != NULL;
    for (const struct map_entry *e = map_first(&r->cluster_roles); role->labels && e;
         e = map_next(&r->cluster_roles, e)) {
        const struct rbac_role *whole = e->value;
        if (whole->aggregated && selects(whole, role))
            return true;
    }
    return false;
}

/* ---- bindings ---- */

static struct slice subject_key(struct arena *a, const struct rbac_binding *b, const struct json *subject)
{
    struct slice kind = json_path_string(subject, "kind"), name = json_path_string(subject, "name"),
                 ns = json_path_string(subject, "namespace");
    if (slice_eq(kind, SLICE("User")))
        return slice_str(arena_printf(a, "U%" SLICE_FMT, SLICE_ARG(name)));
    if (slice_eq(kind, SLICE("Group")))
        return slice_str(arena_printf(a, "G%" SLICE_FMT, SLICE_ARG(name)));
    if (!slice_eq(kind, SLICE("ServiceAccount")))
        return SLICE_NONE;
    ns = ns.n ? ns : b->ns;
    return slice_str(
        arena_printf(a, "Usystem:serviceaccount:%" SLICE_FMT ":%" SLICE_FMT, SLICE_ARG(ns), SLICE_ARG(name)));
}

static const char *reason(struct arena *a, const struct rbac_binding *b, struct slice name, const struct json *ref,
                          const struct json *subject)
{
    struct slice kind = json_path_string(subject, "kind"), sns = json_path_string(subject, "namespace");
    bool account = slice_eq(kind, SLICE("ServiceAccount"));
    sns = sns.n ? sns : b->ns;
    return arena_printf(
        a,
        "RBAC: allowed by %s \"%" SLICE_FMT "%s%" SLICE_FMT "\" of %s \"%" SLICE_FMT "\" to %" SLICE_FMT
        " \"%" SLICE_FMT "%s%" SLICE_FMT "\"",
        b->ns.n ? "RoleBinding" : "ClusterRoleBinding", SLICE_ARG(name), b->ns.n ? "/" : "", SLICE_ARG(b->ns),
        b->cluster_role ? "ClusterRole" : "Role", SLICE_ARG(json_path_string(ref, "name")), SLICE_ARG(kind),
        SLICE_ARG(json_path_string(subject, "name")), account ? "/" : "", SLICE_ARG(account ? sns : SLICE_NONE));
}

static void link_subject(struct rbac *r, struct rbac_link *l)
{
    struct rbac_subject *s = map_get(&r->subjects, l->subject);
    if (!s) {
        s = mem_new(struct rbac_subject);
        list_init(&s->links);
        map_put(&r->subjects, l->subject, s);
    }
    list_push(&s->links, &l->link);
}

static void unlink_subject(struct rbac *r, struct rbac_link *l)
{
    list_remove(&l->link);
    struct rbac_subject *s = map_get(&r->subjects, l->subject);
    if (s && list_empty(&s->links))
        mem_free(map_del(&r->subjects, l->subject));
}

static void binding_free(struct rbac *r, struct rbac_binding *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n_links; i++)
        unlink_subject(r, &b->links[i]);
    arena_done(&b->arena);
    mem_free(b);
}

static bool read_subjects(struct rbac *r, struct rbac_binding *b, struct slice name, const struct json *obj)
{
    const struct json *list = json_get_str(obj, "subjects"), *ref = json_get_str(obj, "roleRef");
    b->links = arena_alloc(&b->arena, json_len(list) * sizeof *b->links + 1);
    if (!b->links)
        return false;
    json_each (it, list) {
        struct rbac_link *l = &b->links[b->n_links];
        l->binding = b;
        l->subject = subject_key(&b->arena, b, it);
        l->why = reason(&b->arena, b, name, ref, it);
        if (arena_error(&b->arena))
            return false;
        if (!l->subject.n)
            continue;
        link_subject(r, l);
        b->n_links++;
    }
    return true;
}

static struct rbac_binding *binding_read(struct rbac *r, struct slice ns, struct slice name, const struct json *obj)
{
    struct rbac_binding *b = mem_new(struct rbac_binding);
    const struct json *ref = json_get_str(obj, "roleRef");
    struct slice role = json_path_string(ref, "name");
    arena_init(&b->arena, OBJECT_ARENA_MAX);
    b->ns = arena_copy(&b->arena, ns);
    b->cluster_role = slice_eq(json_path_string(ref, "kind"), SLICE("ClusterRole"));
    b->role_key =
        b->cluster_role
            ? arena_copy(&b->arena, role)
            : slice_str(arena_printf(&b->arena, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(ns), SLICE_ARG(role)));
    if (arena_error(&b->arena) || !read_subjects(r, b, name, obj)) {
        binding_free(r, b); /* one that cannot be held in memory grants nothing */
        return NULL;
    }
    return b;
}

/* ---- the index ---- */

struct rbac *rbac_new(void)
{
    struct rbac *r = mem_new(struct rbac);
    uint64_t seed = (uint64_t)(uintptr_t)r; /* names come from clients; the address is as good as random for them */
    map_init(&r->cluster_roles, seed);
    map_init(&r->roles, seed);
    map_init(&r->cluster_bindings, seed);
    map_init(&r->bindings, seed);
    map_init(&r->subjects, seed);
    return r;
}

static void free_roles(struct map *m)
{
    for (struct map_entry *e = map_first(m); e; e = map_next(m, e))
        role_free(e->value);
    map_done(m);
}

static void free_bindings(struct rbac *r, struct map *m)
{
    for (struct map_entry *e = map_first(m); e; e = map_next(m, e))
        binding_free(r, e->value);
    map_done(m);
}

void rbac_free(struct rbac *r)
{
    if (!r)
        return;
    free_roles(&r->cluster_roles);
    free_roles(&r->roles);
    free_bindings(r, &r->cluster_bindings);
    free_bindings(r, &r->bindings);
    map_done(&r->subjects);
    mem_free(r);
}

static struct rbac_role *replace_role(struct map *m, struct slice key, struct slice name, const struct json *obj)
{
    return obj ? map_put(m, key, role_read(name, obj)) : map_del(m, key);
}

static void set_cluster_role(struct rbac *r, struct slice name, const struct json *obj)
{
    struct rbac_role *old = replace_role(&r->cluster_roles, name, name, obj);
    if (matters_to_others(r, old) || matters_to_others(r, map_get(&r->cluster_roles, name)))
        aggregate_all(r);
    role_free(old);
}

static void set_binding(struct rbac *r, struct map *m, struct slice key, struct slice ns, struct slice name,
                        const struct json *obj)
{
    binding_free(r, map_del(m, key));
    struct rbac_binding *b = obj ? binding_read(r, ns, name, obj) : NULL;
    if (b)
        map_put(m, key, b);
}

void rbac_set(struct rbac *r, struct slice kind, struct slice ns, struct slice name, const struct json *obj)
{
    struct buf key = BUF_INIT(KEY_MAX);
    if (slice_eq(kind, SLICE("ClusterRole"))) {
        set_cluster_role(r, name, obj);
    } else if (slice_eq(kind, SLICE("ClusterRoleBinding"))) {
        set_binding(r, &r->cluster_bindings, name, SLICE_NONE, name, obj);
    } else if (!buf_printf(&key, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(ns), SLICE_ARG(name))) {
        if (slice_eq(kind, SLICE("Role")))
            role_free(replace_role(&r->roles, buf_slice(&key), name, obj));
        else if (slice_eq(kind, SLICE("RoleBinding")))
            set_binding(r, &r->bindings, buf_slice(&key), ns, name, obj);
    }
    buf_done(&key);
}

/* ---- walking ---- */

typedef bool each_fn(void *ctx, const struct rbac_rule *rule, const struct rbac_link *link);

static bool walk_role(const struct rbac_role *role, const struct rbac_link *l, each_fn *each, void *ctx)
{
    for (size_t i = 0; i < role->n_rules; i++)
        if (each(ctx, &role->rules[i], l))
            return true;
    for (size_t i = 0; i < role->n_parts; i++)
        if (walk_role(role->parts[i], l, each, ctx)) /* parts are plain: no deeper than this */
            return true;
    return false;
}

static bool walk_subject(const struct rbac *r, char prefix, struct slice name, struct slice ns, each_fn *each,
                         void *ctx)
{
    char key[KEY_MAX];
    if (name.n >= sizeof key)
        return false;
    key[0] = prefix;
    if (name.n)
        memcpy(key + 1, name.p, name.n);
    const struct rbac_subject *s = map_get(&r->subjects, slice_of(key, name.n + 1));
    if (!s)
        return false;
    list_each (it, &s->links) {
        const struct rbac_link *l = container_of(it, struct rbac_link, link);
        const struct rbac_binding *b = l->binding;
        if (b->ns.n && !slice_eq(b->ns, ns))
            continue;
        const struct rbac_role *role = map_get(b->cluster_role ? &r->cluster_roles : &r->roles, b->role_key);
        if (role && walk_role(role, l, each, ctx))
            return true;
    }
    return false;
}

bool rbac_walk(const struct rbac *r, const struct user *u, struct slice ns, each_fn *each, void *ctx)
{
    if (walk_subject(r, 'U', u->name, ns, each, ctx))
        return true;
    for (size_t i = 0; i < u->n_groups; i++)
        if (walk_subject(r, 'G', u->groups[i], ns, each, ctx))
            return true;
    return false;
}
