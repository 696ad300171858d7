#include "net/turn.h"

/* Rounds of items that mark each other within one turn; what is left then waits for the next turn. */
enum { ROUNDS_MAX = 4 };

static void run_round(struct turn *t)
{
    struct list now;
    list_init(&now);
    for (struct list *l; (l = list_pop(&t->items));)
        list_push(&now, l);
    for (struct list *l; (l = list_pop(&now));) {
        struct turn_item *item = container_of(l, struct turn_item, link);
        item->cb(item);
    }
}

static void on_turn(struct loop_hook *h)
{
    struct turn *t = container_of(h, struct turn, hook);
    for (unsigned i = 0; i < ROUNDS_MAX && !list_empty(&t->items); i++)
        run_round(t);
    if (list_empty(&t->items) && !t->again)
        loop_timer_stop(t->loop, &t->wake);
    else
        loop_timer_start(t->loop, &t->wake, 0);
    t->again = false;
}

void turn_again(struct turn *t)
{
    t->again = true;
}

static void on_wake(struct loop_timer *w)
{
    (void)w; /* its only purpose is that a turn takes place */
}

void turn_init(struct turn *t, struct loop *l)
{
    *t = (struct turn){.loop = l, .hook.cb = on_turn, .wake.cb = on_wake};
    list_init(&t->items);
    loop_hook_add(l, &t->hook);
}

void turn_done(struct turn *t)
{
    while (list_pop(&t->items)) {
    }
    loop_timer_stop(t->loop, &t->wake);
    loop_hook_remove(t->loop, &t->hook);
}

void turn_item_init(struct turn_item *item, void (*cb)(struct turn_item *item))
{
    item->cb = cb;
    list_init(&item->link);
}

void turn_mark(struct turn *t, struct turn_item *item)
{
    if (!list_empty(&item->link))
        return;
    if (list_empty(&t->items))
        loop_timer_start(t->loop, &t->wake, 0);
    list_push(&t->items, &item->link);
}

void turn_unmark(struct turn_item *item)
{
    list_remove(&item->link);
}
