/* rand.h - Random numbers: for secrets, for replayable tests, and as a function of a position. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* n bytes from the operating system's generator.  Ends the process if there is none, because
 * nothing that asks for a secret can go on without one. */
void rand_secure(void *p, size_t n);

/* A 64-bit number as a pure function of three others: no state, so the n-th number of a
 * stream is the same whoever asks and in which order (two rounds of a splitmix finaliser per
 * input word). */
uint64_t rand_at(uint64_t seed, uint64_t stream, uint64_t position);

/* The same as a double in [0, 1) with 53 random bits. */
double rand_at_unit(uint64_t seed, uint64_t stream, uint64_t position);

/* A small generator with state (splitmix64), for tests, jitter and back-off. */
struct rng {
    uint64_t state;
};
static inline struct rng rng_seeded(uint64_t seed)
{
    return (struct rng){seed};
}
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* uniform in [0, n); n > 0 */
double rng_unit(struct rng *r);                /* [0, 1) */

#endif
