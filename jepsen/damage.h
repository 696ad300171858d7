/* Damages a replica's data directory the way bad disks and accidents do: flipped bits, files cut short, files gone.
 *
 * For `pintle-jepsen damage`, called while the replica does not run. What is chosen comes from the seed. Thread: any.
 */
#ifndef PINTLE_JEPSEN_DAMAGE_H
#define PINTLE_JEPSEN_DAMAGE_H

#include <stdint.h>

/* how: "corrupt" (one to three bits of one file are flipped), "truncate" (the newest log segment or snapshot loses its
 * tail, or one of them is gone). Prints to stdout what was done. 0, or negative errno. */
int damage(const char *how, const char *dir, uint64_t seed);

#endif
