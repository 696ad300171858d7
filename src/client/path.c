#include "client/path.h"

#include "base/text.h"

const char *client_method(enum client_verb v)
{
    static const char *const methods[] = {"GET", "GET", "POST", "PUT", "PATCH", "DELETE"};
    return methods[v];
}

int client_path(struct buf *out, const struct client_request *req)
{
    const struct resource *res = req->res;
    buf_printf(out, "%s%s/%s", res->group[0] ? "/apis/" : "/api", res->group, res->version);
    if (req->ns.n && res->namespaced) {
        buf_add_str(out, "/namespaces/");
        percent_encode(out, req->ns);
    }
    buf_printf(out, "/%s", res->plural);
    if (req->name.n && (req->verb != CLIENT_CREATE || req->sub)) {
        buf_add_char(out, '/');
        percent_encode(out, req->name);
    }
    if (req->sub)
        buf_printf(out, "/%s", req->sub);
    return buf_error(out);
}
