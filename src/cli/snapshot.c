/* pintle snapshot save, verify, restore: the whole state in one file. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "cli/archive.h"
#include "cli/commands.h"
#include "cli/fresh.h"
#include "cli/remote.h"
#include "codec/json.h"
#include "store/backup.h"

enum { PATH_MAX_BYTES = 1024, PROGRESS_NS = 500000000, MIB = 1 << 20 };

/* The one positional argument, or NULL after a message. */
static const char *file_argument(const struct command *c, char **rest, int n)
{
    if (n == 1)
        return rest[0];
    fprintf(stderr, "usage: pintle %s FILE [options]; see pintle %s --help\n", c->name, c->name);
    return NULL;
}

/* ---- save ---- */

struct save_options {
    struct remote_options remote;
    bool local;
};

static const struct option_row save_rows[] = {
    REMOTE_ROWS(struct save_options),
    {"local", OPTION_FLAG, offsetof(struct save_options, local), NULL,
     "what this one replica has, without asking the others: for when there is no quorum"},
    {0},
};

struct saving {
    struct remote *remote;
    struct backup_check check;
    struct file *file;
    const char *path;
    char partial[PATH_MAX_BYTES];
    uint64_t at, started, shown;
    bool terminal;
    int err;
};

static double seconds_since(struct loop *l, uint64_t from)
{
    double s = (double)(loop_now(l) - from) / 1e9;
    return s > 0.001 ? s : 0.001;
}

static void show_progress(struct saving *s)
{
    uint64_t now = loop_now(remote_loop(s->remote));
    if (!s->terminal || now - s->shown < PROGRESS_NS)
        return;
    s->shown = now;
    double mib = (double)s->at / MIB;
    fprintf(stderr, "\r%.1f MiB, %.1f MiB/s ", mib, mib / seconds_since(remote_loop(s->remote), s->started));
}

static int on_bytes(void *ctx, struct slice data)
{
    struct saving *s = ctx;
    s->err = backup_check_push(&s->check, data);
    ssize_t r = s->err ? s->err : file_pwrite(s->file, data.p, data.n, s->at);
    if (r < 0) {
        s->err = (int)r;
        return 1;
    }
    s->at += data.n;
    show_progress(s);
    return 0;
}

/* The file gets its name only when it is whole and on disk. */
static int finish_file(struct saving *s)
{
    char dir[PATH_MAX_BYTES];
    struct fs *fs = loop_fs(remote_loop(s->remote));
    int err = s->check.ended ? file_sync(s->file) : -EPIPE;
    if (!err)
        err = fs_rename(fs, s->partial, s->path);
    snprintf(dir, sizeof dir, "%s", s->path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = '\0';
    return err ? err : fs_sync_dir(fs, slash ? dir : ".");
}

static void save_failed(struct saving *s, int rv)
{
    if (s->err == -EBADMSG)
        fprintf(stderr, "pintle snapshot save: what the server sends is damaged after byte %" PRIu64 "\n", s->check.at);
    else if (s->err == -EPROTONOSUPPORT)
        fprintf(stderr, "pintle snapshot save: the server is newer: use its version of pintle\n");
    else if (s->err == -EPIPE || (!rv && !s->err))
        fprintf(stderr, "pintle snapshot save: the server's answer was cut short: see its log\n");
    else if (s->err)
        fprintf(stderr, "pintle snapshot save: %s: %s\n", s->partial, strerror(-s->err));
    fprintf(stderr, "Nothing was saved.\n");
}

static void print_saved(const struct saving *s)
{
    char time[TIME_SEC_LEN + 1];
    const struct backup_info *i = &s->check.info;
    double took = seconds_since(remote_loop(s->remote), s->started), mib = (double)s->at / MIB;
    time_format_ms(i->time_ms, time);
    if (remote_wants_json(s->remote)) {
        printf("{\"file\":\"%s\",\"bytes\":%" PRIu64 ",\"stateBytes\":%" PRIu64 ",\"revision\":%" PRIu64
               ",\"index\":%" PRIu64 ",\"time\":\"%s\",\"hash\":\"%016" PRIx64 "\",\"cluster\":\"%" PRIx64
               "\",\"seconds\":%.3f}\n",
               s->path, s->at, s->check.total, i->revision, i->index, time, i->hash, i->cluster_id, took);
        return;
    }
    printf("%s: revision %" PRIu64 ", %s\n", s->path, i->revision, time);
    printf("%.1f MiB (%.1f MiB of state) in %.1f s, %.1f MiB/s\n", mib, (double)s->check.total / MIB, took, mib / took);
}

static int save(struct saving *s, const struct save_options *o)
{
    struct loop *l = remote_loop(s->remote);
    snprintf(s->partial, sizeof s->partial, "%.1000s.partial", s->path);
    s->err = fs_open(loop_fs(l), s->partial, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &s->file);
    if (s->err) {
        fprintf(stderr, "pintle snapshot save: %s: %s\n", s->partial, strerror(-s->err));
        return 1;
    }
    s->started = s->shown = loop_now(l);
    int rv = remote_stream(s->remote, "GET", o->local ? "/pintle/v1/snapshot?local=true" : "/pintle/v1/snapshot",
                           SLICE_NONE, on_bytes, s);
    if (s->terminal)
        fprintf(stderr, "\r%40s\r", "");
    if (!rv && !s->err)
        s->err = finish_file(s);
    file_close(s->file);
    if (rv || s->err) {
        fs_unlink(loop_fs(l), s->partial);
        save_failed(s, rv);
        return 1;
    }
    print_saved(s);
    return 0;
}

static int run_save(int argc, char **argv, const struct command *c)
{
    struct save_options o = {0};
    struct saving s = {.terminal = isatty(STDERR_FILENO)};
    char **rest;
    int n, rv = options_parse(c, argc, argv, &o, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!(s.path = file_argument(c, rest, n)))
        return 2;
    rv = remote_open(&o.remote, c->name, &s.remote);
    if (rv)
        return rv;
    backup_check_init(&s.check);
    rv = save(&s, &o);
    backup_check_done(&s.check);
    remote_close(s.remote);
    return rv;
}

const struct command command_snapshot_save = {"snapshot save",
                                              "Saves the whole state to a file.",
                                              "FILE",
                                              "The state of one moment, at one revision, while the cluster works on. "
                                              "FILE gets its name when it is whole, checked "
                                              "and on disk.",
                                              save_rows,
                                              run_save};

/* ---- verify ---- */

struct verify_options {
    struct remote_options remote;
    const char *backup_dir;
};

static const struct option_row verify_rows[] = {
    REMOTE_ROWS(struct verify_options),
    {"backup-dir", OPTION_TEXT, offsetof(struct verify_options, backup_dir), "DIR",
     "instead of FILE: all that servers shipped there, replayed from end to end"},
    {0},
};

enum { TABLES_SHOWN_MAX = 4096 };

struct table_row {
    char name[64];
    uint64_t objects, bytes;
};

struct verified {
    struct backup_info info;
    struct store_summary sum;
    struct table_row *tables;
    size_t n_tables;
    uint64_t bytes, digest;
};

static void note_table(void *arg, struct slice name, uint64_t objects, uint64_t bytes)
{
    struct verified *v = arg;
    if (v->n_tables == TABLES_SHOWN_MAX || !objects)
        return;
    struct table_row *row = &v->tables[v->n_tables++];
    snprintf(row->name, sizeof row->name, "%" SLICE_FMT, SLICE_ARG(name));
    row->objects = objects;
    row->bytes = bytes;
}

static int check_file(struct fs *fs, const char *path, struct verified *v, char why[256])
{
    struct backup_reader *r;
    int err = backup_open(fs, path, &r, why);
    if (err)
        return err;
    v->info = r->info;
    err = r->info.kind == BACKUP_SNAPSHOT ? store_inspect(backup_read, r, &v->sum, note_table, v) : -EBADMSG;
    if (!err)
        err = backup_read_end(r);
    if (!err && (v->sum.revision != r->info.revision || v->sum.hash != r->info.hash))
        err = -EBADMSG;
    if (err)
        backup_explain(r, path, err, why);
    v->bytes = r->at;
    v->digest = r->blocks.digest;
    backup_close(r);
    return err;
}

static void print_verified(const char *path, const struct verified *v)
{
    char time[TIME_SEC_LEN + 1], made[TIME_SEC_LEN + 1];
    time_format_ms(v->info.time_ms, time);
    time_format_ms(v->info.made_ms, made);
    printf("%s: whole and undamaged\n", path);
    printf("made      %s, of cluster %" PRIx64 ", format %u\n", made, v->info.cluster_id, v->info.format);
    printf("state     revision %" PRIu64 ", %s, hash %016" PRIx64 "\n", v->info.revision, time, v->info.hash);
    printf("contents  %" PRIu64 " objects, %.1f MiB; %" PRIu64 " events since revision %" PRIu64 "\n\n", v->sum.objects,
           (double)v->sum.bytes / MIB, v->sum.events, v->sum.compacted);
    printf("%-48s %10s %12s\n", "TABLE", "OBJECTS", "BYTES");
    for (size_t i = 0; i < v->n_tables; i++)
        printf("%-48s %10" PRIu64 " %12" PRIu64 "\n", v->tables[i].name, v->tables[i].objects, v->tables[i].bytes);
}

static void print_verified_json(const char *path, const struct verified *v, const char *compared)
{
    char time[TIME_SEC_LEN + 1], made[TIME_SEC_LEN + 1];
    time_format_ms(v->info.time_ms, time);
    time_format_ms(v->info.made_ms, made);
    printf("{\"file\":\"%s\",\"bytes\":%" PRIu64 ",\"made\":\"%s\",\"cluster\":\"%" PRIx64
           "\",\"format\":%u,\"revision\":%" PRIu64 ",\"time\":\"%s\",\"hash\":\"%016" PRIx64 "\",\"objects\":%" PRIu64
           ",\"events\":%" PRIu64 ",\"server\":\"%s\",\"tables\":{",
           path, v->bytes, made, v->info.cluster_id, v->info.format, v->info.revision, time, v->info.hash,
           v->sum.objects, v->sum.events, compared);
    for (size_t i = 0; i < v->n_tables; i++)
        printf("%s\"%s\":%" PRIu64, i ? "," : "", v->tables[i].name, v->tables[i].objects);
    printf("}}\n");
}

/* What a running cluster says of its state at the same revision: "same", "different", or "unknown". */
static const char *compare(const struct verify_options *o, const char *command, const struct verified *v)
{
    char path[128], text[32];
    struct remote *remote;
    struct arena a;
    struct buf body = BUF_INIT(1 << 20);
    const char *answer = "unknown";
    if (remote_open(&o->remote, command, &remote))
        return answer;
    snprintf(path, sizeof path, "/pintle/v1/hash?revision=%" PRIu64, v->info.revision);
    snprintf(text, sizeof text, "%016" PRIx64, v->info.hash);
    arena_init(&a, 4 << 20);
    if (!remote_call(remote, "GET", path, SLICE_NONE, &body)) {
        struct slice hash = json_path_string(json_parse(&a, buf_slice(&body), NULL, NULL, NULL), "hash");
        if (hash.n)
            answer = slice_eq_str(hash, text) ? "same" : "different";
    }
    arena_done(&a);
    buf_done(&body);
    remote_close(remote);
    return answer;
}

static int verify(struct loop *l, const struct verify_options *o, const struct command *c, const char *path)
{
    char why[256];
    struct verified v = {.tables = mem_alloc(TABLES_SHOWN_MAX * sizeof *v.tables)};
    const char *compared = "not asked";
    int err = check_file(loop_fs(l), path, &v, why);
    if (err)
        fprintf(stderr, "pintle %s: %s\n", c->name, why);
    if (!err && o->remote.servers.n)
        compared = compare(o, c->name, &v);
    if (!err && o->remote.output)
        print_verified_json(path, &v, compared);
    else if (!err)
        print_verified(path, &v);
    if (!err && !strcmp(compared, "same"))
        fprintf(stderr, "The running cluster had the same hash at this revision.\n");
    if (!err && !strcmp(compared, "different"))
        fprintf(stderr,
                "The running cluster had ANOTHER hash at this revision: one of the two is damaged, or this file is "
                "of another cluster.\n");
    if (!err && !strcmp(compared, "unknown"))
        fprintf(stderr,
                "The running cluster cannot tell its hash at this revision (too old for it, or another cluster).\n");
    mem_free(v.tables);
    return err || !strcmp(compared, "different") ? 1 : 0;
}

static int run_verify(int argc, char **argv, const struct command *c)
{
    struct verify_options o = {0};
    char **rest;
    int n, rv = options_parse(c, argc, argv, &o, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    const char *path = o.backup_dir && !n ? o.backup_dir : file_argument(c, rest, n);
    if (!path)
        return 2;
    struct loop *l = loop_uv_new("cli");
    rv = o.backup_dir && !n ? archive_verify(l, path, c->name) : verify(l, &o, c, path);
    loop_free(l);
    return rv;
}

const struct command command_snapshot_verify = {
    "snapshot verify",
    "Checks a saved state, and says what is in it.",
    "FILE",
    "Reads the whole file; --server also compares its hash with that of a running cluster, if that still knows it.",
    verify_rows,
    run_verify};

/* ---- restore ---- */

struct restore_options {
    struct fresh_options fresh;
    struct archive_options archive;
};

static const struct option_row restore_rows[] = {
    FRESH_ROWS(struct restore_options),
    {"backup-dir", OPTION_TEXT, offsetof(struct restore_options, archive.dir), "DIR",
     "instead of FILE: from what servers shipped there"},
    {"to-revision", OPTION_NUMBER, offsetof(struct restore_options, archive.to_revision), "R",
     "with --backup-dir: the state at this revision, not the newest"},
    {"to-time", OPTION_TEXT, offsetof(struct restore_options, archive.to_time), "TIME",
     "with --backup-dir: the state at this time, such as 2026-11-21T08:00:00Z"},
    {0},
};

static int load_file(struct fs *fs, const char *path, struct fresh_state *state, char why[256])
{
    struct backup_reader *r;
    int err = backup_open(fs, path, &r, why);
    if (err)
        return err;
    err = r->info.kind == BACKUP_SNAPSHOT ? store_restore(state->store, backup_read, r) : -EBADMSG;
    if (!err)
        err = backup_read_end(r);
    if (err)
        backup_explain(r, path, err, why);
    state->index = r->info.index;
    state->term = r->info.term;
    state->seed = r->blocks.digest ^ r->info.made_ms;
    backup_close(r);
    return err;
}

static int restore(struct loop *l, const struct restore_options *o, const struct command *c, const char *path)
{
    struct raft_member members[RAFT_MEMBERS_MAX];
    struct fresh_state state = {.store = store_new()};
    char why[256];
    size_t n = 0;
    uint64_t cluster = 0;
    int rv = fresh_members(&o->fresh, c->name, NULL, members, &n);
    if (!rv && !path) {
        rv = archive_load(l, &o->archive, c->name, &state);
    } else if (!rv && load_file(loop_fs(l), path, &state, why)) {
        fprintf(stderr, "pintle %s: %s\n", c->name, why);
        rv = 1;
    }
    if (!rv)
        rv = fresh_make(l, &o->fresh, c->name, members, n, &state, &cluster);
    if (!rv)
        printf("%s: member %ld of new cluster %" PRIx64 ", revision %" PRIu64 "\n"
               "Restore the other members in the same way, then start all with the same --member list.\n",
               o->fresh.data_dir, o->fresh.id, cluster, store_revision(state.store));
    store_free(state.store);
    return rv;
}

static int run_restore(int argc, char **argv, const struct command *c)
{
    struct restore_options o = {.fresh = {.data_dir = "/var/lib/pintle", .id = 1}};
    char **rest;
    int n, rv = options_parse(c, argc, argv, &o, NULL, &rest, &n);
    if (rv)
        return rv == 1 ? 0 : rv;
    bool shipped = o.archive.dir && !n;
    const char *path = shipped ? NULL : file_argument(c, rest, n);
    if (!shipped && !path)
        return 2;
    struct loop *l = loop_uv_new("cli");
    rv = restore(l, &o, c, path);
    loop_free(l);
    return rv;
}

const struct command command_snapshot_restore = {
    "snapshot restore",
    "Makes a data directory from a saved state.",
    "FILE",
    "Offline: --data-dir must be empty. Run it for each member with the same FILE and --member list: they become a new "
    "cluster,\nwhich does not talk to what is left of the old one. Every client lists anew.",
    restore_rows,
    run_restore};
