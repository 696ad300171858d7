/* Rules of CustomResourceDefinitions: their versions, and the schemas, which must be structural. */
#include "object/meta.h"
#include "object/validate_rules.h"

enum { WARNING_MAX = 256, SCHEMA_DEPTH_MAX = 64 };

/* ---- printer columns, scale ---- */

static void check_column(const struct rule_call *c, const struct json *column, const struct place *at)
{
    static const char *const types[] = {"boolean", "date", "integer", "number", "string", NULL};
    static const char *const formats[] = {"byte",  "date",  "date-time", "double", "float",
                                          "int32", "int64", "password",  NULL};
    struct slice type = json_path_string(column, "type"), format = json_path_string(column, "format");
    if (type.n && !text_is_one_of(type, types))
        member_invalid(c->v, at, column, "type", "must be one of boolean,date,integer,number,string");
    if (format.n && !text_is_one_of(format, formats))
        member_invalid(c->v, at, column, "format",
                       "must be one of byte,date,date-time,double,float,int32,int64,password");
}

static void check_scale_path(const struct rule_call *c, const struct place *at, const struct json *scale,
                             const char *member, bool spec, bool status)
{
    struct slice s = json_path_string(scale, member);
    bool fits = (spec && slice_starts(s, SLICE(".spec."))) || (status && slice_starts(s, SLICE(".status.")));
    if (s.n && !fits)
        member_invalid(c->v, at, scale, member,
                       spec && status ? "should be a json path under either .status or .spec"
                       : spec         ? "should be a json path under .spec"
                                      : "should be a json path under .status");
}

/* ---- structural schemas ---- */

struct schema_walk {
    const struct rule_call *c;
    unsigned depth;
    bool junctor; /* inside allOf, anyOf, oneOf or not: what describes a value is said outside */
};

static void check_schema(struct schema_walk w, const struct json *s, const struct place *at, bool root);

static bool is_true(const struct json *s, const char *member)
{
    return json_bool(json_get_str(s, member), false);
}

static void check_unsupported(const struct rule_call *c, const struct json *s, const struct place *at)
{
    static const char *const members[] = {"definitions", "dependencies", "patternProperties",
                                          "id",          "$ref",         "additionalItems"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!is_blank(json_get_str(s, members[i])))
            member_forbidden(c->v, at, members[i], arena_printf(c->v->a, "%s is not supported", members[i]));
    if (is_true(s, "uniqueItems"))
        member_forbidden(c->v, at, "uniqueItems",
                         "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    if (json_len(json_get_str(s, "properties")) && json_get_str(s, "additionalProperties"))
        member_forbidden(c->v, at, "additionalProperties", "additionalProperties and properties are mutual exclusive");
    if (slice_eq_str(json_path_string(s, "type"), "null"))
        member_forbidden(c->v, at, "type", "type cannot be set to null, use nullable as an alternative");
    if (json_is(json_get_str(s, "items"), JSON_ARRAY))
        member_forbidden(c->v, at, "items", "items must be a schema object and not an array");
}

static void check_type(const struct schema_walk *w, const struct json *s, const struct place *at, bool root)
{
    const struct rule_call *c = w->c;
    struct place here = place_member(at, "type");
    const struct json *type = json_get_str(s, "type");
    if (w->junctor) {
        static const char *const outside[] = {"type", "default", "title", "description", "nullable"};
        for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
            if (!is_blank(json_get_str(s, outside[i])))
                member_forbidden(c->v, at, outside[i], "must be empty to be structural");
        return;
    }
    if (root && is_blank(type))
        place_required(c->v, &here, "must not be empty at the root");
    else if (root && !slice_eq_str(json_string(type), "object"))
        place_invalid(c->v, &here, type, "must be object at the root");
    else if (is_blank(type) && !is_true(s, "x-kubernetes-int-or-string") &&
             !is_true(s, "x-kubernetes-preserve-unknown-fields"))
        place_required(c->v, &here, "must not be empty for specified object fields");
    if (root && is_true(s, "nullable"))
        member_forbidden(c->v, at, "nullable", "nullable cannot be true at the root");
}

static void check_extensions(const struct rule_call *c, const struct json *s, const struct place *at)
{
    static const char *const lists[] = {"atomic", "map", "set", NULL}, *const maps[] = {"atomic", "granular", NULL};
    const struct json *list = json_get_str(s, "x-kubernetes-list-type"),
                      *map = json_get_str(s, "x-kubernetes-map-type");
    struct place list_at = place_member(at, "x-kubernetes-list-type"),
                 map_at = place_member(at, "x-kubernetes-map-type");
    struct place keys = place_member(at, "x-kubernetes-list-map-keys");
    if (!is_blank(list) && !text_is_one_of(json_string(list), lists))
        place_not_supported(c->v, &list_at, list, lists);
    if (!is_blank(map) && !text_is_one_of(json_string(map), maps))
        place_not_supported(c->v, &map_at, map, maps);
    if (slice_eq_str(json_string(list), "map") && !json_len(json_get_str(s, "x-kubernetes-list-map-keys")))
        place_required(c->v, &keys, "must not be empty if x-kubernetes-list-type is map");
    if (is_true(s, "x-kubernetes-embedded-resource") && !slice_eq_str(json_path_string(s, "type"), "object"))
        member_invalid(c->v, at, s, "type", "must be object if x-kubernetes-embedded-resource is true");
}

static void check_below(struct schema_walk w, const struct json *s, const struct place *at)
{
    static const char *const junctors[] = {"allOf", "anyOf", "oneOf"};
    struct place properties = place_member(at, "properties"), items = place_member(at, "items");
    struct place additional = place_member(at, "additionalProperties"), not = place_member(at, "not");
    w.depth++;
    json_each (it, json_get_str(s, "properties")) {
        struct place here = place_key(&properties, it->key);
        check_schema(w, it, &here, false);
    }
    if (json_is(json_get_str(s, "items"), JSON_OBJECT))
        check_schema(w, json_get_str(s, "items"), &items, false);
    if (json_is(json_get_str(s, "additionalProperties"), JSON_OBJECT))
        check_schema(w, json_get_str(s, "additionalProperties"), &additional, false);
    w.junctor = true;
    for (size_t i = 0; i < sizeof junctors / sizeof *junctors; i++) {
        struct place list = place_member(at, junctors[i]);
        size_t n = 0;
        json_each (it, json_get_str(s, junctors[i])) {
            struct place here = place_item(&list, n++);
            check_schema(w, it, &here, false);
        }
    }
    if (json_get_str(s, "not"))
        check_schema(w, json_get_str(s, "not"), &not, false);
}

static void check_schema(struct schema_walk w, const struct json *s, const struct place *at, bool root)
{
    if (w.depth > SCHEMA_DEPTH_MAX) {
        place_forbidden(w.c->v, at, "schemas may not be nested deeper than 64");
        return;
    }
    check_unsupported(w.c, s, at);
    check_type(&w, s, at, root);
    check_extensions(w.c, s, at);
    check_below(w, s, at);
}

/* ---- versions ---- */

static void crd_version(const struct rule_call *c)
{
    const struct json *warning = json_get_str(c->value, "deprecationWarning");
    const struct json *schema = json_path(c->value, "schema.openAPIV3Schema"),
                      *scale = json_path(c->value, "subresources.scale");
    struct slice w = json_string(warning);
    struct place subs = place_member(c->at, "subresources"), scale_at = place_member(&subs, "scale");
    struct place columns = place_member(c->at, "additionalPrinterColumns");
    struct place holder = place_member(c->at, "schema"), root = place_member(&holder, "openAPIV3Schema");
    size_t i = 0;
    member_check(c->v, c->at, c->value, "name", validate_label_1035);
    json_each (it, json_get_str(c->value, "additionalPrinterColumns")) {
        struct place here = place_item(&columns, i++);
        check_column(c, it, &here);
    }
    check_scale_path(c, &scale_at, scale, "specReplicasPath", true, false);
    check_scale_path(c, &scale_at, scale, "statusReplicasPath", false, true);
    check_scale_path(c, &scale_at, scale, "labelSelectorPath", true, true);
    if (schema)
        check_schema((struct schema_walk){.c = c}, schema, &root, true);
    if (!warning)
        return;
    if (!json_bool(json_get_str(c->value, "deprecated"), false))
        member_invalid(c->v, c->at, c->value, "deprecationWarning", "can only be set for deprecated versions");
    if (w.n == 0)
        member_invalid(c->v, c->at, c->value, "deprecationWarning", "must not be an empty string");
    if (w.n > WARNING_MAX)
        member_invalid(c->v, c->at, c->value, "deprecationWarning", "must be <= 256 characters long");
}

/* ---- the definition ---- */

static bool is_established(const struct json *crd)
{
    json_each (it, json_path(crd, "status.conditions"))
        if (slice_eq_str(json_path_string(it, "type"), "Established") &&
            slice_eq_str(json_path_string(it, "status"), "True"))
            return true;
    return false;
}

static bool has_version(const struct json *crd, struct slice name)
{
    json_each (it, json_path(crd, "spec.versions"))
        if (slice_eq(json_path_string(it, "name"), name))
            return true;
    return false;
}

/* Objects are stored in a version until they are written anew. */
static void check_stored(const struct rule_call *c)
{
    struct place status = place_member(c->at, "status"), list = place_member(&status, "storedVersions");
    size_t i = 0;
    json_each (it, json_path(c->value, "status.storedVersions")) {
        struct place here = place_item(&list, i++);
        struct slice name = json_string(it);
        if (!has_version(c->value, name))
            place_invalid(c->v, &here, it,
                          arena_printf(c->v->a,
                                       "missing from spec.versions; %" SLICE_FMT
                                       " was previously a storage version, and must remain in spec.versions until a "
                                       "storage migration ensures no data remains persisted in %" SLICE_FMT
                                       " and removes %" SLICE_FMT " from status.storedVersions",
                                       SLICE_ARG(name), SLICE_ARG(name), SLICE_ARG(name)));
    }
}

/* value: the definition: what its objects are stored under does not change any more. */
static void crd_update(const struct rule_call *c)
{
    static const char *const paths[] = {"scope", "names.kind", "names.plural"};
    struct place spec = place_member(c->at, "spec"), group = place_member(&spec, "group");
    if (!c->update || !c->old)
        return;
    if (!json_equal(json_path(c->value, "spec.group"), json_path(c->old, "spec.group")))
        place_invalid(c->v, &group, json_path(c->value, "spec.group"), "field is immutable");
    for (size_t i = 0; i < 3 && is_established(c->old); i++) {
        struct place here = place_member(&spec, paths[i]);
        const struct json *now = json_path(json_get_str(c->value, "spec"), paths[i]);
        if (!json_equal(now, json_path(json_get_str(c->old, "spec"), paths[i])))
            place_invalid(c->v, &here, now, "field is immutable");
    }
    check_stored(c);
}

static bool is_domain_or_below(struct slice group, const char *domain)
{
    struct slice d = slice_str(domain);
    return slice_eq(group, d) || (slice_ends(group, d) && group.n > d.n && group.p[group.n - d.n - 1] == '.');
}

/* value: a new definition: Kubernetes' own groups are for what its community has seen. */
static void crd_approval(const struct rule_call *c)
{
    static const struct slice key = SLICE_INIT("api-approved.kubernetes.io");
    struct place meta = place_member(c->at, "metadata"), notes = place_member(&meta, "annotations");
    struct place here = place_key(&notes, key);
    struct slice group = json_path_string(c->value, "spec.group"), said = meta_annotation(c->value, key);
    if (c->update || !(is_domain_or_below(group, "k8s.io") || is_domain_or_below(group, "kubernetes.io")))
        return;
    if (!said.n)
        place_required(c->v, &here,
                       "protected groups must have approval annotation \"api-approved.kubernetes.io\", see "
                       "https://github.com/kubernetes/enhancements/pull/1111");
    else if (!slice_starts(said, SLICE("unapproved")) && !slice_starts(said, SLICE("https://")) &&
             !slice_starts(said, SLICE("http://")))
        place_invalid(c->v, &here, json_new_string(c->v->a, said),
                      "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL "
                      "or a reason starting with \"unapproved\", see "
                      "https://github.com/kubernetes/enhancements/pull/1111");
}

/* value: the versions: each has a name of its own. preserveUnknownFields is a thing of the past. */
static void crd_spec(const struct rule_call *c)
{
    struct place conversion = place_member(c->at, "conversion");
    const struct json *versions = json_get_str(c->value, "versions"), *how = json_get_str(c->value, "conversion");
    struct json *seen = json_new_object(c->v->a);
    static const char *const strategies[] = {"None", "Webhook", NULL};
    bool unique = true;
    json_each (it, versions) {
        struct slice name = json_path_string(it, "name");
        unique &= !name.n || !json_get(seen, name);
        json_set(c->v->a, seen, name, json_new_null(c->v->a));
    }
    if (!unique)
        member_invalid(c->v, c->at, c->value, "versions", "must contain unique version names");
    if (json_bool(json_get_str(c->value, "preserveUnknownFields"), false))
        member_invalid(c->v, c->at, c->value, "preserveUnknownFields",
                       "must be false in order to use apiextensions.k8s.io/v1");
    if (how)
        member_one_of(c->v, &conversion, how, "strategy", strategies);
    if (slice_eq_str(json_path_string(how, "strategy"), "Webhook") && !json_path(how, "webhook.clientConfig"))
        member_required(c->v, &conversion, json_new_object(c->v->a), "webhookClientConfig");
    struct slice group = json_path_string(c->value, "group");
    if (group.n && !memchr(group.p, '.', group.n))
        member_invalid(c->v, c->at, c->value, "group", "should be a domain with at least one dot");
}

static const struct rule_entry entries[] = {
    {"crd_approval", crd_approval},
    {"crd_spec", crd_spec},
    {"crd_update", crd_update},
    {"crd_version", crd_version},
};

const struct rule_table rules_definitions = RULE_TABLE(entries);
