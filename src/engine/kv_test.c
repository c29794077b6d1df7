/* kv_test.c - Page counts and the prefix tree, against a plain list of prompts. */
#include "engine/kv.h"

#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "base/test.h"
#include "engine/prefix.h"

enum { PAGE = 4 };

static void make(struct kv *kv, struct prefix *p, int n_pages)
{
    REQUIRE(kv_init(kv, n_pages, PAGE, NULL) == OK);
    REQUIRE(prefix_init(p, kv, NULL) == OK);
}

static void drop(struct kv *kv, struct prefix *p)
{
    prefix_deinit(p);
    kv_deinit(kv);
}

TEST(a_page_is_free_again_when_its_last_holder_lets_go)
{
    struct kv kv;
    REQUIRE(kv_init(&kv, 2, PAGE, NULL) == OK);
    int32_t a = kv_take(&kv), b = kv_take(&kv);
    CHECK(a != b && a >= 0 && b >= 0);
    CHECK_INT(kv_take(&kv), KV_NONE);
    kv_hold(&kv, a);
    kv_release(&kv, a);
    CHECK_INT(kv.n_free, 0);
    kv_release(&kv, a);
    CHECK_INT(kv.n_free, 1);
    CHECK_INT(kv_take(&kv), a);
    CHECK_INT(kv_pages_for(&kv, 0), 0);
    CHECK_INT(kv_pages_for(&kv, 4), 1);
    CHECK_INT(kv_pages_for(&kv, 5), 2);
    kv_deinit(&kv);
}

/* Fill a prompt's full pages as the engine does: find, hold, take, insert.  Returns pages found. */
static int32_t run_prompt(struct kv *kv, struct prefix *p, const int32_t *tokens, int32_t n, int32_t *pages,
                          int32_t *n_pages)
{
    int32_t found = prefix_find(p, tokens, n, pages, NULL), n_full = n / PAGE;
    for (int32_t i = 0; i < found; i++)
        prefix_hold(p, pages[i]);
    *n_pages = found;
    for (int32_t i = found; i < n_full; i++) {
        if (!prefix_evict(p, 1))
            return -1;
        pages[i] = kv_take(kv);
        pages[i] = prefix_insert(p, i ? pages[i - 1] : KV_NONE, tokens + i * PAGE, pages[i]);
        ++*n_pages;
    }
    return found;
}

static void end_prompt(struct prefix *p, int32_t *pages, int32_t n)
{
    for (int32_t i = n - 1; i >= 0; i--)
        prefix_release(p, pages[i]);
}

TEST(the_longest_common_prefix_in_whole_pages_is_found)
{
    struct kv kv;
    struct prefix p;
    int32_t a[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, b[12], pages[8], n, idle;

    make(&kv, &p, 8);
    CHECK_INT(run_prompt(&kv, &p, a, 12, pages, &n), 0);
    CHECK_INT(n, 3);
    CHECK_INT(prefix_find(&p, a, 12, pages, &idle), 3);
    CHECK_INT(idle, 0);
    end_prompt(&p, pages, n);
    CHECK_INT(prefix_find(&p, a, 12, pages, &idle), 3);
    CHECK_INT(idle, 3);
    CHECK_INT(prefix_find(&p, a, 11, pages, NULL), 2);
    memcpy(b, a, sizeof b);
    b[7] = 99;
    CHECK_INT(prefix_find(&p, b, 12, pages, NULL), 1);
    b[0] = 99;
    CHECK_INT(prefix_find(&p, b, 12, pages, NULL), 0);
    CHECK_INT(prefix_available(&p), 8);
    drop(&kv, &p);
}

TEST(the_page_that_begins_most_alike_is_found_until_it_is_evicted)
{
    struct kv kv;
    struct prefix p;
    int32_t a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, pages[8], n, common;

    make(&kv, &p, 8);
    CHECK_INT(prefix_find_part(&p, KV_NONE, a, 4, &common), KV_NONE);
    for (int last = 0; last < 3; last++) { /* three second pages: 5 6 7 8, 5 6 7 9, 5 6 10 8 */
        a[7] = last == 1 ? 9 : 8;
        a[6] = last == 2 ? 10 : 7;
        run_prompt(&kv, &p, a, 8, pages, &n);
        end_prompt(&p, pages, n);
    }
    int32_t first = pages[0], wanted[4] = {5, 6, 10, 11};
    CHECK_INT(prefix_find_part(&p, first, wanted, 4, &common), pages[1]);
    CHECK_INT(common, 3);
    wanted[2] = 7;
    CHECK(prefix_find_part(&p, first, wanted, 2, &common) != KV_NONE);
    CHECK_INT(common, 2);
    wanted[0] = 99;
    CHECK_INT(prefix_find_part(&p, first, wanted, 4, &common), KV_NONE);
    CHECK_INT(common, 0);
    CHECK(prefix_evict(&p, kv.n_pages));
    CHECK_INT(prefix_find_part(&p, KV_NONE, a, 4, &common), KV_NONE);
    drop(&kv, &p);
}

TEST(an_equal_page_computed_twice_is_kept_once)
{
    struct kv kv;
    struct prefix p;
    int32_t a[4] = {1, 2, 3, 4};

    make(&kv, &p, 4);
    int32_t first = kv_take(&kv), second = kv_take(&kv);
    CHECK_INT(prefix_insert(&p, KV_NONE, a, first), first);
    CHECK_INT(prefix_insert(&p, KV_NONE, a, second), first);
    CHECK_INT(kv.n_free, 3);
    CHECK_INT(kv.holders[first], 3);
    prefix_release(&p, first);
    prefix_release(&p, first);
    CHECK_INT(p.n_idle, 1);
    drop(&kv, &p);
}

TEST(eviction_takes_the_least_recently_used_leaf_and_never_makes_a_hole)
{
    struct kv kv;
    struct prefix p;
    int32_t a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, b[8] = {1, 2, 3, 4, 9, 9, 9, 9}, pages[4], n;

    make(&kv, &p, 3);
    run_prompt(&kv, &p, a, 8, pages, &n);
    end_prompt(&p, pages, n);
    run_prompt(&kv, &p, b, 8, pages, &n);
    end_prompt(&p, pages, n);
    CHECK_INT(kv.n_free, 0);
    CHECK(prefix_evict(&p, 1));
    CHECK_INT(prefix_find(&p, a, 8, pages, NULL), 1); /* a's end went first */
    CHECK_INT(prefix_find(&p, b, 8, pages, NULL), 2);
    CHECK(prefix_evict(&p, 3)); /* the shared parent becomes a leaf and goes too */
    CHECK_INT(prefix_find(&p, b, 8, pages, NULL), 0);
    CHECK_INT(p.n_nodes, 0);
    run_prompt(&kv, &p, a, 8, pages, &n);
    CHECK(!prefix_evict(&p, 2)); /* pages in use stay */
    CHECK_INT(prefix_find(&p, a, 8, pages, NULL), 2);
    drop(&kv, &p);
}

TEST(random_prompts_find_exactly_what_was_kept)
{
    enum { RUNNING = 6, LEN = 40 };
    struct kv kv;
    struct prefix p;
    struct rng r = rng_seeded(11);
    int32_t tokens[RUNNING][LEN], pages[RUNNING][LEN / PAGE], n_pages[RUNNING] = {0};

    make(&kv, &p, 48);
    for (int round = 0; round < 3000; round++) {
        int k = (int)rng_below(&r, RUNNING);
        end_prompt(&p, pages[k], n_pages[k]);
        n_pages[k] = 0;
        int n = 1 + (int)rng_below(&r, LEN);
        for (int i = 0; i < n; i++)
            tokens[k][i] = (int32_t)rng_below(&r, i % PAGE ? 1 : 2);
        int32_t found = run_prompt(&kv, &p, tokens[k], n, pages[k], &n_pages[k]);
        if (found < 0) /* the pool is in use by the others */
            continue;
        CHECK_INT(n_pages[k], n / PAGE);
        int32_t held = 0, nodes = 0, idle = 0;
        for (int32_t i = 0; i < kv.n_pages; i++) {
            held += kv.holders[i] > 0;
            nodes += p.is_node[i];
            idle += p.is_node[i] && kv.holders[i] == 1;
        }
        CHECK_INT(kv.n_free, kv.n_pages - held);
        CHECK_INT(nodes, p.n_nodes);
        CHECK_INT(idle, p.n_idle);
    }
    for (int k = 0; k < RUNNING; k++)
        end_prompt(&p, pages[k], n_pages[k]);
    CHECK_INT(p.n_idle, p.n_nodes);
    CHECK(prefix_evict(&p, kv.n_pages));
    drop(&kv, &p);
}
