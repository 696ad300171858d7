/* Whether a rule grants what is asked; what a user may do; and whether he may hand it on. */
#include <stdio.h>

#include "auth/rbac_impl.h"

enum {
    COMBINED_MAX = 512,         /* bytes of "resource/subresource" */
    COVER_QUESTIONS_MAX = 50000 /* single permissions that one role may ask to be checked for */
};

static bool has(const struct texts *t, struct slice want)
{
    for (size_t i = 0; i < t->n; i++)
        if (slice_eq(t->items[i], want))
            return true;
    return false;
}

static bool has_or_all(const struct texts *t, struct slice want)
{
    return has(t, want) || has(t, SLICE("*"));
}

/* One permission: a resource ("pods", "pods/log") or a URL. */
struct question {
    struct slice verb, group, resource, name, url;
    bool any_name; /* the permission is for all names */
};

/* "*" is every resource with its subresources, "*" + "/scale" that subresource of every resource. */
static bool resource_fits(const struct texts *t, struct slice resource)
{
    struct slice plain, sub;
    bool has_sub = slice_cut(resource, '/', &plain, &sub);
    for (size_t i = 0; i < t->n; i++) {
        struct slice s = t->items[i];
        if (slice_eq(s, resource) || slice_eq(s, SLICE("*")))
            return true;
        if (has_sub && slice_starts(s, SLICE("*/")) && slice_eq(slice_from(s, 2), sub))
            return true;
    }
    return false;
}

static bool url_fits(const struct texts *t, struct slice url)
{
    for (size_t i = 0; i < t->n; i++) {
        struct slice s = t->items[i];
        if (slice_eq(s, url))
            return true;
        if (s.n > 0 && s.p[s.n - 1] == '*' && slice_starts(url, slice_of(s.p, s.n - 1)))
            return true;
    }
    return false;
}

static bool rule_grants(const struct rbac_rule *rule, const struct question *q)
{
    if (!has_or_all(&rule->verbs, q->verb))
        return false;
    if (q->url.n)
        return url_fits(&rule->urls, q->url);
    if (!has_or_all(&rule->groups, q->group) || !resource_fits(&rule->resources, q->resource))
        return false;
    return rule->names.n == 0 || (!q->any_name && q->name.n && has(&rule->names, q->name));
}

static bool is_master(const struct user *u)
{
    return user_in_group(u, SLICE("system:masters"));
}

/* ---- decisions ---- */

struct decision {
    struct question q;
    const char *why;
};

static bool decide(void *ctx, const struct rbac_rule *rule, const struct rbac_link *link)
{
    struct decision *d = ctx;
    if (d->q.url.n && link->binding->ns.n)
        return false;
    if (!rule_grants(rule, &d->q))
        return false;
    d->why = link->why;
    return true;
}

bool rbac_allows(const struct rbac *r, const struct user *u, const struct access *q, const char **why)
{
    char combined[COMBINED_MAX];
    struct decision d = {.q = {.verb = q->verb, .group = q->group, .resource = q->resource, .name = q->name},
                         .why = ""};
    if (is_master(u)) {
        d.why = "RBAC: group system:masters may do everything";
    } else {
        if (!q->resource.n)
            d.q.url = q->path.n ? q->path : SLICE("/");
        if (q->sub.n) {
            int n = snprintf(combined, sizeof combined, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(q->resource),
                             SLICE_ARG(q->sub));
            if (n < 0 || n >= (int)sizeof combined)
                return false;
            d.q.resource = slice_of(combined, (size_t)n);
        }
        if (!rbac_walk(r, u, q->resource.n ? q->ns : SLICE_NONE, decide, &d))
            return false;
    }
    if (why)
        *why = d.why;
    return true;
}

/* ---- listing ---- */

struct listing {
    struct arena *a;
    struct json *resource_rules, *nonresource_rules;
};

static void set_texts(struct arena *a, struct json *obj, const char *key, const struct texts *t, bool always)
{
    if (!t->n && !always)
        return;
    struct json *list = json_new_array(a);
    for (size_t i = 0; i < t->n; i++)
        json_append(list, json_new_string(a, t->items[i]));
    json_set_str(a, obj, key, list);
}

static bool list_rule(void *ctx, const struct rbac_rule *rule, const struct rbac_link *link)
{
    struct listing *l = ctx;
    if (rule->resources.n) {
        struct json *v = json_new_object(l->a);
        set_texts(l->a, v, "verbs", &rule->verbs, true);
        set_texts(l->a, v, "apiGroups", &rule->groups, false);
        set_texts(l->a, v, "resources", &rule->resources, false);
        set_texts(l->a, v, "resourceNames", &rule->names, false);
        json_append(l->resource_rules, v);
    }
    if (rule->urls.n && (!link || !link->binding->ns.n)) {
        struct json *v = json_new_object(l->a);
        set_texts(l->a, v, "verbs", &rule->verbs, true);
        set_texts(l->a, v, "nonResourceURLs", &rule->urls, false);
        json_append(l->nonresource_rules, v);
    }
    return arena_error(l->a) != 0;
}

void rbac_rules(const struct rbac *r, const struct user *u, struct slice ns, struct arena *a,
                struct json *resource_rules, struct json *nonresource_rules)
{
    static const struct slice all[] = {SLICE_INIT("*")};
    static const struct rbac_rule everything = {
        .verbs = {all, 1}, .groups = {all, 1}, .resources = {all, 1}, .urls = {all, 1}};
    struct listing l = {a, resource_rules, nonresource_rules};
    if (is_master(u))
        list_rule(&l, &everything, NULL);
    rbac_walk(r, u, ns, list_rule, &l);
}

/* ---- escalation ---- */

struct cover {
    const struct rbac *r;
    const struct user *u;
    struct slice ns;
    struct arena *a;
    const char **missing;
    size_t questions;
};

static bool held(struct cover *c, const struct question *q)
{
    struct decision d = {.q = *q, .why = ""};
    if (++c->questions > COVER_QUESTIONS_MAX) {
        *c->missing = "the role has too many rules to be checked";
        return false;
    }
    if (rbac_walk(c->r, c->u, c->ns, decide, &d))
        return true;
    *c->missing =
        q->url.n ? arena_printf(c->a, "{NonResourceURLs:[\"%" SLICE_FMT "\"], Verbs:[\"%" SLICE_FMT "\"]}",
                                SLICE_ARG(q->url), SLICE_ARG(q->verb))
                 : arena_printf(c->a,
                                "{APIGroups:[\"%" SLICE_FMT "\"], Resources:[\"%" SLICE_FMT "\"]%s%" SLICE_FMT
                                "%s, Verbs:[\"%" SLICE_FMT "\"]}",
                                SLICE_ARG(q->group), SLICE_ARG(q->resource), q->any_name ? "" : ", ResourceNames:[\"",
                                SLICE_ARG(q->name), q->any_name ? "" : "\"]", SLICE_ARG(q->verb));
    return false;
}

static bool held_names(struct cover *c, const struct rbac_rule *rule, struct question *q)
{
    q->any_name = rule->names.n == 0;
    q->name = SLICE_NONE;
    if (q->any_name)
        return held(c, q);
    for (size_t i = 0; i < rule->names.n; i++) {
        q->name = rule->names.items[i];
        if (!held(c, q))
            return false;
    }
    return true;
}

static bool held_resources(struct cover *c, const struct rbac_rule *rule, struct slice verb)
{
    struct question q = {.verb = verb};
    for (size_t g = 0; g < rule->groups.n; g++)
        for (size_t i = 0; i < rule->resources.n; i++) {
            q.group = rule->groups.items[g];
            q.resource = rule->resources.items[i];
            if (!held_names(c, rule, &q))
                return false;
        }
    return true;
}

static bool held_rule(struct cover *c, const struct rbac_rule *rule)
{
    for (size_t v = 0; v < rule->verbs.n; v++) {
        struct question q = {.verb = rule->verbs.items[v]};
        if (!held_resources(c, rule, q.verb))
            return false;
        for (size_t i = 0; i < rule->urls.n; i++) {
            q.url = rule->urls.items[i];
            if (q.url.n && !held(c, &q))
                return false;
        }
    }
    return true;
}

bool rbac_covers(const struct rbac *r, const struct user *u, struct slice ns, const struct json *rules, struct arena *a,
                 const char **missing)
{
    struct cover c = {.r = r, .u = u, .ns = ns, .a = a, .missing = missing};
    *missing = "";
    if (is_master(u))
        return true;
    json_each (it, rules) {
        struct rbac_rule rule;
        if (!rbac_rule_read(&rule, a, it)) {
            *missing = "memory is short";
            return false;
        }
        if (!held_rule(&c, &rule))
            return false;
    }
    return true;
}
