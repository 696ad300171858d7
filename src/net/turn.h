/* Work put off to the end of the loop's turn: flushing sockets once for all that was written in the turn, and freeing
 * what callbacks further up the stack may still hold.
 *
 * An owner (server, client) has one struct turn; what is to be done is a list of items. turn_mark puts an item on the
 * list once, however often it is called; at the end of the turn each item's cb runs. Items marked by other turn hooks
 * after ours ran are done in a turn that follows at once. */
#ifndef PINTLE_NET_TURN_H
#define PINTLE_NET_TURN_H

#include "loop/loop.h"

struct turn_item {
    struct list link;
    void (*cb)(struct turn_item *item);
};

struct turn {
    struct loop *loop;
    struct loop_hook hook;
    struct loop_timer wake;
    struct list items;
    bool again;
};

void turn_init(struct turn *t, struct loop *l);
/* Items still marked are forgotten. */
void turn_done(struct turn *t);
/* Before the first mark. */
void turn_item_init(struct turn_item *item, void (*cb)(struct turn_item *item));
void turn_mark(struct turn *t, struct turn_item *item);
/* Makes sure that another turn follows at once: for callbacks to our users that may run inside our hook, as what they
 * leave to hooks of theirs that ran before ours would else wait for the next event. */
void turn_again(struct turn *t);
/* Takes an item back; harmless when it is not marked. */
void turn_unmark(struct turn_item *item);

#endif
