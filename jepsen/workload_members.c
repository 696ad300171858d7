/* Membership: who are the members, and who leads, as every replica's clients are told, while the nemesis changes it; now and
 * then a client asks for another leader. Only what a leader says counts. In the simulator membership has no API. */
#include <stdio.h>

#include "jepsen/workload.h"
#include "raft/node.h"

enum { HEAD = 3, EACH = 3 };

/* Where it is: its address's last number, one for each place. That of its API may not be known to a leader yet. */
static int64_t place_of(const struct json *member)
{
    struct slice host, rest, peer = json_path_string(member, "peer");
    int64_t place = HIST_NIL;
    slice_cut(peer, ':', &host, &rest);
    for (struct slice part; host.n;) {
        slice_cut(host, '.', &part, &host);
        slice_to_i64(part, &place);
    }
    return place;
}

static int64_t role_of(const struct json *member)
{
    struct slice role = json_path_string(member, "role");
    return slice_eq_str(role, "voter") ? MEMBER_VOTER : slice_eq_str(role, "standby") ? MEMBER_STANDBY : MEMBER_SPARE;
}

static bool end_list(struct worker *w, const struct answer *a)
{
    const struct json *members = json_get_str(a->json, "members");
    int64_t leader = json_int(json_get_str(a->json, "leader"), 0), list[HEAD + EACH * RAFT_MEMBERS_MAX];
    bool told = !a->err && a->code == 200 && leader && !json_get_str(a->json, "note");
    size_t n = HEAD;
    list[0] = json_int(json_get_str(a->json, "term"), 0);
    list[1] = leader;
    list[2] = json_int(json_get_str(a->json, "commitIndex"), 0);
    json_each (m, members) {
        if (n + EACH > sizeof list / sizeof *list)
            break;
        list[n++] = json_int(json_get_str(m, "id"), 0);
        list[n++] = place_of(m);
        list[n++] = role_of(m);
    }
    op_end(w, told ? HIST_OK : HIST_FAIL, told ? list : NULL, told ? n : 0, told ? NULL : "no leader's answer");
    return told;
}

static void on_list(struct worker *w, const struct answer *a)
{
    end_list(w, a);
}

static void on_moved(struct worker *w, const struct answer *a)
{
    op_end_as(w, a);
}

static void ask_list(struct worker *w, answer_fn *done)
{
    struct hist_event e = HIST_EVENT_INIT;
    e.f = HIST_MEMBERS;
    op_begin(w, &e, NULL, 0);
    worker_call(w, "GET", "/pintle/v1/members", NULL, done);
}

static void next(struct worker *w)
{
    struct hist_event e = HIST_EVENT_INIT;
    if (drive_random(w->d, 200)) {
        ask_list(w, on_list);
        return;
    }
    e.f = HIST_WRITE; /* whoever is best leads */
    op_begin(w, &e, NULL, 0);
    worker_call(w, "POST", "/pintle/v1/members/0/transfer", NULL, on_moved);
}

static void on_last(struct worker *w, const struct answer *a)
{
    if (end_list(w, a))
        worker_done(w);
    else
        worker_again(w);
}

static void last(struct worker *w)
{
    if (w->i > 0)
        worker_done(w);
    else
        ask_list(w, on_last);
}

const struct workload workload_members = {.name = "members", .next = next, .last = last, .check = check_members};
