#include "auth/token_file.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/map.h"
#include "base/mem.h"

enum { ARENA_MAX = 64 << 20, DIGEST = 32, WHY_MAX = 256, COLUMNS = 4 };

struct token_file {
    struct arena arena;
    struct map users; /* SHA-256 of the token → struct user */
};

struct row {
    struct slice column[COLUMNS];
    size_t n;
};

static bool digest_of(struct slice token, unsigned char out[DIGEST])
{
    size_t n = DIGEST;
    return EVP_Q_digest(NULL, "SHA256", NULL, token.p, token.n, out, &n) == 1;
}

/* The next field of a line: bare, or in double quotes. False when a quote is not closed or text follows one. */
static bool next_field(struct slice *line, struct slice *ret)
{
    struct slice rest = slice_trim(*line);
    if (rest.n == 0 || rest.p[0] != '"') {
        slice_cut(rest, ',', ret, line);
        *ret = slice_trim(*ret);
        return true;
    }
    if (!slice_cut(slice_from(rest, 1), '"', ret, line))
        return false;
    *line = slice_trim(*line);
    if (line->n == 0)
        return true;
    bool comma = line->p[0] == ',';
    *line = slice_from(*line, 1);
    return comma;
}

static bool parse_row(struct slice line, struct row *row)
{
    row->n = 0;
    while (line.n > 0) {
        if (row->n == COLUMNS || !next_field(&line, &row->column[row->n]))
            return false;
        row->n++;
    }
    return row->n >= 3 && row->column[0].n && row->column[1].n;
}

static int fill_groups(struct token_file *f, struct user *u, struct slice list)
{
    size_t most = 2; /* one more than commas, and the one that all have */
    for (size_t i = 0; i < list.n; i++)
        most += list.p[i] == ',';
    if (most > USER_GROUPS_MAX)
        return -E2BIG;
    struct slice *groups = arena_alloc(&f->arena, most * sizeof *groups);
    struct slice head;
    if (!groups)
        return -ENOMEM;
    while (list.n > 0) {
        slice_cut(list, ',', &head, &list);
        head = slice_trim(head);
        if (head.n == 0)
            continue;
        groups[u->n_groups++] = arena_copy(&f->arena, head);
    }
    groups[u->n_groups++] = SLICE("system:authenticated");
    u->groups = groups;
    return 0;
}

static int add_row(struct token_file *f, const struct row *row)
{
    unsigned char digest[DIGEST];
    struct user *u = arena_new(&f->arena, struct user);
    if (!u || !digest_of(row->column[0], digest))
        return -ENOMEM;
    u->name = arena_copy(&f->arena, row->column[1]);
    u->uid = arena_copy(&f->arena, row->column[2]);
    int rv = fill_groups(f, u, row->n == COLUMNS ? row->column[3] : SLICE_NONE);
    if (rv)
        return rv;
    struct slice key = slice_of(digest, DIGEST);
    if (map_get(&f->users, key))
        return -EEXIST;
    map_put(&f->users, key, u);
    return arena_error(&f->arena);
}

static int parse_line(struct token_file *f, struct slice line, size_t number, char why[WHY_MAX])
{
    struct row row;
    line = slice_trim(line);
    if (line.n == 0 || line.p[0] == '#')
        return 0;
    if (!parse_row(line, &row)) {
        snprintf(why, WHY_MAX, "line %zu: expected token,user,uid[,\"group,group\"]", number);
        return -EINVAL;
    }
    if (f->users.n == TOKEN_FILE_ROWS_MAX) {
        snprintf(why, WHY_MAX, "more than %d rows", TOKEN_FILE_ROWS_MAX);
        return -E2BIG;
    }
    int rv = add_row(f, &row);
    if (rv == -EEXIST)
        snprintf(why, WHY_MAX, "line %zu: the token is there twice", number);
    else if (rv)
        snprintf(why, WHY_MAX, "line %zu: %s", number, strerror(-rv));
    return rv == -EEXIST ? -EINVAL : rv;
}

int token_file_parse(struct slice text, struct token_file **ret, char why[WHY_MAX])
{
    struct token_file *f = mem_new(struct token_file);
    struct slice line;
    int rv = 0;
    arena_init(&f->arena, ARENA_MAX);
    map_init(&f->users, 0); /* digests: nobody can aim for collisions */
    for (size_t number = 1; !rv && text.n > 0; number++) {
        slice_cut(text, '\n', &line, &text);
        rv = parse_line(f, line, number, why);
    }
    if (rv) {
        token_file_free(f);
        return rv;
    }
    *ret = f;
    return 0;
}

void token_file_free(struct token_file *f)
{
    if (!f)
        return;
    map_done(&f->users);
    arena_done(&f->arena);
    mem_free(f);
}

bool token_file_find(const struct token_file *f, struct slice token, struct arena *a, struct user *u)
{
    unsigned char digest[DIGEST];
    const struct user *found =
        token.n && digest_of(token, digest) ? map_get(&f->users, slice_of(digest, DIGEST)) : NULL;
    if (!found)
        return false;
    user_copy(u, a, found);
    return true;
}

size_t token_file_rows(const struct token_file *f)
{
    return f->users.n;
}
