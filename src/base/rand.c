/* rand.c - See rand.h.  The mixing function is splitmix64's finaliser (Steele, Lea, Flood 2014). */
#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void rand_secure(void *p, size_t n)
{
    uint8_t *at = p;
    while (n) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort();
        }
        at += got;
        n -= (size_t)got;
    }
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

#define GOLDEN 0x9e3779b97f4a7c15

uint64_t rand_at(uint64_t seed, uint64_t stream, uint64_t position)
{
    uint64_t h = mix(seed + GOLDEN);
    h = mix(h ^ mix(stream + 2 * GOLDEN));
    h = mix(h ^ mix(position + 3 * GOLDEN));
    return mix(h + GOLDEN);
}

static double unit(uint64_t x)
{
    return (double)(x >> 11) * 0x1p-53;
}

double rand_at_unit(uint64_t seed, uint64_t stream, uint64_t position)
{
    return unit(rand_at(seed, stream, position));
}

uint64_t rng_next(struct rng *r)
{
    r->state += GOLDEN;
    return mix(r->state);
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t x;
    do
        x = rng_next(r);
    while (x >= limit);
    return x % n;
}

double rng_unit(struct rng *r)
{
    return unit(rng_next(r));
}
