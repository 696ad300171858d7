/* pintle cert init, cert issue, kubeconfig: what a cluster needs to know itself and its clients by. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "auth/pki.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/commands.h"

enum { PATH_MAX_LEN = 4096, LEAF_DAYS = 365 };

static void in_dir(char out[PATH_MAX_LEN], const char *dir, const char *file)
{
    snprintf(out, PATH_MAX_LEN, "%s/%s", dir, file);
}

static int fail(const char *what, int err)
{
    fprintf(stderr, "pintle: %s: %s\n", what, strerror(-err));
    return 1;
}

/* ---- cert init ---- */

struct init_options {
    const char *dir;
};

static const struct option_row init_rows[] = {
    {"dir", OPTION_TEXT, offsetof(struct init_options, dir), "DIR",
     "where ca.crt, ca.key and sa.key go (/etc/pintle/pki)"},
    {0},
};

static int init_files(struct loop *l, const char *dir)
{
    struct pki_pair *ca = NULL;
    struct pki_key *key = NULL;
    char cert[PATH_MAX_LEN], ca_key[PATH_MAX_LEN], sa_key[PATH_MAX_LEN];
    in_dir(cert, dir, "ca.crt");
    in_dir(ca_key, dir, "ca.key");
    in_dir(sa_key, dir, "sa.key");
    fs_mkdirs(loop_fs(l), dir);
    if (!pki_pair_load(loop_fs(l), cert, ca_key, &ca)) {
        pki_pair_free(ca);
        fprintf(stderr, "pintle: %s is there already; nothing was changed\n", cert);
        return 0;
    }
    int rv = pki_ca_create("pintle-ca", PKI_CA_DAYS, loop_wall(l), &ca);
    if (!rv)
        rv = pki_pair_write(ca, loop_fs(l), cert, ca_key);
    if (!rv)
        rv = pki_key_create(&key);
    if (!rv)
        rv = pki_key_write(key, loop_fs(l), sa_key);
    pki_pair_free(ca);
    pki_key_free(key);
    return rv;
}

static int run_init(int argc, char **argv, const struct command *c)
{
    struct init_options o = {.dir = "/etc/pintle/pki"};
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    struct loop *l = loop_uv_new("cert");
    rv = init_files(l, o.dir);
    loop_free(l);
    return rv ? fail(o.dir, rv) : 0;
}

const struct command command_cert_init = {
    "cert init", "Makes a cluster's certificate authority and token key.",
    "",          "Run it once for a cluster, keep ca.key safe: who has it can become anybody.",
    init_rows,   run_init};

/* ---- cert issue ---- */

struct issue_options {
    const char *ca_dir, *dir, *name;
    struct option_list ips, dns, orgs;
    int64_t days;
    bool server, node, ca_key;
};

static const struct option_row issue_rows[] = {
    {"ca-dir", OPTION_TEXT, offsetof(struct issue_options, ca_dir), "DIR",
     "where cert init put the authority (/etc/pintle/pki)"},
    {"dir", OPTION_TEXT, offsetof(struct issue_options, dir), "DIR", "where the certificate goes"},
    {"name", OPTION_TEXT, offsetof(struct issue_options, name), "NAME",
     "member id of a server, name of a node, or name of a user"},
    {"server", OPTION_FLAG, offsetof(struct issue_options, server), "",
     "a replica's certificate: server.crt, server.key, with ca.crt and sa.key beside it"},
    {"ca-key", OPTION_FLAG, offsetof(struct issue_options, ca_key), "",
     "with --server: ca.key beside it too, so that this replica can admit others by token"},
    {"node", OPTION_FLAG, offsetof(struct issue_options, node), "",
     "a node's certificate: node.crt, node.key, with ca.crt beside it"},
    {"ip", OPTION_LIST, offsetof(struct issue_options, ips), "IP",
     "address the certificate is valid for; may come more than once"},
    {"dns", OPTION_LIST, offsetof(struct issue_options, dns), "NAME",
     "DNS name it is valid for; may come more than once"},
    {"group", OPTION_LIST, offsetof(struct issue_options, orgs), "GROUP", "a user's group, e.g. system:masters"},
    {"days", OPTION_NUMBER, offsetof(struct issue_options, days), "N", "validity (365)"},
    {0},
};

static void add(struct option_list *list, const char *text)
{
    if (list->n < OPTION_LIST_MAX)
        list->at[list->n++] = text;
}

static const char *const api_names[] = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
                                        "kubernetes.default.svc.cluster.local"};

/* Names and groups follow from the role. */
static void complete(struct issue_options *o, char common_name[256])
{
    snprintf(common_name, 256, "%s%s", o->server ? "pintle:server:" : o->node ? "system:node:" : "", o->name);
    if (o->server) {
        add(&o->orgs, "pintle:servers");
        add(&o->ips, "127.0.0.1");
        add(&o->ips, "10.96.0.1");
        for (size_t i = 0; i < sizeof api_names / sizeof *api_names; i++)
            add(&o->dns, api_names[i]);
    }
    if (o->node) {
        add(&o->orgs, "system:nodes");
        add(&o->dns, o->name);
    }
}

static int copy_file(struct fs *fs, const char *from_dir, const char *to_dir, const char *file)
{
    char from[PATH_MAX_LEN], to[PATH_MAX_LEN];
    struct buf text = BUF_INIT(PKI_PEM_MAX);
    in_dir(from, from_dir, file);
    in_dir(to, to_dir, file);
    int rv = strcmp(from, to) ? pki_file_read(fs, from, &text) : 0;
    if (!rv && text.n)
        rv = pki_file_write(fs, to, buf_slice(&text));
    buf_done(&text);
    return rv;
}

static int issue(struct loop *l, struct issue_options *o)
{
    struct pki_pair *ca = NULL, *pair = NULL;
    struct fs *fs = loop_fs(l);
    char common_name[256], ca_cert[PATH_MAX_LEN], ca_key[PATH_MAX_LEN], cert[PATH_MAX_LEN], key[PATH_MAX_LEN];
    const char *base = o->server ? "server" : o->node ? "node" : o->name;
    complete(o, common_name);
    in_dir(ca_cert, o->ca_dir, "ca.crt");
    in_dir(ca_key, o->ca_dir, "ca.key");
    snprintf(cert, sizeof cert, "%s/%s.crt", o->dir, base);
    snprintf(key, sizeof key, "%s/%s.key", o->dir, base);
    fs_mkdirs(fs, o->dir);
    struct pki_request q = {.common_name = common_name,
                            .orgs = o->orgs.at,
                            .n_orgs = o->orgs.n,
                            .dns = o->dns.at,
                            .n_dns = o->dns.n,
                            .ips = o->ips.at,
                            .n_ips = o->ips.n,
                            .server = o->server || o->node,
                            .client = true,
                            .days = (unsigned)o->days};
    int rv = pki_pair_load(fs, ca_cert, ca_key, &ca);
    if (!rv)
        rv = pki_issue(ca, &q, loop_wall(l), &pair);
    if (!rv)
        rv = pki_pair_write(pair, fs, cert, key);
    if (!rv)
        rv = copy_file(fs, o->ca_dir, o->dir, "ca.crt");
    if (!rv && o->server)
        rv = copy_file(fs, o->ca_dir, o->dir, "sa.key");
    if (!rv && o->server && o->ca_key)
        rv = copy_file(fs, o->ca_dir, o->dir, "ca.key");
    pki_pair_free(ca);
    pki_pair_free(pair);
    return rv;
}

static int run_issue(int argc, char **argv, const struct command *c)
{
    struct issue_options o = {.ca_dir = "/etc/pintle/pki", .days = LEAF_DAYS};
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!o.name || !o.dir || o.days < 1) {
        fprintf(stderr, "pintle cert issue: --name and --dir are needed; see pintle cert issue --help\n");
        return 2;
    }
    struct loop *l = loop_uv_new("cert");
    rv = issue(l, &o);
    loop_free(l);
    return rv ? fail("the certificate was not made", rv) : 0;
}

const struct command command_cert_issue = {"cert issue", "Certifies a server, a node or a user.", "", NULL, issue_rows,
                                           run_issue};

/* ---- kubeconfig ---- */

struct kubeconfig_options {
    const char *cert_dir, *user, *cluster;
    struct option_list contexts;
};

static const struct option_row kubeconfig_rows[] = {
    {"cert-dir", OPTION_TEXT, offsetof(struct kubeconfig_options, cert_dir), "DIR", "ca.crt, USER.crt and USER.key"},
    {"user", OPTION_TEXT, offsetof(struct kubeconfig_options, user), "NAME", "whose certificate (admin)"},
    {"context", OPTION_LIST, offsetof(struct kubeconfig_options, contexts), "NAME=URL",
     "a context and the server it uses; the first one is current"},
    {0},
};

static int add_file(struct fs *fs, struct buf *out, const char *label, const char *dir, const char *base,
                    const char *ending)
{
    char path[PATH_MAX_LEN];
    struct buf text = BUF_INIT(PKI_PEM_MAX);
    snprintf(path, sizeof path, "%s/%s%s", dir, base, ending);
    int rv = pki_file_read(fs, path, &text);
    if (rv)
        fprintf(stderr, "pintle: %s: %s\n", path, strerror(-rv));
    buf_printf(out, "%s: ", label);
    base64_encode(out, buf_slice(&text));
    buf_add_char(out, '\n');
    buf_done(&text);
    return rv;
}

static int write_kubeconfig(struct fs *fs, const struct kubeconfig_options *o, struct buf *out)
{
    struct slice name, url;
    int rv = 0;
    buf_add_str(out, "apiVersion: v1\nkind: Config\nclusters:\n");
    for (size_t i = 0; i < o->contexts.n && !rv; i++) {
        slice_cut(slice_str(o->contexts.at[i]), '=', &name, &url);
        buf_printf(out, "- name: %" SLICE_FMT "\n  cluster:\n    server: %" SLICE_FMT "\n", SLICE_ARG(name),
                   SLICE_ARG(url));
        rv = add_file(fs, out, "    certificate-authority-data", o->cert_dir, "ca", ".crt");
    }
    buf_add_str(out, "contexts:\n");
    for (size_t i = 0; i < o->contexts.n; i++) {
        slice_cut(slice_str(o->contexts.at[i]), '=', &name, &url);
        buf_printf(out, "- name: %" SLICE_FMT "\n  context:\n    cluster: %" SLICE_FMT "\n    user: %s\n",
                   SLICE_ARG(name), SLICE_ARG(name), o->user);
    }
    slice_cut(slice_str(o->contexts.at[0]), '=', &name, &url);
    buf_printf(out, "current-context: %" SLICE_FMT "\nusers:\n- name: %s\n  user:\n", SLICE_ARG(name), o->user);
    if (!rv)
        rv = add_file(fs, out, "    client-certificate-data", o->cert_dir, o->user, ".crt");
    if (!rv)
        rv = add_file(fs, out, "    client-key-data", o->cert_dir, o->user, ".key");
    return rv ? rv : buf_error(out);
}

static int run_kubeconfig(int argc, char **argv, const struct command *c)
{
    struct kubeconfig_options o = {.user = "admin", .cert_dir = "/etc/pintle/pki"};
    struct buf out = BUF_INIT(1 << 20);
    int rv = options_parse(c, argc, argv, &o, NULL, NULL, NULL);
    if (rv)
        return rv == 1 ? 0 : rv;
    if (!o.contexts.n) {
        fprintf(stderr, "pintle kubeconfig: at least one --context NAME=URL is needed\n");
        return 2;
    }
    struct loop *l = loop_uv_new("kubeconfig");
    rv = write_kubeconfig(loop_fs(l), &o, &out);
    if (!rv)
        fwrite(out.p, 1, out.n, stdout);
    buf_done(&out);
    loop_free(l);
    return rv ? 1 : 0;
}

const struct command command_kubeconfig = {"kubeconfig",  "Prints a kubeconfig for kubectl.", "", NULL, kubeconfig_rows,
                                           run_kubeconfig};
