/* sys.c - See sys.h.  cgroup v2 is read along the path of our own group up to the root, since a
 * limit of any ancestor holds; v1 files are tried where v2 is absent. */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL_FILE_MAX 65536
#define HUGE_PAGE      ((size_t)2 << 20)

int sys_read_file(const char *path, struct buf *b, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int e = errno;
        fail_errno(err, e, "cannot open '%s'", path);
        return e == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    int rc = OK;
    for (;;) {
        char part[16384];
        ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = fail_errno(err, errno, "cannot read '%s'", path);
            break;
        }
        if (n == 0)
            break;
        if (!buf_add(b, part, (size_t)n)) {
            rc = fail(err, ERR_LIMIT, "'%s' is larger than the %zu bytes that are accepted", path, b->max);
            break;
        }
    }
    close(fd);
    return rc;
}

static int write_all(int fd, struct str s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        s = str_sub(s, (size_t)n, s.n);
    }
    return 0;
}

int sys_write_file(const char *path, struct str bytes, unsigned mode, struct err *err)
{
    char temp[PATH_MAX];
    if (snprintf(temp, sizeof temp, "%s.tmp%ld", path, (long)getpid()) >= (int)sizeof temp)
        return fail(err, ERR_LIMIT, "the path '%s' is too long", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return fail_errno(err, errno, "cannot create '%s'", temp);
    int e = write_all(fd, bytes);
    if (!e && fsync(fd) != 0)
        e = errno;
    if (close(fd) != 0 && !e)
        e = errno;
    if (!e && rename(temp, path) != 0)
        e = errno;
    if (e) {
        unlink(temp);
        return fail_errno(err, e, "cannot write '%s'", path);
    }
    return OK;
}

int sys_make_folders(const char *path, struct err *err)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n >= sizeof part)
        return fail(err, ERR_LIMIT, "the path '%s' is too long", path);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        char kept = part[i];
        part[i] = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return fail_errno(err, errno, "cannot make the folder '%s'", part);
        part[i] = kept;
    }
    return OK;
}

static bool read_text(const char *path, char out[SMALL_FILE_MAX])
{
    struct buf b;
    buf_init(&b, SMALL_FILE_MAX - 1);
    bool ok = sys_read_file(path, &b, NULL) == OK;
    if (ok) {
        memcpy(out, buf_z(&b), b.n + 1);
        if (!b.p)
            out[0] = 0;
    }
    buf_deinit(&b);
    return ok;
}

int sys_cpus_of_quota(struct str cpu_max)
{
    struct str rest = str_trim(cpu_max), part;
    uint64_t quota, period = 100000;
    if (!str_split(&rest, ' ', &part) || !str_to_u64(part, &quota))
        return 0;
    if (str_split(&rest, ' ', &part) && (!str_to_u64(part, &period) || period == 0))
        return 0;
    uint64_t cpus = quota / period + (quota % period != 0);
    return cpus > INT_MAX ? 0 : cpus < 1 ? 1 : (int)cpus;
}

/* Path of our cgroup v2 below the mount, "" if none. */
static void own_group(char out[PATH_MAX])
{
    char text[SMALL_FILE_MAX];
    out[0] = 0;
    if (!read_text("/proc/self/cgroup", text))
        return;
    struct str rest = str_c(text), line;
    while (str_split(&rest, '\n', &line))
        if (str_starts(line, S("0::")) && line.n - 3 < PATH_MAX - 64)
            snprintf(out, PATH_MAX, "%.*s", STR(str_sub(line, 3, line.n)));
}

/* Call `see` with the text of `file` in our group and in each of its ancestors. */
static void each_group_file(const char *file, void (*see)(struct str text, void *arg), void *arg)
{
    char group[PATH_MAX], path[PATH_MAX + 64], text[SMALL_FILE_MAX];
    own_group(group);
    for (;;) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", strcmp(group, "/") ? group : "", file);
        if (read_text(path, text))
            see(str_trim(str_c(text)), arg);
        char *cut = strrchr(group, '/');
        if (!cut)
            return;
        *cut = 0;
    }
}

static void see_quota(struct str text, void *arg)
{
    int *n = arg;
    int cpus = sys_cpus_of_quota(text);
    if (cpus && cpus < *n)
        *n = cpus;
}

int sys_n_cpus(void)
{
    int n = 1;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0) /* more CPUs than the fixed-size set can say */
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    each_group_file("cpu.max", see_quota, &n);
    char quota[SMALL_FILE_MAX], period[SMALL_FILE_MAX], both[64];
    if (read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota) &&
        read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period)) {
        snprintf(both, sizeof both, "%.*s %.*s", STR(str_sub(str_trim(str_c(quota)), 0, 24)),
                 STR(str_sub(str_trim(str_c(period)), 0, 24)));
        see_quota(str_c(both), &n);
    }
    return n < 1 ? 1 : n;
}

static void see_memory(struct str text, void *arg)
{
    uint64_t *least = arg, v;
    if (str_to_u64(text, &v) && v < *least)
        *least = v;
}

static uint64_t meminfo(const char *key)
{
    char text[SMALL_FILE_MAX];
    if (!read_text("/proc/meminfo", text))
        return 0;
    struct str rest = str_c(text), line;
    while (str_split(&rest, '\n', &line)) {
        if (!str_starts(line, str_c(key)))
            continue;
        struct str value = str_trim(str_sub(line, strlen(key) + 1, line.n));
        uint64_t kib = 0;
        if (str_ends(value, S(" kB")) && str_to_u64(str_trim(str_sub(value, 0, value.n - 3)), &kib))
            return kib * 1024;
    }
    return 0;
}

uint64_t sys_memory_bytes(void)
{
    uint64_t n = meminfo("MemTotal");
    if (!n)
        n = (uint64_t)1 << 30;
    each_group_file("memory.max", see_memory, &n);
    char v1[SMALL_FILE_MAX];
    if (read_text("/sys/fs/cgroup/memory/memory.limit_in_bytes", v1))
        see_memory(str_trim(str_c(v1)), &n);
    return n;
}

static void see_used(struct str text, void *arg)
{
    uint64_t *most = arg, v;
    if (str_to_u64(text, &v) && v > *most)
        *most = v;
}

uint64_t sys_memory_available_bytes(void)
{
    uint64_t free_now = meminfo("MemAvailable"), limit = UINT64_MAX, used = 0;
    each_group_file("memory.max", see_memory, &limit);
    if (limit == UINT64_MAX)
        return free_now;
    /* Page cache counts as used here and could be dropped; so this is the careful answer. */
    each_group_file("memory.current", see_used, &used);
    uint64_t left = limit > used ? limit - used : 0;
    return left < free_now ? left : free_now;
}

uint64_t sys_rss_bytes(void)
{
    char text[SMALL_FILE_MAX];
    struct str rest, part;
    uint64_t pages = 0;
    if (!read_text("/proc/self/statm", text))
        return 0;
    rest = str_c(text);
    if (str_split(&rest, ' ', &part) && str_split(&rest, ' ', &part) && /* NOLINT: the second word */
        str_to_u64(part, &pages))
        return pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

uint64_t sys_raise_nofile(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    if (r.rlim_cur < r.rlim_max) {
        struct rlimit want = {r.rlim_max, r.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &want) == 0)
            return want.rlim_cur;
    }
    return r.rlim_cur;
}

static size_t whole_pages(size_t n)
{
    return (n + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

int sys_start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

void *sys_alloc_pages(size_t n)
{
    if (n == 0 || n > SIZE_MAX / 2)
        return NULL;
    /* One huge page more than needed, then cut to an aligned start: only aligned 2 MiB ranges
     * become huge pages. */
    size_t want = whole_pages(n), have = want + HUGE_PAGE;
    char *p = mmap(NULL, have, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    char *start = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
    if (start > p)
        munmap(p, (size_t)(start - p));
    size_t tail = (size_t)(p + have - (start + want));
    if (tail)
        munmap(start + want, tail);
    madvise(start, want, MADV_HUGEPAGE); /* advice: without it everything works, slower */
    return start;
}

void sys_free_pages(void *p, size_t n)
{
    if (p)
        munmap(p, whole_pages(n));
}
