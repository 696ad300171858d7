#include "agent/proxy/routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ATTRIBUTES_MAX = 64 };

struct request {
    struct nlmsghdr head;
    struct rtmsg route;
    char attributes[ATTRIBUTES_MAX];
};

static void add_attribute(struct request *q, unsigned short type, struct in_addr value)
{
    struct rtattr *at = (struct rtattr *)(void *)((char *)q + NLMSG_ALIGN(q->head.nlmsg_len));
    at->rta_type = type;
    at->rta_len = RTA_LENGTH(sizeof value);
    memcpy(RTA_DATA(at), &value, sizeof value);
    q->head.nlmsg_len = (unsigned)(NLMSG_ALIGN(q->head.nlmsg_len) + RTA_ALIGN(at->rta_len));
}

/* "10.244.2.0/24" → address and length. */
static int parse_cidr(const char *cidr, struct in_addr *ret, unsigned char *ret_bits)
{
    char text[32];
    const char *slash = strchr(cidr, '/');
    long bits = slash ? strtol(slash + 1, NULL, 10) : -1;
    if (!slash || (size_t)(slash - cidr) >= sizeof text || bits < 0 || bits > 32)
        return -EINVAL;
    memcpy(text, cidr, (size_t)(slash - cidr));
    text[slash - cidr] = '\0';
    *ret_bits = (unsigned char)bits;
    return inet_pton(AF_INET, text, ret) == 1 ? 0 : -EINVAL;
}

/* Sends one request and reads the kernel's acknowledgement. */
static int talk(const struct request *q)
{
    char answer[4096];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), rv = -EIO;
    if (fd < 0)
        return -errno;
    if (send(fd, q, q->head.nlmsg_len, 0) < 0) {
        rv = -errno;
    } else {
        ssize_t n = recv(fd, answer, sizeof answer, 0);
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)answer;
        if (n >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && h->nlmsg_type == NLMSG_ERROR)
            rv = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
    }
    close(fd);
    return rv;
}

int route_replace(const char *cidr, const char *gateway)
{
    struct request q = {.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                                 .nlmsg_type = RTM_NEWROUTE,
                                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE},
                        .route = {.rtm_family = AF_INET,
                                  .rtm_table = RT_TABLE_MAIN,
                                  .rtm_protocol = RTPROT_STATIC,
                                  .rtm_scope = RT_SCOPE_UNIVERSE,
                                  .rtm_type = RTN_UNICAST}};
    struct in_addr net, via;
    int rv = parse_cidr(cidr, &net, &q.route.rtm_dst_len);
    if (rv || inet_pton(AF_INET, gateway, &via) != 1)
        return -EINVAL;
    add_attribute(&q, RTA_DST, net);
    add_attribute(&q, RTA_GATEWAY, via);
    return talk(&q);
}
