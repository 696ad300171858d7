/* Further checks that serve many fields: lists as wholes, addresses, paths, names of other kinds, members of objects. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "object/intstr.h"
#include "object/meta.h"
#include "object/path.h"
#include "object/validate_rules.h"

enum { DOMAIN_PATH_SEGMENTS = 3 };

/* ---- members ---- */

void member_required(struct validation *v, const struct place *at, const struct json *obj, const char *member)
{
    struct place here = place_member(at, member);
    if (is_blank(json_get_str(obj, member)))
        place_required(v, &here, NULL);
}

void member_invalid(struct validation *v, const struct place *at, const struct json *obj, const char *member,
                    const char *why)
{
    struct place here = place_member(at, member);
    const struct json *value = json_get_str(obj, member);
    place_invalid(v, &here, value ? value : json_new_str(v->a, ""), why);
}

void member_forbidden(struct validation *v, const struct place *at, const char *member, const char *why)
{
    struct place here = place_member(at, member);
    place_forbidden(v, &here, why);
}

void member_check(struct validation *v, const struct place *at, const struct json *obj, const char *member,
                  const char *(*check)(struct slice s))
{
    const struct json *value = json_get_str(obj, member);
    if (!is_blank(value))
        member_invalid(v, at, obj, member, check(json_string(value)));
}

bool text_is_one_of(struct slice s, const char *const *texts)
{
    for (; *texts; texts++)
        if (slice_eq_str(s, *texts))
            return true;
    return false;
}

void member_one_of(struct validation *v, const struct place *at, const struct json *obj, const char *member,
                   const char *const *allowed)
{
    struct place here = place_member(at, member);
    const struct json *value = json_get_str(obj, member);
    if (is_blank(value))
        place_required(v, &here, NULL);
    else if (!text_is_one_of(json_string(value), allowed))
        place_not_supported(v, &here, value, allowed);
}

size_t members_given(const struct json *obj, const char *const *members, size_t n)
{
    size_t given = 0;
    for (size_t i = 0; i < n; i++) {
        const struct json *v = json_get_str(obj, members[i]);
        given += v && v->type != JSON_NULL;
    }
    return given;
}

/* ---- lists and maps ---- */

/* argument: "check[ its argument]", for each item or value. */
static void each(const struct rule_call *c)
{
    struct slice name, rest;
    struct rule_call one = *c;
    size_t i = 0;
    slice_cut(slice_str(c->argument), ' ', &name, &rest);
    rule_function *f = rule_find_slice(name);
    one.argument = rest.n ? rest.p : "";
    one.old = NULL;
    json_each (it, c->value) {
        struct place here = json_is(c->value, JSON_OBJECT) ? place_key(c->at, it->key) : place_item(c->at, i++);
        one.at = &here;
        one.value = it;
        if (f)
            f(&one);
    }
}

/* argument: a check of texts, for each key of a map. */
static void keys(const struct rule_call *c)
{
    rule_function *f = rule_find(c->argument);
    struct rule_call one = *c;
    one.argument = "";
    one.old = NULL;
    json_each (it, c->value) {
        struct place here = place_key(c->at, it->key);
        one.at = &here;
        one.value = json_new_string(c->v->a, it->key);
        if (f)
            f(&one);
    }
}

/* argument: the most items. */
static void max_items(const struct rule_call *c)
{
    int64_t max = strtoll(c->argument, NULL, 10);
    if ((int64_t)json_len(c->value) > max)
        validation_too_many(c->v, place_path(c->v, c->at), (int64_t)json_len(c->value), max);
}

/* argument: the most bytes. */
static void max_length(const struct rule_call *c)
{
    int64_t max = strtoll(c->argument, NULL, 10);
    if ((int64_t)json_string(c->value).n > max)
        validation_too_long(c->v, place_path(c->v, c->at), max);
}

/* Items with the same members, joined by ',' in the argument, are told as a whole. */
static void unique_together(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, c->value) {
        struct place here = place_item(c->at, i++);
        struct slice rest = slice_str(c->argument), member;
        const char *all = "";
        while (rest.n) {
            slice_cut(rest, ',', &member, &rest);
            all = arena_printf(c->v->a, "%s/%" SLICE_FMT, all, SLICE_ARG(path_text(c->v->a, json_get(it, member))));
        }
        if (json_get_str(seen, all))
            place_duplicate(c->v, &here, it);
        else
            json_set(c->v->a, seen, slice_str(all), json_new_null(c->v->a));
    }
}

/* argument: a member; a repeated one is told as Kubernetes does for mounts. */
static void must_be_unique(const struct rule_call *c)
{
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, c->value) {
        struct place item = place_item(c->at, i++);
        struct slice text = json_path_string(it, c->argument);
        if (text.n && json_get(seen, text))
            member_invalid(c->v, &item, it, c->argument, "must be unique");
        else if (text.n)
            json_set(c->v->a, seen, text, json_new_null(c->v->a));
    }
}

/* ---- numbers and quantities ---- */

static void percent_max(const struct rule_call *c)
{
    int64_t percent;
    if (c->value && intstr_is_percent(c->value, &percent) && percent > 100)
        place_invalid(c->v, c->at, c->value, "must not be greater than 100%");
}

/* A counter that only grows. */
static void not_decremented(const struct rule_call *c)
{
    if (c->update && c->old && json_int(c->value, 0) < json_int(c->old, 0))
        place_invalid(c->v, c->at, c->value ? c->value : json_new_int(c->v->a, 0), "cannot be decremented");
}

/* argument: "member,other,message": the one number is at most the other; absent ones are 0. */
static void at_most(const struct rule_call *c)
{
    struct slice member, other, rest;
    slice_cut(slice_str(c->argument), ',', &member, &rest);
    slice_cut(rest, ',', &other, &rest);
    struct place here = {.up = c->at, .name = member};
    const struct json *n = json_get(c->value, member), *max = json_get(c->value, other);
    if (c->value && json_int(n, 0) > json_int(max, 0))
        place_invalid(c->v, &here, n, rest.p);
}

/* ---- addresses ---- */

bool text_is_ip(struct slice s, int *ret_family)
{
    unsigned char out[16];
    char text[INET6_ADDRSTRLEN + 1];
    if (s.n == 0 || s.n > INET6_ADDRSTRLEN)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *ret_family = inet_pton(AF_INET, text, out) == 1 ? 4 : inet_pton(AF_INET6, text, out) == 1 ? 6 : 0;
    return *ret_family != 0;
}

bool text_is_cidr(struct slice s, int *ret_family)
{
    struct slice ip, tail;
    uint64_t bits;
    if (!slice_cut(s, '/', &ip, &tail) || !text_is_ip(ip, ret_family) || !slice_to_u64(tail, &bits))
        return false;
    return bits <= (*ret_family == 4 ? 32 : 128);
}

static bool has_leading_zero(struct slice s)
{
    struct slice part;
    if (s.n && memchr(s.p, ':', s.n))
        return false;
    while (s.n) {
        slice_cut(s, '.', &part, &s);
        if (part.n > 1 && part.p[0] == '0')
            return true;
    }
    return false;
}

/* The same without zeros in front, to see whether they are all that is wrong. */
static bool is_ip_but_for_zeros(struct slice s)
{
    char text[INET6_ADDRSTRLEN + 1];
    size_t n = 0;
    int family;
    for (size_t i = 0; i < s.n && n < INET6_ADDRSTRLEN; i++) {
        bool first = i == 0 || s.p[i - 1] == '.', more = i + 1 < s.n && s.p[i + 1] != '.';
        if (first && s.p[i] == '0' && more) {
            while (i + 1 < s.n && s.p[i] == '0' && s.p[i + 1] != '.')
                i++;
        }
        text[n++] = s.p[i];
    }
    return text_is_ip(slice_of(text, n), &family);
}

const char *ip_problem(struct slice s)
{
    int family;
    if (has_leading_zero(s) && is_ip_but_for_zeros(s))
        return "must not have leading 0s";
    if (!text_is_ip(s, &family))
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    if (slice_starts(s, SLICE("::ffff:")) && memchr(s.p, '.', s.n))
        return "must not be an IPv4-mapped IPv6 address";
    return NULL;
}

static bool has_host_bits(struct slice ip, uint64_t bits, int family)
{
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN + 1];
    size_t n = family == 4 ? 4 : 16;
    memcpy(text, ip.p, ip.n);
    text[ip.n] = '\0';
    if (inet_pton(family == 4 ? AF_INET : AF_INET6, text, bytes) != 1)
        return false;
    for (size_t i = 0; i < n * 8; i++)
        if (i >= bits && (bytes[i / 8] >> (7 - i % 8) & 1))
            return true;
    return false;
}

const char *cidr_problem(struct slice s)
{
    struct slice ip, tail;
    uint64_t bits = 0;
    int family;
    slice_cut(s, '/', &ip, &tail);
    if (has_leading_zero(ip) && is_ip_but_for_zeros(ip))
        return "must not have leading 0s in IP";
    if (!text_is_cidr(s, &family) || !slice_to_u64(tail, &bits))
        return "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    return has_host_bits(ip, bits, family) ? "must not have bits set beyond the prefix length" : NULL;
}

/* What the servers say of themselves: all on one machine, they are on loopback addresses. */
static bool is_of_servers(const struct json *root)
{
    return slice_eq_str(meta_name(root), "kubernetes") && slice_eq_str(meta_namespace(root), "default") &&
           slice_starts(meta_kind(root), SLICE("Endpoint"));
}

/* An address that others can reach: not "this host", nor "this link". */
static void reachable_ip(const struct rule_call *c)
{
    struct slice s = json_string(c->value);
    int family;
    if (!text_is_ip(s, &family)) {
        place_invalid(c->v, c->at, c->value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return;
    }
    if (slice_eq_str(s, "0.0.0.0") || slice_eq_str(s, "::"))
        place_invalid(c->v, c->at, c->value, "may not be unspecified (0.0.0.0 or ::)");
    if ((slice_starts(s, SLICE("127.")) || slice_eq_str(s, "::1")) && !is_of_servers(c->root))
        place_invalid(c->v, c->at, c->value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    if (slice_starts(s, SLICE("169.254.")) || slice_starts(s, SLICE("fe80:")))
        place_invalid(c->v, c->at, c->value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    if (slice_starts(s, SLICE("224.0.0.")) || slice_starts(s, SLICE("ff02:")))
        place_invalid(c->v, c->at, c->value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

/* At most two, one of each family. */
static void one_per_family(const struct rule_call *c)
{
    size_t n[2] = {0}, i = 0;
    json_each (it, c->value) {
        struct slice s = json_string(it);
        int family;
        if (json_is(it, JSON_OBJECT))
            s = json_path_string(it, "ip");
        if (text_is_ip(s, &family) || text_is_cidr(s, &family))
            n[family == 6]++;
        i++;
    }
    if (i > 2 || n[0] > 1 || n[1] > 1)
        place_invalid(c->v, c->at, c->value,
                      arena_printf(c->v->a, "may specify no more than one %s for each IP family", c->argument));
}

/* ---- texts ---- */

static void absolute_path(const struct rule_call *c)
{
    struct slice s = json_string(c->value);
    if (s.n && s.p[0] != '/')
        place_invalid(c->v, c->at, c->value, "must be an absolute path");
}

/* ".." as a part of a path. */
static void no_backsteps(const struct rule_call *c)
{
    struct slice rest = json_string(c->value), part;
    while (rest.n) {
        slice_cut(rest, '/', &part, &rest);
        if (slice_eq_str(part, "..")) {
            place_invalid(c->v, c->at, c->value, "must not contain '..'");
            return;
        }
    }
}

static void label_value(const struct rule_call *c)
{
    place_invalid(c->v, c->at, c->value, validate_label_value(json_string(c->value)));
}

static void label_1035(const struct rule_call *c)
{
    if (!is_blank(c->value))
        place_invalid(c->v, c->at, c->value, validate_label_1035(json_string(c->value)));
}

static bool is_lower_case(const struct rule_call *c, struct slice *ret)
{
    struct slice copy = arena_copy(c->v->a, json_string(c->value));
    for (size_t i = 0; i < copy.n; i++)
        if (copy.p[i] >= 'A' && copy.p[i] <= 'Z')
            ((char *)copy.p)[i] = (char)(copy.p[i] | 0x20);
    *ret = copy;
    return copy.p != NULL;
}

/* A name of which only the letters' case is free. */
static void subdomain_any_case(const struct rule_call *c)
{
    struct slice lower;
    if (!is_blank(c->value) && is_lower_case(c, &lower))
        place_invalid(c->v, c->at, c->value, validate_subdomain(lower));
}

static void qualified_any_case(const struct rule_call *c)
{
    struct slice lower;
    if (!is_blank(c->value) && is_lower_case(c, &lower))
        place_invalid(c->v, c->at, c->value, validate_qualified_name(lower));
}

/* "example.com/path": a domain and something behind it. */
static void domain_path(const struct rule_call *c)
{
    struct slice domain, path, s = json_string(c->value);
    if (s.n == 0)
        return;
    bool cut = slice_cut(s, '/', &domain, &path);
    if (!cut || domain.n == 0 || path.n == 0)
        place_invalid(c->v, c->at, c->value, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    else
        place_invalid(c->v, c->at, c->value, validate_subdomain(domain));
}

/* A domain of at least three segments. */
static void full_domain(const struct rule_call *c)
{
    struct slice rest = json_string(c->value), part;
    size_t n = 0;
    if (rest.n == 0)
        return;
    place_invalid(c->v, c->at, c->value, validate_subdomain(rest));
    while (rest.n) {
        slice_cut(rest, '.', &part, &rest);
        n++;
    }
    if (n < DOMAIN_PATH_SEGMENTS)
        place_invalid(c->v, c->at, c->value, "should be a domain with at least three segments separated by dots");
}

static const struct rule_entry entries[] = {
    {"absolute-path", absolute_path},
    {"at-most", at_most},
    {"domain-path", domain_path},
    {"each", each},
    {"full-domain", full_domain},
    {"keys", keys},
    {"label-1035", label_1035},
    {"label-value", label_value},
    {"max-items", max_items},
    {"max-length", max_length},
    {"must-be-unique", must_be_unique},
    {"no-backsteps", no_backsteps},
    {"not-decremented", not_decremented},
    {"one-per-family", one_per_family},
    {"percent-max", percent_max},
    {"qualified-any-case", qualified_any_case},
    {"reachable-ip", reachable_ip},
    {"subdomain-any-case", subdomain_any_case},
    {"unique-together", unique_together},
};

const struct rule_table rules_values = RULE_TABLE(entries);
