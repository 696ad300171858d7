/* Indents JSON for people to read: two spaces a level, as encoding/json's MarshalIndent of Go does. A filter over text that
 * comes in pieces; the text is taken to be JSON and not checked again.
 *
 * Happy path: a zeroed struct; json_pretty for each piece. Owned by one thread. */
#ifndef PINTLE_CODEC_PRETTY_H
#define PINTLE_CODEC_PRETTY_H

#include "base/buf.h"

struct json_pretty {
    size_t depth;
    bool in_string, escaped; /* the next character stands for itself */
    bool opened;             /* the last was { or [: what follows decides on the line */
};

/* Appends in, which goes on where the last piece ended. 0, -ENOMEM or -E2BIG (out is full). */
int json_pretty(struct json_pretty *p, struct slice in, struct buf *out);

#endif
