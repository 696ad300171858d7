/* A container's environment: env and envFrom, from values, fields, resources, ConfigMaps and Secrets. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/pod.h"
#include "base/mem.h"
#include "base/text.h"
#include "object/meta.h"
#include "object/quantity.h"

enum { ENV_MAX = 4096, VALUE_MAX = 1 << 20, REF_MAX = 512 };

/* ---- objects referred to ---- */

static struct slice ref_key(char out[REF_MAX], const char *plural, struct slice name)
{
    int n = snprintf(out, REF_MAX, "%s/%" SLICE_FMT, plural, SLICE_ARG(name));
    return slice_of(out, n < REF_MAX ? (size_t)n : REF_MAX - 1);
}

void pod_env_keep(struct pod *p, const char *plural, struct slice name, const struct json *obj)
{
    char key[REF_MAX];
    struct buf *b = mem_new(struct buf), *old;
    buf_init(b, 8 << 20);
    if (obj)
        json_write(b, obj);
    old = map_put(&p->refs, ref_key(key, plural, name), b);
    if (old) {
        buf_done(old);
        mem_free(old);
    }
}

void pod_env_forget(struct pod *p)
{
    for (struct map_entry *e = map_first(&p->refs); e; e = map_next(&p->refs, e)) {
        buf_done(e->value);
        mem_free(e->value);
    }
    map_done(&p->refs);
}

static bool lacks(struct pod *p, const char *plural, struct slice name, const char **ret_plural, struct slice *ret_name)
{
    char key[REF_MAX];
    if (!name.n || map_get(&p->refs, ref_key(key, plural, name)))
        return false;
    *ret_plural = plural;
    *ret_name = name;
    return true;
}

bool pod_env_missing(struct pod *p, struct container *c, const char **ret_plural, struct slice *ret_name)
{
    json_each (from, json_get_str(c->spec, "envFrom"))
        if (lacks(p, "configmaps", json_path_string(from, "configMapRef.name"), ret_plural, ret_name) ||
            lacks(p, "secrets", json_path_string(from, "secretRef.name"), ret_plural, ret_name))
            return true;
    json_each (env, json_get_str(c->spec, "env"))
        if (lacks(p, "configmaps", json_path_string(env, "valueFrom.configMapKeyRef.name"), ret_plural, ret_name) ||
            lacks(p, "secrets", json_path_string(env, "valueFrom.secretKeyRef.name"), ret_plural, ret_name))
            return true;
    return false;
}

/* NULL when the object does not exist. */
static const struct json *ref_object(struct pod *p, struct arena *a, const char *plural, struct slice name)
{
    char key[REF_MAX];
    struct json_error err;
    const struct buf *b = map_get(&p->refs, ref_key(key, plural, name));
    return b && b->n ? json_parse(a, buf_slice(b), &err, NULL, NULL) : NULL;
}

/* A value of a ConfigMap, or of a Secret (base64 undone); NULL when there is no such key. */
static const char *ref_value(struct arena *a, const struct json *obj, bool secret, struct slice key)
{
    const struct json *v = json_get(json_get_str(obj, "data"), key);
    struct buf plain = BUF_INIT(VALUE_MAX);
    if (!v)
        return NULL;
    if (!secret)
        return arena_copy(a, json_string(v)).p;
    const char *text = base64_decode(&plain, json_string(v)) ? NULL : arena_copy(a, buf_slice(&plain)).p;
    buf_done(&plain);
    return text;
}

/* ---- building ---- */

struct env_build {
    struct pod *pod;
    struct container *c;
    struct arena *a;
    struct env_var *vars;
    size_t n;
    char *message;
};

static void set(struct env_build *b, const char *name, const char *value)
{
    if (!name || !value) /* the arena is full, which the end tells, or there is no such field */
        return;
    for (size_t i = 0; i < b->n; i++)
        if (!strcmp(b->vars[i].name, name)) {
            b->vars[i].value = value;
            return;
        }
    if (b->n < ENV_MAX)
        b->vars[b->n++] = (struct env_var){name, value};
}

static const char *lookup(const struct env_var *env, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_str(name, env[i].name))
            return env[i].value;
    return NULL;
}

const char *env_expand(struct arena *a, const struct env_var *env, size_t n, struct slice text)
{
    struct buf out = BUF_INIT(VALUE_MAX);
    for (size_t i = 0; i < text.n; i++) {
        const char *close =
            text.p[i] == '$' && i + 1 < text.n && text.p[i + 1] == '(' ? memchr(text.p + i, ')', text.n - i) : NULL;
        if (text.p[i] == '$' && i + 1 < text.n && text.p[i + 1] == '$') {
            buf_add_char(&out, '$');
            i++;
        } else if (close) {
            struct slice name = slice_of(text.p + i + 2, (size_t)(close - text.p) - i - 2);
            const char *value = lookup(env, n, name);
            if (value)
                buf_add_str(&out, value);
            else /* what is not known stays as it is */
                buf_add(&out, text.p + i, name.n + 3);
            i += name.n + 2;
        } else {
            buf_add_char(&out, text.p[i]);
        }
    }
    const char *result = arena_copy(a, buf_slice(&out)).p;
    buf_done(&out);
    return result ? result : "";
}

/* metadata.labels['key'] and the like. */
static const char *field_value(struct env_build *b, struct slice path)
{
    struct pod *p = b->pod;
    struct slice head, key;
    if (slice_eq_str(path, "status.podIP") || slice_eq_str(path, "status.podIPs"))
        return p->ip;
    if (slice_eq_str(path, "status.hostIP") || slice_eq_str(path, "status.hostIPs"))
        return p->owner->agent->o.node_ip;
    if (slice_cut(path, '[', &head, &key) && key.n > 3) {
        key = slice_of(key.p + 1, key.n - 3);
        struct slice value =
            slice_eq_str(head, "metadata.labels") ? meta_label(p->obj, key) : meta_annotation(p->obj, key);
        return arena_copy(b->a, value).p;
    }
    const char *dotted = arena_printf(b->a, "%" SLICE_FMT, SLICE_ARG(path));
    return arena_copy(b->a, json_path_string(p->obj, dotted)).p;
}

static const char *resource_value(struct env_build *b, const struct json *ref)
{
    struct slice wanted = json_path_string(ref, "containerName"), name = json_path_string(ref, "resource"), list, res;
    const struct container *c = wanted.n ? pod_container(b->pod, wanted) : b->c;
    struct quantity q = quantity_of(0), divisor = quantity_of(1);
    slice_cut(name, '.', &list, &res);
    const struct json *resources = json_get_str(c ? c->spec : NULL, "resources");
    bool cpu = slice_eq_str(res, "cpu");
    quantity_from_json(json_get(json_get(resources, list), res), &q);
    quantity_from_json(json_get_str(ref, "divisor"), &divisor);
    if (quantity_is_zero(divisor))
        divisor = quantity_of(1);
    int64_t have = cpu ? quantity_milli(q) : quantity_value(q),
            by = cpu ? quantity_milli(divisor) : quantity_value(divisor);
    return arena_printf(b->a, "%ld", by ? (have + by - 1) / by : 0);
}

static int fail(struct env_build *b, const char *what, struct slice name, struct slice key)
{
    if (key.n)
        snprintf(b->message, POD_MESSAGE_MAX, "couldn't find key %" SLICE_FMT " in %s %s/%" SLICE_FMT, SLICE_ARG(key),
                 what, b->pod->key, SLICE_ARG(name));
    else
        snprintf(b->message, POD_MESSAGE_MAX, "%s \"%" SLICE_FMT "\" not found", what, SLICE_ARG(name));
    return -1;
}

static int add_key_ref(struct env_build *b, const char *name, const struct json *ref, bool secret)
{
    struct slice object = json_path_string(ref, "name"), key = json_path_string(ref, "key");
    const struct json *obj = ref_object(b->pod, b->a, secret ? "secrets" : "configmaps", object);
    const char *value = ref_value(b->a, obj, secret, key);
    if (!value && json_bool(json_get_str(ref, "optional"), false))
        return 0;
    if (!value)
        return fail(b, secret ? "secret" : "configmap", object, obj ? key : SLICE_NONE);
    set(b, name, value);
    return 0;
}

static int add_all(struct env_build *b, const struct json *from, bool secret)
{
    const struct json *ref = json_get_str(from, secret ? "secretRef" : "configMapRef");
    struct slice name = json_path_string(ref, "name"), prefix = json_path_string(from, "prefix");
    if (!ref)
        return 0;
    const struct json *obj = ref_object(b->pod, b->a, secret ? "secrets" : "configmaps", name);
    if (!obj)
        return json_bool(json_get_str(ref, "optional"), false)
                   ? 0
                   : fail(b, secret ? "secret" : "configmap", name, SLICE_NONE);
    json_each (m, json_get_str(obj, "data")) {
        const char *value = ref_value(b->a, obj, secret, m->key);
        if (value)
            set(b, arena_printf(b->a, "%" SLICE_FMT "%" SLICE_FMT, SLICE_ARG(prefix), SLICE_ARG(m->key)), value);
    }
    return 0;
}

static int add_env(struct env_build *b, const struct json *env)
{
    const char *name = arena_copy(b->a, json_path_string(env, "name")).p;
    const struct json *from = json_get_str(env, "valueFrom");
    if (json_get_str(from, "configMapKeyRef"))
        return add_key_ref(b, name, json_get_str(from, "configMapKeyRef"), false);
    if (json_get_str(from, "secretKeyRef"))
        return add_key_ref(b, name, json_get_str(from, "secretKeyRef"), true);
    if (json_get_str(from, "fieldRef"))
        set(b, name, field_value(b, json_path_string(from, "fieldRef.fieldPath")));
    else if (json_get_str(from, "resourceFieldRef"))
        set(b, name, resource_value(b, json_get_str(from, "resourceFieldRef")));
    else
        set(b, name, env_expand(b->a, b->vars, b->n, json_path_string(env, "value")));
    return 0;
}

/* Where the API is, for programs in the pod. */
static void add_api(struct env_build *b)
{
    struct slice cidr = slice_str(b->pod->owner->agent->o.service_cidr ? b->pod->owner->agent->o.service_cidr
                                                                       : "10.96.0.0/16"),
                 net, rest;
    slice_cut(cidr, '/', &net, &rest);
    while (net.n && net.p[net.n - 1] != '.')
        net.n--;
    set(b, "KUBERNETES_SERVICE_HOST", arena_printf(b->a, "%" SLICE_FMT "1", SLICE_ARG(net)));
    set(b, "KUBERNETES_SERVICE_PORT", "443");
    set(b, "KUBERNETES_SERVICE_PORT_HTTPS", "443");
}

struct env_var *pod_env(struct pod *p, struct container *c, struct arena *a, size_t *ret_n,
                        char message[POD_MESSAGE_MAX])
{
    struct env_build b = {.pod = p, .c = c, .a = a, .message = message};
    b.vars = arena_alloc(a, ENV_MAX * sizeof *b.vars);
    if (!b.vars)
        return NULL;
    add_api(&b);
    json_each (from, json_get_str(c->spec, "envFrom"))
        if (add_all(&b, from, false) || add_all(&b, from, true))
            return NULL;
    json_each (env, json_get_str(c->spec, "env"))
        if (add_env(&b, env))
            return NULL;
    *ret_n = b.n;
    return b.vars;
}
