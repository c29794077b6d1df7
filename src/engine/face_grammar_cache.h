/* face_grammar_cache.h - Compiled grammars of a model, kept: applications send the same schema with
 * every request, and a grammar that was used knows its masks already. */
#ifndef ENGINE_FACE_GRAMMAR_CACHE_H
#define ENGINE_FACE_GRAMMAR_CACHE_H

#include <pthread.h>

#include "grammar/grammar.h"

#define GRAMMAR_CACHE_ENTRIES   32
#define GRAMMAR_CACHE_BYTES_MAX ((size_t)256 << 20) /* of all grammars in it */

struct grammar_cache {
    pthread_mutex_t lock;
    struct cached_grammar {
        char *key;
        size_t key_bytes;
        struct grammar *grammar; /* one hold; NULL: a free place */
        uint64_t used;           /* the larger the later */
    } entries[GRAMMAR_CACHE_ENTRIES];
    uint64_t clock;
};

void grammar_cache_init(struct grammar_cache *c);
void grammar_cache_deinit(struct grammar_cache *c);
/* All that a spec says, as bytes: equal specs have equal keys. */
void grammar_cache_key(struct buf *out, const struct grammar_spec *spec);
/* With a hold of the caller's, or NULL.  Any thread. */
struct grammar *grammar_cache_find(struct grammar_cache *c, struct str key);
/* Keep it (with a hold of its own), in the place of those that were not used for longest.  Any thread. */
void grammar_cache_put(struct grammar_cache *c, struct str key, struct grammar *g);

#endif
