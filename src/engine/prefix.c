/* prefix.c - Find pages that earlier prompts filled with the tokens of this one.
 *
 * Children are found by one hash table over (parent, tokens) for the whole tree, since a node has
 * few children mostly and thousands (the first page of every prompt) sometimes.
 *
 * Eviction takes leaves only, so a path never has a hole.  A holder of a page holds all pages
 * before it as well (a sequence holds a path), so an idle page has only idle children: every
 * idle page becomes an idle leaf in time, and n_idle is what eviction can give.
 *
 * Start reading at prefix_find(). */
#include "engine/prefix.h"

#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "base/str.h"
#include "engine/ensure.h"

/* ---- the heap of idle leaves ---- */

static void heap_place(struct prefix *p, int32_t at, int32_t page)
{
    p->heap[at] = page;
    p->heap_at[page] = at;
}

static void heap_up(struct prefix *p, int32_t at)
{
    int32_t page = p->heap[at];
    while (at > 0 && p->used[p->heap[(at - 1) / 2]] > p->used[page]) {
        heap_place(p, at, p->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_place(p, at, page);
}

static void heap_down(struct prefix *p, int32_t at)
{
    int32_t page = p->heap[at];
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= p->n_heap)
            break;
        if (child + 1 < p->n_heap && p->used[p->heap[child + 1]] < p->used[p->heap[child]])
            child++;
        if (p->used[p->heap[child]] >= p->used[page])
            break;
        heap_place(p, at, p->heap[child]);
        at = child;
    }
    heap_place(p, at, page);
}

static void heap_add(struct prefix *p, int32_t page)
{
    ensure(p->heap_at[page] < 0);
    heap_place(p, p->n_heap++, page);
    heap_up(p, p->n_heap - 1);
}

static void heap_remove(struct prefix *p, int32_t page)
{
    int32_t at = p->heap_at[page];
    ensure(at >= 0 && p->heap[at] == page);
    int32_t last = p->heap[--p->n_heap];
    p->heap_at[page] = -1;
    if (last == page)
        return;
    heap_place(p, at, last);
    heap_up(p, at);
    heap_down(p, p->heap_at[last]);
}

/* ---- nodes ---- */

static int32_t *node_tokens(const struct prefix *p, int32_t page)
{
    return p->tokens + (size_t)page * (size_t)p->kv->page_tokens;
}

static size_t tokens_bytes(const struct prefix *p)
{
    return (size_t)p->kv->page_tokens * sizeof(int32_t);
}

static uint32_t bucket_of(const struct prefix *p, int32_t parent, const int32_t *tokens)
{
    uint64_t h = str_hash_seeded(str_of((const char *)tokens, tokens_bytes(p)),
                                 p->seed + (uint64_t)(parent + 1) * 0x9e3779b97f4a7c15u);
    return (uint32_t)h & (uint32_t)(p->n_buckets - 1);
}

static int32_t find_child(const struct prefix *p, int32_t parent, const int32_t *tokens)
{
    for (int32_t page = p->buckets[bucket_of(p, parent, tokens)]; page >= 0; page = p->hash_next[page])
        if (p->parent[page] == parent && !memcmp(node_tokens(p, page), tokens, tokens_bytes(p)))
            return page;
    return KV_NONE;
}

/* Where the list of a node's (or the root's) children begins. */
static int32_t *children_of(const struct prefix *p, int32_t parent)
{
    return &p->child[parent == KV_NONE ? p->kv->n_pages : parent];
}

static void add_child(struct prefix *p, int32_t parent, int32_t page)
{
    int32_t *first = children_of(p, parent);
    p->child[page] = p->younger[page] = KV_NONE;
    p->older[page] = *first;
    if (*first != KV_NONE)
        p->younger[*first] = page;
    *first = page;
}

static void remove_child(struct prefix *p, int32_t parent, int32_t page)
{
    int32_t older = p->older[page], younger = p->younger[page];
    *(younger == KV_NONE ? children_of(p, parent) : &p->older[younger]) = older;
    if (older != KV_NONE)
        p->younger[older] = younger;
}

static void unlink_node(struct prefix *p, int32_t page)
{
    int32_t *link = &p->buckets[bucket_of(p, p->parent[page], node_tokens(p, page))];
    while (*link != page) {
        ensure(*link >= 0);
        link = &p->hash_next[*link];
    }
    *link = p->hash_next[page];
    remove_child(p, p->parent[page], page);
    p->is_node[page] = false;
    p->n_nodes--;
}

/* The tree is the only holder that is left. */
static bool is_idle(const struct prefix *p, int32_t page)
{
    return p->is_node[page] && p->kv->holders[page] == 1;
}

static void evict_leaf(struct prefix *p, int32_t page)
{
    ensure(is_idle(p, page) && p->n_children[page] == 0);
    int32_t parent = p->parent[page];
    heap_remove(p, page);
    unlink_node(p, page);
    p->n_idle--;
    kv_release(p->kv, page);
    if (parent == KV_NONE)
        return;
    if (--p->n_children[parent] == 0 && is_idle(p, parent))
        heap_add(p, parent);
}

/* ---- public ---- */

int prefix_init(struct prefix *p, struct kv *kv, struct err *err)
{
    size_t n = (size_t)kv->n_pages;
    *p = (struct prefix){.kv = kv, .n_buckets = 16};
    while (p->n_buckets < kv->n_pages && p->n_buckets < 1 << 28)
        p->n_buckets *= 2;
    rand_secure(&p->seed, sizeof p->seed);
    p->tokens = calloc(n, tokens_bytes(p));
    p->parent = calloc(n, sizeof *p->parent);
    p->n_children = calloc(n, sizeof *p->n_children);
    p->used = calloc(n, sizeof *p->used);
    p->born = calloc(n, sizeof *p->born);
    p->hash_next = calloc(n, sizeof *p->hash_next);
    p->child = calloc(n + 1, sizeof *p->child);
    p->older = calloc(n, sizeof *p->older);
    p->younger = calloc(n, sizeof *p->younger);
    p->heap = calloc(n, sizeof *p->heap);
    p->heap_at = calloc(n, sizeof *p->heap_at);
    p->is_node = calloc(n, sizeof *p->is_node);
    p->buckets = calloc((size_t)p->n_buckets, sizeof *p->buckets);
    if (!p->tokens || !p->parent || !p->n_children || !p->used || !p->born || !p->hash_next || !p->child ||
        !p->older || !p->younger || !p->heap || !p->heap_at || !p->is_node || !p->buckets) {
        prefix_deinit(p);
        return fail(err, ERR_NOMEM, "no memory for the prefix tree of %d KV pages", kv->n_pages);
    }
    memset(p->buckets, 0xff, (size_t)p->n_buckets * sizeof *p->buckets);
    memset(p->heap_at, 0xff, n * sizeof *p->heap_at);
    p->child[n] = KV_NONE;
    return OK;
}

void prefix_deinit(struct prefix *p)
{
    free(p->tokens);
    free(p->parent);
    free(p->n_children);
    free(p->used);
    free(p->born);
    free(p->hash_next);
    free(p->child);
    free(p->older);
    free(p->younger);
    free(p->heap);
    free(p->heap_at);
    free(p->is_node);
    free(p->buckets);
    *p = (struct prefix){0};
}

int32_t prefix_find(const struct prefix *p, const int32_t *tokens, int64_t n_tokens, int32_t *pages,
                    int32_t *n_idle)
{
    int32_t n = 0, idle = 0, parent = KV_NONE;
    int64_t n_full = n_tokens / p->kv->page_tokens;

    while (n < n_full) {
        int32_t page = find_child(p, parent, tokens + (int64_t)n * p->kv->page_tokens);
        if (page == KV_NONE)
            break;
        pages[n++] = parent = page;
        idle += is_idle(p, page);
    }
    if (n_idle)
        *n_idle = idle;
    return n;
}

int32_t prefix_find_part(const struct prefix *p, int32_t parent, const int32_t *tokens, int64_t n_tokens,
                         int32_t *n_common)
{
    int32_t most = n_tokens < p->kv->page_tokens ? (int32_t)n_tokens : p->kv->page_tokens, best = KV_NONE;
    int32_t page = *children_of(p, parent);

    *n_common = 0;
    for (int32_t looks = 0; page != KV_NONE && looks < PREFIX_LOOK; looks++, page = p->older[page]) {
        int32_t n = 0;
        while (n < most && node_tokens(p, page)[n] == tokens[n])
            n++;
        if (n > *n_common) {
            *n_common = n;
            best = page;
        }
    }
    return best;
}

void prefix_hold(struct prefix *p, int32_t page)
{
    ensure(p->is_node[page]);
    if (is_idle(p, page)) {
        p->n_idle--;
        if (p->heap_at[page] >= 0)
            heap_remove(p, page);
    }
    kv_hold(p->kv, page);
}

void prefix_release(struct prefix *p, int32_t page)
{
    kv_release(p->kv, page);
    if (!is_idle(p, page))
        return;
    p->used[page] = ++p->clock;
    p->n_idle++;
    if (p->n_children[page] == 0)
        heap_add(p, page);
}

int32_t prefix_insert(struct prefix *p, int32_t parent, const int32_t *tokens, int32_t page)
{
    int32_t known = find_child(p, parent, tokens);
    if (known == page)
        return page;
    if (known != KV_NONE) {
        prefix_hold(p, known);
        prefix_release(p, page);
        return known;
    }
    ensure(!p->is_node[page] && p->kv->holders[page] > 0);
    ensure(parent == KV_NONE || p->is_node[parent]);
    kv_hold(p->kv, page);
    memcpy(node_tokens(p, page), tokens, tokens_bytes(p));
    p->parent[page] = parent;
    p->n_children[page] = 0;
    p->is_node[page] = true;
    p->born[page] = ++p->clock;
    p->n_nodes++;
    uint32_t bucket = bucket_of(p, parent, tokens);
    p->hash_next[page] = p->buckets[bucket];
    p->buckets[bucket] = page;
    add_child(p, parent, page);
    if (parent != KV_NONE)
        p->n_children[parent]++;
    return page;
}

bool prefix_evict(struct prefix *p, int32_t n_free)
{
    while (p->kv->n_free < n_free) {
        if (p->n_heap == 0)
            return false;
        evict_leaf(p, p->heap[0]);
    }
    return true;
}
