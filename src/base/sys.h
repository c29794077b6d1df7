/* sys.h - What this machine, or the container that we are in, lets us use. */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Threads worth starting: the affinity mask, cut by the cgroup's CPU quota (rounded up), >= 1. */
int sys_n_cpus(void);

/* Bytes that this process may use: physical memory, cut by the cgroup's limit. */
uint64_t sys_memory_bytes(void);
uint64_t sys_memory_available_bytes(void); /* of which are free or can be freed now */

/* Resident set of this process, bytes. */
uint64_t sys_rss_bytes(void);

/* Raise the limit of open files to its hard maximum.  Returns the limit now in force. */
uint64_t sys_raise_nofile(void);

/* Read a whole (small) file into b.  OK, ERR_NOT_FOUND, ERR_IO, ERR_LIMIT (b's maximum). */
int sys_read_file(const char *path, struct buf *b, struct err *err);
/* Replace the file at once: written beside it, synced, renamed. */
int sys_write_file(const char *path, struct str bytes, unsigned mode, struct err *err);
/* Make a folder and its parents, mode 0700 for those that are new. */
int sys_make_folders(const char *path, struct err *err);

/* A thread to which no signal is delivered: the host's signals are the host's.  0, or an errno value. */
int sys_start_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* Large zeroed memory, on huge pages where the system gives them, optionally touched now by the
 * calling thread.  NULL without memory.  Free with sys_free_pages and the same size. */
void *sys_alloc_pages(size_t n);
void sys_free_pages(void *p, size_t n);

/* The quota of a cgroup "cpu.max" text ("max 100000", "150000 100000") as whole CPUs, rounded up;
 * 0 for no limit.  Pure, for the test. */
int sys_cpus_of_quota(struct str cpu_max);

#endif
