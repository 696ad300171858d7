/* Hands for real processes: a shell script (jepsen/hands) that is told "begin KIND PARAM NODES…" or "end …", a line each,
 * and answers with a line when it is done. */
#ifndef PINTLE_JEPSEN_HANDS_SHELL_H
#define PINTLE_JEPSEN_HANDS_SHELL_H

#include "jepsen/nemesis.h"

struct hands_shell;

/* Starts the script. NULL when that fails. leader: where the caller keeps the leader's number, -1 = unknown. */
struct hands_shell *hands_shell_new(struct loop *l, const char *script, const int *leader);
struct nemesis_hands hands_shell_hands(struct hands_shell *s);
/* When all faults have ended: waits until what the script does meanwhile (replacing replicas) is done. Then
 * hands_shell_failed tells whether the cluster is whole. */
void hands_shell_settle(struct hands_shell *s, nemesis_done_fn *done, void *arg);
/* What was asked last did not succeed. */
bool hands_shell_failed(const struct hands_shell *s);
/* Ends the script; nothing may be under way. */
void hands_shell_free(struct hands_shell *s);

#endif
