/* pintle status: is the cluster well, who leads, who lags and why, what to do. Any one server tells who the members are;
 * then each of them is asked for its metrics. Works without a quorum. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/commands.h"
#include "codec/json.h"
#include "net/http.h"

enum {
    STATUS_TIMEOUT_MS = 2000,
    STATUS_LIST_MS = 4000, /* it may be passed on to the leader */
    STATUS_BODY_MAX = 16 << 20,
    STATUS_ADVICE_MAX = 64,
    STATUS_TEXT_MAX = 512,
    STATUS_LAG_MAX = 1000, /* entries behind that are worth a word */
};

enum health { HEALTHY, DEGRADED, NO_QUORUM };

struct status_options {
    const char *cert_dir, *user, *output;
    struct option_list servers;
};

static const struct option_row rows[] = {
    {"server", OPTION_LIST, offsetof(struct status_options, servers), "ADDR",
     "a replica's API address; any one will do, more help when one is down (127.0.0.1:6443)"},
    {"cert-dir", OPTION_TEXT, offsetof(struct status_options, cert_dir), "DIR",
     "ca.crt, USER.crt, USER.key (/etc/pintle/pki)"},
    {"user", OPTION_TEXT, offsetof(struct status_options, user), "NAME", "whose certificate (admin)"},
    {"output", OPTION_TEXT, offsetof(struct status_options, output), "json", "print JSON"},
    {0},
};

struct asked {
    struct loop *loop;
    size_t *pending;
    const char *address;
    struct http_client *client;
    struct buf body;
    int err, code;
};

struct view {
    struct loop *loop;
    struct tls_context *tls;
    struct arena a;
    const struct json *members; /* the list's answer, or NULL */
    struct asked lists[OPTION_LIST_MAX], metrics[OPTION_LIST_MAX];
    const struct json *member_of[OPTION_LIST_MAX]; /* of metrics[i]; NULL when nobody told who the members are */
    size_t n_lists, n_metrics;
    enum health health;
    char advice[STATUS_ADVICE_MAX][STATUS_TEXT_MAX];
    size_t n_advice;
};

/* ---- asking ---- */

static void on_data(void *ctx, struct slice data)
{
    struct asked *q = ctx;
    buf_add_slice(&q->body, data);
}

static void on_done(void *ctx, int err, int code, const struct http_header *trailers, size_t n, bool sent)
{
    struct asked *q = ctx;
    (void)trailers, (void)n, (void)sent;
    q->err = err;
    q->code = code;
    if (--*q->pending == 0)
        loop_stop(q->loop);
}

static void ask(struct view *v, struct asked *q, size_t n, const char *path, unsigned timeout_ms)
{
    size_t pending = n;
    for (size_t i = 0; i < n; i++) {
        q[i].loop = v->loop;
        q[i].pending = &pending;
        buf_init(&q[i].body, STATUS_BODY_MAX);
        q[i].client = http_client_new(v->loop, &(struct http_client_options){.addr = q[i].address, .tls = v->tls});
        http_call(q[i].client, &(struct http_call_options){.method = "GET",
                                                           .path = path,
                                                           .timeout_ms = timeout_ms,
                                                           .on_data = on_data,
                                                           .on_done = on_done,
                                                           .ctx = &q[i]});
    }
    if (n)
        loop_run(v->loop);
}

static bool is_up(const struct asked *q)
{
    return !q->err && q->code == 200;
}

/* The leader's view, when one got it; else anybody's. */
static void find_members(struct view *v, const struct status_options *o)
{
    for (size_t i = 0; i < o->servers.n; i++)
        v->lists[v->n_lists++].address = o->servers.at[i];
    ask(v, v->lists, v->n_lists, "/pintle/v1/members", STATUS_LIST_MS);
    for (size_t i = 0; i < v->n_lists; i++) {
        const struct json *list =
            is_up(&v->lists[i]) ? json_parse(&v->a, buf_slice(&v->lists[i].body), NULL, NULL, NULL) : NULL;
        if (json_get_str(list, "members") && (!v->members || !json_get_str(list, "note")))
            v->members = list;
    }
}

static void ask_members(struct view *v)
{
    json_each (m, json_get_str(v->members, "members")) {
        struct slice api = json_path_string(m, "api");
        if (!api.n || v->n_metrics == OPTION_LIST_MAX)
            continue;
        v->member_of[v->n_metrics] = m;
        v->metrics[v->n_metrics++].address = arena_printf(&v->a, "%" SLICE_FMT, SLICE_ARG(api));
    }
    for (size_t i = 0; !v->n_metrics && i < v->n_lists; i++)
        v->metrics[i].address = v->lists[i].address;
    if (!v->members)
        v->n_metrics = v->n_lists;
    ask(v, v->metrics, v->n_metrics, "/metrics", STATUS_TIMEOUT_MS);
}

/* ---- judging ---- */

__attribute__((format(printf, 3, 4))) static void advise(struct view *v, enum health at_least, const char *fmt, ...)
{
    va_list ap;
    if (v->health < at_least)
        v->health = at_least;
    if (v->n_advice == STATUS_ADVICE_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(v->advice[v->n_advice++], STATUS_TEXT_MAX, fmt, ap);
    va_end(ap);
}

/* The value of a metric without labels, or fallback. */
static double value_of(const struct asked *q, const char *name, double fallback)
{
    char line[128];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = q->body.p ? strstr(q->body.p, line) : NULL;
    return at ? strtod(at + strlen(line), NULL) : fallback;
}

/* Every gauge pintle_alarm_… that is not 0, with its help text. */
static void judge_alarms(struct view *v, const struct asked *q)
{
    struct slice rest = buf_slice(&q->body), line, help = SLICE_NONE, name, value;
    while (rest.n) {
        slice_cut(rest, '\n', &line, &rest);
        if (slice_starts(line, SLICE("# HELP pintle_alarm_")))
            slice_cut(slice_from(line, sizeof "# HELP " - 1), ' ', &name, &help);
        if (!slice_starts(line, SLICE("pintle_alarm_")) || !slice_cut(line, ' ', &name, &value))
            continue;
        if (!slice_eq_str(value, "0"))
            advise(v, DEGRADED, "%s: alarm %" SLICE_FMT ": %" SLICE_FMT, q->address, SLICE_ARG(name), SLICE_ARG(help));
    }
}

static void judge_replica(struct view *v, const struct asked *q)
{
    static const struct {
        const char *metric, *text;
    } known[] = {
        {"pintle_raft_disk_full", "its disk is full: free some space; deletes still work"},
        {"pintle_state_fenced",
         "its state was found wrong, it gets a sound one from another replica; suspect its memory"},
        {"pintle_backup_failing", "its backup directory refuses writes: see its log"},
    };
    if (q->err == -EKEYREJECTED)
        advise(v, DEGRADED, "%s: its certificate is not valid for that address: issue one (pintle cert issue)",
               q->address);
    else if (q->err)
        advise(v, DEGRADED, "%s: not reachable (%s): is the process running? see its log", q->address,
               strerror(-q->err));
    else if (q->code == 401 || q->code == 403)
        advise(v, DEGRADED, "%s: refused our certificate: is it from this cluster's authority?", q->address);
    else if (q->code != 200)
        advise(v, DEGRADED, "%s: answers with an error (%d): see its log", q->address, q->code);
    if (!is_up(q))
        return;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (value_of(q, known[i].metric, 0) > 0)
            advise(v, DEGRADED, "%s: %s", q->address, known[i].text);
    if (value_of(q, "pintle_raft_sync_recent_seconds", 0) > 0.1)
        advise(v, DEGRADED, "%s: its disk is slow: a log write takes %.0f ms", q->address,
               1000 * value_of(q, "pintle_raft_sync_recent_seconds", 0));
    judge_alarms(v, q);
}

static void judge_members(struct view *v)
{
    json_each (m, json_get_str(v->members, "members")) {
        int64_t id = json_int(json_get_str(m, "id"), 0), behind = json_int(json_get_str(m, "behind"), 0);
        if (json_flag(m, "witness") && !json_flag(m, "connected"))
            advise(v, DEGRADED, "member %ld, the witness, is not connected to the leader", id);
        else if (slice_eq_str(json_path_string(m, "role"), "spare"))
            advise(v, HEALTHY, "member %ld is joining", id);
        else if (json_flag(m, "connected") && behind > STATUS_LAG_MAX)
            advise(v, DEGRADED, "member %ld is %ld entries behind: it catches up, or its disk or network is slow", id,
                   behind);
    }
}

/* What one more failure would do. */
static void judge_quorum(struct view *v)
{
    const struct json *q = json_get_str(v->members, "quorum");
    int64_t voters = json_int(json_get_str(q, "voters"), 0), needed = json_int(json_get_str(q, "needed"), 0);
    int64_t up = json_int(json_get_str(q, "connected"), 0), survives = json_int(json_get_str(q, "survives"), 0);
    if (!v->members)
        advise(v, NO_QUORUM, "No server told who the members are: --server names others.");
    else if (up < needed || !json_int(json_get_str(v->members, "leader"), 0))
        advise(v, NO_QUORUM,
               "No quorum: %ld of %ld voters are connected, %ld are needed for writes. Start the others; when they are "
               "lost for good, see pintle-recover(1).",
               up, voters, needed);
    else if (voters == 1)
        advise(v, HEALTHY, "One voter: nothing is survived. Let two more join: pintle member add.");
    else if (survives == 0)
        advise(v, DEGRADED, "No further failure is survived: %ld of %ld voters are connected.", up, voters);
}

static void judge(struct view *v)
{
    for (size_t i = 0; i < v->n_metrics; i++)
        judge_replica(v, &v->metrics[i]);
    judge_members(v);
    judge_quorum(v);
}

/* ---- printing ---- */

static const char *const health_names[] = {"healthy", "degraded", "no quorum"};

static const char *role_of(const struct view *v, size_t i)
{
    const struct asked *q = &v->metrics[i];
    const struct json *m = v->member_of[i];
    if (!is_up(q))
        return "down";
    if (value_of(q, "pintle_state_fenced", 0) > 0)
        return "fenced";
    if (value_of(q, "pintle_raft_is_leader", 0) > 0)
        return "leader";
    return slice_eq_str(json_path_string(m, "role"), "standby") ? "standby" : "follower";
}

static double newest_of(const struct view *v)
{
    double newest = 0;
    for (size_t i = 0; i < v->n_metrics; i++)
        if (value_of(&v->metrics[i], "pintle_raft_commit_index", 0) > newest)
            newest = value_of(&v->metrics[i], "pintle_raft_commit_index", 0);
    return newest;
}

static void print_table(const struct view *v)
{
    double newest = newest_of(v);
    printf("%-4s %-24s %-10s %6s %12s %10s\n", "ID", "REPLICA", "ROLE", "TERM", "REVISION", "BEHIND");
    for (size_t i = 0; i < v->n_metrics; i++) {
        const struct asked *q = &v->metrics[i];
        printf("%-4ld %-24s %-10s", json_int(json_get_str(v->member_of[i], "id"), 0), q->address, role_of(v, i));
        if (is_up(q))
            printf(" %6.0f %12.0f %10.0f", value_of(q, "pintle_raft_term", 0), value_of(q, "pintle_store_revision", 0),
                   newest - value_of(q, "pintle_raft_applied_index", 0));
        printf("\n");
    }
    json_each (m, json_get_str(v->members, "members"))
        if (!json_path_string(m, "api").n)
            printf("%-4ld %-24" SLICE_FMT " %s\n", json_int(json_get_str(m, "id"), 0),
                   SLICE_ARG(json_path_string(m, "peer")), json_flag(m, "witness") ? "witness" : "-");
    int64_t survives = json_int(json_path(v->members, "quorum.survives"), 0);
    printf("\n%s", v->health == HEALTHY ? "Healthy" : v->health == DEGRADED ? "Degraded" : "No quorum");
    if (survives && v->health != NO_QUORUM)
        printf("; %ld more failure%s survived", survives, survives == 1 ? " is" : "s are");
    printf("\n");
    for (size_t i = 0; i < v->n_advice; i++)
        printf("  %s\n", v->advice[i]);
}

static struct json *replica_json(struct view *v, size_t i)
{
    struct arena *a = &v->a;
    const struct asked *q = &v->metrics[i];
    struct json *r = json_new_object(a);
    json_set_str(a, r, "id", json_new_int(a, json_int(json_get_str(v->member_of[i], "id"), 0)));
    json_set_str(a, r, "address", json_new_str(a, q->address));
    json_set_str(a, r, "reachable", json_new_bool(a, is_up(q)));
    json_set_str(a, r, "role", json_new_str(a, role_of(v, i)));
    json_set_str(a, r, "leader", json_new_bool(a, value_of(q, "pintle_raft_is_leader", 0) > 0));
    json_set_str(a, r, "fenced", json_new_bool(a, value_of(q, "pintle_state_fenced", 0) > 0));
    json_set_str(a, r, "term", json_new_int(a, (int64_t)value_of(q, "pintle_raft_term", 0)));
    json_set_str(a, r, "commitIndex", json_new_int(a, (int64_t)value_of(q, "pintle_raft_commit_index", 0)));
    json_set_str(a, r, "appliedIndex", json_new_int(a, (int64_t)value_of(q, "pintle_raft_applied_index", 0)));
    json_set_str(a, r, "revision", json_new_int(a, (int64_t)value_of(q, "pintle_store_revision", 0)));
    return r;
}

static void print_json(struct view *v)
{
    struct arena *a = &v->a;
    struct json *out = json_new_object(a), *replicas = json_new_array(a), *advice = json_new_array(a);
    struct buf text = BUF_INIT(STATUS_BODY_MAX);
    for (size_t i = 0; i < v->n_metrics; i++)
        json_append(replicas, replica_json(v, i));
    for (size_t i = 0; i < v->n_advice; i++)
        json_append(advice, json_new_str(a, v->advice[i]));
    json_set_str(a, out, "health", json_new_str(a, health_names[v->health]));
    json_set_str(a, out, "replicas", replicas);
    if (v->members) {
        json_set_str(a, out, "quorum", json_clone(a, json_get_str(v->members, "quorum")));
        json_set_str(a, out, "members", json_clone(a, json_get_str(v->members, "members")));
    }
    json_set_str(a, out, "advice", advice);
    if (!json_write(&text, out))
        printf("%s\n", text.p);
    buf_done(&text);
}

/* ---- running ---- */

static void free_asked(struct asked *q, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        http_client_free(q[i].client);
        buf_done(&q[i].body);
    }
}

static int show(const struct status_options *o, struct loop *l, struct tls_context *tls)
{
    struct view *v = mem_new(struct view);
    v->loop = l;
    v->tls = tls;
    arena_init(&v->a, 4UL * STATUS_BODY_MAX);
    find_members(v, o);
    ask_members(v);
    judge(v);
    if (o->output)
        print_json(v);
    else
        print_table(v);
    int rv = (int)v->health;
    free_asked(v->lists, v->n_lists);
    free_asked(v->metrics, v->n_metrics);
    arena_done(&v->a);
    mem_free(v);
    return rv;
}

static int run(int argc, char **argv, const struct command *c)
{
    struct status_options o = {.cert_dir = "/etc/pintle/pki", .user = "admin"};
    char ca[512], cert[512], key[512], why[256];
    struct tls_context *tls;
    int rv = options_parse(c, argc, argv, &o, "/etc/pintle/status.yaml", NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!o.servers.n)
        o.servers = (struct option_list){{"127.0.0.1:6443"}, 1};
    snprintf(ca, sizeof ca, "%s/ca.crt", o.cert_dir);
    snprintf(cert, sizeof cert, "%s/%s.crt", o.cert_dir, o.user);
    snprintf(key, sizeof key, "%s/%s.key", o.cert_dir, o.user);
    signal(SIGPIPE, SIG_IGN);
    struct loop *l = loop_uv_new("status");
    loop_log(l)->level = LOG_ERROR;
    if (tls_context_new(&(struct tls_options){.cert_file = cert, .key_file = key, .ca_file = ca}, &tls, why)) {
        fprintf(stderr, "pintle status: %s\n", why);
        loop_free(l);
        return 2;
    }
    rv = show(&o, l, tls);
    tls_context_free(tls);
    loop_free(l);
    return rv;
}

const struct command command_status = {"status", "Shows whether the cluster is well, and what to do if not.",
                                       "",       "Exit status: 0 healthy, 1 degraded, 2 no quorum or nobody answers.",
                                       rows,     run};
