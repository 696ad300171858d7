/* Descriptions in our own words: from tables/descriptions.tsv where it has one, else made from a field's name, type, values
 * and rules. */
#include <ctype.h>
#include <stdio.h>

#include "apiserver/openapi_impl.h"

enum { TEXT_MAX = 8192, KEY_MAX = 256 };

/* "restartPolicy" → "restart policy", "podIPs" → "pod IPs", "PodSpec" → "pod spec". */
static void add_words(struct buf *out, struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        bool upper = isupper((unsigned char)name.p[i]), before = i > 0 && isupper((unsigned char)name.p[i - 1]);
        bool after = i + 1 < name.n && islower((unsigned char)name.p[i + 1]);
        bool acronym = upper && (before || (i + 1 < name.n && isupper((unsigned char)name.p[i + 1])));
        if (upper && i > 0 && (!before || (after && i + 2 < name.n)))
            buf_add_char(out, ' ');
        buf_add_char(out, upper && (!acronym || (after && i + 2 < name.n && before))
                              ? (char)tolower((unsigned char)name.p[i])
                              : name.p[i]);
    }
}

static const char *known(const char *owner, struct slice name)
{
    char key[KEY_MAX];
    const char *text = NULL;
    if (owner && snprintf(key, sizeof key, "%s.%" SLICE_FMT, owner, SLICE_ARG(name)) < (int)sizeof key)
        text = schema_description(key);
    if (!text && snprintf(key, sizeof key, "%" SLICE_FMT, SLICE_ARG(name)) < (int)sizeof key)
        text = schema_description(key);
    return text;
}

static void add_owner(struct buf *out, const struct schema_type *type)
{
    buf_add_str(out, " of a ");
    add_words(out, slice_str(schema_short_name(type)));
}

static const char *item_name(const struct schema_field *f)
{
    static const char *const names[] = {
        [SCHEMA_STRING] = "text",
        [SCHEMA_BOOL] = "true or false",
        [SCHEMA_INT32] = "whole number",
        [SCHEMA_INT64] = "whole number",
        [SCHEMA_DOUBLE] = "number",
        [SCHEMA_QUANTITY] = "quantity such as 500m or 2Gi",
        [SCHEMA_INT_OR_STRING] = "number or text",
        [SCHEMA_TIME] = "time",
        [SCHEMA_MICRO_TIME] = "time",
        [SCHEMA_DURATION] = "duration such as 1h30m",
        [SCHEMA_BYTES] = "bytes in base64",
        [SCHEMA_RAW] = "object of any kind",
        [SCHEMA_ANY] = "value of any kind",
        [SCHEMA_ARRAY] = "list",
        [SCHEMA_MAP] = "map",
    };
    return f->kind == SCHEMA_REF ? schema_short_name(f->type) : names[f->kind];
}

/* A sentence that says what can be said without knowing the field. */
static void add_made(struct buf *out, const struct schema_type *type, const struct schema_field *f)
{
    static const char *const starts[] = {
        [SCHEMA_STRING] = "The ",        [SCHEMA_BOOL] = "Switch: ",
        [SCHEMA_INT32] = "Number for ",  [SCHEMA_INT64] = "Number for ",
        [SCHEMA_DOUBLE] = "Number for ", [SCHEMA_QUANTITY] = "Amount of ",
        [SCHEMA_INT_OR_STRING] = "The ", [SCHEMA_TIME] = "Time: ",
        [SCHEMA_MICRO_TIME] = "Time: ",  [SCHEMA_DURATION] = "Duration of ",
        [SCHEMA_BYTES] = "Bytes of ",    [SCHEMA_RAW] = "The ",
        [SCHEMA_ANY] = "The ",           [SCHEMA_REF] = "The ",
        [SCHEMA_ARRAY] = "The list of ", [SCHEMA_MAP] = "The map of ",
    };
    buf_add_str(out, starts[f->kind]);
    add_words(out, f->name);
    add_owner(out, type);
    buf_add_char(out, '.');
}

static void add_values(struct buf *out, const struct schema_field *f)
{
    if (!f->enums)
        return;
    buf_add_str(out, f->flags & SCHEMA_ENUM_KNOWN ? " Known values: " : " Possible values: ");
    for (const char *const *e = f->enums; *e; e++)
        buf_printf(out, "%s%s%s%s", e == f->enums ? "" : ", ", **e ? "" : "\"\"", *e, e[1] ? "" : ".");
}

static void add_rules(struct buf *out, const struct schema_field *f)
{
    if (f->kind == SCHEMA_ARRAY || f->kind == SCHEMA_MAP)
        buf_printf(out, " Each entry is a %s.", item_name(f->item));
    else if (f->kind == SCHEMA_QUANTITY || f->kind == SCHEMA_DURATION)
        buf_printf(out, " A %s.", item_name(f));
    add_values(out, f);
    for (const char *const *k = f->list_keys; k && *k; k++)
        buf_printf(out, "%s%s%s", k == f->list_keys ? " Entries are told apart by " : " and ", *k, k[1] ? "" : ".");
    if (f->list_type == SCHEMA_LIST_SET)
        buf_add_str(out, " No entry may be there twice.");
    if (f->default_json && strcmp(f->default_json, "{}") != 0)
        buf_printf(out, " The default is %s.", f->default_json);
    if (f->flags & SCHEMA_REQUIRED)
        buf_add_str(out, " Required.");
}

static void finish(struct buf *out, struct buf *text)
{
    json_write_string(out, buf_slice(text));
    buf_done(text);
}

void openapi_describe_field(struct buf *out, const struct schema_type *type, const struct schema_field *f)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    const char *sentence = known(schema_short_name(type), f->name);
    if (sentence)
        buf_add_str(&text, sentence);
    else
        add_made(&text, type, f);
    add_rules(&text, f);
    finish(out, &text);
}

static bool ends(struct slice name, const char *end)
{
    struct slice e = slice_str(end);
    return name.n > e.n && slice_eq(slice_from(name, name.n - e.n), e);
}

void openapi_describe_type(struct buf *out, const struct schema_type *type)
{
    static const struct {
        const char *end, *sentence;
    } forms[] = {
        {"List", "A list of: "},
        {"Spec", "What is wanted of: "},
        {"Status", "What was observed of: "},
        {"Condition", "One thing that is or is not true of: "},
        {"Template", "What copies are made from: "},
        {"Source", "Where something comes from: "},
        {"Reference", "Names another object: "},
        {"Options", "How a request is to be carried out: "},
        {"", "Part of an object: "},
    };
    struct buf text = BUF_INIT(TEXT_MAX);
    struct slice name = slice_str(schema_short_name(type));
    const char *sentence = known(NULL, name);
    size_t i = 0;
    while (forms[i].end[0] && !ends(name, forms[i].end))
        i++;
    if (sentence) {
        buf_add_str(&text, sentence);
    } else {
        buf_add_str(&text, forms[i].sentence);
        add_words(&text, slice_of(name.p, name.n - strlen(forms[i].end)));
        buf_add_char(&text, '.');
    }
    finish(out, &text);
}

void openapi_describe_parameter(struct buf *out, struct slice name)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    const char *sentence = known("parameter", name);
    if (sentence) {
        buf_add_str(&text, sentence);
    } else {
        buf_add_str(&text, "The ");
        add_words(&text, name);
        buf_add_char(&text, '.');
    }
    finish(out, &text);
}

void openapi_describe_operation(struct buf *out, const struct api_operation *op)
{
    static const struct {
        const char *action, *sentence;
    } rows[] = {{"get", "read "},
                {"list", "list or watch objects of kind "},
                {"post", "create "},
                {"put", "replace "},
                {"patch", "change parts of "},
                {"delete", "delete "},
                {"deletecollection", "delete all that match, of kind "},
                {"connect", "connect to "}};
    struct buf text = BUF_INIT(TEXT_MAX);
    const char *sentence = "tell what is here ";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(op->action, rows[i].action))
            sentence = rows[i].sentence;
    buf_printf(&text, "%s%s", sentence, op->kind);
    finish(out, &text);
}
