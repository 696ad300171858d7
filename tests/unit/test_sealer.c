/* Sealing values: what is sealed opens under the same key and associated data, and under nothing else. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "auth/sealer.h"
#include "base/mem.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="

static const unsigned char nonce[SEALER_NONCE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static struct sealer *parse(const char *text)
{
    struct sealer *s = NULL;
    char why[256] = "";
    assert_int_equal(sealer_parse(slice_str(text), &s, why), 0);
    return s;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct sealer *s = parse("# the new one\nnew:" KEY_A "\n\nold: " KEY_B " \r\n");
    assert_int_equal(sealer_n_keys(s), 2);
    assert_slice(sealer_key_name(s, 0), "new");
    for (size_t n = 0; n < 5000; n += n / 3 + 1) {
        struct buf sealed = BUF_INIT(1 << 20), back = BUF_INIT(1 << 20);
        char *plain = mem_alloc(n + 1);
        memset(plain, 'p', n);
        assert_int_equal(sealer_seal(s, nonce, SLICE("aad"), slice_of(plain, n), &sealed), 0);
        assert_slice(sealer_name_of(buf_slice(&sealed)), "new");
        assert_null(n > 8 ? memmem(sealed.p, sealed.n, "pppp", 4) : NULL);
        assert_int_equal(sealer_open(s, buf_slice(&sealed), SLICE("aad"), &back), 0);
        assert_int_equal(back.n, n);
        assert_memory_equal(back.p ? back.p : "", plain, n);
        mem_free(plain);
        buf_done(&sealed);
        buf_done(&back);
    }
    sealer_free(s);
}

/* NIST's test case 16 of the GCM specification (McGrew and Viega): the same algorithm as everybody's. */
static void test_vector(void **state)
{
    (void)state;
    static const unsigned char iv[] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
    static const unsigned char aad[] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                                        0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
    static const unsigned char plain[] = {0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5,
                                          0xaf, 0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda,
                                          0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95,
                                          0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
                                          0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39};
    struct sealer *s = parse("k:/v/pkoZlcxxtao+UZzCDCP7/6ZKGZXMcbWqPlGcwgwg=");
    struct buf sealed = BUF_INIT(1 << 10);
    assert_int_equal(sealer_seal(s, iv, slice_of((const char *)aad, sizeof(aad)),
                                 slice_of((const char *)plain, sizeof(plain)), &sealed),
                     0);
    /* iv, the published ciphertext, and its tag 76fc6ece0f4e1768cddf8853bb2d551b */
    assert_slice(buf_slice(&sealed),
                 "k:yv66vvrO263eyviIUi3B8JlWfQf0fzejKoRCfWQ6jNy/5cDJdZiivSVV0aqMsI5IWQ27PaewixBWgog4xfYeY5O6"
                 "egq8yfZidvxuzg9OF2jN34hTuy1VGw==");
    buf_done(&sealed);
    sealer_free(s);
}

static void test_nothing_else_opens(void **state)
{
    (void)state;
    struct sealer *a = parse("k:" KEY_A), *b = parse("k:" KEY_B), *other = parse("x:" KEY_A);
    struct buf sealed = BUF_INIT(1 << 10), back = BUF_INIT(1 << 10);
    assert_int_equal(sealer_seal(a, nonce, SLICE("ns/name"), SLICE("secret"), &sealed), 0);
    struct slice s = buf_slice(&sealed);
    assert_int_equal(sealer_open(b, s, SLICE("ns/name"), &back), -EBADMSG);
    assert_int_equal(sealer_open(a, s, SLICE("ns/another"), &back), -EBADMSG);
    assert_int_equal(sealer_open(other, s, SLICE("ns/name"), &back), -ENOKEY);
    assert_int_equal(sealer_open(NULL, s, SLICE("ns/name"), &back), -ENOKEY);
    assert_int_equal(sealer_open(a, SLICE(""), SLICE("ns/name"), &back), -EBADMSG);
    assert_int_equal(sealer_open(a, SLICE("k:"), SLICE("ns/name"), &back), -EBADMSG);
    for (size_t n = 0; n < s.n; n++) { /* cut short, and each bit flipped */
        buf_clear(&back);
        assert_int_not_equal(sealer_open(a, slice_of(s.p, n), SLICE("ns/name"), &back), 0);
        for (unsigned bit = 0; bit < 8; bit++) {
            sealed.p[n] = (char)(sealed.p[n] ^ (1 << bit));
            buf_clear(&back);
            int err = sealer_open(a, s, SLICE("ns/name"), &back);
            assert_true(err || (back.n == 6 && memcmp(back.p, "secret", 6) == 0)); /* unused bits of base64's end */
            sealed.p[n] = (char)(sealed.p[n] ^ (1 << bit));
        }
    }
    buf_done(&sealed);
    buf_done(&back);
    sealer_free(a);
    sealer_free(b);
    sealer_free(other);
}

static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {{"", "no key"},
               {"# nothing\n\n", "no key"},
               {"k1", "line 1: want NAME:KEY"},
               {"\nk 1:" KEY_A, "line 2: want NAME:KEY"},
               {":" KEY_A, "line 1: want NAME:KEY"},
               {"k:short", "line 1: the key must be 32 bytes"},
               {"k:AAECAwQFBgcICQoLDA0ODw==", "line 1: the key must be 32 bytes"},
               {"k:" KEY_A "\nk:" KEY_B, "line 2: this name came before"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sealer *s = NULL;
        char why[256] = "";
        assert_int_equal(sealer_parse(slice_str(bad[i].text), &s, why), -EINVAL);
        if (!strstr(why, bad[i].why))
            fail_msg("%s: %s", bad[i].text, why);
        assert_null(strstr(why, "AAEC")); /* keys are never shown */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_nothing_else_opens),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
