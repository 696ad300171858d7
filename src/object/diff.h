/* What differs between two objects, path by path, for people to read.
 *
 * Members are compared by name. Items of an array are compared by their `name` where all of them have one
 * (spec.containers[web].image), else by position; so a container that was put first is one difference, not many.
 * No state; any thread that owns the values. */
#ifndef PINTLE_OBJECT_DIFF_H
#define PINTLE_OBJECT_DIFF_H

#include "codec/json.h"

enum { DIFF_PATH_MAX = 512 };

struct diff {
    /* Called for each path that differs; old or new is NULL where it is absent. path is cut at DIFF_PATH_MAX - 1. */
    void (*each)(struct diff *d, const char *path, const struct json *old, const struct json *new);
    char path[DIFF_PATH_MAX];
};

void diff_run(struct diff *d, const struct json *old, const struct json *new);

#endif
