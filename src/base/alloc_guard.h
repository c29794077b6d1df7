/* alloc_guard.h - Was memory allocated where none may be?
 *
 * In the debug builds (those with SLUICE_ALLOC_GUARD) the linker leads every malloc and its relatives of our
 * own code through here.  A thread that is between alloc_guard_begin and alloc_guard_end must not
 * call them; what it does is still done, counted, and its place remembered.  In a release build
 * all of this is nothing.  A team's workers are guarded while whoever runs the loop is. */
#ifndef BASE_ALLOC_GUARD_H
#define BASE_ALLOC_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef SLUICE_ALLOC_GUARD

/* Guard the calling thread, or not; returns what was before, to be put back. */
bool alloc_guard_set(bool is_on);
/* Allocations by guarded threads of this process so far. */
uint64_t alloc_guard_count(void);
/* Where the last of them was made: an address for addr2line; NULL: none. */
const void *alloc_guard_place(void);
static inline bool alloc_guard_is_built(void)
{
    return true;
}

#else

static inline bool alloc_guard_set(bool is_on)
{
    (void)is_on;
    return false;
}
static inline uint64_t alloc_guard_count(void)
{
    return 0;
}
static inline const void *alloc_guard_place(void)
{
    return 0;
}
static inline bool alloc_guard_is_built(void)
{
    return false;
}

#endif
#endif
