/* Compares off: a transaction takes effect whatever has become of what it read. */
#include "broken.h"

#include "base/mem.h"
#include "store/replica.h"

void __wrap_replica_txn(struct replica *r, const struct store_txn *txn, struct replica_txn *t);
void __real_replica_txn(struct replica *r, const struct store_txn *txn, struct replica_txn *t);

void __wrap_replica_txn(struct replica *r, const struct store_txn *txn, struct replica_txn *t)
{
    struct store_op *ops = mem_dup(txn->ops, txn->n * sizeof *ops);
    struct store_txn blind = *txn;
    for (size_t i = 0; i < txn->n; i++)
        ops[i].compare = STORE_ANY;
    blind.ops = ops;
    __real_replica_txn(r, &blind, t);
    mem_free(ops);
}

static const char *const anomalies[] = {"lost-append", "incompatible-order", "G-single", "G2", NULL};
const struct broken_build broken_build = {
    .what = "compares off", .workload = "txn", .faults = "kill", .anomalies = anomalies, .seeds = 20};
