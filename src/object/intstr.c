#include "object/intstr.h"

#include <errno.h>

int64_t intstr_int(const struct json *v)
{
    int64_t n;
    if (json_is(v, JSON_STRING))
        return slice_to_i64(v->u.string, &n) ? n : 0;
    return json_int(v, 0);
}

bool intstr_is_percent(const struct json *v, int64_t *ret_percent)
{
    struct slice s = json_string(v);
    uint64_t n;
    if (s.n < 2 || s.p[s.n - 1] != '%' || !slice_to_u64(slice_of(s.p, s.n - 1), &n) || n > INT32_MAX)
        return false;
    *ret_percent = (int64_t)n;
    return true;
}

int intstr_scaled(const struct json *v, int64_t total, bool round_up, int64_t *ret)
{
    int64_t percent;
    if (!v || v->type == JSON_NULL) {
        *ret = 0;
        return 0;
    }
    if (json_is(v, JSON_INT)) {
        *ret = v->u.integer;
        return 0;
    }
    if (!intstr_is_percent(v, &percent))
        return -EINVAL;
    __extension__ __int128 scaled = (__int128)percent * total;
    scaled = (scaled + (round_up && scaled > 0 ? 99 : 0)) / 100;
    *ret = (int64_t)scaled;
    return 0;
}
