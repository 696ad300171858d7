#include "net/http_head.h"

bool header_is_clean(const struct http_header *h)
{
    for (size_t i = 0; i < h->name.n; i++)
        if ((unsigned char)h->name.p[i] <= ' ' || h->name.p[i] == ':')
            return false;
    for (size_t i = 0; i < h->value.n; i++)
        if (h->value.p[i] == '\r' || h->value.p[i] == '\n' || h->value.p[i] == '\0')
            return false;
    return h->name.n > 0;
}

bool header_is_for_h1(struct slice name)
{
    static const struct slice names[] = {SLICE_INIT("connection"), SLICE_INIT("transfer-encoding"),
                                         SLICE_INIT("keep-alive"), SLICE_INIT("upgrade"),
                                         SLICE_INIT("proxy-connection")};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_ieq(name, names[i]))
            return true;
    return false;
}

bool header_has_token(struct slice value, struct slice token)
{
    struct slice head;
    while (value.n > 0) {
        slice_cut(value, ',', &head, &value);
        if (slice_ieq(slice_trim(head), token))
            return true;
    }
    return false;
}

void header_line(struct chunkq *q, struct slice name, struct slice value)
{
    chunkq_copy(q, name.p, name.n);
    chunkq_copy(q, ": ", 2);
    chunkq_copy(q, value.p, value.n);
    chunkq_copy(q, "\r\n", 2);
}
