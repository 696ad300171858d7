/* Rotation of container logs: a file of LOG_ROTATE_BYTES is put aside under its name with the time behind, the runtime is told
 * to begin a new one, and of the old ones the newest LOG_ROTATE_FILES - 1 stay. Looked at every LOG_ROTATE_MS.
 * Thread: the loop's; files on the pool. */
#ifndef PINTLE_AGENT_LOG_ROTATE_H
#define PINTLE_AGENT_LOG_ROTATE_H

#include "agent/agent.h"

struct log_rotate;

struct log_rotate *log_rotate_new(struct agent *agent);
void log_rotate_free(struct log_rotate *r);

/* Puts the file aside when it is max bytes or more, and deletes what is more than keep files, the new one included. wall
 * names the file. Blocking. 1 when it was put aside, 0 when not, or negative errno. */
int log_rotate_file(const char *path, int64_t max, unsigned keep, int64_t wall);

#endif
