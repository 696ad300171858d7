#include "jepsen/hands_shell.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

enum { LINE_MAX_BYTES = 512 };

struct hands_shell {
    struct loop *loop;
    const int *leader;
    pid_t pid;
    FILE *to, *from;
    struct loop_work work;
    char line[LINE_MAX_BYTES];
    bool failed;
    nemesis_done_fn *done;
    void *arg;
};

static void run_line(struct loop_work *work)
{
    struct hands_shell *s = container_of(work, struct hands_shell, work);
    fputs(s->line, s->to);
    fflush(s->to);
    if (!fgets(s->line, sizeof s->line, s->from))
        fprintf(stderr, "jepsen: the hands have gone\n");
}

static void line_done(struct loop_work *work)
{
    struct hands_shell *s = container_of(work, struct hands_shell, work);
    s->failed = strncmp(s->line, "ok", 2) != 0;
    if (s->failed)
        fprintf(stderr, "jepsen: the hands say: %s", s->line);
    s->line[strcspn(s->line, "\n")] = '\0';
    s->done(s->arg);
}

static void send_line(struct hands_shell *s, nemesis_done_fn *done, void *arg)
{
    s->done = done;
    s->arg = arg;
    s->work.run = run_line;
    s->work.done = line_done;
    loop_work_queue(s->loop, LOOP_LANE_MISC, &s->work);
}

static void tell(struct hands_shell *s, const char *what, const struct fault *f, nemesis_done_fn *done, void *arg)
{
    int n = snprintf(s->line, sizeof s->line, "%s %s %d", what, fault_name(f->kind), f->param);
    for (unsigned i = 0; i < DRIVE_NODES_MAX; i++)
        if (f->nodes >> i & 1)
            n += snprintf(s->line + n, sizeof s->line - (size_t)n, " %u", i + 1);
    snprintf(s->line + n, sizeof s->line - (size_t)n, "\n");
    send_line(s, done, arg);
}

static void begin(void *ctx, const struct fault *f, nemesis_done_fn *done, void *arg)
{
    tell(ctx, "begin", f, done, arg);
}

static void end(void *ctx, const struct fault *f, nemesis_done_fn *done, void *arg)
{
    tell(ctx, "end", f, done, arg);
}

/* What follows "ok". */
static const char *said(void *ctx)
{
    const struct hands_shell *s = ctx;
    return s->failed || strlen(s->line) < 4 ? "" : s->line + 3;
}

void hands_shell_settle(struct hands_shell *s, nemesis_done_fn *done, void *arg)
{
    snprintf(s->line, sizeof s->line, "settle\n");
    send_line(s, done, arg);
}

bool hands_shell_failed(const struct hands_shell *s)
{
    return s->failed;
}

static int leader(void *ctx)
{
    return *((struct hands_shell *)ctx)->leader;
}

struct hands_shell *hands_shell_new(struct loop *l, const char *script, const int *leader_at)
{
    int to[2], from[2];
    if (pipe(to) || pipe(from))
        return NULL;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
        execl(script, script, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    if (pid < 0)
        return NULL;
    struct hands_shell *s = mem_new(struct hands_shell);
    *s = (struct hands_shell){
        .loop = l, .leader = leader_at, .pid = pid, .to = fdopen(to[1], "w"), .from = fdopen(from[0], "r")};
    return s;
}

struct nemesis_hands hands_shell_hands(struct hands_shell *s)
{
    return (struct nemesis_hands){.ctx = s, .leader = leader, .begin = begin, .end = end, .said = said};
}

void hands_shell_free(struct hands_shell *s)
{
    fclose(s->to);
    fclose(s->from);
    waitpid(s->pid, NULL, 0);
    mem_free(s);
}
