/* cache_keep.c - See cache_keep.h.
 *
 * A row of the file: who gave the answer (provider and model, each behind its length), then the
 * packed answer.  It holds no key of anybody: its own key is a digest. */
#include "gateway/cache_keep.h"

#include <stdlib.h>

#include "api/chat_pack.h"
#include "base/clock.h"
#include "base/log.h"
#include "gateway/cache_disk.h"

#define PACKED_BYTES_MAX ((size_t)64 << 20)

struct looking {
    struct cache_lookup lookup;
    struct gw_request *r; /* NULL: its client left */
    struct gw_thread *thread;
    char *path;
};

/* ---- rows ---- */

static void put_text(struct buf *out, struct str s)
{
    uint32_t n = (uint32_t)(s.n > UINT16_MAX ? UINT16_MAX : s.n);
    const uint8_t bytes[2] = {(uint8_t)n, (uint8_t)(n >> 8)};
    buf_add(out, bytes, sizeof bytes);
    buf_add(out, s.p, n);
}

static bool take_text(struct str *left, struct str *s)
{
    if (left->n < 2)
        return false;
    size_t n = (uint8_t)left->p[0] | (size_t)(uint8_t)left->p[1] << 8;
    *s = str_sub(*left, 2, 2 + n);
    *left = str_sub(*left, 2 + n, left->n);
    return s->n == n && str_is_utf8(*s);
}

void cache_keep_write(struct gw_request *r, const struct chat_answer *answer)
{
    const struct config_cache *c = &r->model->cache;
    struct buf row;
    if (c->path.n == 0)
        return;
    buf_init(&row, PACKED_BYTES_MAX);
    put_text(&row, r->target->provider);
    put_text(&row, r->target->model);
    if (chat_pack(answer, &row) == OK)
        cache_disk_put(r->gw->cache_disk, c->path, r->cache_key, r->model->name, buf_str(&row),
                       (clock_wall_ns() + c->ttl_ns) / NS_PER_S, c->max_bytes);
    buf_deinit(&row);
}

/* What was found goes into the memory, where r and who waits for it find it. */
static void take_row(struct gw_request *r, const struct cache_lookup *l)
{
    const struct config_cache *c = &r->model->cache;
    struct str left = buf_str(&l->packed), provider, model;
    int64_t ttl_ns = l->expires_s * NS_PER_S - clock_wall_ns();
    struct chat_collector *collector = chat_collector_new(PACKED_BYTES_MAX);
    struct arena a;
    arena_init(&a, PACKED_BYTES_MAX);
    bool ok = ttl_ns > 0 && collector && take_text(&left, &provider) && take_text(&left, &model) &&
              chat_unpack(left, &a, &(struct chat_sink){chat_collect, collector}) == OK &&
              chat_collected(collector) && chat_collected(collector)->n_choices > 0;
    arena_deinit(&a); /* the collector has copies */
    if (!ok) {
        log_warn("cache", "an answer in '%.*s' is of another version or damaged", STR(c->path));
        chat_collector_free(collector);
        return;
    }
    r->is_leader = false;
    ttl_ns = ttl_ns < c->ttl_ns ? ttl_ns : c->ttl_ns;
    cache_put(r->gw->cache, r->cache_key, r->model->name, c->max_bytes, ttl_ns, collector,
              (int64_t)l->packed.n, provider, model, NULL, clock_now_ns());
}

/* ---- looking ---- */

static void on_looked(struct loop_task *task)
{
    struct looking *k = (struct looking *)((char *)task - offsetof(struct cache_lookup, done));
    struct gw_request *r = k->r;
    k->thread->n_looking--;
    if (r) {
        r->looking = NULL;
        if (k->lookup.packed.n)
            take_row(r, &k->lookup);
    }
    buf_deinit(&k->lookup.packed);
    free(k->path);
    free(k);
    if (r)
        gw_advance(r);
}

bool cache_keep_look(struct gw_request *r)
{
    struct str path = r->model->cache.path;
    if (path.n == 0 || r->has_looked)
        return false;
    r->has_looked = true;
    struct looking *k = calloc(1, sizeof *k);
    if (k && (k->path = str_dup_z(path))) {
        k->r = r;
        k->thread = r->thread;
        k->lookup.loop = r->thread->loop;
        k->lookup.done.run = on_looked;
        k->lookup.path = str_c(k->path);
        memcpy(k->lookup.key, r->cache_key, CACHE_KEY_BYTES);
        buf_init(&k->lookup.packed, PACKED_BYTES_MAX);
        if (cache_disk_look(r->gw->cache_disk, &k->lookup)) {
            r->looking = k;
            r->thread->n_looking++;
            return true;
        }
        free(k->path);
    }
    free(k);
    return false;
}

void cache_keep_forget(struct gw_request *r)
{
    if (r->looking)
        r->looking->r = NULL;
    r->looking = NULL;
}
