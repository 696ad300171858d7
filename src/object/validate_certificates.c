/* Rules of requests for certificates. */
#include "base/text.h"
#include "object/validate_rules.h"

static const char *const verdicts[] = {"Approved", "Denied", "Failed"};

/* Whether encoded bytes are a PEM block of the type; its contents are the signer's to read. */
static bool is_pem(const struct json *encoded, const char *type, bool *is_block)
{
    struct buf text = BUF_INIT(2 << 20);
    bool found = false;
    *is_block = false;
    if (base64_decode(&text, json_string(encoded)) == 0) {
        struct slice rest = buf_slice(&text), line, wanted = slice_str(type);
        while (rest.n && !*is_block) {
            slice_cut(rest, '\n', &line, &rest);
            *is_block = slice_starts(line, SLICE("-----BEGIN "));
            found = *is_block && slice_starts(slice_from(line, sizeof "-----BEGIN " - 1), wanted) &&
                    slice_starts(slice_from(line, sizeof "-----BEGIN " - 1 + wanted.n), SLICE("-----"));
        }
    }
    buf_done(&text);
    return found;
}

/* value: the bytes of the request. */
static void certificate_request(const struct rule_call *c)
{
    bool block;
    if (!is_blank(c->value) && !c->update && !is_pem(c->value, "CERTIFICATE REQUEST", &block))
        place_invalid(c->v, c->at, c->value, "unable to parse csr: PEM block type must be CERTIFICATE REQUEST");
}

static void check_certificate(const struct rule_call *c)
{
    struct place here = place_member(c->at, "certificate");
    const struct json *now = json_get_str(c->value, "certificate"), *before = json_get_str(c->old, "certificate");
    bool block;
    if (is_blank(now) || (before && json_equal(now, before)) || is_pem(now, "CERTIFICATE", &block))
        return;
    place_invalid(c->v, &here, json_new_str(c->v->a, "<certificate data>"),
                  block ? "PEM block type must be CERTIFICATE" : "must contain one or more PEM blocks");
}

static bool has_condition(const struct json *status, const char *type)
{
    json_each (it, json_get_str(status, "conditions"))
        if (slice_eq_str(json_path_string(it, "type"), type))
            return true;
    return false;
}

/* A verdict stays. */
static void check_kept(const struct rule_call *c)
{
    struct place list = place_member(c->at, "conditions");
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        if (has_condition(c->old, verdicts[i]) && !has_condition(c->value, verdicts[i]))
            place_forbidden(c->v, &list,
                            arena_printf(c->v->a, "updates may not remove a condition of type \"%s\"", verdicts[i]));
}

static void check_condition(const struct rule_call *c, const struct json *condition, const struct place *at)
{
    static const char *const all[] = {"False", "True", "Unknown", NULL}, *const yes[] = {"True", NULL};
    struct place status = place_member(at, "status");
    struct slice s = json_path_string(condition, "status");
    bool verdict = false;
    for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        verdict |= slice_eq_str(json_path_string(condition, "type"), verdicts[i]);
    if (s.n == 0)
        place_required(c->v, &status, NULL);
    else if (!text_is_one_of(s, verdict ? yes : all))
        place_not_supported(c->v, &status, json_get_str(condition, "status"), verdict ? yes : all);
}

/* value: the status: approved or denied, not both. */
static void csr_status(const struct rule_call *c)
{
    struct place list = place_member(c->at, "conditions");
    struct json *seen = json_new_object(c->v->a);
    size_t i = 0;
    json_each (it, json_get_str(c->value, "conditions")) {
        struct place here = place_item(&list, i++), at = place_member(&here, "type");
        struct slice type = json_path_string(it, "type");
        bool other = (slice_eq_str(type, "Approved") && json_get_str(seen, "Denied")) ||
                     (slice_eq_str(type, "Denied") && json_get_str(seen, "Approved"));
        if (type.n == 0)
            place_required(c->v, &at, NULL);
        else if (json_get(seen, type))
            place_duplicate(c->v, &at, json_get_str(it, "type"));
        else if (other)
            place_invalid(c->v, &at, json_get_str(it, "type"), "Approved and Denied conditions are mutually exclusive");
        json_set(c->v->a, seen, type, json_new_null(c->v->a));
        check_condition(c, it, &here);
    }
    if (c->update) {
        check_kept(c);
        check_certificate(c);
    }
}

static const struct rule_entry entries[] = {
    {"certificate_request", certificate_request},
    {"csr_status", csr_status},
};

const struct rule_table rules_certificates = RULE_TABLE(entries);
