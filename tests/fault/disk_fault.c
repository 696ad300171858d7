/* Loaded into a process by LD_PRELOAD, lets its disk fail as a file says.
 *
 * PINTLE_FAULT_FILE names the file; each line is a rule, read anew at each call, so a test changes it at any time:
 *   OP PART NTH ACTION [ARGUMENT]
 * OP: pwrite or sync (fsync, fdatasync), PART: a part of the file's path, NTH: which of the calls from the time on that
 * the rule appeared (0 = all of them). ACTION:
 *   EIO, ENOSPC   the call fails
 *   torn          pwrite: the first half is written, then the process dies at once
 *   delay MS      the call takes so much longer
 *
 * Build: cc -shared -fPIC -o disk_fault.so disk_fault.c */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RULES_MAX = 8, TEXT_MAX = 1024, PATH_LIMIT = 1024 };

struct rule {
    char op[16], part[128], action[16];
    unsigned long nth, argument;
};

/* What was read last, and how often each rule was asked since. */
static struct {
    pthread_mutex_t lock;
    char text[TEXT_MAX];
    struct rule rules[RULES_MAX];
    unsigned long calls[RULES_MAX];
    size_t n;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void read_rules(void)
{
    char text[TEXT_MAX] = {0};
    const char *path = getenv("PINTLE_FAULT_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        ssize_t r = read(fd, text, sizeof(text) - 1);
        text[r > 0 ? r : 0] = '\0';
        close(fd);
    }
    if (strcmp(text, state.text) == 0)
        return;
    memcpy(state.text, text, sizeof(text));
    memset(state.calls, 0, sizeof(state.calls));
    state.n = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line && state.n < RULES_MAX; line = strtok_r(NULL, "\n", &rest)) {
        struct rule *r = &state.rules[state.n];
        memset(r, 0, sizeof(*r));
        if (sscanf(line, "%15s %127s %lu %15s %lu", r->op, r->part, &r->nth, r->action, &r->argument) >= 4)
            state.n++;
    }
}

/* The rule that holds for this call, if any. */
static int find_rule(const char *op, int fd, struct rule *ret)
{
    char link[64], path[PATH_LIMIT];
    int found = 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t r = readlink(link, path, sizeof(path) - 1);
    path[r > 0 ? r : 0] = '\0';
    pthread_mutex_lock(&state.lock);
    read_rules();
    for (size_t i = 0; i < state.n && !found; i++) {
        const struct rule *rule = &state.rules[i];
        if (strcmp(rule->op, op) != 0 || !strstr(path, rule->part))
            continue;
        unsigned long call = ++state.calls[i];
        found = rule->nth == 0 || rule->nth == call;
        if (found)
            *ret = *rule;
    }
    pthread_mutex_unlock(&state.lock);
    return found;
}

static int error_of(const struct rule *r)
{
    return strcmp(r->action, "EIO") == 0 ? EIO : strcmp(r->action, "ENOSPC") == 0 ? ENOSPC : 0;
}

static void wait_ms(unsigned long ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

typedef ssize_t pwrite_fn(int fd, const void *p, size_t n, off_t off);
typedef int sync_fn(int fd);

static ssize_t faulty_pwrite(const char *name, int fd, const void *p, size_t n, off_t off)
{
    struct rule r;
    pwrite_fn *real = (pwrite_fn *)dlsym(RTLD_NEXT, name);
    if (!find_rule("pwrite", fd, &r))
        return real(fd, p, n, off);
    if (error_of(&r)) {
        errno = error_of(&r);
        return -1;
    }
    if (strcmp(r.action, "torn") == 0) {
        real(fd, p, n / 2, off);
        kill(getpid(), SIGKILL);
    }
    wait_ms(r.argument);
    return real(fd, p, n, off);
}

static int faulty_sync(const char *name, int fd)
{
    struct rule r;
    sync_fn *real = (sync_fn *)dlsym(RTLD_NEXT, name);
    if (!find_rule("sync", fd, &r))
        return real(fd);
    if (error_of(&r)) {
        errno = error_of(&r);
        return -1;
    }
    wait_ms(r.argument);
    return real(fd);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    return faulty_pwrite("pwrite", fd, p, n, off);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
    return faulty_pwrite("pwrite64", fd, p, n, (off_t)off);
}

int fdatasync(int fd)
{
    return faulty_sync("fdatasync", fd);
}

int fsync(int fd)
{
    return faulty_sync("fsync", fd);
}
