/* Paths and their operations, from tables/operations.tsv. */
#include "apiserver/openapi_impl.h"

static void write_list(struct buf *out, const char *key, const char *texts)
{
    struct slice rest = slice_str(texts), one;
    buf_printf(out, ",\"%s\":[", key);
    for (bool first = true; rest.n; first = false) {
        slice_cut(rest, ',', &one, &rest);
        buf_printf(out, "%s\"%" SLICE_FMT "\"", first ? "" : ",", SLICE_ARG(one));
    }
    buf_add_char(out, ']');
}

static void write_parameter(struct openapi *o, struct slice name, const char *in, struct slice type)
{
    bool path = !strcmp(in, "path");
    buf_add_str(&o->out, "{\"description\":");
    openapi_describe_parameter(&o->out, name);
    buf_printf(&o->out, ",\"in\":\"%s\",\"name\":\"%" SLICE_FMT "\"%s", in, SLICE_ARG(name),
               path ? ",\"required\":true" : "");
    buf_printf(&o->out,
               o->v3 ? ",\"schema\":{\"type\":\"%" SLICE_FMT "\",\"uniqueItems\":true}}"
                     : ",\"type\":\"%" SLICE_FMT "\",\"uniqueItems\":true}",
               SLICE_ARG(type));
}

/* In v3 the body is no parameter. */
static void write_body(struct openapi *o, const struct api_operation *op, bool *first)
{
    bool optional = !strcmp(op->method, "delete");
    if (!op->body && !op->patch)
        return;
    if (!o->v3) {
        buf_printf(&o->out, "%s{\"in\":\"body\",\"name\":\"body\"%s,\"schema\":", *first ? "" : ",",
                   optional ? "" : ",\"required\":true");
        openapi_ref(o, op->body);
        buf_add_char(&o->out, '}');
        *first = false;
        return;
    }
    struct slice rest = slice_str(op->consumes), one;
    buf_add_str(&o->out, ",\"requestBody\":{\"content\":{");
    for (bool head = true; rest.n; head = false) {
        slice_cut(rest, ',', &one, &rest);
        buf_printf(&o->out, "%s\"%" SLICE_FMT "\":{\"schema\":", head ? "" : ",", SLICE_ARG(one));
        openapi_ref(o, op->body);
        buf_add_char(&o->out, '}');
    }
    buf_add_str(&o->out, optional ? "}}" : "},\"required\":true}");
}

static void write_parameters(struct openapi *o, const struct api_operation *op)
{
    struct slice rest = slice_str(op->query), one, name, type;
    bool first = true;
    buf_add_str(&o->out, ",\"parameters\":[");
    if (!o->v3)
        write_body(o, op, &first);
    while (rest.n) {
        slice_cut(rest, ',', &one, &rest);
        slice_cut(one, ':', &name, &type);
        if (!first)
            buf_add_char(&o->out, ',');
        first = false;
        write_parameter(o, name, "query", type);
    }
    buf_add_char(&o->out, ']');
    if (o->v3)
        write_body(o, op, &first);
}

static void write_content(struct openapi *o, const struct api_operation *op)
{
    struct slice rest = slice_str(op->produces[0] ? op->produces : "application/json"), one;
    buf_add_str(&o->out, ",\"content\":{");
    for (bool first = true; rest.n; first = false) {
        slice_cut(rest, ',', &one, &rest);
        buf_printf(&o->out, "%s\"%" SLICE_FMT "\":{\"schema\":", first ? "" : ",", SLICE_ARG(one));
        if (op->answer)
            openapi_ref(o, op->answer);
        else
            buf_add_str(&o->out, "{\"type\":\"string\"}");
        buf_add_char(&o->out, '}');
    }
    buf_add_char(&o->out, '}');
}

static void write_responses(struct openapi *o, const struct api_operation *op)
{
    static const struct {
        unsigned bit;
        const char *code, *description;
    } rows[] = {{1, "200", "OK"}, {2, "201", "Created"}, {4, "202", "Accepted"}};
    buf_add_str(&o->out, ",\"responses\":{");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!(op->codes & rows[i].bit))
            continue;
        buf_printf(&o->out, "\"%s\":{\"description\":\"%s\"", rows[i].code, rows[i].description);
        if (o->v3) {
            write_content(o, op);
        } else if (op->answer) {
            buf_add_str(&o->out, ",\"schema\":");
            openapi_ref(o, op->answer);
        } else {
            buf_add_str(&o->out, ",\"schema\":{\"type\":\"string\"}");
        }
        buf_add_str(&o->out, "},");
    }
    buf_add_str(&o->out, "\"401\":{\"description\":\"Unauthorized\"}}");
}

/* "core_v1", "apps_v1", "version": what tools group operations by. */
static void write_tag(struct buf *out, const struct api_operation *op)
{
    struct slice rest = slice_from(slice_str(op->path), 1), first, group, version;
    slice_cut(rest, '/', &first, &rest);
    slice_cut(rest, '/', &group, &rest);
    slice_cut(rest, '/', &version, &rest);
    buf_add_str(out, ",\"tags\":[\"");
    if (slice_eq_str(first, "apis") && group.n) {
        struct slice label, more;
        slice_cut(group, '.', &label, &more);
        buf_printf(out, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(label), version.n ? "_" : "", SLICE_ARG(version));
    } else if (slice_eq_str(first, "api")) {
        buf_printf(out, "core%s%" SLICE_FMT, group.n ? "_" : "", SLICE_ARG(group));
    } else {
        buf_add_slice(out, first);
    }
    buf_add_str(out, "\"]");
}

static void write_operation(struct openapi *o, const struct api_operation *op)
{
    struct buf *out = &o->out;
    buf_printf(out, "\"%s\":{\"description\":", op->method);
    openapi_describe_operation(out, op);
    if (!o->v3) {
        write_list(out, "consumes", op->consumes);
        write_list(out, "produces", op->produces);
        buf_add_str(out, ",\"schemes\":[\"https\"]");
    }
    buf_printf(out, ",\"operationId\":\"%s\"", op->id);
    write_tag(out, op);
    write_parameters(o, op);
    write_responses(o, op);
    if (op->action[0])
        buf_printf(out, ",\"x-kubernetes-action\":\"%s\"", op->action);
    if (op->kind[0])
        buf_printf(out, ",\"x-kubernetes-group-version-kind\":{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}",
                   op->group, op->kind, op->version);
    buf_add_char(out, '}');
}

/* {name}, {namespace} and {path} of a path. */
static void write_path_parameters(struct openapi *o, const char *path)
{
    bool first = true;
    for (const char *at = strchr(path, '{'); at; at = strchr(at + 1, '{')) {
        const char *end = strchr(at, '}');
        if (!end)
            break;
        buf_add_str(&o->out, first ? ",\"parameters\":[" : ",");
        write_parameter(o, slice_of(at + 1, (size_t)(end - at - 1)), "path", SLICE("string"));
        first = false;
    }
    if (!first)
        buf_add_char(&o->out, ']');
}

void openapi_write_paths(struct openapi *o, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++) {
        const struct api_operation *op = &api_operations[i];
        bool begins = i == first || strcmp(op->path, api_operations[i - 1].path) != 0;
        if (begins)
            buf_printf(&o->out, "%s\"%s\":{", i == first ? "" : ",", op->path);
        else
            buf_add_char(&o->out, ',');
        write_operation(o, op);
        if (i + 1 == first + n || strcmp(op->path, api_operations[i + 1].path) != 0) {
            write_path_parameters(o, op->path);
            buf_add_char(&o->out, '}');
        }
    }
}
