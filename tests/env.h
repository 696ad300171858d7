/* What a simulation takes from its environment (docs/developing.md, "Replaying a seed"). */
#ifndef PINTLE_TESTS_ENV_H
#define PINTLE_TESTS_ENV_H

#include <stdint.h>
#include <stdlib.h>

/* The variable's number, or `otherwise` when it is not set. */
static inline uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);
    return v ? strtoull(v, NULL, 0) : otherwise;
}

/* PINTLE_SIM_FIRST: the first seed. */
static inline uint64_t env_first_seed(uint64_t otherwise)
{
    return env_number("PINTLE_SIM_FIRST", otherwise);
}

/* PINTLE_SIM_SEEDS: how many; `otherwise` is what the test thinks enough. */
static inline uint64_t env_seeds(uint64_t otherwise)
{
    return env_number("PINTLE_SIM_SEEDS", otherwise);
}

/* PINTLE_SIM_MS: the simulated milliseconds that one seed takes. */
static inline uint64_t env_ms(uint64_t otherwise)
{
    return env_number("PINTLE_SIM_MS", otherwise);
}

#endif
