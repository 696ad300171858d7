#include "raft/testimony.h"

#include <errno.h>
#include <stdio.h>

#include "base/hash.h"
#include "raft/wire.h"

/* magic 8, version 4, crc32c 4 (of the rest), count 8, then id, incarnation, run, term of each */
enum { HEAD = 24, CRC_FROM = 16, EACH = 32, TESTIMONY_PATH_MAX = 512 };

static const char testimony_magic[8] = {'P', 'i', 'n', 't', 'l', 'e', 'P', 'W'};

/* ---- the file ---- */

static size_t encode(char *out, const struct testimony *w)
{
    size_t n = HEAD + w->n * EACH;
    memset(out, 0, n);
    memcpy(out, testimony_magic, sizeof(testimony_magic));
    put_u32(out + 8, TESTIMONY_VERSION);
    put_u64(out + 16, w->n);
    for (size_t i = 0; i < w->n; i++) {
        char *p = out + HEAD + i * EACH;
        put_u64(p, w->at[i].id);
        put_u64(p + 8, w->at[i].incarnation);
        put_u64(p + 16, w->at[i].run);
        put_u64(p + 24, w->at[i].term);
    }
    put_u32(out + 12, crc32c(0, out + CRC_FROM, n - CRC_FROM));
    return n;
}

static void decode(struct slice s, struct testimony *ret)
{
    if (s.n < HEAD || memcmp(s.p, testimony_magic, sizeof(testimony_magic)) != 0 ||
        get_u32(s.p + 8) != TESTIMONY_VERSION)
        return;
    uint64_t n = get_u64(s.p + 16);
    if (n > TESTIMONY_MAX || s.n != HEAD + n * EACH || get_u32(s.p + 12) != crc32c(0, s.p + CRC_FROM, s.n - CRC_FROM))
        return;
    for (size_t i = 0; i < n; i++) {
        const char *p = s.p + HEAD + i * EACH;
        ret->at[i] = (struct testified){get_u64(p), get_u64(p + 8), get_u64(p + 16), get_u64(p + 24)};
    }
    ret->n = n;
}

void testimony_load(struct fs *fs, const char *dir, struct testimony *ret)
{
    char path[TESTIMONY_PATH_MAX], bytes[HEAD + TESTIMONY_MAX * EACH + 1];
    struct file *f;
    *ret = (struct testimony){.n = 0};
    snprintf(path, sizeof(path), "%s/peers", dir);
    if (fs_open(fs, path, FS_READ, &f))
        return;
    ssize_t r = file_pread(f, bytes, sizeof(bytes), 0);
    if (r > 0)
        decode(slice_of(bytes, (size_t)r), ret);
    file_close(f);
}

int testimony_save(struct fs *fs, const char *dir, const struct testimony *w)
{
    char path[TESTIMONY_PATH_MAX], tmp[TESTIMONY_PATH_MAX], bytes[HEAD + TESTIMONY_MAX * EACH];
    struct file *f;
    snprintf(path, sizeof(path), "%s/peers", dir);
    snprintf(tmp, sizeof(tmp), "%s/peers.tmp", dir);
    int err = fs_open(fs, tmp, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &f);
    if (err)
        return err;
    ssize_t r = file_pwrite(f, bytes, encode(bytes, w), 0);
    err = r < 0 ? (int)r : file_sync(f);
    file_close(f);
    if (!err)
        err = fs_rename(fs, tmp, path);
    if (err)
        fs_unlink(fs, tmp);
    return err ? err : fs_sync_dir(fs, dir);
}

/* ---- judging ---- */

static struct testified *find(struct testimony *w, uint64_t id)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->at[i].id == id)
            return &w->at[i];
    return NULL;
}

const struct testified *testimony_find(const struct testimony *w, uint64_t id)
{
    return find((struct testimony *)w, id);
}

static struct testified *add(struct testimony *w, uint64_t id)
{
    struct testified *to = &w->at[0];
    if (w->n < TESTIMONY_MAX)
        to = &w->at[w->n++];
    else
        for (size_t i = 1; i < w->n; i++)
            to = w->at[i].id < to->id ? &w->at[i] : to;
    *to = (struct testified){.id = id};
    return to;
}

/* Whether the directory that says m is a later state of the one we know. A mark older than those in m cannot be
 * compared; the number must do then. */
static bool continues(const struct testified *known, const struct message *m)
{
    uint64_t runs[FRAME_RUNS];
    frame_get_runs(m, runs);
    if (m->incarnation < known->incarnation || m->term < known->term)
        return false;
    uint64_t since = m->incarnation - known->incarnation;
    return since >= FRAME_RUNS || runs[since] == known->run;
}

bool testimony_judge(struct testimony *w, uint64_t id, const struct message *m)
{
    struct testified *known = find(w, id);
    uint64_t runs[FRAME_RUNS];
    if (m->incarnation == 0)
        return true;
    if (known && !continues(known, m))
        return false;
    if (!known)
        known = add(w, id);
    frame_get_runs(m, runs);
    const struct testified now = {id, m->incarnation, runs[0], m->term};
    w->changed = w->changed || memcmp(known, &now, sizeof(now)) != 0;
    *known = now;
    return true;
}

void testimony_term(struct testimony *w, uint64_t id, uint64_t term)
{
    struct testified *known = find(w, id);
    if (!known || known->term >= term)
        return;
    known->term = term;
    w->changed = true;
}
