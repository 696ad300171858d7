#include "apiserver/past.h"

#include <errno.h>

#include "base/timefmt.h"

int api_past_check(struct api_request *r, struct status *st)
{
    if (!r->options.as_of.n)
        return 0;
    if ((r->verb != API_GET && r->verb != API_LIST) || r->sub)
        return status_set(st, r->arena, 400, "pintleAsOf is for getting and listing objects only");
    if (r->options.resource_version.n)
        return status_set(st, r->arena, 400, "pintleAsOf and resourceVersion exclude each other");
    return 0;
}

static int expired(struct api_request *r, struct status *st)
{
    char oldest[TIME_SEC_LEN + 1];
    time_format_sec((int64_t)(store_oldest_time(r->api->store) * NS_PER_MS), oldest);
    return status_set_reason(st, r->arena, 410, "Expired",
                             "the history that is kept does not reach back to %" SLICE_FMT
                             ": it begins about %s (see --history-window-bytes and --history-window-age)",
                             SLICE_ARG(r->options.as_of), oldest);
}

static void warn(struct api_request *r, uint64_t revision)
{
    char when[TIME_SEC_LEN + 1] = "unknown time";
    const struct store_event *e = store_event_at(r->api->store, revision);
    if (e && e->time_ms)
        time_format_sec((int64_t)(e->time_ms * NS_PER_MS), when);
    api_warn(r, arena_printf(r->arena, "this is the past: revision %lu of %s, the present one is %lu", revision, when,
                             store_revision(r->api->store)));
}

int api_past_revision(struct api_request *r, uint64_t *ret, struct status *st)
{
    struct slice text = r->options.as_of;
    uint64_t revision, now = replica_time_ms(r->api->o.replica);
    int64_t ns;
    if (slice_to_u64(text, &revision)) {
        if (!revision || revision > store_revision(r->api->store))
            return status_set(st, r->arena, 400, "pintleAsOf: there is no revision %" SLICE_FMT " yet, %lu is current",
                              SLICE_ARG(text), store_revision(r->api->store));
    } else if (!time_parse(text, &ns) || ns < 0) {
        return status_set(st, r->arena, 400,
                          "pintleAsOf: \"%" SLICE_FMT
                          "\" is neither a revision nor a time such as 2026-11-21T08:00:00Z",
                          SLICE_ARG(text));
    } else if ((uint64_t)ns / NS_PER_MS > now) {
        return status_set(st, r->arena, 400, "pintleAsOf: %" SLICE_FMT " is yet to come", SLICE_ARG(text));
    } else if (store_revision_at(r->api->store, (uint64_t)ns / NS_PER_MS, &revision)) {
        return expired(r, st);
    }
    if (r->res && revision < store_table_compacted(r->api->store, api_table(r->api, r->res)))
        return expired(r, st);
    warn(r, revision);
    *ret = revision;
    return 0;
}
