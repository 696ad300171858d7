#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    int code;
    const char *reason;
} reasons[] = {
    {400, "BadRequest"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "NotFound"},
    {405, "MethodNotAllowed"},
    {406, "NotAcceptable"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "RequestEntityTooLarge"},
    {415, "UnsupportedMediaType"},
    {422, "Invalid"},
    {429, "TooManyRequests"},
    {500, "InternalError"},
    {503, "ServiceUnavailable"},
    {504, "Timeout"},
    {507, "InsufficientStorage"},
};

const char *status_reason(int code)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].code == code)
            return reasons[i].reason;
    return "";
}

static const char *format(struct arena *a, const char *fmt, va_list ap)
{
    char text[2048];
    vsnprintf(text, sizeof text, fmt, ap);
    struct slice copy = arena_copy(a, slice_str(text));
    return copy.p ? copy.p : "out of memory";
}

int status_set(struct status *st, struct arena *a, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *st = (struct status){.code = code, .reason = status_reason(code), .message = format(a, fmt, ap)};
    va_end(ap);
    return code;
}

int status_set_reason(struct status *st, struct arena *a, int code, const char *reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *st = (struct status){.code = code, .reason = reason, .message = format(a, fmt, ap)};
    va_end(ap);
    return code;
}

void status_cause(struct status *st, struct arena *a, const char *reason, const char *field, const char *fmt, ...)
{
    struct status_cause *c = st->n_causes < STATUS_CAUSES_MAX ? arena_new(a, struct status_cause) : NULL;
    if (!c)
        return;
    va_list ap;
    va_start(ap, fmt);
    *c = (struct status_cause){.reason = reason, .field = field, .message = format(a, fmt, ap)};
    va_end(ap);
    if (!st->causes)
        st->causes_end = &st->causes;
    *st->causes_end = c;
    st->causes_end = &c->next;
    st->n_causes++;
}

int status_not_found(struct status *st, struct arena *a, struct slice group, struct slice plural, struct slice name)
{
    status_set(st, a, 404, "%" SLICE_FMT "%s%" SLICE_FMT " \"%" SLICE_FMT "\" not found", SLICE_ARG(plural),
               group.n ? "." : "", SLICE_ARG(group), SLICE_ARG(name));
    st->name = arena_copy(a, name).p;
    st->group = group.n ? arena_copy(a, group).p : NULL;
    st->kind = arena_copy(a, plural).p;
    return st->code;
}

int status_errno(struct status *st, struct arena *a, int err, const char *what)
{
    switch (-err) {
    case ENOSPC:
        return status_set(st, a, 507, "%s: the disk is full; free some space, deletes still work", what);
    case ENOMEM:
        return status_set(st, a, 503, "%s: memory is short, try again later", what);
    case ETIMEDOUT:
        return status_set(st, a, 504, "%s: timed out; the request may or may not have taken effect", what);
    case E2BIG:
        return status_set(st, a, 413, "%s: larger than the limit", what);
    default:
        return status_set(st, a, 500, "%s: %s", what, strerror(-err));
    }
}
