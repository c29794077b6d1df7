/* bpe_int.h - Byte-pair encoding on token ids.
 *
 * A piece of text becomes symbols (its bytes, or its characters), and neighbours are merged, the
 * best-ranked pair first and of equal ones the leftmost, until no pair of neighbours has a
 * merge.  Everything is integers: a merge is (left id, right id) -> (rank, id).
 *
 * struct bpe is constant after bpe_init, except for `whole`, a cache of facts that many threads may
 * find out at the same time.  Scratch memory belongs to the call. */
#ifndef TEXT_BPE_INT_H
#define TEXT_BPE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/vocab_int.h"

struct bpe_merge {
    int32_t left, right, result; /* token ids; the rank is the place in the list */
};

struct bpe_pair {
    uint64_t key; /* left << 32 | right, BPE_NO_PAIR where empty */
    uint32_t rank;
    int32_t result;
};
#define BPE_NO_PAIR UINT64_MAX

struct bpe {
    struct bpe_pair *pairs;
    uint64_t pairs_mask;
    struct vocab_slot *slots; /* pieces that are tokens, by their bytes */
    uint32_t slots_mask;
    const char *keys; /* the bytes of token i are keys[key_at[i], key_at[i + 1]); the vocabulary's */
    const uint32_t *key_at;
    size_t key_bytes_max;   /* no token is longer */
    _Atomic uint8_t *whole; /* enum bpe_whole per token */
    int32_t byte_id[256];   /* the token of a single byte, or TOKEN_NONE */
    int32_t unk;            /* stands for what has no token, or TOKEN_NONE */
    bool by_char;           /* symbols begin as characters, else as bytes */
    bool ignore_merges;     /* a piece that is a token is that token */
};

static inline uint64_t bpe_pair_hash(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15ull;
    return key ^ key >> 32;
}

/* What encoding the bytes of a token gives. */
enum bpe_whole { WHOLE_UNKNOWN, WHOLE_ITSELF, WHOLE_OTHER };

/* `keys` and `key_at` are the texts or the bytes of `v`; every token that vocab_is_plain and has such
 * bytes is a piece.  Merges that are listed twice count as the later one.  The caller sets
 * byte_id, unk, by_char and ignore_merges afterwards. */
int bpe_init(struct bpe *b, const struct vocab *v, const char *keys, const uint32_t *key_at,
             const struct bpe_merge *merges, size_t n_merges, struct err *err);
void bpe_deinit(struct bpe *b);

/* The token with exactly these bytes, or TOKEN_NONE. */
int32_t bpe_find(const struct bpe *b, const uint8_t *p, size_t n);

#define PIECE_CACHE_LEN  2048
#define CACHED_BYTES_MAX 24
#define CACHED_IDS_MAX   7

struct cached_piece {
    uint8_t n_bytes, n_ids;
    uint8_t bytes[CACHED_BYTES_MAX];
    int32_t ids[CACHED_IDS_MAX];
};

/* Scratch memory of one call; all zero is empty. */
struct bpe_scratch {
    int32_t *id, *prev, *next;
    uint64_t *heap;
    size_t cap;
    struct cached_piece *cache; /* made by the first call that is worth it */
    bool wants_cache;
    uint8_t bad_byte; /* what BPE_NO_TOKEN is about */
};
void bpe_scratch_deinit(struct bpe_scratch *s);

#define BPE_NO_TOKEN (-100) /* a byte has no token, and there is no unknown token */

/* All tokens are counted in n_wanted, at most list->max are stored. */
int token_list_grow(struct token_list *list);

static inline int token_list_push(struct token_list *list, int32_t id)
{
    list->n_wanted++;
    if (list->n == list->cap) {
        if (list->n == list->max)
            return OK;
        int rc = token_list_grow(list);
        if (rc != OK)
            return rc;
    }
    list->ids[list->n++] = id;
    return OK;
}

/* Encode one piece.  OK, ERR_NOMEM, ERR_LIMIT (more than 2^30 symbols) or BPE_NO_TOKEN. */
int bpe_encode(const struct bpe *b, struct bpe_scratch *s, const uint8_t *p, size_t n,
               struct token_list *out);

#endif
