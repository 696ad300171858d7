#include "object/apply_kubectl.h"

#include "object/check.h"
#include "object/fieldset.h"
#include "object/meta.h"

#define NOTE "kubectl.kubernetes.io/last-applied-configuration"
enum { NOTE_MAX = 256 << 10 };

static struct slice note_of(const struct apply_request *rq, const struct json *live)
{
    return live && slice_eq_str(rq->manager, "kubectl") ? meta_annotation(live, SLICE(NOTE)) : SLICE_NONE;
}

const struct json *apply_kubectl_allowed(struct arena *a, const struct apply_request *rq, const struct json *live)
{
    struct schema_field root = {.kind = SCHEMA_REF, .type = rq->res->type};
    struct slice note = note_of(rq, live);
    struct check c = {.a = a, .partial = true};
    struct status ignored = {0};
    struct json *last = note.n ? json_parse(a, note, NULL, NULL, NULL) : NULL;
    if (!json_is(last, JSON_OBJECT) || check_object(&c, rq->res->type, last, &ignored))
        return NULL;
    struct json *now = json_clone(a, live), *set = fieldset_of(a, &root, last);
    struct fieldset_diff d = fieldset_compare(a, &root, last, now);
    return fieldset_minus(a, fieldset_minus(a, set, d.changed), d.removed);
}

static int by_key(const void *ctx, const struct json *x, const struct json *y)
{
    (void)ctx;
    return slice_cmp(x->key, y->key);
}

/* Members by name at every level, as Go writes maps. */
static void sort_members(struct json *v)
{
    if (v->type == JSON_OBJECT)
        json_sort(v, by_key, NULL);
    json_each (it, v)
        sort_members(it);
}

void apply_kubectl_note(struct arena *a, const struct apply_request *rq, const struct json *live,
                        const struct json *patch, struct json *merged)
{
    struct buf text = BUF_INIT(NOTE_MAX);
    struct json *config = json_clone(a, patch), *meta = json_get_str(config, "metadata");
    if (!note_of(rq, live).n)
        return;
    json_del_str(meta, "managedFields");
    json_del_str(json_get_str(meta, "annotations"), NOTE);
    if (!json_len(json_get_str(meta, "annotations")))
        json_del_str(meta, "annotations");
    sort_members(config);
    if (json_write(&text, config) == 0 && buf_add_char(&text, '\n') == 0)
        meta_set_annotation(a, merged, SLICE(NOTE), arena_copy(a, buf_slice(&text)));
    buf_done(&text);
}
