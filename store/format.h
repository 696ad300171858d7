/* Formats: what commands and snapshots may contain, so that replicas of two neighbouring versions can share a cluster.
 *
 * Every binary reads and writes the formats from STORE_FORMAT_OLDEST to STORE_FORMAT. The state itself says which one
 * is
 * in force (store_format): a new cluster and one of an older version begin with STORE_FORMAT_OLDEST; the leader raises
 * it by a
 * command once every member has said that it knows the newer one. Nothing of a newer format is proposed or written
 * before, so a replica may be downgraded until then.
 *
 *   1  transactions, compactions, expiry; snapshots of tables, windows and request ids
 *   2  checks of the state; the format command itself; trimming one table; who asked for a transaction; snapshots with
 *      the times, actors and hashes of events */
#ifndef PINTLE_STORE_FORMAT_H
#define PINTLE_STORE_FORMAT_H

enum { STORE_FORMAT_OLDEST = 1, STORE_FORMAT = 2 };

#endif
