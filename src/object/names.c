/* The name rules of Kubernetes (RFC 1123, RFC 1035, qualified names), with the messages its clients know. */
#include "object/validate.h"

#define SUBDOMAIN_TEXT                                                                                                 \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "   \
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "                        \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define QUALIFIED_TEXT                                                                                                 \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " \
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "                                      \
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

enum { SUBDOMAIN_MAX = 253, LABEL_MAX = 63, PORT_NAME_MAX = 15 };

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* [a-z0-9]([-a-z0-9]*[a-z0-9])? */
static bool is_label(struct slice s)
{
    if (s.n == 0 || !is_lower_alnum(s.p[0]) || !is_lower_alnum(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_lower_alnum(s.p[i]) && s.p[i] != '-')
            return false;
    return true;
}

static bool is_subdomain(struct slice s)
{
    struct slice part;
    bool more = true;
    while (more) {
        more = slice_cut(s, '.', &part, &s);
        if (!is_label(part))
            return false;
    }
    return true;
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9] */
static bool is_loose(struct slice s)
{
    if (s.n == 0 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && (!s.p[i] || !strchr("-_.", s.p[i])))
            return false;
    return true;
}

const char *validate_subdomain(struct slice s)
{
    if (s.n > SUBDOMAIN_MAX)
        return "must be no more than 253 bytes";
    return is_subdomain(s) ? NULL : SUBDOMAIN_TEXT;
}

const char *validate_label_name(struct slice s)
{
    if (s.n > LABEL_MAX)
        return "must be no more than 63 bytes";
    return is_label(s)
               ? NULL
               : "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
                 "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
                 "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
}

const char *validate_label_1035(struct slice s)
{
    if (s.n > LABEL_MAX)
        return "must be no more than 63 bytes";
    bool letter = s.n && s.p[0] >= 'a' && s.p[0] <= 'z';
    return letter && is_label(s)
               ? NULL
               : "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
                 "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
                 "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
}

const char *validate_path_segment(struct slice s)
{
    if (slice_eq_str(s, "."))
        return "may not be '.'";
    if (slice_eq_str(s, ".."))
        return "may not be '..'";
    if (s.n && memchr(s.p, '/', s.n))
        return "may not contain '/'";
    return s.n && memchr(s.p, '%', s.n) ? "may not contain '%'" : NULL;
}

static const char *qualified_prefix(struct slice prefix)
{
    if (prefix.n == 0)
        return "prefix part must be non-empty";
    if (prefix.n > SUBDOMAIN_MAX)
        return "prefix part must be no more than 253 bytes";
    return is_subdomain(prefix) ? NULL : "prefix part " SUBDOMAIN_TEXT;
}

const char *validate_qualified_name(struct slice s)
{
    struct slice prefix, name = s;
    if (s.n && memchr(s.p, '/', s.n)) {
        slice_cut(s, '/', &prefix, &name);
        if (name.n && memchr(name.p, '/', name.n))
            return "a qualified name " QUALIFIED_TEXT
                   " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        const char *why = qualified_prefix(prefix);
        if (why)
            return why;
    }
    if (name.n == 0)
        return "name part must be non-empty";
    if (name.n > LABEL_MAX)
        return "name part must be no more than 63 bytes";
    return is_loose(name) ? NULL : "name part " QUALIFIED_TEXT;
}

const char *validate_label_value(struct slice s)
{
    if (s.n > LABEL_MAX)
        return "must be no more than 63 bytes";
    return s.n == 0 || is_loose(s) ? NULL
                                   : "a valid label must be an empty string or consist of alphanumeric characters, "
                                     "'-', '_' or '.', and must "
                                     "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
                                     "or '12345', regex used "
                                     "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
}

const char *validate_port_name(struct slice s)
{
    bool letter = false, twice = false;
    if (s.n > PORT_NAME_MAX)
        return "must be no more than 15 bytes";
    for (size_t i = 0; i < s.n; i++) {
        if (!is_lower_alnum(s.p[i]) && s.p[i] != '-')
            return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
        letter |= s.p[i] >= 'a' && s.p[i] <= 'z';
        twice |= i && s.p[i] == '-' && s.p[i - 1] == '-';
    }
    if (!letter)
        return "must contain at least one letter (a-z)";
    if (twice)
        return "must not contain consecutive hyphens";
    return s.p[0] == '-' || s.p[s.n - 1] == '-' ? "must not begin or end with a hyphen" : NULL;
}

const char *validate_name(const struct resource *res, struct slice name)
{
    if (res->name_max == 52 && name.n > 52)
        return "must be no more than 52 bytes";
    if (res->name_max == 63 && name.n > 63)
        return "must be no more than 63 bytes";
    switch (res->name_rule) {
    case NAME_LABEL:
        return validate_label_name(name);
    case NAME_SEGMENT:
        return validate_path_segment(name);
    case NAME_SUBDOMAIN:
    case NAME_CRD:
        return validate_subdomain(name);
    default: /* NAME_IP is the kind's own rule */
        return NULL;
    }
}
