/* Reads while a majority of the replicas cannot be reached.
 *
 * A read asks the majority whether the local state is the newest (api_barrier). When no leader has been known for
 * API_STALE_AFTER_MS, longer than an election takes, there is nobody to ask: then the local state is the answer, and a
 * Warning header says so, with the time until which it was known to be the newest. An old list is an old list: it
 * carries
 * its revision, and watches go forward from there, so informers are late but not wrong; writes check revisions.
 *
 * Who would rather have no answer sends "Pintle-Consistency: linearizable" and gets 503. In-process requests get that
 * always: what would mark the answer cannot reach them. */
#include <errno.h>
#include <stdio.h>

#include "apiserver/internal.h"
#include "base/timefmt.h"

void api_note_leader(struct api *api, uint64_t leader_id)
{
    if (leader_id)
        api->leaderless = false;
    else if (!api->leaderless) {
        api->leaderless = true;
        api->leaderless_since = loop_now(api->loop);
        api->confirmed = loop_wall(api->loop);
    }
}

bool api_no_quorum(const struct api *api)
{
    return api->leaderless &&
           loop_now(api->loop) - api->leaderless_since >= (uint64_t)API_STALE_AFTER_MS * (uint64_t)NS_PER_MS;
}

const char *api_confirmed_text(const struct api *api, char out[API_CONFIRMED_MAX])
{
    char time[TIME_SEC_LEN + 1];
    if (!api->confirmed)
        return "not since this replica was started";
    time_format_sec(api->confirmed, time);
    snprintf(out, API_CONFIRMED_MAX, "at %s", time);
    return out;
}

static bool insists(const struct api_request *r)
{
    return !r->http || slice_ieq(http_request_header(r->http, "pintle-consistency"), SLICE("linearizable"));
}

void api_warn_stale(struct api_request *r)
{
    char when[API_CONFIRMED_MAX];
    if (!api_no_quorum(r->api))
        return;
    r->api->m_stale->value++;
    api_warn(r, arena_printf(r->arena, "no quorum: this state may be stale (last confirmed %s)",
                             api_confirmed_text(r->api, when)));
}

static void on_confirmed(struct api_request *r, int err)
{
    if (api_fenced(r))
        return; /* since it began to wait */
    if (err == -EAGAIN && api_no_quorum(r->api) && !insists(r)) {
        api_warn_stale(r);
        err = 0;
    }
    r->fresh(r, err);
}

void api_when_confirmed(struct api_request *r, void (*next)(struct api_request *r, int err))
{
    r->fresh = next;
    if (api_no_quorum(r->api)) /* nobody to wait for */
        on_confirmed(r, -EAGAIN);
    else
        api_barrier(r, on_confirmed);
}
