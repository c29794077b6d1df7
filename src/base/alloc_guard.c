/* alloc_guard.c - The functions that the linker puts in place of malloc and its relatives (--wrap). */
#include "base/alloc_guard.h"

#ifdef SLUICE_ALLOC_GUARD

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local bool is_guarded;
static _Atomic uint64_t count;
static _Atomic(const void *) place;

bool alloc_guard_set(bool is_on)
{
    bool before = is_guarded;
    is_guarded = is_on;
    return before;
}

uint64_t alloc_guard_count(void)
{
    return count;
}

const void *alloc_guard_place(void)
{
    return place;
}

#define NOTICE()                                                                                             \
    do {                                                                                                     \
        if (is_guarded) {                                                                                    \
            atomic_fetch_add(&count, 1);                                                                     \
            atomic_store(&place, __builtin_return_address(0));                                               \
        }                                                                                                    \
    } while (0)

/* Weak: where the linker was not told to wrap, nobody calls what is below. */
#define WEAK __attribute__((weak))
void *__real_malloc(size_t n) WEAK;
void *__real_calloc(size_t n, size_t size) WEAK;
void *__real_realloc(void *p, size_t n) WEAK;
void *__real_reallocarray(void *p, size_t n, size_t size) WEAK;
void *__real_aligned_alloc(size_t align, size_t n) WEAK;
int __real_posix_memalign(void **p, size_t align, size_t n) WEAK;
char *__real_strdup(const char *s) WEAK;
char *__real_strndup(const char *s, size_t n) WEAK;

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t n)
{
    NOTICE();
    return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    NOTICE();
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    NOTICE();
    return __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    NOTICE();
    return __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t n)
{
    NOTICE();
    return __real_aligned_alloc(align, n);
}

int __wrap_posix_memalign(void **p, size_t align, size_t n)
{
    NOTICE();
    return __real_posix_memalign(p, align, n);
}

char *__wrap_strdup(const char *s)
{
    NOTICE();
    return __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    NOTICE();
    return __real_strndup(s, n);
}

#endif
