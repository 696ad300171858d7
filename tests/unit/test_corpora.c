/* The inputs kept for the fuzzers (tests/fuzz/corpus), each through its fuzzer once: what was found stays mended also
 * where there is no libFuzzer. scripts/fuzz makes new ones. */
#include "unit.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef int fuzz_fn(const uint8_t *p, size_t n);
fuzz_fn corpus_store, corpus_log, corpus_messages, corpus_snapshot, corpus_protobuf, corpus_json, corpus_object,
    corpus_yaml, corpus_patch, corpus_apply, corpus_selector, corpus_quantity, corpus_time, corpus_jwt, corpus_rbac,
    corpus_backup, corpus_http1, corpus_http2;

/* clang-format off */
#define LLVMFuzzerTestOneInput corpus_store
#include "../fuzz/fuzz_store.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_log
#include "../fuzz/fuzz_log.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_messages
#include "../fuzz/fuzz_messages.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_snapshot
#include "../fuzz/fuzz_snapshot.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_protobuf
#include "../fuzz/fuzz_protobuf.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_json
#include "../fuzz/fuzz_json.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_object
#include "../fuzz/fuzz_object.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_yaml
#include "../fuzz/fuzz_yaml.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_patch
#include "../fuzz/fuzz_patch.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_apply
#include "../fuzz/fuzz_apply.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_selector
#include "../fuzz/fuzz_selector.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_quantity
#include "../fuzz/fuzz_quantity.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_time
#include "../fuzz/fuzz_time.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_jwt
#include "../fuzz/fuzz_jwt.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_rbac
#include "../fuzz/fuzz_rbac.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_backup
#include "../fuzz/fuzz_backup.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_http1
#include "../fuzz/fuzz_http1.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput corpus_http2
#include "../fuzz/fuzz_http2.c"
#undef LLVMFuzzerTestOneInput
/* clang-format on */

static void replay_file(const char *path, fuzz_fn *fuzz)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size_t n = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(n + 1); /* just as large, so that AddressSanitizer sees a read behind it */
    assert_non_null(p);
    assert_int_equal(fread(p, 1, n, f), n);
    fclose(f);
    assert_int_equal(fuzz(p, n), 0);
    free(p);
}

static void replay(const char *name, fuzz_fn *fuzz)
{
    char dir[512], path[1024];
    unsigned n = 0;
    snprintf(dir, sizeof dir, "%s/%s", CORPORA, name);
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        replay_file(path, fuzz);
        n++;
    }
    closedir(d);
    print_message("%s: %u inputs\n", name, n);
    assert_true(n > 0);
}

#define CORPUS(name)                                                                                                   \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        replay(#name, corpus_##name);                                                                                  \
    }

CORPUS(store)
CORPUS(log)
CORPUS(messages)
CORPUS(snapshot)
CORPUS(protobuf)
CORPUS(json)
CORPUS(object)
CORPUS(yaml)
CORPUS(patch)
CORPUS(apply)
CORPUS(selector)
CORPUS(quantity)
CORPUS(time)
CORPUS(jwt)
CORPUS(rbac)
CORPUS(backup)
CORPUS(http1)
CORPUS(http2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),    cmocka_unit_test(test_log),      cmocka_unit_test(test_messages),
        cmocka_unit_test(test_snapshot), cmocka_unit_test(test_protobuf), cmocka_unit_test(test_json),
        cmocka_unit_test(test_object),   cmocka_unit_test(test_yaml),     cmocka_unit_test(test_patch),
        cmocka_unit_test(test_apply),    cmocka_unit_test(test_selector), cmocka_unit_test(test_quantity),
        cmocka_unit_test(test_time),     cmocka_unit_test(test_jwt),      cmocka_unit_test(test_rbac),
        cmocka_unit_test(test_backup),   cmocka_unit_test(test_http1),    cmocka_unit_test(test_http2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
