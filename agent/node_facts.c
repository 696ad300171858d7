/* What the node's host is: plain files and calls, on the pool. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/node_impl.h"

enum { FACT_FILE_MAX = 16 << 10 };

static struct slice read_text(const char *path, char *out, size_t n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t got = 0;
    ssize_t r = 0;
    while (fd >= 0 && got < n && (r = read(fd, out + got, n - got)) > 0)
        got += (size_t)r;
    if (fd >= 0)
        close(fd);
    return slice_trim(slice_of(out, got));
}

static void read_line(const char *path, char *out, size_t n)
{
    char text[512];
    struct slice line = read_text(path, text, sizeof text), rest;
    slice_cut(line, '\n', &line, &rest);
    snprintf(out, n, "%" SLICE_FMT, SLICE_ARG(line));
}

bool node_os_release(struct slice text, const char *key, char *out, size_t n)
{
    while (text.n) {
        struct slice line, name, value;
        slice_cut(text, '\n', &line, &text);
        if (!slice_cut(line, '=', &name, &value) || !slice_eq_str(slice_trim(name), key))
            continue;
        value = slice_trim(value);
        if (value.n >= 2 && (value.p[0] == '"' || value.p[0] == '\'') && value.p[value.n - 1] == value.p[0])
            value = slice_of(value.p + 1, value.n - 2);
        snprintf(out, n, "%" SLICE_FMT, SLICE_ARG(value));
        return true;
    }
    return false;
}

/* The number behind "NAME:" in /proc/meminfo, in bytes. */
static int64_t meminfo(struct slice text, const char *name)
{
    while (text.n) {
        struct slice line, key, value;
        int64_t kib;
        slice_cut(text, '\n', &line, &text);
        if (!slice_cut(line, ':', &key, &value) || !slice_eq_str(key, name))
            continue;
        slice_cut(slice_trim(value), ' ', &value, &line);
        return slice_to_i64(value, &kib) ? kib << 10 : 0;
    }
    return 0;
}

static void read_memory(struct node_facts *f)
{
    char text[FACT_FILE_MAX];
    struct slice all = read_text("/proc/meminfo", text, sizeof text);
    f->memory = meminfo(all, "MemTotal");
    f->memory_available = meminfo(all, "MemAvailable");
}

static void read_disk(struct node_facts *f, const char *dir)
{
    struct statvfs s;
    if (statvfs(dir, &s))
        return;
    f->disk = (int64_t)(s.f_blocks * s.f_frsize);
    f->disk_available = (int64_t)(s.f_bavail * s.f_frsize);
}

static void read_names(struct node_facts *f)
{
    char text[FACT_FILE_MAX];
    struct utsname u;
    if (!uname(&u)) {
        snprintf(f->hostname, sizeof f->hostname, "%s", u.nodename);
        snprintf(f->kernel, sizeof f->kernel, "%s", u.release);
        const char *known = !strcmp(u.machine, "x86_64") ? "amd64" : !strcmp(u.machine, "aarch64") ? "arm64" : NULL;
        snprintf(f->architecture, sizeof f->architecture, "%.63s", known ? known : u.machine);
    }
    node_os_release(read_text("/etc/os-release", text, sizeof text), "PRETTY_NAME", f->os_image, sizeof f->os_image);
    read_line("/etc/machine-id", f->machine_id, sizeof f->machine_id);
    read_line("/proc/sys/kernel/random/boot_id", f->boot_id, sizeof f->boot_id);
    read_line("/sys/class/dmi/id/product_uuid", f->system_uuid, sizeof f->system_uuid);
    if (!f->system_uuid[0])
        memcpy(f->system_uuid, f->machine_id, sizeof f->system_uuid);
}

static void read_pids(struct node_facts *f)
{
    char text[64];
    struct sysinfo s;
    read_line("/proc/sys/kernel/pid_max", text, sizeof text);
    slice_to_i64(slice_str(text), &f->pids_max);
    f->pids_used = sysinfo(&s) ? 0 : s.procs;
}

void node_facts_read(struct node_facts *f, const char *data_dir)
{
    f->cpus = sysconf(_SC_NPROCESSORS_ONLN);
    read_memory(f);
    read_disk(f, data_dir);
    read_names(f);
    read_pids(f);
}
