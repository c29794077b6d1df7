/* bpe.c - The tables of byte-pair encoding: merges by pair of ids, pieces by bytes.
 *
 * Both are open-addressing hash tables, at most half full.  Start reading at bpe_init(). */
#include "text/bpe_int.h"

#include <assert.h>
#include <stdlib.h>

static size_t table_len(size_t n)
{
    size_t len = 16;
    while (len < n * 2)
        len *= 2;
    return len;
}

static uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static int build_pairs(struct bpe *b, const struct bpe_merge *merges, size_t n)
{
    size_t len = table_len(n);
    b->pairs = malloc(len * sizeof *b->pairs);
    if (!b->pairs)
        return ERR_NOMEM;
    for (size_t i = 0; i < len; i++)
        b->pairs[i].key = BPE_NO_PAIR;
    b->pairs_mask = len - 1;
    for (size_t i = 0; i < n; i++) {
        uint64_t key = pair_key(merges[i].left, merges[i].right);
        uint64_t at = bpe_pair_hash(key) & b->pairs_mask;
        while (b->pairs[at].key != BPE_NO_PAIR && b->pairs[at].key != key)
            at = (at + 1) & b->pairs_mask;
        b->pairs[at] = (struct bpe_pair){key, (uint32_t)i, merges[i].result};
    }
    return OK;
}

static bool is_piece(const struct bpe *b, const struct vocab *v, int32_t id)
{
    return vocab_is_plain(v, id) && b->key_at[id + 1] > b->key_at[id];
}

static int build_slots(struct bpe *b, const struct vocab *v)
{
    size_t len = table_len((size_t)v->n);
    b->slots = malloc(len * sizeof *b->slots);
    b->whole = calloc((size_t)v->n, 1);
    if (!b->slots || !b->whole)
        return ERR_NOMEM;
    for (size_t i = 0; i < len; i++)
        b->slots[i].id = TOKEN_NONE;
    b->slots_mask = (uint32_t)(len - 1);
    for (int32_t id = 0; id < v->n; id++) {
        if (!is_piece(b, v, id))
            continue;
        const uint8_t *p = (const uint8_t *)b->keys + b->key_at[id];
        size_t n = b->key_at[id + 1] - b->key_at[id];
        if (bpe_find(b, p, n) >= 0)
            continue;
        uint64_t hash = vocab_hash(p, n);
        uint32_t at = (uint32_t)hash & b->slots_mask;
        while (b->slots[at].id >= 0)
            at = (at + 1) & b->slots_mask;
        b->slots[at] = (struct vocab_slot){(uint32_t)(hash >> 32), id};
        if (n > b->key_bytes_max)
            b->key_bytes_max = n;
    }
    return OK;
}

int bpe_init(struct bpe *b, const struct vocab *v, const char *keys, const uint32_t *key_at,
             const struct bpe_merge *merges, size_t n_merges, struct err *err)
{
    *b = (struct bpe){.keys = keys, .key_at = key_at, .unk = TOKEN_NONE};
    for (int i = 0; i < 256; i++)
        b->byte_id[i] = TOKEN_NONE;
    if (n_merges >= UINT32_MAX)
        return fail(err, ERR_LIMIT, "the vocabulary has %zu merges, fewer than %u are possible", n_merges,
                    UINT32_MAX);
    if (build_pairs(b, merges, n_merges) != OK || build_slots(b, v) != OK)
        return fail(err, ERR_NOMEM, "no memory for %d tokens and %zu merges", v->n, n_merges);
    return OK;
}

void bpe_deinit(struct bpe *b)
{
    free(b->pairs);
    free(b->slots);
    free((void *)b->whole);
    *b = (struct bpe){0};
}

int32_t bpe_find(const struct bpe *b, const uint8_t *p, size_t n)
{
    uint64_t hash = vocab_hash(p, n);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (uint32_t at = (uint32_t)hash & b->slots_mask;; at = (at + 1) & b->slots_mask) {
        int32_t id = b->slots[at].id;
        if (id < 0)
            return TOKEN_NONE;
        if (b->slots[at].tag == tag && b->key_at[id + 1] - b->key_at[id] == n &&
            memcmp(b->keys + b->key_at[id], p, n) == 0)
            return id;
    }
}
