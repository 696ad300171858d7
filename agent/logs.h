/* Container logs: lines in the runtime's format (time, stream, tag P or F, text), and streaming them to a client.
 *
 * Happy path: logs_serve answers with what the options select, reading LOG_CHUNK_MAX bytes at a time on the pool and
 * never
 * more than the client takes. With follow it looks again every LOG_POLL_MS, goes on in the next file when the runtime
 * began
 * a new one, and ends once the container does not run and everything was sent. */
#ifndef PINTLE_AGENT_LOGS_H
#define PINTLE_AGENT_LOGS_H

#include "agent/agent.h"
#include "net/http.h"

enum {
    LOG_CHUNK_MAX = 256 << 10,
    LOG_LINE_BYTES_MAX = 1 << 20, /* a longer line is passed on in pieces */
    LOG_POLL_MS = 200,
    LOG_FILES_MAX = 16, /* of one container, rotated ones included */
    LOG_ROTATE_BYTES = 10 << 20,
    LOG_ROTATE_FILES = 5,
    LOG_ROTATE_MS = 10000,
};

enum log_stream { LOG_ALL, LOG_STDOUT, LOG_STDERR };

/* What a request asks for. */
struct log_options {
    bool follow, timestamps, previous;
    int64_t tail;        /* lines; -1 = all */
    int64_t since;       /* wall clock, nanoseconds; 0 = from the beginning */
    int64_t limit_bytes; /* -1 = none */
    enum log_stream stream;
};

/* One line as the runtime wrote it. */
struct log_line {
    struct slice time; /* as text */
    int64_t ns;
    enum log_stream stream;
    bool partial; /* the text goes on in the next line */
    struct slice text;
};

/* line: without its line end. False when it is none of the runtime's. */
bool log_line_parse(struct slice line, struct log_line *ret);
/* From a query string. wall: now, for sinceSeconds. 0, or -EINVAL with why. */
int log_options_parse(struct arena *a, struct slice query, int64_t wall, struct log_options *ret, char why[256]);

/* Which lines of a log come out, in what shape. */
struct log_filter {
    struct log_options o;
    bool midline; /* the last line sent was partial */
    int64_t sent; /* bytes */
};
/* Appends what becomes of one line. False when limit_bytes is reached: nothing comes after. */
bool log_filter_line(struct log_filter *f, const struct log_line *line, struct buf *out);

/* Where in a file (bytes) its last n lines begin; *lines is how many were found. Blocking. 0 or negative errno. */
int log_tail(int fd, int64_t n, uint64_t *ret_offset, int64_t *ret_lines);

/* Answers x. path: the newest file. names: as pods.h finds the container by. */
void logs_serve(struct agent *agent, struct http_exchange *x, const struct log_options *o, const char *path,
                struct slice ns, struct slice pod, struct slice container);

#endif
