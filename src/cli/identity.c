#include "cli/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "auth/pki.h"
#include "codec/json.h"

static const char *path_of(char out[IDENTITY_PATH_MAX], const char *data_dir)
{
    snprintf(out, IDENTITY_PATH_MAX, "%s/server.json", data_dir);
    return out;
}

bool identity_set(char out[RAFT_ADDR_MAX], struct slice text)
{
    if (text.n >= RAFT_ADDR_MAX)
        return false;
    if (text.n)
        memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return true;
}

uint64_t identity_cluster(struct slice text)
{
    uint64_t id = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0 || i == 16)
            return 0;
        id = id << 4 | (uint64_t)digit;
    }
    return id;
}

struct identity_member *identity_member(struct identity *i, uint64_t id)
{
    for (size_t k = 0; k < i->n_members; k++)
        if (i->members[k].id == id)
            return &i->members[k];
    return NULL;
}

/* ---- reading ---- */

static bool read_text(const struct json *v, const char *name, char out[RAFT_ADDR_MAX])
{
    return identity_set(out, json_string(json_get_str(v, name)));
}

static bool read_member(const struct json *v, struct identity *i)
{
    if (i->n_members == RAFT_MEMBERS_MAX)
        return false;
    struct identity_member *m = &i->members[i->n_members++];
    m->id = (uint64_t)json_int(json_get_str(v, "id"), 0);
    return m->id && read_text(v, "peer", m->peer) && read_text(v, "api", m->api);
}

static bool read_all(const struct json *v, struct identity *i)
{
    bool ok = true;
    *i = (struct identity){.id = (uint64_t)json_int(json_get_str(v, "id"), 0),
                           .cluster_id = identity_cluster(json_path_string(v, "clusterId")),
                           .joined = json_bool(json_get_str(v, "joined"), false),
                           .witness = json_bool(json_get_str(v, "witness"), false)};
    ok = i->id && read_text(v, "peer", i->peer) && read_text(v, "api", i->api) &&
         read_text(v, "peerListen", i->peer_listen) && read_text(v, "listen", i->listen);
    json_each (m, json_get_str(v, "members"))
        ok = ok && read_member(m, i);
    return ok;
}

int identity_load(struct fs *fs, const char *data_dir, struct identity *ret)
{
    char path[IDENTITY_PATH_MAX];
    struct buf text = BUF_INIT(IDENTITY_FILE_MAX);
    struct arena a;
    struct identity read;
    int rv = pki_file_read(fs, path_of(path, data_dir), &text);
    arena_init(&a, 4UL * IDENTITY_FILE_MAX);
    if (!rv && !read_all(json_parse(&a, buf_slice(&text), NULL, NULL, NULL), &read))
        rv = -EBADMSG;
    if (!rv)
        *ret = read;
    arena_done(&a);
    buf_done(&text);
    return rv;
}

/* ---- writing ---- */

static struct json *members_json(struct arena *a, const struct identity *i)
{
    struct json *list = json_new_array(a);
    for (size_t k = 0; k < i->n_members; k++) {
        struct json *m = json_new_object(a);
        json_set_str(a, m, "id", json_new_int(a, (int64_t)i->members[k].id));
        json_set_str(a, m, "peer", json_new_str(a, i->members[k].peer));
        json_set_str(a, m, "api", json_new_str(a, i->members[k].api));
        json_append(list, m);
    }
    return list;
}

int identity_save(struct fs *fs, const char *data_dir, const struct identity *i)
{
    char path[IDENTITY_PATH_MAX];
    struct arena a;
    struct buf text = BUF_INIT(IDENTITY_FILE_MAX);
    arena_init(&a, 4UL * IDENTITY_FILE_MAX);
    struct json *v = json_new_object(&a);
    json_set_str(&a, v, "id", json_new_int(&a, (int64_t)i->id));
    json_set_str(&a, v, "clusterId", json_new_printf(&a, "%" PRIx64, i->cluster_id));
    json_set_str(&a, v, "joined", json_new_bool(&a, i->joined));
    json_set_str(&a, v, "witness", json_new_bool(&a, i->witness));
    json_set_str(&a, v, "peer", json_new_str(&a, i->peer));
    json_set_str(&a, v, "api", json_new_str(&a, i->api));
    json_set_str(&a, v, "peerListen", json_new_str(&a, i->peer_listen));
    json_set_str(&a, v, "listen", json_new_str(&a, i->listen));
    json_set_str(&a, v, "members", members_json(&a, i));
    int rv = json_write(&text, v);
    if (!rv)
        rv = buf_add_char(&text, '\n');
    fs_mkdir(fs, data_dir);
    if (!rv)
        rv = pki_file_write(fs, path_of(path, data_dir), buf_slice(&text));
    arena_done(&a);
    buf_done(&text);
    return rv;
}
