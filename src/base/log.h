/* The log: one line an event, logfmt (time, level, component, message, fields), quiet by default.
 *
 * A logger belongs to a loop (loop_log), so that simulated replicas log with simulated time and can be silenced.
 * Lines longer than LOG_LINE_MAX are cut. Any thread may log: one write(2) a line. */
#ifndef PINTLE_BASE_LOG_H
#define PINTLE_BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum { LOG_LINE_MAX = 2048 };

struct log {
    int fd;                          /* where lines go; -1 drops them */
    enum log_level level;            /* lines below it are dropped */
    int64_t (*wall_ns)(void *clock); /* nanoseconds since 1970 for the time field; NULL leaves it out */
    void *clock;
    const char *name; /* who logs, e.g. "server-1"; NULL leaves it out */
};

/* component: one word such as "raft". fmt: the message followed by logfmt fields, e.g.
 * log_info(log, "raft", "became leader term=%lu", term). log may be NULL. */
void log_write(struct log *log, enum log_level level, const char *component, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define log_debug(log, component, ...) log_write((log), LOG_DEBUG, (component), __VA_ARGS__)
#define log_info(log, component, ...)  log_write((log), LOG_INFO, (component), __VA_ARGS__)
#define log_warn(log, component, ...)  log_write((log), LOG_WARN, (component), __VA_ARGS__)
#define log_error(log, component, ...) log_write((log), LOG_ERROR, (component), __VA_ARGS__)

#endif
