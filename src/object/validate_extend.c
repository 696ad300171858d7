/* Rules of what extends the API: CustomResourceDefinition, APIService, webhooks, admission policies, certificates. */
#include "object/meta.h"
#include "object/validate_rules.h"

/* ---- where a webhook or an API is served ---- */

static void check_url(const struct rule_call *c, const struct json *config)
{
    struct slice s = json_path_string(config, "url"), rest, host;
    if (!slice_starts(s, SLICE("https://"))) {
        member_invalid(c->v, c->at, config, "url",
                       "'https' is the only allowed URL scheme; desired format: https://host[/path]");
        return;
    }
    slice_cut(slice_from(s, 8), '/', &host, &rest);
    if (host.n == 0)
        member_invalid(c->v, c->at, config, "url", "host must be specified; desired format: https://host[/path]");
    if (memchr(s.p, '@', s.n))
        member_invalid(c->v, c->at, config, "url", "user information is not permitted in the URL");
    if (memchr(s.p, '#', s.n))
        member_invalid(c->v, c->at, config, "url", "fragments are not permitted in the URL");
    if (memchr(s.p, '?', s.n))
        member_invalid(c->v, c->at, config, "url", "query parameters are not permitted in the URL");
}

/* value: a webhook's clientConfig. */
static void client_config(const struct rule_call *c)
{
    const struct json *url = json_get_str(c->value, "url"), *service = json_get_str(c->value, "service");
    struct place at = place_member(c->at, "service"), path = place_member(&at, "path");
    if (!c->value)
        return;
    if (!url == !service) {
        place_required(c->v, c->at, "exactly one of url or service is required");
        return;
    }
    if (url) {
        check_url(c, c->value);
        return;
    }
    const struct json *p = json_get_str(service, "path");
    struct slice s = json_string(p);
    if (p && (s.n == 0 || s.p[0] != '/'))
        place_invalid(c->v, &path, p, "must start with a '/'");
}

/* ---- webhooks ---- */

/* Those our API can speak. */
static void review_versions(const struct rule_call *c)
{
    bool known = false;
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++);
        struct slice s = json_string(it);
        known |= slice_eq_str(s, "v1") || slice_eq_str(s, "v1beta1");
        if (json_get(seen, s))
            place_invalid(c->v, &here, it, "duplicate version");
        else
            place_invalid(c->v, &here, it, validate_label_1035(s));
        json_set(c->v->a, seen, s, json_new_null(c->v->a));
    }
    if (json_len(c->value) == 0)
        place_required(c->v, c->at, "must specify one of v1, v1beta1");
    else if (!known)
        place_invalid(c->v, c->at, c->value, "must include at least one of v1, v1beta1");
}

static bool has_text(const struct json *list, const char *text)
{
    json_each (it, list)
        if (slice_eq_str(json_string(it), text))
            return true;
    return false;
}

static void check_list(const struct rule_call *c, const char *member)
{
    const struct json *list = json_get_str(c->value, member);
    struct place here = place_member(c->at, member);
    size_t i = 0;
    if (json_len(list) == 0)
        place_required(c->v, &here, NULL);
    if (json_len(list) > 1 && has_text(list, "*"))
        place_invalid(c->v, &here, list, "if '*' is present, must not specify other ");
    json_each (it, list) {
        struct place item = place_item(&here, i++);
        if (json_string(it).n == 0 && strcmp(member, "apiGroups") != 0)
            place_required(c->v, &item, NULL);
    }
}

/* "pods/..." beside "pods/{all}" or "{all}/log" says the same twice. */
static void check_overlaps(const struct rule_call *c)
{
    const struct json *list = json_get_str(c->value, "resources");
    struct place here = place_member(c->at, "resources");
    size_t i = 0;
    json_each (it, list) {
        struct place item = place_item(&here, i++);
        struct slice name, sub;
        if (!slice_cut(json_string(it), '/', &name, &sub))
            continue;
        const char *all = arena_printf(c->v->a, "%" SLICE_FMT "/*", SLICE_ARG(name));
        const char *any = arena_printf(c->v->a, "*/%" SLICE_FMT, SLICE_ARG(sub));
        if (!slice_eq_str(sub, "*") && has_text(list, all))
            place_invalid(c->v, &item, it,
                          arena_printf(c->v->a, "if '%s' is present, must not specify %" SLICE_FMT, all,
                                       SLICE_ARG(json_string(it))));
        if (!slice_eq_str(name, "*") && has_text(list, any))
            place_invalid(c->v, &item, it,
                          arena_printf(c->v->a, "if '%s' is present, must not specify %" SLICE_FMT, any,
                                       SLICE_ARG(json_string(it))));
    }
    bool others = false;
    json_each (it, list)
        others |= !slice_eq_str(json_string(it), "*") &&
                  (!json_string(it).n || !memchr(json_string(it).p, '/', json_string(it).n));
    if (others && has_text(list, "*"))
        place_invalid(c->v, &here, list, "if '*' is present, must not specify other resources without subresources");
    if (json_len(list) > 1 && has_text(list, "*/*"))
        place_invalid(c->v, &here, list, "if '*/*' is present, must not specify other resources");
}

/* value: a rule with its operations. */
static void webhook_rule(const struct rule_call *c)
{
    static const char *const lists[] = {"operations", "apiGroups", "apiVersions", "resources"};
    static const char *const scopes[] = {"*", "Cluster", "Namespaced", NULL};
    static const char *const operations[] = {"*", "CONNECT", "CREATE", "DELETE", "UPDATE", NULL};
    struct place scope = place_member(c->at, "scope"), ops = place_member(c->at, "operations");
    const struct json *s = json_get_str(c->value, "scope");
    size_t i = 0;
    for (size_t l = 0; l < 3; l++)
        check_list(c, lists[l]);
    if (json_len(json_get_str(c->value, "resources")) == 0)
        check_list(c, lists[3]);
    json_each (it, json_get_str(c->value, "operations")) {
        struct place here = place_item(&ops, i++);
        if (!text_is_one_of(json_string(it), operations))
            place_not_supported(c->v, &here, it, operations);
    }
    check_overlaps(c);
    if (!is_blank(s) && !text_is_one_of(json_string(s), scopes))
        place_not_supported(c->v, &scope, s, scopes);
}

/* ---- admission policies ---- */

static void policy(const struct rule_call *c)
{
    struct place rules = place_member(c->at, "matchConstraints"), list = place_member(&rules, "resourceRules");
    struct place kind = place_member(c->at, "paramKind"), validations = place_member(c->at, "validations");
    const struct json *constraints = json_get_str(c->value, "matchConstraints"),
                      *param = json_get_str(c->value, "paramKind");
    bool mutating = slice_eq_str(meta_kind(c->root), "MutatingAdmissionPolicy");
    if (!constraints)
        place_required(c->v, &rules, NULL);
    else if (json_len(json_get_str(constraints, "resourceRules")) == 0)
        place_required(c->v, &list, NULL);
    if (param) {
        member_required(c->v, &kind, param, "apiVersion");
        member_required(c->v, &kind, param, "kind");
    }
    if (!mutating && json_len(json_get_str(c->value, "validations")) == 0 &&
        json_len(json_get_str(c->value, "auditAnnotations")) == 0)
        place_required(c->v, &validations, "validations or auditAnnotations must be non-empty");
    if (mutating && json_len(json_get_str(c->value, "mutations")) == 0)
        member_required(c->v, c->at, c->value, "mutations");
}

static void mutation(const struct rule_call *c)
{
    static const char *const types[] = {"ApplyConfiguration", "JSONPatch", NULL};
    static const char *const members[] = {"applyConfiguration", "jsonPatch"};
    struct slice type = json_path_string(c->value, "patchType");
    for (size_t i = 0; i < 2; i++) {
        struct place here = place_member(c->at, members[i]);
        bool wanted = slice_eq_str(type, types[i]), there = json_get_str(c->value, members[i]);
        if (wanted && !there)
            place_required(c->v, &here, arena_printf(c->v->a, "must be specified when patchType is %s", types[i]));
        else if (!wanted && there && type.n)
            member_invalid(c->v, c->at, c->value, members[i],
                           arena_printf(c->v->a, "must not be specified when patchType is %s", types[!i]));
    }
}

static void param_ref(const struct rule_call *c)
{
    static const char *const actions[] = {"Allow", "Deny", NULL};
    bool name = !is_blank(json_get_str(c->value, "name")), selector = json_get_str(c->value, "selector");
    if (!c->value)
        return;
    if (!name && !selector)
        place_required(c->v, c->at, "one of name or selector must be specified");
    else if (name && selector)
        member_forbidden(c->v, c->at, "name", "name and selector are mutually exclusive");
    member_one_of(c->v, c->at, c->value, "parameterNotFoundAction", actions);
}

/* value: the actions of a binding. */
static void validation_actions(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    if (json_len(c->value) == 0)
        place_required(c->v, c->at, NULL);
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++);
        if (json_get(seen, json_string(it)))
            place_duplicate(c->v, &here, it);
        json_set(c->v->a, seen, json_string(it), json_new_null(c->v->a));
    }
    if (has_text(c->value, "Deny") && has_text(c->value, "Warn"))
        place_invalid(c->v, c->at, c->value,
                      "must not contain both Deny and Warn (repeating the same validation failure information in the "
                      "API response and headers serves no purpose)");
}

/* ---- APIService ---- */

/* value: the APIService. */
static void api_service(const struct rule_call *c)
{
    struct place meta = place_member(c->at, "metadata"), name = place_member(&meta, "name");
    struct place spec = place_member(c->at, "spec"), service = place_member(&spec, "service");
    const struct json *s = json_get_str(c->value, "spec"), *to = json_get_str(s, "service");
    const char *want = arena_printf(c->v->a, "%" SLICE_FMT ".%" SLICE_FMT, SLICE_ARG(json_path_string(s, "version")),
                                    SLICE_ARG(json_path_string(s, "group")));
    bool insecure = json_bool(json_get_str(s, "insecureSkipTLSVerify"), false),
         bundle = !is_blank(json_get_str(s, "caBundle"));
    if (!slice_eq_str(meta_name(c->value), want))
        place_invalid(c->v, &name, json_path(c->value, "metadata.name"),
                      arena_printf(c->v->a, "must be `spec.version+\".\"+spec.group`: \"%s\"", want));
    if (!to) {
        if (bundle)
            member_invalid(c->v, &spec, s, "caBundle", "local APIServices may not have a caBundle");
        if (insecure)
            member_invalid(c->v, &spec, s, "insecureSkipTLSVerify",
                           "local APIServices may not have insecureSkipTLSVerify");
        return;
    }
    member_required(c->v, &service, to, "namespace");
    member_required(c->v, &service, to, "name");
    if (insecure && bundle)
        member_invalid(c->v, &spec, s, "insecureSkipTLSVerify", "may not be true if caBundle is present");
}

/* ---- CustomResourceDefinition ---- */

/* value: the names of the kind. */
static void crd_names(const struct rule_call *c)
{
    static const char *const texts[] = {"plural", "singular"}, *const lists[] = {"shortNames", "categories"};
    static const char *const kinds[] = {"kind", "listKind"};
    for (size_t i = 0; i < 2; i++)
        member_check(c->v, c->at, c->value, texts[i], validate_label_1035);
    for (size_t i = 0; i < 2; i++) {
        struct place here = place_member(c->at, lists[i]);
        struct rule_call list = *c;
        list.at = &here;
        list.value = json_get_str(c->value, lists[i]);
        list.argument = "label-1035";
        rule_find("each")(&list);
    }
    for (size_t i = 0; i < 2; i++) {
        struct slice s = arena_copy(c->v->a, json_path_string(c->value, kinds[i]));
        for (size_t n = 0; n < s.n; n++)
            if (s.p[n] >= 'A' && s.p[n] <= 'Z')
                ((char *)s.p)[n] = (char)(s.p[n] | 0x20);
        if (s.n)
            member_invalid(c->v, c->at, c->value, kinds[i], validate_label_1035(s));
    }
    struct slice kind = json_path_string(c->value, "kind");
    if (kind.n && slice_eq(kind, json_path_string(c->value, "listKind"))) /* no names are accepted yet: not the same */
        member_invalid(c->v, c->at, c->value, "listKind", "kind and listKind may not be the same");
}

/* value: one version. */

static const struct rule_entry entries[] = {
    {"api_service", api_service},
    {"client_config", client_config},
    {"crd_names", crd_names},
    {"mutation", mutation},
    {"param_ref", param_ref},
    {"policy", policy},
    {"review_versions", review_versions},
    {"validation_actions", validation_actions},
    {"webhook_rule", webhook_rule},
};

const struct rule_table rules_extend = RULE_TABLE(entries);
