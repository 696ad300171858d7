#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/timefmt.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static void add_escaped(char *line, size_t *at, const char *text)
{
    for (; *text && *at < LOG_LINE_MAX - 2; text++)
        line[(*at)++] = (unsigned char)*text < 0x20 ? ' ' : *text;
}

void log_write(struct log *log, enum log_level level, const char *component, const char *fmt, ...)
{
    if (!log || log->fd < 0 || level < log->level)
        return;
    char line[LOG_LINE_MAX], message[LOG_LINE_MAX], stamp[TIME_MICRO_LEN + 1] = "";
    if (log->wall_ns)
        time_format_micro(log->wall_ns(log->clock), stamp);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    int head = snprintf(line, sizeof line, "%s%s%s %-5s %s: ", stamp, log->name ? " " : "", log->name ? log->name : "",
                        level_names[level], component);
    size_t at = head < 0 ? 0 : (size_t)head < sizeof line ? (size_t)head : sizeof line - 2;
    add_escaped(line, &at, message);
    line[at++] = '\n';
    /* A log line that cannot be written has nowhere else to go. */
    (void)!write(log->fd, line, at);
}
