/* pintle-jepsen: drives a workload against real servers while a shell makes them fail, and judges what they answered.
 *
 * run --workload W,W… --nodes ADDR,ADDR… --certs DIR --hands SCRIPT --out DIR [--time S] [--faults LIST] [--seed N]
 *     [--workers N] [--think MS] [--quiet MS] [--hold MS]
 * check --workload W HISTORY        judges a history (EDN or JSON) again
 * report HISTORY REPORT             draws it
 * damage corrupt|truncate DIR SEED  damages a data directory
 *
 * Ends with 0: no anomaly, 1: anomalies, 3: nothing proved, 2: it could not be run. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "jepsen/damage.h"
#include "jepsen/hands_shell.h"
#include "jepsen/monitor.h"
#include "jepsen/report.h"
#include "net/tls.h"

enum { SETTLE_MS = 2000, IDLE_MAX_MS = 120000, STEP_MS = 100, WORKLOADS_MAX = 16 };

struct run {
    const char *workload, *certs, *hands, *out, *faults;
    char *nodes[DRIVE_NODES_MAX];
    struct drive_options o;
    struct nemesis_options no;
    unsigned seconds;
    struct loop *loop;
    struct drive *drives[WORKLOADS_MAX]; /* one for each workload, under the same faults */
    char namespaces[WORKLOADS_MAX][32];
    const struct workload *loads[WORKLOADS_MAX];
    size_t n_drives;
    struct monitor *monitor;
    struct hands_shell *shell;
    struct nemesis *nemesis;
    struct loop_timer timer;
    uint64_t waited;
    bool broken; /* the cluster was not whole again */
    enum phase { RUNNING, HEALING, QUIETING, SETTLING, FINISHING } phase;
};

static const unsigned able = (1u << FAULT_KINDS) - 1 - (1u << FAULT_CRASH);

/* ---- phases of a run ---- */

static void wait_more(struct run *r)
{
    loop_timer_start(r->loop, &r->timer, STEP_MS);
    r->waited += STEP_MS;
}

static void enter(struct run *r, enum phase phase)
{
    r->phase = phase;
    r->waited = 0;
    wait_more(r);
}

static void on_settled(void *arg)
{
    struct run *r = arg;
    r->broken = hands_shell_failed(r->shell);
    enter(r, QUIETING);
}

static void on_healed(void *arg)
{
    struct run *r = arg;
    hands_shell_settle(r->shell, on_settled, r);
}

static bool whole(const struct run *r)
{
    return *monitor_leader(r->monitor) >= 0 && monitor_answering(r->monitor) == r->o.n_nodes;
}

static bool all_idle(const struct run *r)
{
    bool idle = true;
    for (size_t i = 0; i < r->n_drives; i++)
        idle &= drive_idle(r->drives[i]);
    return idle;
}

static void each_drive(struct run *r, void (*each)(struct drive *d))
{
    for (size_t i = 0; i < r->n_drives; i++)
        each(r->drives[i]);
}

static void on_step(struct loop_timer *t)
{
    struct run *r = container_of(t, struct run, timer);
    switch (r->phase) {
    case RUNNING:
        r->phase = HEALING;
        nemesis_stop(r->nemesis, on_healed, r);
        return;
    case HEALING:
        return;
    case QUIETING: /* some more operations on the healed cluster */
        if ((whole(r) && r->waited > SETTLE_MS) || r->waited > IDLE_MAX_MS) {
            each_drive(r, drive_quiet);
            enter(r, SETTLING);
            return;
        }
        break;
    case SETTLING:
        if (all_idle(r) && r->waited > SETTLE_MS) {
            each_drive(r, drive_finish);
            enter(r, FINISHING);
            return;
        }
        break;
    case FINISHING:
        if (all_idle(r) || r->waited > IDLE_MAX_MS) {
            loop_stop(r->loop);
            return;
        }
        break;
    }
    wait_more(r);
}

/* ---- results ---- */

static const char *outcome(const struct verdict *v)
{
    return v->n ? "ANOMALIES" : v->unknown ? "unknown" : "valid";
}

static void print_verdict(FILE *f, const struct verdict *v)
{
    for (size_t i = 0; i < v->n && i < VERDICT_ANOMALIES; i++)
        fprintf(f, "  %s: %s\n", v->anomalies[i].name, v->anomalies[i].text);
}

static int exit_code(const struct verdict *v)
{
    return v->n ? 1 : v->unknown ? 3 : 0;
}

static void write_result(const struct run *r, size_t i, const struct verdict *v, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return;
    fprintf(f, "{\"workload\":\"%s\",\"seed\":%lu,\"seconds\":%u,\"nodes\":%zu,\"operations\":%zu,\"faults\":{",
            r->loads[i]->name, r->o.seed, r->seconds, r->o.n_nodes, drive_ops(r->drives[i]));
    const size_t *counts = nemesis_counts(r->nemesis);
    bool first = true;
    for (int k = 0; k < FAULT_KINDS; k++) {
        if (counts[k])
            fprintf(f, "%s\"%s\":%zu", first ? "" : ",", fault_name((enum fault_kind)k), counts[k]), first = false;
    }
    fprintf(f, "},\"outcome\":\"%s\",\"anomalies\":%zu}\n", outcome(v), v->n);
    fclose(f);
}

static int finish(struct run *r, size_t i)
{
    struct verdict v = {0};
    const struct history *h = drive_history(r->drives[i]);
    const char *name = r->loads[i]->name;
    char path[512];
    size_t fate[HIST_TYPES] = {0};
    if (!drive_idle(r->drives[i]))
        verdict_add(&v, "not-answered", "workers are not done %d s after everything was healed", IDLE_MAX_MS / 1000);
    snprintf(path, sizeof path, "%s/%s.edn", r->out, name);
    history_write(h, path, true);
    snprintf(path, sizeof path, "%s/%s.json", r->out, name);
    history_write(h, path, false);
    r->loads[i]->check(h, &v);
    snprintf(path, sizeof path, "%s/%s.html", r->out, name);
    report_write(h, &(struct report_options){name, r->faults, r->o.seed, r->o.n_nodes}, &v, path);
    snprintf(path, sizeof path, "%s/%s.result.json", r->out, name);
    write_result(r, i, &v, path);
    for (size_t k = 0; k < h->n; k++)
        fate[h->events[k].type] += h->events[k].process >= 0;
    printf("%-8s seed %lu: %s; %zu operations (%zu ok, %zu refused, %zu unknown)\n", name, r->o.seed, outcome(&v),
           drive_ops(r->drives[i]), fate[HIST_OK], fate[HIST_FAIL], fate[HIST_INFO]);
    print_verdict(stdout, &v);
    return exit_code(&v);
}

static int finish_all(struct run *r)
{
    int worst = r->broken;
    for (size_t i = 0; i < r->n_drives; i++) {
        int rv = finish(r, i);
        worst = rv == 1 || !worst ? rv : worst;
    }
    printf("%u s under faults:", r->seconds);
    for (int k = 0; k < FAULT_KINDS; k++)
        if (nemesis_counts(r->nemesis)[k])
            printf(" %s %zu", fault_name((enum fault_kind)k), nemesis_counts(r->nemesis)[k]);
    printf("\n%s", r->broken ? "ANOMALY: the cluster did not become whole again\n" : "");
    return worst;
}

static struct tls_context *tls_of(const char *dir)
{
    char ca[300], cert[300], key[300], why[256];
    struct tls_context *tls = NULL;
    snprintf(ca, sizeof ca, "%s/ca.crt", dir);
    snprintf(cert, sizeof cert, "%s/admin.crt", dir);
    snprintf(key, sizeof key, "%s/admin.key", dir);
    if (tls_context_new(&(struct tls_options){.cert_file = cert, .key_file = key, .ca_file = ca, .h2 = true}, &tls,
                        why)) {
        fprintf(stderr, "%s\n", why);
        exit(2);
    }
    return tls;
}

static int run(struct run *r)
{
    signal(SIGPIPE, SIG_IGN);
    r->loop = loop_uv_new("jepsen");
    loop_log(r->loop)->level = LOG_ERROR;
    r->o.nodes = (const char *const *)r->nodes;
    r->o.tls = r->certs ? tls_of(r->certs) : NULL;
    for (size_t i = 0; i < r->n_drives; i++) {
        r->o.workload = r->loads[i];
        snprintf(r->namespaces[i], sizeof r->namespaces[i], "jepsen-%s", r->loads[i]->name);
        r->o.ns = r->namespaces[i];
        r->drives[i] = drive_new(r->loop, &r->o);
        if (i)
            drive_chain(r->drives[i - 1], r->drives[i]);
    }
    each_drive(r, drive_start);
    r->monitor = monitor_new(r->drives[0]);
    r->shell = hands_shell_new(r->loop, r->hands, monitor_leader(r->monitor));
    if (!r->shell)
        return 2;
    struct nemesis_hands hands = hands_shell_hands(r->shell);
    r->nemesis = nemesis_new(r->drives[0], &hands, &r->no);
    nemesis_start(r->nemesis);
    r->timer.cb = on_step;
    loop_timer_start(r->loop, &r->timer, 1000UL * r->seconds);
    loop_run(r->loop);
    int rv = finish_all(r);
    nemesis_free(r->nemesis);
    hands_shell_free(r->shell);
    monitor_free(r->monitor);
    each_drive(r, drive_free);
    return rv;
}

/* ---- the command line ---- */

static void take_nodes(struct run *r, char *list)
{
    for (char *at; (at = strsep(&list, ",")) && r->o.n_nodes < DRIVE_NODES_MAX;)
        r->nodes[r->o.n_nodes++] = at;
}

/* "all", or names with commas; false when one is none. */
static bool take_workloads(struct run *r)
{
    struct slice rest = slice_str(r->workload), word;
    while (rest.n) {
        slice_cut(rest, ',', &word, &rest);
        bool all = slice_eq_str(word, "all"), known = all;
        for (size_t i = 0; workloads[i]; i++) {
            bool wanted = all && !(workloads[i]->by_clock && r->no.kinds >> FAULT_CLOCK & 1);
            if ((wanted || slice_eq_str(word, workloads[i]->name)) && r->n_drives < WORKLOADS_MAX) {
                r->loads[r->n_drives++] = workloads[i];
                known = true;
            }
        }
        if (!known)
            return false;
    }
    r->o.workload = r->loads[0];
    return r->n_drives > 0;
}

static bool take_option(struct run *r, const char *name, char *value)
{
    unsigned number = (unsigned)strtoul(value, NULL, 10);
    struct {
        const char *name;
        const char **text;
        unsigned *number;
    } options[] = {{"--workload", &r->workload, NULL}, {"--certs", &r->certs, NULL},
                   {"--hands", &r->hands, NULL},       {"--out", &r->out, NULL},
                   {"--faults", &r->faults, NULL},     {"--time", NULL, &r->seconds},
                   {"--workers", NULL, &r->o.workers}, {"--think", NULL, &r->o.think_ms},
                   {"--quiet", NULL, &r->no.quiet_ms}, {"--hold", NULL, &r->no.hold_ms}};
    if (!strcmp(name, "--nodes")) {
        take_nodes(r, value);
        return true;
    }
    if (!strcmp(name, "--seed")) {
        r->o.seed = strtoull(value, NULL, 10);
        return true;
    }
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (strcmp(name, options[i].name) != 0)
            continue;
        if (options[i].text)
            *options[i].text = value;
        else
            *options[i].number = number;
        return true;
    }
    return false;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: pintle-jepsen run|check|report …; see jepsen/run and the head of jepsen/main.c\nworkloads:");
    for (size_t i = 0; workloads[i]; i++)
        fprintf(stderr, " %s", workloads[i]->name);
    fprintf(stderr, "\nfaults: all process network disk damage membership");
    for (int k = 0; k < FAULT_KINDS; k++)
        fprintf(stderr, " %s", fault_name((enum fault_kind)k));
    fprintf(stderr, "\n");
    return 2;
}

static double seconds_of_cpu(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static int check_file(struct run *r, const char *path, const char *report)
{
    struct history h;
    struct verdict v = {0};
    size_t line;
    history_init(&h);
    int err = history_read(&h, path, &line);
    if (err) {
        fprintf(stderr, "%s:%zu: %s\n", path, line, strerror(-err));
        return 2;
    }
    double from = seconds_of_cpu();
    if (r->o.workload)
        r->o.workload->check(&h, &v);
    if (report)
        report_write(&h, &(struct report_options){r->workload ? r->workload : "", "", 0, 0}, &v, report);
    printf("%s; %zu judged, %zu steps, %.2f s\n", outcome(&v), v.checked, v.explored, seconds_of_cpu() - from);
    print_verdict(stdout, &v);
    history_done(&h);
    return exit_code(&v);
}

int main(int argc, char **argv)
{
    struct run r = {.faults = "",
                    .seconds = 60,
                    .o = {.workers = 20, .think_ms = 60, .seed = 1},
                    .no = {.quiet_ms = 2500, .hold_ms = 4000}};
    int i = 2;
    if (argc < 3)
        return usage();
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2)
        if (!take_option(&r, argv[i], argv[i + 1]))
            return usage();
    r.no.kinds = faults_parse(r.faults, able);
    if (r.workload && !take_workloads(&r))
        return usage();
    if (!strcmp(argv[1], "check") && i < argc && r.o.workload)
        return check_file(&r, argv[i], NULL);
    if (!strcmp(argv[1], "damage") && argc == 5)
        return damage(argv[2], argv[3], strtoull(argv[4], NULL, 10)) ? 1 : 0;
    if (!strcmp(argv[1], "report") && i + 1 < argc)
        return check_file(&r, argv[i], argv[i + 1]);
    if (strcmp(argv[1], "run") != 0 || !r.o.workload || !r.o.n_nodes || !r.out || !r.hands ||
        (*r.faults && !r.no.kinds))
        return usage();
    return run(&r);
}
