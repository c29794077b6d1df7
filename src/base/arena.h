/* arena.h - Memory that dies at once, with a maximum.
 *
 * An arena belongs to one thing with a lifetime (a request, a file being parsed) and to one
 * thread.  Allocations are zeroed, aligned to 16 bytes, and never freed one by one.  Past the
 * maximum, or without memory, arena_alloc returns NULL: the caller says "too large". */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunk; /* newest first */
    size_t used;               /* bytes of chunks owned, against max */
    size_t max;
    size_t chunk_bytes; /* size of the next ordinary chunk: doubles up to 256 KiB */
};

/* Nothing is allocated before the first use. */
void arena_init(struct arena *a, size_t max_bytes);
void arena_deinit(struct arena *a);
/* Forget everything but keep one chunk for the next use. */
void arena_reset(struct arena *a);

void *arena_alloc(struct arena *a, size_t n);
/* n items of `size` bytes; NULL if the product overflows. */
void *arena_array(struct arena *a, size_t n, size_t size);
#define arena_new(a, type)          ((type *)arena_alloc((a), sizeof(type)))
#define arena_new_array(a, type, n) ((type *)arena_array((a), (n), sizeof(type)))

/* Copies into the arena; p == NULL in the result means no memory (an empty str stays non-NULL). */
struct str arena_str(struct arena *a, struct str s);
char *arena_str_z(struct arena *a, struct str s); /* NUL-terminated */
struct str arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
