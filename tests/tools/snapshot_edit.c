/* snapshot_edit DIR OLD NEW: replaces text in the newest snapshot of a data directory, with all checksums right again, as
 * no disk could do it. For tests of what replicas do when their states differ. OLD and NEW have the same length. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "raft/snapshot.h"

enum { STATE_MAX = 256 << 20 };

static int write_all(void *frozen, struct raft_sink *sink)
{
    const struct buf *b = frozen;
    return sink->write(sink, b->p, b->n);
}

static int read_all(struct snap_reader *r, struct buf *out)
{
    char byte;
    int rv;
    while (!(rv = r->source.read(&r->source, &byte, 1)))
        if (buf_add(out, &byte, 1))
            return -1;
    return rv == -ENODATA ? 0 : -1;
}

static int edit(struct fs *fs, const char *dir, const char *old, const char *new)
{
    char path[SNAP_PATH_MAX];
    uint64_t index = 0;
    struct snap_reader *r;
    struct buf state = BUF_INIT(STATE_MAX);
    atomic_bool cancel;
    atomic_init(&cancel, false);
    if (snap_find(fs, dir, &index) || !index)
        return fprintf(stderr, "%s: no snapshot\n", dir), 1;
    snap_path(path, dir, index);
    if (snap_open(fs, path, &r) || read_all(r, &state))
        return fprintf(stderr, "%s: cannot be read\n", path), 1;
    size_t n = 0;
    for (char *at = state.p; (at = memmem(at, state.n - (size_t)(at - state.p), old, strlen(old))); n++)
        memcpy(at, new, strlen(new));
    int rv = n ? snap_write(fs, dir, &r->info, write_all, &state, &cancel) : 1;
    printf("%s: %zu places\n", path, n);
    snap_close(r);
    buf_done(&state);
    return rv ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc != 4 || strlen(argv[2]) != strlen(argv[3])) {
        fprintf(stderr, "usage: snapshot_edit DIR OLD NEW\n");
        return 2;
    }
    struct loop *l = loop_uv_new("snapshot_edit");
    int rv = edit(loop_fs(l), argv[1], argv[2], argv[3]);
    loop_free(l);
    return rv;
}
