#include "apiserver/filter.h"

#include "object/convert.h"
#include "object/meta.h"

/* The store knows objects by the labels of the version that is stored. */
static void rename_fields(struct api_request *r, struct selector *fields)
{
    struct selector_term *terms = arena_alloc(r->arena, fields->n * sizeof *terms);
    if (r->res->storage == r->res || !terms)
        return;
    for (size_t i = 0; i < fields->n; i++) {
        terms[i] = fields->terms[i];
        terms[i].key = convert_field_label(r->arena, r->res, terms[i].key);
    }
    fields->terms = terms;
}

int api_filter_parse(struct api_request *r, struct api_filter *f, struct status *st)
{
    *f = (struct api_filter){0};
    int rv = selector_parse_labels(r->arena, r->options.label_selector, &f->labels, st);
    if (!rv)
        rv = selector_parse_fields(r->arena, r->res, r->options.field_selector, &f->fields, st);
    if (rv)
        return rv;
    rename_fields(r, &f->fields);
    struct slice ns = r->res->namespaced ? r->ns : SLICE_NONE;
    struct slice wanted_ns = selector_exact(&f->fields, SLICE("metadata.namespace"));
    struct slice name = r->name.n ? r->name : selector_exact(&f->fields, SLICE("metadata.name"));
    if (r->name.n && f->fields.n && !slice_eq(selector_exact(&f->fields, SLICE("metadata.name")), r->name))
        return status_set(st, r->arena, 400, "fieldSelector metadata.name doesn't match requested name");
    if (!ns.n && wanted_ns.n && r->res->namespaced)
        ns = wanted_ns;
    if (ns.n)
        f->prefix = slice_str(arena_printf(r->arena, "%" SLICE_FMT "/", SLICE_ARG(ns)));
    if (name.n && (ns.n || !r->res->namespaced))
        f->only = slice_str(arena_printf(r->arena, "%" SLICE_FMT "%" SLICE_FMT, SLICE_ARG(f->prefix), SLICE_ARG(name)));
    return 0;
}

static struct slice label_value(const void *item, struct slice key)
{
    return attrs_get(item_attrs(item), STORE_ATTR_LABEL, key);
}

static struct slice field_value(const void *ctx, struct slice key)
{
    const struct store_item *item = ctx;
    struct slice ns, name, whole = item_key(item);
    if (!slice_cut(whole, '/', &ns, &name)) {
        name = whole;
        ns = SLICE("");
    }
    if (slice_eq_str(key, "metadata.name"))
        return name;
    if (slice_eq_str(key, "metadata.namespace"))
        return ns;
    return attrs_get(item_attrs(item), STORE_ATTR_FIELD, key);
}

struct slice api_filter_start(const struct api_filter *f)
{
    return f->only.p ? f->only : f->prefix;
}

bool api_filter_past(const struct api_filter *f, const struct store_item *item)
{
    return f->only.p ? !slice_eq(item_key(item), f->only) : !slice_starts(item_key(item), f->prefix);
}

bool api_filter_match(const struct api_filter *f, const struct store_item *item)
{
    if (!item || !slice_starts(item_key(item), f->prefix))
        return false;
    if (f->only.p && !slice_eq(item_key(item), f->only))
        return false;
    return selector_matches(&f->labels, false, label_value, item) &&
           selector_matches(&f->fields, true, field_value, item);
}

bool api_filter_selects(const struct api_filter *f)
{
    return f->labels.n || f->fields.n || f->labels.nothing || f->fields.nothing;
}

int api_attrs(struct arena *a, const struct resource *res, const struct json *obj, struct buf *ret)
{
    json_each (label, meta_labels(obj))
        attrs_add(ret, STORE_ATTR_LABEL, label->key, json_string(label));
    for (size_t i = 0; i < res->n_selectable; i++) {
        struct slice label = slice_str(res->selectable[i].label);
        struct slice value = selector_field_value(a, res, obj, label);
        if (value.p)
            attrs_add(ret, STORE_ATTR_FIELD, label, value);
    }
    return buf_error(ret);
}
