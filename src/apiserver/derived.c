#include "apiserver/derived.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

struct entry {
    struct list link; /* api_derived.oldest */
    struct blob *value, *made;
    unsigned form;
};

struct api_derived {
    struct map entries; /* key_of(value, form) → entry */
    struct list oldest;
    size_t bytes, budget;
};

struct key {
    char bytes[sizeof(uintptr_t) + sizeof(unsigned)];
};

static struct key key_of(const struct blob *value, unsigned form)
{
    struct key k;
    uintptr_t address = (uintptr_t)value;
    memcpy(k.bytes, &address, sizeof address);
    memcpy(k.bytes + sizeof address, &form, sizeof form);
    return k;
}

static struct slice key_slice(const struct key *k)
{
    return slice_of(k->bytes, sizeof k->bytes);
}

struct api_derived *api_derived_new(size_t budget)
{
    struct api_derived *d = mem_new(struct api_derived);
    map_init(&d->entries, 0);
    list_init(&d->oldest);
    d->budget = budget;
    return d;
}

static void drop(struct api_derived *d, struct entry *e)
{
    struct key k = key_of(e->value, e->form);
    map_del(&d->entries, key_slice(&k));
    list_remove(&e->link);
    d->bytes -= e->made->n;
    blob_unref(e->value);
    blob_unref(e->made);
    mem_free(e);
}

static void drop_oldest(struct api_derived *d)
{
    drop(d, container_of(d->oldest.next, struct entry, link));
}

void api_derived_free(struct api_derived *d)
{
    if (!d)
        return;
    while (!list_empty(&d->oldest))
        drop_oldest(d);
    map_done(&d->entries);
    mem_free(d);
}

struct blob *api_derived_get(const struct api_derived *d, const struct blob *value, unsigned form)
{
    struct key k = key_of(value, form);
    const struct entry *e = map_get(&d->entries, key_slice(&k));
    return e ? blob_ref(e->made) : NULL;
}

void api_derived_put(struct api_derived *d, struct blob *value, unsigned form, struct blob *made)
{
    struct key k = key_of(value, form);
    if (made->n > d->budget / 8 || map_get(&d->entries, key_slice(&k)))
        return;
    while (d->bytes + made->n > d->budget)
        drop_oldest(d);
    struct entry *e = mem_new(struct entry);
    *e = (struct entry){.value = blob_ref(value), .made = blob_ref(made), .form = form};
    list_push(&d->oldest, &e->link);
    map_put(&d->entries, key_slice(&k), e);
    d->bytes += made->n;
}

size_t api_derived_bytes(const struct api_derived *d)
{
    return d->bytes;
}
