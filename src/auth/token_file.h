/* The static token file: CSV rows of token, user name, user uid and, optionally, a quoted list of groups:
 *   31ada4fd-adec-460c-809a-9e56ceb75269,admin,admin-uid,"system:masters,team-a"
 * Empty lines and lines that begin with '#' are skipped. Tokens are kept and looked up by their SHA-256, so that
 * neither memory nor timing gives them away. */
#ifndef PINTLE_AUTH_TOKEN_FILE_H
#define PINTLE_AUTH_TOKEN_FILE_H

#include "auth/user.h"

enum { TOKEN_FILE_MAX = 4 << 20, TOKEN_FILE_ROWS_MAX = 20000 };

struct token_file;

/* 0, or -EINVAL with why (256 bytes) naming the line, -E2BIG, -ENOMEM. */
int token_file_parse(struct slice text, struct token_file **ret, char why[256]);
void token_file_free(struct token_file *f);
/* Who the token is for, copied into a, "system:authenticated" added; false when it is unknown. */
bool token_file_find(const struct token_file *f, struct slice token, struct arena *a, struct user *u);
size_t token_file_rows(const struct token_file *f);

#endif
