/* attn_fetch.h - Keys and values from memory, ahead of their use; compiled once per level (vec_impl.h).
 *
 * Pages lie anywhere, so the processor cannot guess what comes next, and its own prefetchers follow only what
 * ascends: both passes over a segment read tile after tile and line after line, and what is FETCH_AHEAD
 * before them is requested in the same order, across the ends of tiles, from keys to values and on to the
 * next segment's keys.  Requests go on while probabilities are made, when nothing is read, and are fewer
 * while values are weighed, so that a segment requests as many lines as it reads. */

enum { FETCH_AHEAD = 8 << 10, FETCH_TILES = KERN_SEGMENT / KERN_KV_TILE };

struct fetch {
    uintptr_t at, end; /* in tile i of n */
    size_t tile_bytes;
    int i, n;
    int lines_left; /* of what this segment reads */
    const uint8_t *tiles[3 * FETCH_TILES];
};

VEC void fetch_tile(struct fetch *f)
{
    if (++f->i < f->n) { /* lines beyond a tile's end were the next one's first, where they are neighbours */
        f->at = (uintptr_t)f->tiles[f->i] + (f->at - f->end);
        f->end = (uintptr_t)f->tiles[f->i] + f->tile_bytes;
    } else { /* nothing more to request: the same line again and again */
        f->i = f->n;
        f->at = f->end = (uintptr_t)f->tiles;
    }
}

/* f is NULL where nothing is to be requested, here and below. */
VEC void fetch_lines(struct fetch *f, int lines)
{
    if (!f)
        return;
    UNROLL for (int i = 0; i < lines; i++) __builtin_prefetch((const void *)(f->at + 64 * (uintptr_t)i));
    f->at += 64 * (uintptr_t)lines;
    f->lines_left -= lines;
    if (f->at >= f->end)
        fetch_tile(f);
}

/* For a call that reads keys and values of tiles [begin, end), the first FETCH_AHEAD bytes of which are there
 * already. */
VEC void fetch_begin(struct fetch *f, const struct kern_attn *a, int begin, int end, size_t tile_bytes)
{
    if (!f)
        return;
    size_t at = FETCH_AHEAD;
    int n = end - begin;
    memcpy(f->tiles, a->k_tiles + begin, (size_t)n * sizeof *f->tiles);
    memcpy(f->tiles + n, a->v_tiles + begin, (size_t)n * sizeof *f->tiles);
    memcpy(f->tiles + 2 * n, a->next, (size_t)a->n_next * sizeof *f->tiles);
    f->n = 2 * n + a->n_next;
    f->tile_bytes = tile_bytes;
    f->lines_left = (int)(2 * (size_t)n * tile_bytes / 64);
    for (f->i = 0; f->i < f->n && at >= tile_bytes; f->i++)
        at -= tile_bytes;
    f->i--;
    f->at = f->end = 0;
    fetch_tile(f);
    if (f->i < f->n)
        f->at += at;
}

/* How to spread what is left over the 8 steps of each of `tiles` tiles: in the first `steps` of them,
 * `rounds` times `lines`. */
struct fetch_rate {
    int steps, rounds;
};

VEC struct fetch_rate fetch_rate_of(const struct fetch *f, int tiles, int lines)
{
    if (!f || f->lines_left <= 0 || tiles == 0)
        return (struct fetch_rate){0, 0};
    int each = tiles * lines, rounds = (f->lines_left + 8 * each - 1) / (8 * each);
    return (struct fetch_rate){(f->lines_left + each * rounds - 1) / (each * rounds), rounds};
}
