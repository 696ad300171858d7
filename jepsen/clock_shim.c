/* LD_PRELOAD: the process's wall clock is off by as many seconds as the file $JEPSEN_CLOCK says. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long offset(void)
{
    static const char *path;
    static long seconds, looked; /* monotonic second of the last look */
    static int (*real)(clockid_t, struct timespec *);
    struct timespec now;
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    real(CLOCK_MONOTONIC, &now);
    long tick = now.tv_sec * 10 + now.tv_nsec / 100000000;
    if (tick == looked)
        return seconds;
    looked = tick;
    if (!path && !(path = getenv("JEPSEN_CLOCK")))
        path = "";
    FILE *f = *path ? fopen(path, "r") : NULL;
    if (f) {
        /* NOLINTNEXTLINE(cert-err34-c): jepsen/run wrote the number */
        if (fscanf(f, "%ld", &seconds) != 1)
            seconds = 0;
        fclose(f);
    }
    return seconds;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rv = real(id, t);
    if (rv == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        t->tv_sec += offset();
    return rv;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *t)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t)
        *t = now.tv_sec;
    return now.tv_sec;
}
