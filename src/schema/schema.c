#include "schema/schema.h"

#include "schema/tables.h"

const struct schema_field *schema_field_find(const struct schema_type *t, struct slice name)
{
    size_t low = 0, high = t ? t->n_fields : 0;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const struct schema_field *f = &t->fields[t->by_name[mid]];
        int order = slice_cmp(name, f->name);
        if (order == 0)
            return f;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const struct schema_type *schema_type_find(struct slice name)
{
    size_t low = 0, high = schema_n_types;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = slice_cmp(name, slice_str(schema_types[mid].name));
        if (order == 0)
            return &schema_types[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *schema_description(const char *name)
{
    size_t low = 0, high = schema_n_texts;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(name, schema_texts[mid].name);
        if (order == 0)
            return schema_texts[mid].text;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *schema_short_name(const struct schema_type *t)
{
    const char *dot = strrchr(t->name, '.');
    return dot ? dot + 1 : t->name;
}

size_t resource_count(void)
{
    return schema_n_resources;
}

const struct resource *resource_at(size_t i)
{
    return i < schema_n_resources ? &schema_resources[i] : NULL;
}

static bool in_version(const struct resource *r, struct slice group, struct slice version)
{
    return slice_eq_str(group, r->group) && slice_eq_str(version, r->version);
}

const struct resource *resource_find(struct slice group, struct slice version, struct slice plural)
{
    for (size_t i = 0; i < schema_n_resources; i++)
        if (slice_eq_str(plural, schema_resources[i].plural) && in_version(&schema_resources[i], group, version))
            return &schema_resources[i];
    return NULL;
}

const struct resource *resource_core(const char *plural)
{
    return resource_find(SLICE(""), SLICE("v1"), slice_str(plural));
}

const struct resource *resource_by_kind(struct slice group, struct slice version, struct slice kind)
{
    for (size_t i = 0; i < schema_n_resources; i++)
        if (slice_eq_str(kind, schema_resources[i].kind) && in_version(&schema_resources[i], group, version))
            return &schema_resources[i];
    return NULL;
}

const struct resource *resource_by_api_version(struct slice api_version, struct slice kind)
{
    struct slice group, version;
    if (!api_version_split(api_version, &group, &version))
        return NULL;
    return resource_by_kind(group, version, kind);
}

const struct resource_sub *resource_sub_find(const struct resource *r, struct slice name)
{
    for (size_t i = 0; i < r->n_subs; i++)
        if (slice_eq_str(name, r->subs[i].name))
            return &r->subs[i];
    return NULL;
}

bool resource_has_status(const struct resource *r)
{
    return resource_sub_find(r, SLICE("status")) != NULL;
}

bool api_version_split(struct slice api_version, struct slice *ret_group, struct slice *ret_version)
{
    struct slice head, tail;
    bool grouped = slice_cut(api_version, '/', &head, &tail);
    struct slice version = grouped ? tail : head;
    if (version.n == 0 || (grouped && head.n == 0) || memchr(version.p, '/', version.n))
        return false;
    *ret_group = grouped ? head : SLICE_NONE;
    *ret_version = version;
    return true;
}

/* In the order of discovery. */
static const struct {
    const char *name;
    unsigned bit;
} verbs[] = {
    {"create", VERB_CREATE}, {"delete", VERB_DELETE}, {"deletecollection", VERB_DELETECOLLECTION},
    {"get", VERB_GET},       {"list", VERB_LIST},     {"patch", VERB_PATCH},
    {"update", VERB_UPDATE}, {"watch", VERB_WATCH},
};

size_t verb_names(unsigned set, const char *out[8])
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (set & verbs[i].bit)
            out[n++] = verbs[i].name;
    return n;
}

unsigned verb_by_name(struct slice name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (slice_eq_str(name, verbs[i].name))
            return verbs[i].bit;
    return 0;
}

size_t api_group_count(void)
{
    return schema_n_groups;
}

const struct api_group *api_group_at(size_t i)
{
    return i < schema_n_groups ? &schema_groups[i] : NULL;
}

const struct api_group *api_group_find(struct slice name)
{
    for (size_t i = 0; i < schema_n_groups; i++)
        if (slice_eq_str(name, schema_groups[i].name))
            return &schema_groups[i];
    return NULL;
}
