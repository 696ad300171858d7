/* Cells of single kinds, for what no path can say. */
#include <ctype.h>
#include <stdlib.h>

#include "base/timefmt.h"
#include "object/intstr.h"
#include "object/meta.h"
#include "object/path.h"
#include "object/print_cell.h"

enum { CELL_MAX = 64 << 10, SHOWN_MAX = 3 };

static struct slice text(const struct cell *c, const char *path)
{
    return json_path_string(c->obj, path);
}

static struct slice lower(struct arena *a, struct slice s)
{
    struct slice copy = arena_copy(a, s);
    for (size_t i = 0; i < copy.n; i++)
        ((char *)copy.p)[i] = (char)tolower((unsigned char)copy.p[i]);
    return copy;
}

/* ---- events: core/v1 and events.k8s.io/v1 call the same things differently ---- */

static struct json *event_first_seen(const struct cell *c)
{
    return cell_since(c, json_string(path_first(c->obj, SLICE("firstTimestamp|deprecatedFirstTimestamp|eventTime"))));
}

static struct json *event_last_seen(const struct cell *c)
{
    struct slice last = json_string(path_first(c->obj, SLICE("lastTimestamp|deprecatedLastTimestamp")));
    if (json_get_str(c->obj, "series"))
        return cell_since(c, text(c, "series.lastObservedTime"));
    return last.n ? cell_since(c, last) : event_first_seen(c);
}

static struct json *event_object(const struct cell *c)
{
    const struct json *about = path_first(c->obj, SLICE("involvedObject|regarding"));
    struct slice kind = lower(c->a, json_path_string(about, "kind")), name = json_path_string(about, "name");
    return json_new_printf(c->a, "%" SLICE_FMT "%s%" SLICE_FMT, SLICE_ARG(kind), name.n ? "/" : "", SLICE_ARG(name));
}

static struct json *event_source(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    struct slice host = json_string(path_first(c->obj, SLICE("source.host|deprecatedSource.host|reportingInstance")));
    buf_add_slice(&b, json_string(path_first(c->obj, SLICE("source.component|deprecatedSource.component|"
                                                           "reportingComponent|reportingController"))));
    if (host.n)
        buf_printf(&b, ", %" SLICE_FMT, SLICE_ARG(host));
    return cell_take(c, &b);
}

static struct json *event_count(const struct cell *c)
{
    bool series = json_get_str(c->obj, "series");
    int64_t n =
        json_int(series ? json_path(c->obj, "series.count") : path_first(c->obj, SLICE("count|deprecatedCount")), 0);
    return json_new_int(c->a, n ? n : 1);
}

/* ---- services, endpoints, ingresses ---- */

static struct json *service_ports(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    json_each (it, json_path(c->obj, "spec.ports")) {
        int64_t node = json_int(json_get_str(it, "nodePort"), 0);
        cell_join(&b, ",", SLICE_NONE);
        buf_printf(&b, "%lld", (long long)json_int(json_get_str(it, "port"), 0));
        if (node)
            buf_printf(&b, ":%lld", (long long)node);
        buf_printf(&b, "/%" SLICE_FMT, SLICE_ARG(json_path_string(it, "protocol")));
    }
    if (b.n == 0)
        buf_add_str(&b, "<none>");
    return cell_take(c, &b);
}

static struct json *service_external(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    struct slice type = text(c, "spec.type");
    bool balanced = slice_eq_str(type, "LoadBalancer");
    if (slice_eq_str(type, "ExternalName"))
        return json_new_string(c->a, text(c, "spec.externalName"));
    if (!balanced && !slice_eq_str(type, "ClusterIP") && !slice_eq_str(type, "NodePort"))
        return json_new_str(c->a, "<unknown>");
    if (balanced)
        cell_load_balancer(c, &b);
    json_each (it, json_path(c->obj, "spec.externalIPs"))
        cell_join(&b, ",", json_string(it));
    if (b.n == 0)
        buf_add_str(&b, balanced ? "<pending>" : "<none>");
    return cell_take(c, &b);
}

static void add_endpoint(struct buf *b, struct slice ip, const struct json *port)
{
    bool v6 = ip.n && memchr(ip.p, ':', ip.n);
    if (!port) {
        cell_join(b, ",", ip);
        return;
    }
    cell_join(b, ",", SLICE_NONE);
    buf_printf(b, v6 ? "[%" SLICE_FMT "]:%lld" : "%" SLICE_FMT ":%lld", SLICE_ARG(ip),
               (long long)json_int(json_get_str(port, "port"), 0));
}

static struct json *endpoints(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    size_t n = 0;
    json_each (set, json_get_str(c->obj, "subsets")) {
        const struct json *ports = json_get_str(set, "ports"), *port = json_first(ports);
        do {
            json_each (it, json_get_str(set, "addresses"))
                if (n++ < SHOWN_MAX)
                    add_endpoint(&b, json_path_string(it, "ip"), port);
            port = port ? port->next : NULL;
        } while (port);
    }
    if (json_len(json_get_str(c->obj, "subsets")) == 0)
        buf_add_str(&b, "<none>");
    cell_more(&b, SHOWN_MAX, n);
    return cell_take(c, &b);
}

static struct json *slice_ports(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    size_t n = 0;
    json_each (it, json_get_str(c->obj, "ports")) {
        struct slice number = path_text(c->a, json_get_str(it, "port")), name = json_path_string(it, "name");
        if (n++ < SHOWN_MAX)
            cell_join(&b, ",", number.n ? number : name.n ? name : SLICE("*"));
    }
    if (n == 0)
        buf_add_str(&b, "<unset>");
    cell_more(&b, SHOWN_MAX, n);
    return cell_take(c, &b);
}

static struct json *slice_addresses(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    size_t n = 0;
    json_each (it, json_get_str(c->obj, "endpoints"))
        json_each (address, json_get_str(it, "addresses"))
            if (n++ < SHOWN_MAX)
                cell_join(&b, ",", json_string(address));
    if (n == 0)
        buf_add_str(&b, "<unset>");
    cell_more(&b, SHOWN_MAX, n);
    return cell_take(c, &b);
}

static struct json *ingress_hosts(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    const struct json *rules = json_path(c->obj, "spec.rules");
    size_t n = 0;
    json_each (it, rules) {
        struct slice host = json_path_string(it, "host");
        if (host.n && n++ < SHOWN_MAX)
            cell_join(&b, ",", host);
    }
    if (b.n == 0)
        buf_add_char(&b, '*');
    cell_more(&b, SHOWN_MAX, n >= SHOWN_MAX ? json_len(rules) : 0);
    return cell_take(c, &b);
}

static struct json *ingress_ports(const struct cell *c)
{
    return json_new_str(c->a, json_len(json_path(c->obj, "spec.tls")) ? "80, 443" : "80");
}

static struct json *ingress_parameters(const struct cell *c)
{
    const struct json *p = json_path(c->obj, "spec.parameters");
    struct slice group = json_path_string(p, "apiGroup");
    if (!p)
        return NULL;
    return json_new_printf(c->a, "%" SLICE_FMT "%s%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(json_path_string(p, "kind")),
                           group.n ? "." : "", SLICE_ARG(group), SLICE_ARG(json_path_string(p, "name")));
}

static struct json *parent_ref(const struct cell *c)
{
    const struct json *p = json_path(c->obj, "spec.parentRef");
    struct slice group = json_path_string(p, "group"), ns = json_path_string(p, "namespace");
    if (!p)
        return NULL;
    struct slice resource = lower(c->a, json_path_string(p, "resource"));
    return json_new_printf(c->a, "%" SLICE_FMT "%s%" SLICE_FMT "%s%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(resource),
                           group.n ? "." : "", SLICE_ARG(group), ns.n ? "/" : "", SLICE_ARG(ns),
                           SLICE_ARG(json_path_string(p, "name")));
}

/* ---- volumes ---- */

static struct json *access_modes(const struct cell *c, const struct json *list)
{
    static const char *const modes[][2] = {
        {"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}};
    struct buf b = BUF_INIT(64);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        bool found = false;
        json_each (it, list)
            found |= slice_eq_str(json_string(it), modes[i][0]);
        if (found)
            cell_join(&b, ",", slice_str(modes[i][1]));
    }
    return cell_take(c, &b);
}

static struct json *modes(const struct cell *c)
{
    return access_modes(c, path_get(c->obj, c->args[0]));
}

/* bound(path), bound_modes(path): only once the claim has its volume. */
static struct json *bound(const struct cell *c)
{
    return text(c, "spec.volumeName").n ? json_clone(c->a, path_get(c->obj, c->args[0])) : NULL;
}

static struct json *bound_modes(const struct cell *c)
{
    return text(c, "spec.volumeName").n ? modes(c) : NULL;
}

/* ---- jobs ---- */

static struct json *job_status(const struct cell *c)
{
    static const char *const order[] = {"Complete", "Failed", NULL, "Suspended", "FailureTarget", "SuccessCriteriaMet"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        if (!order[i] && meta_is_deleting(c->obj))
            return json_new_str(c->a, "Terminating");
        if (order[i] && slice_eq_str(cell_condition_status(c->obj, order[i]), "True"))
            return json_new_str(c->a, order[i]);
    }
    return json_new_str(c->a, "Running");
}

static struct json *job_completions(const struct cell *c)
{
    long long done = json_int(json_path(c->obj, "status.succeeded"), 0);
    long long parallel = json_int(json_path(c->obj, "spec.parallelism"), 0);
    const struct json *wanted = json_path(c->obj, "spec.completions");
    if (wanted)
        return json_new_printf(c->a, "%lld/%lld", done, (long long)json_int(wanted, 0));
    if (parallel > 1)
        return json_new_printf(c->a, "%lld/1 of %lld", done, parallel);
    return json_new_printf(c->a, "%lld/1", done);
}

static struct json *job_duration(const struct cell *c)
{
    char out[DURATION_TEXT_MAX];
    int64_t start, end;
    if (!time_parse(text(c, "status.startTime"), &start))
        return NULL;
    if (!time_parse(text(c, "status.completionTime"), &end))
        end = c->now;
    print_duration(end - start, out);
    return json_new_str(c->a, out);
}

/* ---- autoscaling ---- */

/* "cur/target" out of {averageValue, value}; the average when there is a target of it. */
static void add_values(struct buf *b, const struct json *current, const struct json *target, const char *suffix)
{
    bool average = json_get_str(target, "averageValue");
    const char *member = average ? "averageValue" : "value";
    struct slice now = json_path_string(current, member);
    buf_printf(b, "%" SLICE_FMT "/%" SLICE_FMT "%s", SLICE_ARG(now.n ? now : SLICE("<unknown>")),
               SLICE_ARG(json_path_string(target, member)), average ? suffix : "");
}

static void add_percent(struct buf *b, const struct json *current, const struct json *target)
{
    if (current)
        buf_printf(b, "%lld%%/", (long long)json_int(current, 0));
    else
        buf_add_str(b, "<unknown>/");
    if (target)
        buf_printf(b, "%lld%%", (long long)json_int(target, 0));
    else
        buf_add_str(b, "<auto>");
}

static void add_metric(struct buf *b, const struct json *spec, const struct json *status)
{
    struct slice type = json_path_string(spec, "type");
    bool container = slice_eq_str(type, "ContainerResource"), resource = container || slice_eq_str(type, "Resource");
    const char *member = container                        ? "containerResource"
                         : resource                       ? "resource"
                         : slice_eq_str(type, "Pods")     ? "pods"
                         : slice_eq_str(type, "Object")   ? "object"
                         : slice_eq_str(type, "External") ? "external"
                                                          : "";
    const struct json *s = json_get_str(spec, member), *target = json_get_str(s, "target");
    const struct json *current = json_path(json_get_str(status, member), "current");
    if (!s) {
        buf_add_str(b, "<unknown type>");
        return;
    }
    if (!resource) {
        add_values(b, current, target, slice_eq_str(type, "Pods") ? "" : " (avg)");
        return;
    }
    buf_printf(b, "%" SLICE_FMT ": ", SLICE_ARG(json_path_string(s, "name")));
    if (json_get_str(target, "averageValue"))
        add_values(b, current, target, "");
    else
        add_percent(b, json_get_str(current, "averageUtilization"), json_get_str(target, "averageUtilization"));
}

/* autoscaling/v1 knows only CPU utilization. */
static struct json *hpa_targets_v1(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    const struct json *target = json_path(c->obj, "spec.targetCPUUtilizationPercentage");
    if (!target)
        return json_new_str(c->a, "<none>");
    buf_add_str(&b, "cpu: ");
    add_percent(&b, json_path(c->obj, "status.currentCPUUtilizationPercentage"), target);
    return cell_take(c, &b);
}

static struct json *hpa_targets(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    const struct json *status = json_first(json_path(c->obj, "status.currentMetrics"));
    size_t n = 0;
    if (!json_path(c->obj, "spec.metrics"))
        return hpa_targets_v1(c);
    json_each (it, json_path(c->obj, "spec.metrics")) {
        if (n++ < 2) {
            cell_join(&b, ", ", SLICE_NONE);
            add_metric(&b, it, status);
        }
        status = status ? status->next : NULL;
    }
    if (n == 0)
        buf_add_str(&b, "<none>");
    cell_more(&b, 2, n);
    return cell_take(c, &b);
}

/* ---- quotas ---- */

static int by_key(const void *ctx, const struct json *a, const struct json *b)
{
    (void)ctx;
    return slice_cmp(a->key, b->key);
}

static struct json *quota(const struct cell *c, bool limits)
{
    struct buf b = BUF_INIT(CELL_MAX);
    struct json *hard = json_clone(c->a, json_path(c->obj, "status.hard"));
    const struct json *used = json_path(c->obj, "status.used");
    json_sort(hard, by_key, NULL);
    json_each (it, hard) {
        struct slice have = json_string(json_get(used, it->key));
        if (slice_starts(it->key, SLICE("limits.")) != limits)
            continue;
        cell_join(&b, ", ", it->key);
        buf_printf(&b, ": %" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(have.n ? have : SLICE("0")),
                   SLICE_ARG(json_string(it)));
    }
    return cell_take(c, &b);
}

static struct json *quota_requests(const struct cell *c)
{
    return quota(c, false);
}

static struct json *quota_limits(const struct cell *c)
{
    return quota(c, true);
}

/* ---- others ---- */

/* subjects(kind): names, or namespace/name of service accounts. */
static struct json *subjects(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    json_each (it, json_get_str(c->obj, "subjects")) {
        if (!slice_eq(json_path_string(it, "kind"), c->args[0]))
            continue;
        cell_join(&b, ", ", SLICE_NONE);
        if (slice_eq_str(c->args[0], "ServiceAccount"))
            buf_printf(&b, "%" SLICE_FMT "/", SLICE_ARG(json_path_string(it, "namespace")));
        buf_add_slice(&b, json_path_string(it, "name"));
    }
    return cell_take(c, &b);
}

static struct json *controller(const struct cell *c)
{
    const struct json *owner = meta_controller(c->obj);
    struct slice group, version, api = json_path_string(owner, "apiVersion");
    if (!owner)
        return NULL;
    bool grouped = slice_cut(api, '/', &group, &version);
    struct slice kind = lower(c->a, json_path_string(owner, "kind"));
    return json_new_printf(c->a, "%" SLICE_FMT "%s%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(kind), grouped ? "." : "",
                           SLICE_ARG(grouped ? group : SLICE_NONE), SLICE_ARG(json_path_string(owner, "name")));
}

static struct json *api_service_available(const struct cell *c)
{
    const struct json *condition = cell_condition(c->obj, "Available");
    struct slice status = json_path_string(condition, "status"), reason = json_path_string(condition, "reason");
    if (!condition)
        return json_new_str(c->a, "Unknown");
    if (slice_eq_str(status, "True") || reason.n == 0)
        return json_new_string(c->a, status);
    return json_new_printf(c->a, "%" SLICE_FMT " (%" SLICE_FMT ")", SLICE_ARG(status), SLICE_ARG(reason));
}

static struct json *csr_condition(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    buf_add_str(&b, cell_condition(c->obj, "Denied")     ? "Denied"
                    : cell_condition(c->obj, "Approved") ? "Approved"
                                                         : "Pending");
    if (cell_condition(c->obj, "Failed"))
        buf_add_str(&b, ",Failed");
    if (text(c, "status.certificate").n)
        buf_add_str(&b, ",Issued");
    return cell_take(c, &b);
}

static struct json *claim_state(const struct cell *c)
{
    struct buf b = BUF_INIT(CELL_MAX);
    bool deleted = meta_is_deleting(c->obj);
    if (deleted)
        cell_join(&b, ",", SLICE("deleted"));
    if (json_path(c->obj, "status.allocation"))
        cell_join(&b, ",", SLICE("allocated"));
    else if (!deleted)
        cell_join(&b, ",", SLICE("pending"));
    if (json_len(json_path(c->obj, "status.reservedFor")))
        cell_join(&b, ",", SLICE("reserved"));
    return cell_take(c, &b);
}

/* healthy(): Healthy, Unhealthy or Unknown; healthy(member): that member of the condition. */
static struct json *healthy(const struct cell *c)
{
    json_each (it, json_get_str(c->obj, "conditions")) {
        if (!slice_eq_str(json_path_string(it, "type"), "Healthy"))
            continue;
        if (c->n_args)
            return json_new_string(c->a, json_string(json_get(it, c->args[0])));
        return json_new_str(c->a, slice_eq_str(json_path_string(it, "status"), "True") ? "Healthy" : "Unhealthy");
    }
    return c->n_args ? NULL : json_new_str(c->a, "Unknown");
}

static struct json *param_ref(const struct cell *c)
{
    const struct json *ref = json_path(c->obj, "spec.paramRef");
    struct slice ns = json_path_string(ref, "namespace"), name = json_path_string(ref, "name");
    if (name.n == 0)
        return json_get_str(ref, "selector") ? cell_selector(c, json_get_str(ref, "selector")) : NULL;
    return json_new_printf(c->a, "%" SLICE_FMT "/%" SLICE_FMT, SLICE_ARG(ns.n ? ns : SLICE("*")), SLICE_ARG(name));
}

const struct cell_entry cell_kinds[] = {
    {"api_service_available", api_service_available},
    {"bound", bound},
    {"bound_modes", bound_modes},
    {"claim_state", claim_state},
    {"controller", controller},
    {"csr_condition", csr_condition},
    {"endpoints", endpoints},
    {"event_count", event_count},
    {"event_first_seen", event_first_seen},
    {"event_last_seen", event_last_seen},
    {"event_object", event_object},
    {"event_source", event_source},
    {"healthy", healthy},
    {"hpa_targets", hpa_targets},
    {"ingress_hosts", ingress_hosts},
    {"ingress_parameters", ingress_parameters},
    {"ingress_ports", ingress_ports},
    {"job_completions", job_completions},
    {"job_duration", job_duration},
    {"job_status", job_status},
    {"modes", modes},
    {"param_ref", param_ref},
    {"parent_ref", parent_ref},
    {"quota_limits", quota_limits},
    {"quota_requests", quota_requests},
    {"service_external", service_external},
    {"service_ports", service_ports},
    {"slice_addresses", slice_addresses},
    {"slice_ports", slice_ports},
    {"subjects", subjects},
    {NULL, NULL},
};
