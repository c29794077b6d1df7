/* ensure.h - Assertions of the engine thread that poison the engine instead of ending the host.
 *
 * ensure(fact) is for our own mistakes, as assert is.  If the fact does not hold, the running turn
 * of the engine is left by longjmp and the engine is poisoned (engine_turn); outside of a turn, as
 * in tests of single files, it ends the process.  Nothing between the two may hold a lock. */
#ifndef ENGINE_ENSURE_H
#define ENGINE_ENSURE_H

#include <setjmp.h>

#define ensure(fact) ((fact) ? (void)0 : ensure_failed(#fact, __FILE__, __LINE__))

void ensure_failed(const char *fact, const char *file, int line) __attribute__((noreturn));

/* Where the calling thread goes when a fact does not hold; NULL: nowhere.  Returns the one before. */
jmp_buf *ensure_catch(jmp_buf *where);

#endif
