#include "cli/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "cli/commands.h"
#include "store/archive.h"

enum { SUBDIRS_MAX = 64 };

struct subdirs {
    char at[SUBDIRS_MAX][SHIP_PATH_MAX];
    size_t n;
    const char *root;
    bool bases; /* the directory is a replica's own */
};

static void note_name(void *ctx, const char *name)
{
    struct subdirs *s = ctx;
    uint64_t id;
    struct archive_file f;
    bool base;
    if (slice_to_u64(slice_str(name), &id) && s->n < SUBDIRS_MAX)
        snprintf(s->at[s->n++], SHIP_PATH_MAX, "%.380s/%.100s", s->root, name);
    s->bases = s->bases || archive_parse_name(name, &f, &base);
}

static int find_subdirs(struct loop *l, const char *dir, const char *command, struct subdirs *s)
{
    s->n = 0;
    s->bases = false;
    s->root = dir;
    int err = fs_list(loop_fs(l), dir, note_name, s);
    if (s->bases) {
        snprintf(s->at[0], SHIP_PATH_MAX, "%.500s", dir);
        s->n = 1;
    }
    if (!err && s->n)
        return 0;
    fprintf(stderr, "pintle %s: %s: %s\n", command, dir, err ? strerror(-err) : "no replica has shipped anything here");
    return 1;
}

/* ---- restoring ---- */

static int read_target(const struct archive_options *o, const char *command, struct archive_target *t)
{
    int64_t ns;
    *t = (struct archive_target){UINT64_MAX, UINT64_MAX};
    if (o->to_revision < 0 || (o->to_revision && o->to_time)) {
        fprintf(stderr, "pintle %s: either --to-revision or --to-time, or neither for the newest\n", command);
        return 2;
    }
    if (o->to_revision)
        t->revision = (uint64_t)o->to_revision;
    if (!o->to_time)
        return 0;
    if (!time_parse(slice_str(o->to_time), &ns) || ns < 0) {
        fprintf(stderr, "pintle %s: --to-time %s: want a time such as 2026-11-21T08:00:00Z\n", command, o->to_time);
        return 2;
    }
    t->time_ms = (uint64_t)(ns / NS_PER_MS);
    return 0;
}

struct best {
    struct store *store;
    struct archive_point point;
    char dir[SHIP_PATH_MAX];
    bool sure; /* it is known what follows, or the target was met */
};

static void try_subdir(struct loop *l, const char *dir, const char *command, const struct archive_target *t,
                       struct best *best)
{
    struct archive a;
    struct best own = {.store = store_new()};
    char why[256];
    int err = archive_open(loop_fs(l), dir, &a, why);
    if (!err) {
        err = archive_restore(&a, t, own.store, &own.point, why);
        archive_done(&a);
    }
    if (err)
        fprintf(stderr, "pintle %s: %s\n", command, why);
    own.sure = !err && (own.point.first_after || own.point.revision == t->revision);
    snprintf(own.dir, sizeof own.dir, "%s", dir);
    bool better = !err && (!best->store || (own.sure && !best->sure) ||
                           (own.sure == best->sure && own.point.revision > best->point.revision));
    store_free(better ? best->store : own.store);
    if (better)
        *best = own;
}

int archive_load(struct loop *l, const struct archive_options *o, const char *command, struct fresh_state *state)
{
    static struct subdirs dirs;
    struct archive_target t;
    struct best best = {0};
    char time[TIME_SEC_LEN + 1];
    int rv = read_target(o, command, &t);
    if (!rv)
        rv = find_subdirs(l, o->dir, command, &dirs);
    for (size_t i = 0; i < dirs.n && !rv && !best.sure; i++)
        try_subdir(l, dirs.at[i], command, &t, &best);
    if (rv)
        return rv;
    if (!best.store || (t.revision != UINT64_MAX && !best.sure)) {
        fprintf(stderr,
                best.store ? "pintle %s: the backup ends at revision %" PRIu64 "\n"
                           : "pintle %s: nothing can be restored\n",
                command, best.point.revision);
        store_free(best.store);
        return 1;
    }
    time_format_ms(best.point.time_ms, time);
    printf("%s: revision %" PRIu64 ", %s\n", best.dir, best.point.revision, time);
    store_free(state->store);
    *state = (struct fresh_state){best.store, best.point.index, best.point.term, best.point.digest};
    return 0;
}

/* ---- verifying ---- */

static int verify_base(struct fs *fs, const char *path, const char *command)
{
    struct backup_reader *r;
    struct store_summary sum;
    char why[256];
    int err = backup_open(fs, path, &r, why);
    if (!err) {
        err = store_inspect(backup_read, r, &sum, NULL, NULL);
        if (!err)
            err = backup_read_end(r);
        if (err)
            backup_explain(r, path, err, why);
        backup_close(r);
    }
    if (err)
        fprintf(stderr, "pintle %s: %s\n", command, why);
    return err ? 1 : 0;
}

/* Replays from each base whose state the one before did not lead to. */
static int verify_chains(const struct archive *a, const char *command)
{
    static const struct archive_target all = {UINT64_MAX, UINT64_MAX};
    uint64_t reached = 0;
    int rv = 0;
    for (size_t i = 0; i < a->n_bases; i++) {
        struct archive_point p = {0};
        struct store *s = store_new();
        char why[256], from[TIME_SEC_LEN + 1], to[TIME_SEC_LEN + 1];
        if (i && a->bases[i].index <= reached) {
            store_free(s);
            continue;
        }
        int err = archive_restore_from(a, i, &all, s, &p, why);
        store_free(s);
        time_format_ms(p.base.time_ms, from);
        time_format_ms(p.time_ms, to);
        if (p.index)
            printf("%s: revisions %" PRIu64 " to %" PRIu64 ", %s to %s: replayed, every hash fits\n", a->dir,
                   p.base.revision, p.revision, from, to);
        if (err && !p.gap) {
            fprintf(stderr, "pintle %s: %s\n", command, why);
            rv = 1;
        } else if (p.gap) {
            printf("%s\n", why);
        }
        reached = p.index;
    }
    return rv;
}

int archive_verify(struct loop *l, const char *dir, const char *command)
{
    static struct subdirs dirs;
    int rv = find_subdirs(l, dir, command, &dirs);
    if (rv)
        return rv;
    for (size_t d = 0; d < dirs.n; d++) {
        struct archive a;
        char why[256], path[SHIP_PATH_MAX + ARCHIVE_NAME_MAX];
        if (archive_open(loop_fs(l), dirs.at[d], &a, why)) {
            fprintf(stderr, "pintle %s: %s\n", command, why);
            rv = 1;
            continue;
        }
        for (size_t i = 0; i < a.n_bases; i++) {
            snprintf(path, sizeof path, "%s/%s", a.dir, a.bases[i].name);
            rv |= verify_base(loop_fs(l), path, command);
        }
        rv |= verify_chains(&a, command);
        archive_done(&a);
    }
    return rv;
}

/* ---- listing ---- */

struct list_options {
    const char *backup_dir, *output;
};

static const struct option_row list_rows[] = {
    {"backup-dir", OPTION_TEXT, offsetof(struct list_options, backup_dir), "DIR",
     "what servers were given as --backup-dir, or one replica's subdirectory"},
    {"output", OPTION_TEXT, offsetof(struct list_options, output), "json", "print JSON"},
    {0},
};

static void print_range(const char *dir, const struct archive_range *r, bool json, bool first)
{
    char from[TIME_SEC_LEN + 1], to[TIME_SEC_LEN + 1];
    time_format_ms(r->from_ms, from);
    time_format_ms(r->to_ms, to);
    if (json)
        printf("%s{\"directory\":\"%s\",\"cluster\":\"%" PRIx64 "\",\"fromRevision\":%" PRIu64
               ",\"toRevision\":%" PRIu64 ",\"fromTime\":\"%s\",\"toTime\":\"%s\"}",
               first ? "" : ",", dir, r->cluster_id, r->from_revision, r->to_revision, from, to);
    else
        printf("%-24s %16" PRIx64 " %12" PRIu64 " %12" PRIu64 "  %s  %s\n", dir, r->cluster_id, r->from_revision,
               r->to_revision, from, to);
}

static int list_subdir(struct loop *l, const char *dir, const char *command, bool json, bool *first)
{
    struct archive a;
    char why[256];
    uint64_t reached = 0;
    int rv = 0;
    if (archive_open(loop_fs(l), dir, &a, why)) {
        fprintf(stderr, "pintle %s: %s\n", command, why);
        return 1;
    }
    for (size_t i = 0; i < a.n_bases; i++) {
        struct archive_range r = {0};
        if (i && a.bases[i].index <= reached)
            continue;
        if (archive_range(&a, i, &r, why)) {
            fprintf(stderr, "pintle %s: %s\n", command, why);
            rv = 1;
        }
        if (r.index) {
            print_range(dir, &r, json, *first);
            *first = false;
        }
        reached = r.index;
    }
    archive_done(&a);
    return rv;
}

static int run_list(int argc, char **argv, const struct command *c)
{
    static struct subdirs dirs;
    struct list_options o = {0};
    bool first = true;
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!o.backup_dir || (o.output && strcmp(o.output, "json") != 0)) {
        fprintf(stderr, "usage: pintle %s --backup-dir DIR [--output json]\n", c->name);
        return 2;
    }
    struct loop *l = loop_uv_new("cli");
    rv = find_subdirs(l, o.backup_dir, c->name, &dirs);
    if (o.output)
        printf("{\"ranges\":[");
    else if (!rv)
        printf("%-24s %16s %12s %12s  %-20s  %s\n", "DIRECTORY", "CLUSTER", "FROM", "TO REVISION", "FROM", "TO TIME");
    for (size_t i = 0; i < dirs.n; i++)
        rv |= list_subdir(l, dirs.at[i], c->name, o.output != NULL, &first);
    if (o.output)
        printf("]}\n");
    loop_free(l);
    return rv;
}

const struct command command_snapshot_list = {
    "snapshot list",
    "Shows what can be restored from a directory of continuous backups.",
    "",
    "One line for each span without a gap: every revision and every time in it can be had.",
    list_rows,
    run_list};
