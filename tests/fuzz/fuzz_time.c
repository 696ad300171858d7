/* Times: what is read, written to the microsecond and read again is the same microsecond. */
#include "fuzz.h"

#include "base/timefmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int64_t ns, back;
    char text[TIME_MICRO_LEN + 1], sec[TIME_SEC_LEN + 1];
    if (!time_parse(slice_of(p, n), &ns))
        return 0;
    time_format_sec(ns, sec);
    time_format_micro(ns, text);
    FUZZ_CHECK(strlen(sec) == TIME_SEC_LEN && strlen(text) == TIME_MICRO_LEN);
    FUZZ_CHECK(time_parse(slice_str(text), &back));
    FUZZ_CHECK(back <= ns && ns - back < 1000);
    return 0;
}
