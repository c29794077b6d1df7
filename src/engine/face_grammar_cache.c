/* face_grammar_cache.c - See the header. */
#include "engine/face_grammar_cache.h"

#include <stdlib.h>

void grammar_cache_init(struct grammar_cache *c)
{
    *c = (struct grammar_cache){0};
    pthread_mutex_init(&c->lock, NULL);
}

static void drop(struct cached_grammar *e)
{
    grammar_release(e->grammar);
    free(e->key);
    *e = (struct cached_grammar){0};
}

void grammar_cache_deinit(struct grammar_cache *c)
{
    for (int i = 0; i < GRAMMAR_CACHE_ENTRIES; i++)
        drop(&c->entries[i]);
    pthread_mutex_destroy(&c->lock);
}

static void add_text(struct buf *out, struct str s)
{
    buf_add(out, &s.n, sizeof s.n);
    buf_str_add(out, s);
}

/* A spec's depth is bounded where it is copied. */
void grammar_cache_key(struct buf *out, const struct grammar_spec *spec)
{
    uint64_t head[] = {(uint64_t)spec->kind,  spec->n_choices, spec->n_parts, spec->min, spec->max,
                       (uint64_t)spec->space, spec->any_order};
    buf_add(out, head, sizeof head);
    add_text(out, spec->text);
    for (size_t i = 0; i < spec->n_choices; i++)
        add_text(out, spec->choices[i]);
    for (size_t i = 0; i < spec->n_parts; i++)
        grammar_cache_key(out, &spec->parts[i]);
}

static struct cached_grammar *find_locked(struct grammar_cache *c, struct str key)
{
    for (int i = 0; i < GRAMMAR_CACHE_ENTRIES; i++) {
        struct cached_grammar *e = &c->entries[i];
        if (e->grammar && str_eq(str_of(e->key, e->key_bytes), key))
            return e;
    }
    return NULL;
}

struct grammar *grammar_cache_find(struct grammar_cache *c, struct str key)
{
    struct grammar *g = NULL;
    pthread_mutex_lock(&c->lock);
    struct cached_grammar *e = find_locked(c, key);
    if (e) {
        e->used = ++c->clock;
        g = grammar_hold(e->grammar);
    }
    pthread_mutex_unlock(&c->lock);
    return g;
}

/* A free place, after room was made for `bytes` more; NULL: it is too large to be kept. */
static struct cached_grammar *make_room_locked(struct grammar_cache *c, size_t bytes)
{
    for (;;) {
        struct cached_grammar *oldest = NULL, *unused = NULL;
        size_t total = bytes;
        for (int i = 0; i < GRAMMAR_CACHE_ENTRIES; i++) {
            struct cached_grammar *e = &c->entries[i];
            if (!e->grammar) {
                unused = e;
                continue;
            }
            total += grammar_bytes(e->grammar);
            if (!oldest || e->used < oldest->used)
                oldest = e;
        }
        if (unused && total <= GRAMMAR_CACHE_BYTES_MAX)
            return unused;
        if (!oldest)
            return NULL;
        drop(oldest);
    }
}

void grammar_cache_put(struct grammar_cache *c, struct str key, struct grammar *g)
{
    char *copy = malloc(key.n ? key.n : 1);
    if (!copy)
        return;
    memcpy(copy, key.p, key.n);
    pthread_mutex_lock(&c->lock);
    struct cached_grammar *place = find_locked(c, key) ? NULL : make_room_locked(c, grammar_bytes(g));
    if (place) {
        *place = (struct cached_grammar){copy, key.n, grammar_hold(g), ++c->clock};
        copy = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    free(copy);
}
