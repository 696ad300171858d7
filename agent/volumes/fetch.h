/* The cache behind volumes_fetch. */
#ifndef PINTLE_AGENT_VOLUMES_FETCH_H
#define PINTLE_AGENT_VOLUMES_FETCH_H

#include "agent/volumes/volumes_impl.h"

/* Cancels and frees everything; nobody who waits is told. */
void volumes_fetch_forget(struct volumes *v);

#endif
