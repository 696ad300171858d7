#include "agent/cni/cni.h"

#include <errno.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "codec/json.h"

enum { BRIDGE_NAME_MAX = 15, CNI_TEXT_MAX = 64 << 10 };

/* Short names are shown as they are; longer ones keep apart by a hash. */
static void bridge_name(const char *name, char out[BRIDGE_NAME_MAX + 1])
{
    char plain[BRIDGE_NAME_MAX + 1];
    size_t n = 0;
    for (const char *p = name; *p && n < BRIDGE_NAME_MAX - 4; p++)
        if ((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-')
            plain[n++] = *p;
    plain[n] = '\0';
    if (n == strlen(name) && n)
        snprintf(out, BRIDGE_NAME_MAX + 1, "br-%.12s", plain);
    else
        snprintf(out, BRIDGE_NAME_MAX + 1, "br-%.3s%08x", plain, fnv32(slice_str(name)));
}

static struct json *ranges(struct arena *a, const char *cidr)
{
    struct json *sets = json_new_array(a), *set = json_new_array(a), *range = json_new_object(a);
    json_set_str(a, range, "subnet", json_new_str(a, cidr));
    json_append(set, range);
    json_append(sets, set);
    return sets;
}

static struct json *ipam(struct arena *a, const char *cidr, const char *data_dir)
{
    struct json *o = json_new_object(a), *routes = json_new_array(a), *route = json_new_object(a);
    json_set_str(a, o, "type", json_new_str(a, "host-local"));
    json_set_str(a, o, "dataDir", json_new_str(a, data_dir));
    json_set_str(a, o, "ranges", ranges(a, cidr));
    json_set_str(a, route, "dst", json_new_str(a, strchr(cidr, ':') ? "::/0" : "0.0.0.0/0"));
    json_append(routes, route);
    json_set_str(a, o, "routes", routes);
    return o;
}

static struct json *bridge(struct arena *a, const char *name, const char *cidr, const char *data_dir)
{
    char device[BRIDGE_NAME_MAX + 1];
    struct json *o = json_new_object(a);
    bridge_name(name, device);
    json_set_str(a, o, "type", json_new_str(a, "bridge"));
    json_set_str(a, o, "bridge", json_new_str(a, device));
    json_set_str(a, o, "isGateway", json_new_bool(a, true));
    json_set_str(a, o, "ipMasq", json_new_bool(a, false));
    json_set_str(a, o, "hairpinMode", json_new_bool(a, true));
    json_set_str(a, o, "promiscMode", json_new_bool(a, false));
    json_set_str(a, o, "ipam", ipam(a, cidr, data_dir));
    return o;
}

static struct json *portmap(struct arena *a)
{
    struct json *o = json_new_object(a), *capabilities = json_new_object(a);
    json_set_str(a, capabilities, "portMappings", json_new_bool(a, true));
    json_set_str(a, o, "type", json_new_str(a, "portmap"));
    json_set_str(a, o, "capabilities", capabilities);
    json_set_str(a, o, "snat", json_new_bool(a, true));
    return o;
}

static int render(struct buf *out, const char *name, const char *cidr, const char *data_dir)
{
    struct arena a;
    arena_init(&a, CNI_TEXT_MAX);
    struct json *o = json_new_object(&a), *plugins = json_new_array(&a);
    json_set_str(&a, o, "cniVersion", json_new_str(&a, "0.4.0"));
    json_set_str(&a, o, "name", json_new_str(&a, name));
    json_append(plugins, bridge(&a, name, cidr, data_dir));
    json_append(plugins, portmap(&a));
    json_set_str(&a, o, "plugins", plugins);
    int err = arena_error(&a);
    err = err ? err : json_write(out, o);
    arena_done(&a);
    return err ? err : buf_add_char(out, '\n');
}

/* dir and what is above it. */
static void make_dirs(struct fs *fs, const char *dir)
{
    char part[1024];
    size_t n = strlen(dir);
    for (size_t i = 1; i <= n && i < sizeof part; i++)
        if (dir[i] == '/' || dir[i] == '\0') {
            memcpy(part, dir, i);
            part[i] = '\0';
            fs_mkdir(fs, part); /* what is wrong shows when the file is opened */
        }
}

static int write_file(struct fs *fs, const char *path, struct slice text)
{
    struct file *f;
    int err = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNC, &f);
    if (err)
        return err;
    ssize_t n = file_pwrite(f, text.p, text.n, 0);
    err = n < 0 ? (int)n : (size_t)n < text.n ? -EIO : file_sync(f);
    file_close(f);
    return err;
}

int cni_write_config(struct fs *fs, const char *dir, const char *name, const char *pod_cidr, const char *data_dir)
{
    char fresh[1024], path[1024];
    struct buf text = BUF_INIT(CNI_TEXT_MAX);
    if (snprintf(fresh, sizeof fresh, "%s/.10-pintle.conflist.new", dir) >= (int)sizeof fresh)
        return -ENAMETOOLONG;
    snprintf(path, sizeof path, "%s/10-pintle.conflist", dir);
    int err = render(&text, name, pod_cidr, data_dir);
    make_dirs(fs, dir);
    if (!err)
        err = write_file(fs, fresh, buf_slice(&text));
    if (!err)
        err = fs_rename(fs, fresh, path);
    if (!err)
        err = fs_sync_dir(fs, dir);
    buf_done(&text);
    return err;
}
