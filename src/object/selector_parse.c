/* Selectors as text, with the words Kubernetes' parsers use for what they do not understand. */
#include "object/selector_parse.h"

#include <stdlib.h>

#include "object/validate.h"

enum token {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_COMMA,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_NOT,
    TOKEN_EQUALS,
    TOKEN_NOT_EQUALS,
    TOKEN_GREATER,
    TOKEN_LESS,
    TOKEN_UNKNOWN,
};

struct parser {
    struct arena *a;
    struct slice rest;
    enum token token;  /* the one looked at */
    struct slice text; /* its text */
    const char *error; /* first one */
    size_t n_values;   /* over all terms */
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
    return c && strchr("=!(),><", c);
}

static enum token symbol(struct slice s)
{
    static const struct {
        const char *text;
        enum token token;
    } symbols[] = {
        {"==", TOKEN_EQUALS}, {"!=", TOKEN_NOT_EQUALS}, {"=", TOKEN_EQUALS},  {"!", TOKEN_NOT},  {"(", TOKEN_OPEN},
        {")", TOKEN_CLOSE},   {",", TOKEN_COMMA},       {">", TOKEN_GREATER}, {"<", TOKEN_LESS},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (slice_eq_str(s, symbols[i].text))
            return symbols[i].token;
    return TOKEN_UNKNOWN;
}

static void next(struct parser *p)
{
    struct slice s = p->rest;
    size_t n = 0;
    while (s.n && is_space(s.p[0]))
        s = slice_of(s.p + 1, s.n - 1);
    p->token = TOKEN_END;
    if (s.n && is_special(s.p[0])) {
        n = s.n > 1 && s.p[1] == '=' && (s.p[0] == '=' || s.p[0] == '!') ? 2 : 1;
        p->token = symbol(slice_of(s.p, n));
    } else if (s.n) {
        while (n < s.n && !is_special(s.p[n]) && !is_space(s.p[n]))
            n++;
        p->token = TOKEN_WORD;
    }
    p->text = slice_of(s.p, n);
    p->rest = slice_from(s, n);
}

static bool expected(struct parser *p, const char *what)
{
    if (!p->error)
        p->error = arena_printf(p->a, "found '%" SLICE_FMT "', expected: %s", SLICE_ARG(p->text), what);
    return false;
}

/* `(a, b)`: an empty item, as in `(a,)`, is the empty value. */
static bool parse_list(struct parser *p, struct slice *values, size_t max, size_t *n)
{
    if (p->token != TOKEN_OPEN) {
        p->error = arena_printf(p->a, "found '%" SLICE_FMT "' expected: '('", SLICE_ARG(p->text));
        return false;
    }
    next(p);
    if (p->token == TOKEN_CLOSE) {
        next(p);
        return true;
    }
    for (;;) {
        if (*n == max)
            return expected(p, "fewer values");
        values[*n] = SLICE("");
        if (p->token == TOKEN_WORD) {
            values[*n] = p->text;
            next(p);
        }
        (*n)++;
        if (p->token == TOKEN_CLOSE)
            break;
        if (p->token != TOKEN_COMMA)
            return expected(p, "',' or ')'");
        next(p);
    }
    next(p);
    return true;
}

static bool check_values(struct parser *p, const struct selector_term *t)
{
    for (size_t i = 0; i < t->n_values; i++) {
        const char *why = validate_label_value(t->values[i]);
        int64_t number;
        bool ordered = t->op == SELECTOR_GREATER || t->op == SELECTOR_LESS;
        if (!why && ordered && !slice_to_i64(t->values[i], &number))
            why = "for 'Gt', 'Lt' operators, the value must be an integer";
        if (why) {
            p->error = arena_printf(p->a, "values[%zu][%" SLICE_FMT "]: Invalid value: \"%" SLICE_FMT "\": %s", i,
                                    SLICE_ARG(t->key), SLICE_ARG(t->values[i]), why);
            return false;
        }
    }
    return true;
}

/* How many values a list may have at most: its commas and one. */
static size_t count_values(struct slice s)
{
    size_t n = 1;
    for (size_t i = 0; i < s.n && s.p[i] != ')'; i++)
        n += s.p[i] == ',';
    return n;
}

static bool parse_values(struct parser *p, struct selector_term *t)
{
    size_t max = t->exact ? 1 : count_values(p->rest);
    struct slice *values = max <= SELECTOR_VALUES_MAX - p->n_values ? arena_alloc(p->a, max * sizeof *values) : NULL;
    if (!values)
        return expected(p, "fewer values");
    if (!t->exact) {
        if (!parse_list(p, values, max, &t->n_values))
            return false;
    } else if (p->token == TOKEN_END || p->token == TOKEN_COMMA) {
        values[t->n_values++] = SLICE("");
    } else if (p->token == TOKEN_WORD) {
        values[t->n_values++] = p->text;
        next(p);
    } else {
        return expected(p, "identifier");
    }
    if (t->n_values == 0) {
        p->error = "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty";
        return false;
    }
    qsort(values, t->n_values, sizeof *values, slice_order);
    t->values = values;
    p->n_values += t->n_values;
    return check_values(p, t);
}

static bool parse_operator(struct parser *p, struct selector_term *t)
{
    t->exact = true;
    switch (p->token) {
    case TOKEN_EQUALS:
        t->op = SELECTOR_IN;
        break;
    case TOKEN_NOT_EQUALS:
        t->op = SELECTOR_NOT_IN;
        break;
    case TOKEN_GREATER:
        t->op = SELECTOR_GREATER;
        break;
    case TOKEN_LESS:
        t->op = SELECTOR_LESS;
        break;
    default:
        t->exact = false;
        t->op = slice_eq_str(p->text, "in") ? SELECTOR_IN : SELECTOR_NOT_IN;
        if (p->token != TOKEN_WORD || !(t->op == SELECTOR_IN || slice_eq_str(p->text, "notin")))
            return expected(p, "in, notin, =, ==, !=, gt, lt");
    }
    next(p);
    return true;
}

static bool parse_term(struct parser *p, struct selector_term *t)
{
    *t = (struct selector_term){.op = SELECTOR_EXISTS};
    if (p->token == TOKEN_NOT) {
        t->op = SELECTOR_NOT_EXISTS;
        next(p);
    }
    if (p->token != TOKEN_WORD)
        return expected(p, "identifier");
    t->key = p->text;
    const char *why = validate_qualified_name(t->key);
    if (why) {
        p->error = arena_printf(p->a, "key: Invalid value: \"%" SLICE_FMT "\": %s", SLICE_ARG(t->key), why);
        return false;
    }
    next(p);
    if (t->op == SELECTOR_NOT_EXISTS || p->token == TOKEN_END || p->token == TOKEN_COMMA)
        return true;
    return parse_operator(p, t) && parse_values(p, t);
}

/* Parses all terms; false and p->error when one is wrong. */
static bool parse_all(struct parser *p, struct selector_term *terms, size_t *n)
{
    next(p);
    if (p->token == TOKEN_END)
        return true;
    for (;;) {
        if (p->token != TOKEN_WORD && p->token != TOKEN_NOT)
            return expected(p, *n ? "identifier after ','" : "!, identifier, or 'end of string'");
        if (*n == SELECTOR_MAX)
            return expected(p, "fewer requirements");
        if (!parse_term(p, &terms[*n])) {
            p->error = arena_printf(p->a, "unable to parse requirement: %s", p->error);
            return false;
        }
        (*n)++;
        if (p->token == TOKEN_END)
            return true;
        if (p->token != TOKEN_COMMA)
            return expected(p, "',' or 'end of string'");
        next(p);
    }
}

static size_t count_terms(struct slice s)
{
    size_t n = 1;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == ',';
    return n < SELECTOR_MAX ? n : SELECTOR_MAX;
}

int selector_parse_labels(struct arena *a, struct slice text, struct selector *ret, struct status *st)
{
    struct parser p = {.a = a, .rest = arena_copy(a, text)};
    size_t n = 0;
    struct selector_term *terms = arena_alloc(a, count_terms(text) * sizeof *terms);
    if (!terms)
        return status_errno(st, a, arena_error(a), "label selector");
    if (!parse_all(&p, terms, &n))
        return status_set(st, a, 400, "%s", p.error);
    selector_sort(terms, n, ret);
    return 0;
}

/* ---- field selectors ---- */

/* Undoes "\,", "\=" and "\\"; false for any other escape. */
static bool unescape(struct arena *a, struct slice s, struct slice *ret)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    if (!out)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\' && (++i == s.n || !strchr("\\,=", s.p[i]) || !s.p[i]))
            return false;
        out[n++] = s.p[i];
    }
    out[n] = '\0';
    *ret = slice_of(out, n);
    return true;
}

/* The next term up to an unescaped comma. */
static struct slice cut_term(struct slice *rest)
{
    size_t i = 0;
    while (i < rest->n && rest->p[i] != ',')
        i += rest->p[i] == '\\' ? 2 : 1;
    if (i > rest->n)
        i = rest->n;
    struct slice term = slice_of(rest->p, i);
    *rest = slice_from(*rest, i + 1);
    return term;
}

/* label OP value, at the first operator; false without one. */
static bool split_term(struct slice term, struct slice *label, struct slice *value, enum selector_op *op)
{
    for (size_t i = 0; i < term.n; i++) {
        bool not_equals = term.n - i > 1 && term.p[i] == '!' && term.p[i + 1] == '=';
        bool twice = term.n - i > 1 && term.p[i] == '=' && term.p[i + 1] == '=';
        if (!not_equals && term.p[i] != '=')
            continue;
        *op = not_equals ? SELECTOR_NOT_IN : SELECTOR_IN;
        *label = slice_of(term.p, i);
        *value = slice_from(term, i + (not_equals || twice ? 2 : 1));
        return true;
    }
    return false;
}

static int unknown_field(struct arena *a, const struct resource *res, struct slice label, struct status *st)
{
    if (res->n_selectable)
        return status_set(st, a, 400, "field label not supported: %" SLICE_FMT, SLICE_ARG(label));
    return status_set(st, a, 400,
                      "\"%" SLICE_FMT "\" is not a known field selector: only \"metadata.name\", "
                      "\"metadata.namespace\"",
                      SLICE_ARG(label));
}

static int parse_field(struct arena *a, const struct resource *res, struct slice text, struct slice term,
                       struct selector_term *t, struct status *st)
{
    struct slice raw, *value = arena_alloc(a, sizeof *value);
    *t = (struct selector_term){.exact = true, .values = value, .n_values = 1};
    if (!split_term(term, &t->key, &raw, &t->op))
        return status_set(st, a, 400, "invalid selector: '%" SLICE_FMT "'; can't understand '%" SLICE_FMT "'",
                          SLICE_ARG(text), SLICE_ARG(term));
    if (!value || !unescape(a, raw, value))
        return status_set(st, a, 400, "invalid field selector: invalid escape in value: %" SLICE_FMT, SLICE_ARG(raw));
    return selector_has_field(res, t->key) ? 0 : unknown_field(a, res, t->key, st);
}

int selector_parse_fields(struct arena *a, const struct resource *res, struct slice text, struct selector *ret,
                          struct status *st)
{
    struct slice rest = arena_copy(a, text);
    size_t n = 0, max = count_terms(text);
    struct selector_term *terms = arena_alloc(a, max * sizeof *terms);
    if (!terms)
        return status_errno(st, a, arena_error(a), "field selector");
    while (rest.n) {
        struct slice term = cut_term(&rest);
        if (term.n == 0)
            continue;
        if (n == max)
            return status_set(st, a, 400, "invalid selector: more than %d requirements", SELECTOR_MAX);
        int rv = parse_field(a, res, text, term, &terms[n++], st);
        if (rv)
            return rv;
    }
    selector_sort(terms, n, ret);
    return 0;
}
