#include "auth/sealer.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"

struct sealing_key {
    char name[SEALER_NAME_MAX + 1];
    unsigned char bytes[SEALER_KEY];
};

struct sealer {
    EVP_CIPHER *cipher;
    struct sealing_key keys[SEALER_KEYS_MAX];
    size_t n;
};

/* ---- the file ---- */

static bool good_name(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-')
            return false;
    }
    return name.n > 0 && name.n <= SEALER_NAME_MAX;
}

static const struct sealing_key *find(const struct sealer *s, struct slice name)
{
    for (size_t i = 0; s && i < s->n; i++)
        if (slice_eq_str(name, s->keys[i].name))
            return &s->keys[i];
    return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *add_key(struct sealer *s, struct slice line)
{
    struct slice name, text;
    struct buf bytes = BUF_INIT(SEALER_KEY);
    if (!slice_cut(line, ':', &name, &text) || !good_name(name))
        return "want NAME:KEY, the name of letters, digits, '.', '_' and '-'";
    if (find(s, name))
        return "this name came before";
    if (s->n == SEALER_KEYS_MAX)
        return "too many keys";
    bool good = base64_decode(&bytes, slice_trim(text)) == 0 && bytes.n == SEALER_KEY;
    if (good) {
        struct sealing_key *k = &s->keys[s->n++];
        memcpy(k->name, name.p, name.n);
        memcpy(k->bytes, bytes.p, SEALER_KEY);
    }
    if (bytes.p)
        OPENSSL_cleanse(bytes.p, bytes.n);
    buf_done(&bytes);
    return good ? NULL : "the key must be 32 bytes in base64 (head -c 32 /dev/urandom | base64)";
}

int sealer_parse(struct slice text, struct sealer **ret, char why[256])
{
    struct sealer *s = mem_new(struct sealer);
    const char *wrong = NULL;
    size_t number = 0;
    *s = (struct sealer){.cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL)};
    while (text.n && !wrong) {
        struct slice line, rest;
        slice_cut(text, '\n', &line, &rest);
        text = rest;
        number++;
        line = slice_trim(line);
        if (line.n && line.p[0] != '#')
            wrong = add_key(s, line);
    }
    if (!wrong && s->n == 0)
        wrong = "no key is there";
    if (!wrong && s->cipher) {
        *ret = s;
        return 0;
    }
    int err = wrong ? -EINVAL : -ENOMEM;
    snprintf(why, 256, "line %zu: %s", number, wrong ? wrong : "AES-256-GCM is not to be had");
    sealer_free(s);
    return err;
}

void sealer_free(struct sealer *s)
{
    if (!s)
        return;
    EVP_CIPHER_free(s->cipher);
    OPENSSL_cleanse(s->keys, sizeof(s->keys));
    mem_free(s);
}

size_t sealer_n_keys(const struct sealer *s)
{
    return s ? s->n : 0;
}

struct slice sealer_key_name(const struct sealer *s, size_t i)
{
    return slice_str(s->keys[i].name);
}

struct slice sealer_name_of(struct slice sealed)
{
    struct slice name, rest;
    return slice_cut(sealed, ':', &name, &rest) ? name : SLICE_NONE;
}

/* ---- sealing ---- */

static bool encrypt(EVP_CIPHER_CTX *c, const struct sealer *s, const unsigned char *nonce, struct slice aad,
                    struct slice plain, unsigned char *out)
{
    int n;
    return EVP_EncryptInit_ex2(c, s->cipher, s->keys[0].bytes, nonce, NULL) == 1 &&
           EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) == 1 &&
           EVP_EncryptUpdate(c, out, &n, (const unsigned char *)plain.p, (int)plain.n) == 1 &&
           EVP_EncryptFinal_ex(c, out + n, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEALER_TAG, out + plain.n) == 1;
}

int sealer_seal(const struct sealer *s, const unsigned char nonce[SEALER_NONCE], struct slice aad, struct slice plain,
                struct buf *out)
{
    size_t n = SEALER_NONCE + plain.n + SEALER_TAG;
    if (plain.n > INT_MAX / 2)
        return -E2BIG;
    unsigned char *bytes = mem_try(n);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int err = bytes && c ? 0 : -ENOMEM;
    if (!err) {
        memcpy(bytes, nonce, SEALER_NONCE);
        err = encrypt(c, s, nonce, aad, plain, bytes + SEALER_NONCE) ? 0 : -ENOMEM;
    }
    if (!err)
        err = buf_printf(out, "%s:", s->keys[0].name);
    if (!err)
        err = base64_encode(out, slice_of((const char *)bytes, n));
    EVP_CIPHER_CTX_free(c);
    mem_free(bytes);
    return err;
}

static int decrypt(EVP_CIPHER_CTX *c, const struct sealer *s, const struct sealing_key *k, struct slice aad,
                   struct slice bytes, unsigned char *out)
{
    const unsigned char *nonce = (const unsigned char *)bytes.p, *text = nonce + SEALER_NONCE;
    size_t n_text = bytes.n - SEALER_NONCE - SEALER_TAG;
    int n;
    unsigned char tag[SEALER_TAG];
    memcpy(tag, text + n_text, sizeof(tag));
    if (EVP_DecryptInit_ex2(c, s->cipher, k->bytes, nonce, NULL) != 1 ||
        EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) != 1 ||
        EVP_DecryptUpdate(c, out, &n, text, (int)n_text) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEALER_TAG, tag) != 1)
        return -ENOMEM;
    return EVP_DecryptFinal_ex(c, out + n, &n) == 1 ? 0 : -EBADMSG;
}

static int open_with(const struct sealer *s, const struct sealing_key *k, struct slice bytes, struct slice aad,
                     struct buf *out)
{
    if (bytes.n < SEALER_NONCE + SEALER_TAG || bytes.n > INT_MAX / 2)
        return -EBADMSG;
    size_t n = bytes.n - SEALER_NONCE - SEALER_TAG;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int err = c ? buf_reserve(out, n + 1) : -ENOMEM;
    if (!err)
        err = decrypt(c, s, k, aad, bytes, (unsigned char *)out->p + out->n);
    if (!err)
        out->n += n;
    EVP_CIPHER_CTX_free(c);
    return err;
}

int sealer_open(const struct sealer *s, struct slice sealed, struct slice aad, struct buf *out)
{
    struct slice name, text;
    if (!slice_cut(sealed, ':', &name, &text))
        return -EBADMSG;
    const struct sealing_key *k = find(s, name);
    if (!k)
        return -ENOKEY;
    struct buf bytes = BUF_INIT(text.n + 4);
    int err = base64_decode(&bytes, text);
    if (!err)
        err = open_with(s, k, buf_slice(&bytes), aad, out);
    buf_done(&bytes);
    return err == -EINVAL ? -EBADMSG : err;
}
