#include "agent/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_DIRS_MAX = 32, DIR_MODE = 0755, MESSAGE_FILE_MODE = 0666 };

static int make_dirs(const char *path)
{
    char part[PATH_MAX];
    for (size_t i = 1; i < sizeof part; i++) {
        if (path[i] && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, DIR_MODE) && errno != EEXIST)
            return -errno;
        if (!path[i])
            return 0;
    }
    return -ENAMETOOLONG;
}

static int make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, MESSAGE_FILE_MODE);
    if (fd < 0)
        return -errno;
    /* Any user of the container may write its last words. */
    int rv = fchmod(fd, MESSAGE_FILE_MODE) ? -errno : 0;
    close(fd);
    return rv;
}

static void read_end(struct files_job *job)
{
    struct stat st;
    int fd = open(job->read_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
        off_t from = st.st_size > (off_t)job->text_max ? st.st_size - (off_t)job->text_max : 0;
        ssize_t n = pread(fd, job->text, job->text_max, from);
        job->text_n = n > 0 ? (size_t)n : 0;
    }
    close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    (void)remove(path); /* what cannot go now stays for the next time */
    return 0;
}

/* Version 1 has a hierarchy for each controller, version 2 one for all; the directory is there in some or all. */
static void remove_cgroup(const char *below)
{
    char path[PATH_MAX];
    DIR *d = opendir("/sys/fs/cgroup");
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s", below);
    rmdir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s", e->d_name, below);
        rmdir(path);
    }
    if (d)
        closedir(d);
}

static void run(struct loop_work *w)
{
    struct files_job *job = container_of(w, struct files_job, work);
    for (int i = 0; i < FILES_PATHS_MAX && job->make_dirs[i] && !job->err; i++)
        job->err = make_dirs(job->make_dirs[i]);
    if (job->make_file && !job->err)
        job->err = make_file(job->make_file);
    if (job->read_file)
        read_end(job);
    for (int i = 0; i < FILES_PATHS_MAX && job->remove_trees[i]; i++)
        nftw(job->remove_trees[i], remove_one, OPEN_DIRS_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (job->remove_cgroup)
        remove_cgroup(job->remove_cgroup);
}

void files_run(struct loop *l, struct files_job *job)
{
    job->work.run = run;
    loop_work_queue(l, LOOP_LANE_MISC, &job->work);
}
