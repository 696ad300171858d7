/* pause: the process that keeps a pod's namespaces open, and reaps what its containers leave behind. Static, so that its
 * image holds nothing else. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_child(int signo)
{
    (void)signo;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

static void on_end(int signo)
{
    (void)signo;
    _exit(0);
}

int main(void)
{
    signal(SIGCHLD, on_child);
    signal(SIGINT, on_end);
    signal(SIGTERM, on_end);
    for (;;)
        pause();
}
