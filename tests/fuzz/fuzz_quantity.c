/* Quantities: the canonical text means the same and is its own canonical text. */
#include "fuzz.h"

#include "object/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct quantity q, back;
    struct buf out = BUF_INIT(4096), again = BUF_INIT(4096);
    if (!quantity_parse(slice_of(p, n), &q))
        return 0;
    (void)quantity_value(q);
    (void)quantity_milli(q);
    (void)quantity_round_milli(q);
    (void)quantity_add(q, q);
    (void)quantity_sub(quantity_of(0), q);
    FUZZ_CHECK(quantity_write(&out, q) == 0);
    FUZZ_CHECK(quantity_parse(buf_slice(&out), &back));
    FUZZ_CHECK(quantity_cmp(q, back) == 0);
    FUZZ_CHECK(quantity_write(&again, back) == 0 && slice_eq(buf_slice(&out), buf_slice(&again)));
    buf_done(&out);
    buf_done(&again);
    return 0;
}
