/* kv.c - Who holds which page of the KV pool: a free stack and a count per page.
 *
 * Invariant: a page is on the free stack exactly when its count is zero. */
#include "engine/kv.h"

#include <stdlib.h>

#include "engine/ensure.h"

int kv_init(struct kv *kv, int32_t n_pages, int32_t page_tokens, struct err *err)
{
    ensure(n_pages > 0 && page_tokens > 0);
    *kv = (struct kv){.n_pages = n_pages, .page_tokens = page_tokens};
    kv->free_pages = calloc((size_t)n_pages, sizeof *kv->free_pages);
    kv->holders = calloc((size_t)n_pages, sizeof *kv->holders);
    if (!kv->free_pages || !kv->holders) {
        kv_deinit(kv);
        return fail(err, ERR_NOMEM, "no memory for the tables of %d KV pages", n_pages);
    }
    for (int32_t i = 0; i < n_pages; i++)
        kv->free_pages[i] = n_pages - 1 - i;
    kv->n_free = n_pages;
    return OK;
}

void kv_deinit(struct kv *kv)
{
    free(kv->free_pages);
    free(kv->holders);
    *kv = (struct kv){0};
}

int32_t kv_take(struct kv *kv)
{
    if (kv->n_free == 0)
        return KV_NONE;
    int32_t page = kv->free_pages[--kv->n_free];
    ensure(kv->holders[page] == 0);
    kv->holders[page] = 1;
    return page;
}

void kv_hold(struct kv *kv, int32_t page)
{
    ensure(page >= 0 && page < kv->n_pages && kv->holders[page] > 0);
    kv->holders[page]++;
}

void kv_release(struct kv *kv, int32_t page)
{
    ensure(page >= 0 && page < kv->n_pages && kv->holders[page] > 0);
    if (--kv->holders[page] == 0)
        kv->free_pages[kv->n_free++] = page;
}
