/* arena.c - See arena.h. */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

#define ALIGN       16u
#define FIRST_CHUNK 4096u
#define LARGE_TEXT  4096u
#define CHUNK_MAX   (256u * 1024)

struct arena_chunk {
    struct arena_chunk *next;
    size_t n, cap;
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    *a = (struct arena){.max = max_bytes, .chunk_bytes = FIRST_CHUNK};
}

void arena_deinit(struct arena *a)
{
    for (struct arena_chunk *c = a->chunk, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    a->chunk = NULL;
    a->used = 0;
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *keep = a->chunk;
    if (!keep)
        return;
    a->chunk = keep->next;
    arena_deinit(a);
    keep->next = NULL;
    memset(keep->data, 0, keep->n);
    keep->n = 0;
    a->chunk = keep;
    a->used = keep->cap;
}

static struct arena_chunk *add_chunk(struct arena *a, size_t n)
{
    size_t cap = n > a->chunk_bytes ? n : a->chunk_bytes;
    if (cap > a->max - a->used) /* an ordinary chunk may not fit where the request itself does */
        cap = n;
    if (a->used > a->max || cap > a->max - a->used)
        return NULL;
    struct arena_chunk *c = calloc(1, sizeof *c + cap);
    if (!c)
        return NULL;
    c->cap = cap;
    a->used += cap;
    c->next = a->chunk;
    a->chunk = c;
    if (a->chunk_bytes < CHUNK_MAX)
        a->chunk_bytes *= 2;
    return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX - ALIGN - sizeof(struct arena_chunk))
        return NULL;
    n = n ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
    struct arena_chunk *c = a->chunk;
    if (!c || n > c->cap - c->n) {
        c = add_chunk(a, n);
        if (!c)
            return NULL;
    }
    void *p = c->data + c->n;
    c->n += n;
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    return arena_alloc(a, bytes);
}

/* A chunk for one large text alone, not cleared first; smaller things go on in the present one. */
static char *text_chunk(struct arena *a, size_t n)
{
    if (n > SIZE_MAX - sizeof(struct arena_chunk) || a->used > a->max || n > a->max - a->used)
        return NULL;
    struct arena_chunk *c = malloc(sizeof *c + n);
    if (!c)
        return NULL;
    *c = (struct arena_chunk){.n = n, .cap = n};
    a->used += n;
    if (a->chunk) {
        c->next = a->chunk->next;
        a->chunk->next = c;
    } else {
        a->chunk = c;
    }
    return c->data;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_str_z(a, s);
    return (struct str){p, p ? s.n : 0};
}

char *arena_str_z(struct arena *a, struct str s)
{
    if (s.n == SIZE_MAX)
        return NULL;
    bool is_large = s.n >= LARGE_TEXT && s.n >= a->chunk_bytes;
    char *p = is_large ? text_chunk(a, s.n + 1) : arena_alloc(a, s.n + 1);
    if (p && s.n)
        memcpy(p, s.p, s.n);
    if (p)
        p[s.n] = 0;
    return p;
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (struct str){p, p ? (size_t)n : 0};
}
