/* kv.h - Who holds which page of the KV pool.
 *
 * The bytes belong to the model's backend; here a page is a number with a count of holders.  A page
 * is held by every sequence that reads it and by the prefix tree (prefix.h) while it may serve
 * later prompts.  A page that nobody holds lies on the free stack.
 *
 * Memory: all of it is taken by kv_init.  Owner: the engine thread. */
#ifndef ENGINE_KV_H
#define ENGINE_KV_H

#include <stdint.h>

#include "base/err.h"

#define KV_NONE (-1) /* no page */

struct kv {
    int32_t n_pages;
    int32_t page_tokens; /* positions in a page */
    int32_t n_free;
    int32_t *free_pages; /* a stack: the page freed last is taken first, its bytes are still warm */
    int32_t *holders;    /* per page */
};

/* ERR_NOMEM, or OK.  n_pages and page_tokens are positive. */
int kv_init(struct kv *kv, int32_t n_pages, int32_t page_tokens, struct err *err);
void kv_deinit(struct kv *kv);

/* A free page, now held once, or KV_NONE. */
int32_t kv_take(struct kv *kv);
/* One holder more, one less.  At zero the page is free. */
void kv_hold(struct kv *kv, int32_t page);
void kv_release(struct kv *kv, int32_t page);

/* Pages that n_tokens positions need. */
static inline int32_t kv_pages_for(const struct kv *kv, int64_t n_tokens)
{
    return (int32_t)((n_tokens + kv->page_tokens - 1) / kv->page_tokens);
}

#endif
