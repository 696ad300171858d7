/* Values encrypted before they reach the disk: AES-256-GCM (NIST SP 800-38D) under keys of a file.
 *
 * The file: lines NAME:KEY, KEY is 32 bytes in base64; empty lines and lines that begin with '#' are skipped. The first
 * key seals, all of them open. A sealed value is NAME:BASE64, of nonce, ciphertext and tag; it opens only under the
 * same
 * associated data, so that it cannot be moved to another object's place.
 *
 * Nonces are random (96 bits): a key should not seal more than 2^32 values. Thread: any, one at a time. */
#ifndef PINTLE_AUTH_SEALER_H
#define PINTLE_AUTH_SEALER_H

#include "base/buf.h"

enum {
    SEALER_KEYS_MAX = 16,
    SEALER_NAME_MAX = 64, /* bytes of a key's name: letters, digits, '.', '_', '-' */
    SEALER_KEY = 32,
    SEALER_NONCE = 12,
    SEALER_TAG = 16,
    SEALER_FILE_MAX = 64 << 10,
};

struct sealer;

/* 0, or -EINVAL with why naming the line, -ENOMEM. */
int sealer_parse(struct slice text, struct sealer **ret, char why[256]);
/* Wipes the keys. NULL is fine. */
void sealer_free(struct sealer *s);
size_t sealer_n_keys(const struct sealer *s);
/* Key 0 is the one that seals. */
struct slice sealer_key_name(const struct sealer *s, size_t i);

/* Appends plain, sealed. 0, -E2BIG or -ENOMEM. */
int sealer_seal(const struct sealer *s, const unsigned char nonce[SEALER_NONCE], struct slice aad, struct slice plain,
                struct buf *out);
/* Appends what sealed holds. 0, -ENOKEY (no key of that name; s may be NULL), -EBADMSG (another key, other associated
 * data, or damaged), -E2BIG, -ENOMEM. out is undefined then. */
int sealer_open(const struct sealer *s, struct slice sealed, struct slice aad, struct buf *out);
/* The name of the key that sealed it. */
struct slice sealer_name_of(struct slice sealed);

#endif
