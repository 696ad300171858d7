/* Checks that serve many fields; the name and the argument stand in the table. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "object/intstr.h"
#include "object/path.h"
#include "object/quantity.h"
#include "object/validate_rules.h"

enum { LIST_MAX = 16 };

/* ---- presence ---- */

static void required(const struct rule_call *c)
{
    if (is_blank(c->value))
        place_required(c->v, c->at, *c->argument ? c->argument : NULL);
}

static void forbidden(const struct rule_call *c)
{
    if (!is_blank(c->value))
        place_forbidden(c->v, c->at, *c->argument ? c->argument : NULL);
}

/* Only read by the walk. */
static void may_be_empty(const struct rule_call *c)
{
    (void)c;
}

/* value: a handler; argument: its kinds, joined by ','. */
static void exactly_one_of(const struct rule_call *c)
{
    struct slice rest = slice_str(c->argument), member;
    size_t n = 0;
    if (!c->value)
        return;
    while (rest.n) {
        slice_cut(rest, ',', &member, &rest);
        const struct json *v = json_get(c->value, member);
        if (v && v->type != JSON_NULL && ++n > 1) {
            struct place here = {.up = c->at, .name = member};
            place_forbidden(c->v, &here, "may not specify more than 1 handler type");
        }
    }
    if (n == 0)
        place_required(c->v, c->at, "must specify a handler type");
}

/* ---- immutability ---- */

static void immutable(const struct rule_call *c)
{
    if (c->update && !(is_blank(c->value) && is_blank(c->old)) && !json_equal(c->value, c->old))
        place_invalid(c->v, c->at, c->value, *c->argument ? c->argument : "field is immutable");
}

/* May be set once. */
static void immutable_once_set(const struct rule_call *c)
{
    if (!is_blank(c->old))
        immutable(c);
}

/* May be set and taken away, not changed. */
static void no_modify(const struct rule_call *c)
{
    if (!is_blank(c->value) && !is_blank(c->old))
        immutable(c);
}

/* May not be given; argument: what is said. */
static void absent(const struct rule_call *c)
{
    if (json_len(c->value))
        place_forbidden(c->v, c->at, c->argument);
}

/* May not change (frozen), or only be set once; argument: what is said. */
static void frozen(const struct rule_call *c)
{
    if (c->update && !(is_blank(c->value) && is_blank(c->old)) && !json_equal(c->value, c->old))
        place_forbidden(c->v, c->at, c->argument);
}

static void frozen_once_set(const struct rule_call *c)
{
    if (!is_blank(c->old))
        frozen(c);
}

/* ---- numbers ---- */

void check_range(struct validation *v, const struct place *at, const struct json *value, int64_t min, int64_t max)
{
    int64_t n = json_int(value, min);
    if (!value || (n >= min && n <= max))
        return;
    if (max == INT64_MAX)
        place_invalid(v, at, value, arena_printf(v->a, "must be greater than or equal to %lld", (long long)min));
    else
        place_invalid(v, at, value,
                      arena_printf(v->a, "must be between %lld and %lld, inclusive", (long long)min, (long long)max));
}

/* argument: "min" or "min,max". */
static void range(const struct rule_call *c)
{
    char *end;
    long long min = strtoll(c->argument, &end, 10);
    check_range(c->v, c->at, c->value, min, *end == ',' ? strtoll(end + 1, NULL, 10) : INT64_MAX);
}

/* A port that must be there. */
static void port(const struct rule_call *c)
{
    if (json_int(c->value, 0) == 0)
        place_required(c->v, c->at, NULL);
    else
        check_range(c->v, c->at, c->value, 1, 65535);
}

/* Permissions of a file. */
static void file_mode(const struct rule_call *c)
{
    int64_t mode = json_int(c->value, 0);
    if (mode < 0 || mode > 0777)
        place_invalid(c->v, c->at, c->value, "must be a number between 0 and 0777 (octal), both inclusive");
}

static void positive(const struct rule_call *c)
{
    if (c->value && json_int(c->value, 1) <= 0)
        place_invalid(c->v, c->at, c->value, "must be greater than zero");
}

static void weight(const struct rule_call *c)
{
    int64_t n = json_int(c->value, 0);
    if (n < 1 || n > 100)
        place_invalid(c->v, c->at, c->value, "must be in the range 1-100");
}

/* 0 is as good as none. */
static void optional_port(const struct rule_call *c)
{
    if (json_int(c->value, 0))
        check_range(c->v, c->at, c->value, 1, 65535);
}

/* A number or a port's name. */
static void port_reference(const struct rule_call *c)
{
    if (json_is(c->value, JSON_STRING))
        place_invalid(c->v, c->at, c->value, validate_port_name(c->value->u.string));
    else if (c->value)
        check_range(c->v, c->at, c->value, 1, 65535);
}

static void int_or_percent(const struct rule_call *c)
{
    int64_t percent;
    if (json_is(c->value, JSON_STRING) && !intstr_is_percent(c->value, &percent))
        place_invalid(c->v, c->at, c->value,
                      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
                      "'93%', regex used for validation is '[0-9]+%')");
    else if (json_is(c->value, JSON_INT))
        check_range(c->v, c->at, c->value, 0, INT64_MAX);
}

static void quantity_not_negative(const struct rule_call *c)
{
    struct quantity q;
    if (quantity_from_json(c->value, &q) && q.nano < 0)
        place_invalid(c->v, c->at, c->value, "must be greater than or equal to 0");
}

/* ---- texts ---- */

static void by_rule(const struct rule_call *c, const char *(*check)(struct slice s))
{
    if (!is_blank(c->value))
        place_invalid(c->v, c->at, c->value, check(json_string(c->value)));
}

static void subdomain(const struct rule_call *c)
{
    by_rule(c, validate_subdomain);
}

static void label(const struct rule_call *c)
{
    by_rule(c, validate_label_name);
}

static void qualified_name(const struct rule_call *c)
{
    by_rule(c, validate_qualified_name);
}

static void port_name(const struct rule_call *c)
{
    by_rule(c, validate_port_name);
}

static void path_segment(const struct rule_call *c)
{
    by_rule(c, validate_path_segment);
}

static void labels(const struct rule_call *c)
{
    validate_labels(c->v, c->at, c->value);
}

/* argument: allowed texts, joined by ','. */
static void one_of(const struct rule_call *c)
{
    struct slice rest = slice_str(c->argument), text;
    const char *allowed[LIST_MAX + 1];
    size_t n = 0;
    if (is_blank(c->value))
        return;
    while (rest.n && n < LIST_MAX) {
        slice_cut(rest, ',', &text, &rest);
        if (slice_eq(json_string(c->value), text))
            return;
        allowed[n++] = arena_copy(c->v->a, text).p;
    }
    allowed[n] = NULL;
    place_not_supported(c->v, c->at, c->value, allowed);
}

static void ip_address(const struct rule_call *c)
{
    unsigned char out[16];
    const char *text = arena_copy(c->v->a, json_string(c->value)).p;
    if (!is_blank(c->value) && text && inet_pton(AF_INET, text, out) != 1 && inet_pton(AF_INET6, text, out) != 1)
        place_invalid(c->v, c->at, c->value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

static void cidr(const struct rule_call *c)
{
    struct slice head, tail;
    unsigned char out[16];
    uint64_t bits;
    if (is_blank(c->value))
        return;
    bool cut = slice_cut(json_string(c->value), '/', &head, &tail);
    const char *text = arena_copy(c->v->a, head).p;
    bool v4 = text && inet_pton(AF_INET, text, out) == 1, v6 = text && !v4 && inet_pton(AF_INET6, text, out) == 1;
    if (!cut || !(v4 || v6) || !slice_to_u64(tail, &bits) || bits > (v4 ? 32 : 128))
        place_invalid(c->v, c->at, c->value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
}

/* A path inside a volume: relative, without "..". */
static void relative_path(const struct rule_call *c)
{
    struct slice rest = json_string(c->value), part;
    if (is_blank(c->value))
        return;
    if (rest.p[0] == '/')
        place_invalid(c->v, c->at, c->value, "must be a relative path");
    while (rest.n) {
        slice_cut(rest, '/', &part, &rest);
        if (slice_eq_str(part, ".."))
            place_invalid(c->v, c->at, c->value, "must not contain '..'");
    }
}

/* ---- lists ---- */

/* argument: the member that tells items apart, "" for the items themselves. Only scalars are compared. */
static void unique(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, c->value) {
        struct place item = place_item(c->at, i++), here = place_member(&item, c->argument);
        const struct json *key = *c->argument ? json_get_str(it, c->argument) : it;
        struct slice text = path_text(c->v->a, key);
        if (text.n == 0)
            continue;
        if (json_get(seen, text))
            place_duplicate(c->v, *c->argument ? &here : &item, key);
        else
            json_set(c->v->a, seen, text, json_new_null(c->v->a));
    }
}

/* ---- selectors ---- */

static void selector_requirement(const struct rule_call *c)
{
    struct slice op = json_path_string(c->value, "operator");
    struct place key = place_member(c->at, "key"), operator= place_member(c->at, "operator");
    struct place values = place_member(c->at, "values");
    bool listed = slice_eq_str(op, "In") || slice_eq_str(op, "NotIn");
    bool plain = slice_eq_str(op, "Exists") || slice_eq_str(op, "DoesNotExist");
    size_t n = json_len(json_get_str(c->value, "values"));
    if (!listed && !plain)
        place_invalid(c->v, &operator, json_get_str(c->value, "operator"), "not a valid selector operator");
    if (listed && n == 0)
        place_required(c->v, &values, "must be specified when `operator` is 'In' or 'NotIn'");
    if (plain && n)
        place_forbidden(c->v, &values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    place_invalid(c->v, &key, json_get_str(c->value, "key"),
                  validate_qualified_name(json_path_string(c->value, "key")));
    n = 0;
    json_each (it, json_get_str(c->value, "values")) {
        struct place here = place_item(&values, n++);
        place_invalid(c->v, &here, it, validate_label_value(json_string(it)));
    }
}

static const struct rule_entry entries[] = {
    {"absent", absent},
    {"cidr", cidr},
    {"exactly-one-of", exactly_one_of},
    {"file-mode", file_mode},
    {"forbidden", forbidden},
    {"frozen", frozen},
    {"frozen-once-set", frozen_once_set},
    {"immutable", immutable},
    {"immutable-once-set", immutable_once_set},
    {"int-or-percent", int_or_percent},
    {"ip", ip_address},
    {"label", label},
    {"labels", labels},
    {"may-be-empty", may_be_empty},
    {"no-modify", no_modify},
    {"one-of", one_of},
    {"optional-port", optional_port},
    {"path-segment", path_segment},
    {"port", port},
    {"port-name", port_name},
    {"port-reference", port_reference},
    {"positive", positive},
    {"qualified-name", qualified_name},
    {"quantity", quantity_not_negative},
    {"range", range},
    {"relative-path", relative_path},
    {"required", required},
    {"selector-requirement", selector_requirement},
    {"subdomain", subdomain},
    {"unique", unique},
    {"weight", weight},
};

const struct rule_table rules_general = RULE_TABLE(entries);
