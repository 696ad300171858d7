#include "auth/user.h"

bool user_in_group(const struct user *u, struct slice group)
{
    for (size_t i = 0; i < u->n_groups; i++)
        if (slice_eq(u->groups[i], group))
            return true;
    return false;
}

void user_copy(struct user *to, struct arena *a, const struct user *from)
{
    struct slice *groups = arena_alloc(a, from->n_groups * sizeof *groups);
    struct user_extra *extra = arena_alloc(a, from->n_extra * sizeof *extra);
    *to = *from;
    to->name = arena_copy(a, from->name);
    to->uid = arena_copy(a, from->uid);
    to->n_groups = groups ? from->n_groups : 0;
    to->n_extra = extra ? from->n_extra : 0;
    for (size_t i = 0; i < to->n_groups; i++)
        groups[i] = arena_copy(a, from->groups[i]);
    for (size_t i = 0; i < to->n_extra; i++)
        extra[i] = (struct user_extra){arena_copy(a, from->extra[i].key), arena_copy(a, from->extra[i].value)};
    to->groups = groups;
    to->extra = extra;
}

static const struct slice masters[] = {SLICE_INIT("system:masters"), SLICE_INIT("system:authenticated")};
static const struct slice nobody[] = {SLICE_INIT("system:unauthenticated")};

void user_set_superuser(struct user *u, struct arena *a)
{
    (void)a;
    *u = (struct user){.name = SLICE("system:admin"), .groups = masters, .n_groups = 2};
}

void user_set_anonymous(struct user *u, struct arena *a)
{
    (void)a;
    *u = (struct user){.name = SLICE("system:anonymous"), .groups = nobody, .n_groups = 1, .anonymous = true};
}
