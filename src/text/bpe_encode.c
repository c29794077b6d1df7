/* bpe_encode.c - Byte-pair encoding of one piece of text.
 *
 * Most pieces are words that are tokens: one look into the table of pieces settles them.  Whether the
 * merges really lead from the bytes of a token to that token is found out once per token
 * and remembered.  Other short pieces go through a small cache of the call; then short ones are
 * merged by scanning for the best pair, long ones (a piece may be a prompt of megabytes)
 * with a heap: n log n, no recursion.
 *
 * Start reading at bpe_encode(). */
#include "text/bpe_int.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "text/unicode.h"

#define SHORT_SYMBOLS 64
#define SYMBOLS_MAX   ((size_t)1 << 30)

void bpe_scratch_deinit(struct bpe_scratch *s)
{
    free(s->id);
    free(s->prev);
    free(s->next);
    free(s->heap);
    free(s->cache);
    *s = (struct bpe_scratch){0};
}

/* The merge of two neighbours, or NULL. */
static inline const struct bpe_pair *find_pair(const struct bpe *b, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t at = bpe_pair_hash(key) & b->pairs_mask;
    while (b->pairs[at].key != key) {
        if (b->pairs[at].key == BPE_NO_PAIR)
            return NULL;
        at = (at + 1) & b->pairs_mask;
    }
    return &b->pairs[at];
}

#define NO_RANK UINT32_MAX

static inline uint32_t find_rank(const struct bpe *b, int32_t left, int32_t right)
{
    const struct bpe_pair *pair = find_pair(b, left, right);
    return pair ? pair->rank : NO_RANK;
}

/* ---- symbols ---- */

/* Append the symbols of one character to id[n...]; returns the new n, or 0 with *bad set. */
static size_t add_char(const struct bpe *b, const uint8_t *p, unsigned len, int32_t *id, size_t n,
                       uint8_t *bad)
{
    int32_t whole = bpe_find(b, p, len);
    if (whole >= 0) {
        id[n] = whole;
        return n + 1;
    }
    size_t start = n;
    for (unsigned i = 0; i < len; i++) {
        id[n] = b->byte_id[p[i]];
        if (id[n++] >= 0)
            continue;
        *bad = p[i];
        if (b->unk < 0)
            return 0;
        id[start] = b->unk; /* unknown characters in a row are one unknown token */
        return start > 0 && id[start - 1] == b->unk ? start : start + 1;
    }
    return n;
}

/* The symbols that a piece begins with, at most one per byte; their number, or 0 with *bad set. */
static size_t make_symbols(const struct bpe *b, const uint8_t *p, size_t n_bytes, int32_t *id, uint8_t *bad)
{
    size_t n = 0;
    if (!b->by_char) {
        for (size_t i = 0; i < n_bytes; i++) {
            id[n] = b->byte_id[p[i]] >= 0 ? b->byte_id[p[i]] : b->unk;
            if (id[n++] < 0) {
                *bad = p[i];
                return 0;
            }
        }
        return n;
    }
    for (size_t i = 0; i < n_bytes;) {
        unsigned len;
        unicode_decode(p + i, p + n_bytes, &len);
        n = add_char(b, p + i, len, id, n, bad);
        if (n == 0)
            return 0;
        i += len;
    }
    return n;
}

/* ---- merging: few symbols ---- */

static size_t merge_short(const struct bpe *b, int32_t *id, size_t n)
{
    uint32_t rank[SHORT_SYMBOLS];
    assert(n >= 1 && n <= SHORT_SYMBOLS);
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = find_rank(b, id[i], id[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        id[best] = find_pair(b, id[best], id[best + 1])->result;
        n--;
        memmove(&id[best + 1], &id[best + 2], (n - best - 1) * sizeof *id);
        if (best + 1 < n) {
            memmove(&rank[best], &rank[best + 1], (n - best - 1) * sizeof *rank);
            rank[best] = find_rank(b, id[best], id[best + 1]);
        }
        if (best > 0)
            rank[best - 1] = find_rank(b, id[best - 1], id[best]);
    }
    return n;
}

/* ---- merging: many symbols ---- */

/* Symbols are a doubly linked list of places; the heap holds rank << 32 | place of the left symbol,
 * so that equal ranks come leftmost first.  An entry is stale if the pair that now begins at
 * its place has another rank. */
struct long_merge {
    const struct bpe *b;
    int32_t *id, *prev, *next; /* id is TOKEN_NONE where a symbol was merged away; next, prev end in -1 */
    uint64_t *heap;
    size_t n_heap;
};

static void sift_down(uint64_t *heap, size_t n, size_t at)
{
    uint64_t value = heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= value)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

static void heap_push(struct long_merge *m, uint64_t value)
{
    size_t at = m->n_heap++;
    while (at > 0 && m->heap[(at - 1) / 2] > value) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = value;
}

static void offer_pair(struct long_merge *m, int32_t left)
{
    if (left < 0 || m->next[left] < 0)
        return;
    uint32_t rank = find_rank(m->b, m->id[left], m->id[m->next[left]]);
    if (rank != NO_RANK)
        heap_push(m, (uint64_t)rank << 32 | (uint32_t)left);
}

static void apply_best(struct long_merge *m)
{
    uint64_t best = m->heap[0];
    m->heap[0] = m->heap[--m->n_heap];
    if (m->n_heap > 0)
        sift_down(m->heap, m->n_heap, 0);
    int32_t left = (int32_t)(best & 0xffffffff);
    int32_t right = m->next[left];
    if (m->id[left] < 0 || right < 0)
        return;
    const struct bpe_pair *pair = find_pair(m->b, m->id[left], m->id[right]);
    if (!pair || pair->rank != best >> 32)
        return;
    m->id[left] = pair->result;
    m->id[right] = TOKEN_NONE;
    m->next[left] = m->next[right];
    if (m->next[right] >= 0)
        m->prev[m->next[right]] = left;
    offer_pair(m, m->prev[left]);
    offer_pair(m, left);
}

/* At most n - 1 pairs at first, and each merge takes one entry away and adds at most two: 2 n
 * entries are enough. */
static size_t merge_long(const struct bpe *b, struct bpe_scratch *s, size_t n)
{
    struct long_merge m = {b, s->id, s->prev, s->next, s->heap, 0};
    for (size_t i = 0; i < n; i++) {
        m.prev[i] = (int32_t)i - 1;
        m.next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
    }
    for (size_t i = 0; i + 1 < n; i++) {
        uint32_t rank = find_rank(b, m.id[i], m.id[i + 1]);
        if (rank != NO_RANK)
            m.heap[m.n_heap++] = (uint64_t)rank << 32 | (uint32_t)i;
    }
    for (size_t i = m.n_heap / 2; i-- > 0;)
        sift_down(m.heap, m.n_heap, i);
    while (m.n_heap > 0)
        apply_best(&m);
    size_t n_left = 0;
    for (int32_t at = 0; at >= 0; at = m.next[at])
        m.id[n_left++] = m.id[at];
    return n_left;
}

static int reserve_scratch(struct bpe_scratch *s, size_t n)
{
    if (n <= s->cap)
        return OK;
    free(s->id);
    free(s->prev);
    free(s->next);
    free(s->heap);
    s->id = malloc(n * sizeof *s->id);
    s->prev = malloc(n * sizeof *s->prev);
    s->next = malloc(n * sizeof *s->next);
    s->heap = malloc(2 * n * sizeof *s->heap);
    s->cap = s->id && s->prev && s->next && s->heap ? n : 0;
    return s->cap ? OK : ERR_NOMEM;
}

static int push_all(struct token_list *out, const int32_t *id, size_t n)
{
    int rc = OK;
    for (size_t i = 0; i < n && rc == OK; i++)
        rc = token_list_push(out, id[i]);
    return rc;
}

static int encode_long(const struct bpe *b, struct bpe_scratch *s, const uint8_t *p, size_t n,
                       struct token_list *out)
{
    if (n > SYMBOLS_MAX)
        return ERR_LIMIT;
    int rc = reserve_scratch(s, n);
    if (rc != OK)
        return rc;
    size_t n_symbols = make_symbols(b, p, n, s->id, &s->bad_byte);
    if (n_symbols == 0)
        return BPE_NO_TOKEN;
    return push_all(out, s->id, merge_long(b, s, n_symbols));
}

/* ---- one piece ---- */

static struct cached_piece *cache_line(struct bpe_scratch *s, const uint8_t *p, size_t n)
{
    if (!s->wants_cache || n > CACHED_BYTES_MAX)
        return NULL;
    if (!s->cache)
        s->cache = calloc(PIECE_CACHE_LEN, sizeof *s->cache);
    if (!s->cache) { /* slower, not wrong */
        s->wants_cache = false;
        return NULL;
    }
    return &s->cache[vocab_hash(p, n) % PIECE_CACHE_LEN];
}

static void cache_store(struct cached_piece *line, const uint8_t *p, size_t n, const int32_t *id,
                        size_t n_ids)
{
    if (n_ids > CACHED_IDS_MAX)
        return;
    line->n_bytes = (uint8_t)n;
    line->n_ids = (uint8_t)n_ids;
    memcpy(line->bytes, p, n);
    memcpy(line->ids, id, n_ids * sizeof *id);
}

static int encode_short(const struct bpe *b, struct bpe_scratch *s, const uint8_t *p, size_t n, int32_t whole,
                        struct token_list *out)
{
    struct cached_piece *line = cache_line(s, p, n);
    if (line && line->n_bytes == n && memcmp(line->bytes, p, n) == 0)
        return push_all(out, line->ids, line->n_ids);
    int32_t id[SHORT_SYMBOLS];
    size_t n_ids = make_symbols(b, p, n, id, &s->bad_byte);
    if (n_ids == 0)
        return BPE_NO_TOKEN;
    n_ids = merge_short(b, id, n_ids);
    if (whole >= 0)
        atomic_store_explicit(&b->whole[whole], n_ids == 1 && id[0] == whole ? WHOLE_ITSELF : WHOLE_OTHER,
                              memory_order_relaxed);
    if (line)
        cache_store(line, p, n, id, n_ids);
    return push_all(out, id, n_ids);
}

int bpe_encode(const struct bpe *b, struct bpe_scratch *s, const uint8_t *p, size_t n, struct token_list *out)
{
    assert(n > 0);
    int32_t whole = n <= b->key_bytes_max ? bpe_find(b, p, n) : TOKEN_NONE;
    if (whole >= 0 &&
        (b->ignore_merges || atomic_load_explicit(&b->whole[whole], memory_order_relaxed) == WHOLE_ITSELF))
        return token_list_push(out, whole);
    if (n <= SHORT_SYMBOLS)
        return encode_short(b, s, p, n, whole, out);
    return encode_long(b, s, p, n, out);
}
