/* emit.h - Turn sampled tokens into pieces of text that may be told.
 *
 * Three things hold text back: a character that is not complete yet, text that may become a
 * stop string, and nothing else.  Told text is well-formed UTF-8; a token is told with the text
 * that ends it.  When a stop string appears, the text in front of it is told and the answer is
 * over; of several that match, the one that begins first counts, then the one named first.
 *
 * Memory is taken by emit_init and does not grow.  Owner: the sequence's. */
#ifndef ENGINE_EMIT_H
#define ENGINE_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/sample.h"
#include "sluice.h"
#include "text/tokenizer.h"

#define EMIT_TOKENS_MAX 64 /* tokens held back; more are told before their text */

struct emit_token {
    struct sampled sampled;
    uint64_t begin, end; /* offsets in the whole text of the answer */
};

struct emit {
    const struct tokenizer *tokenizer;
    bool show_special;
    const struct str *stops; /* well-formed UTF-8, none empty */
    int32_t n_stops;

    uint8_t char_bytes[4]; /* of the character that is not complete */
    uint8_t n_char_bytes;
    struct buf text;    /* complete text that is not told yet, then what is being told */
    uint64_t told;      /* offset of text.p[0] in the whole answer */
    uint32_t n_telling; /* bytes of `text` that the last piece tells */

    struct emit_token tokens[EMIT_TOKENS_MAX];
    int32_t n_tokens;
    int32_t n_tokens_telling;
    struct sluice_token told_tokens[EMIT_TOKENS_MAX]; /* as the event shows them */
};

/* The next piece, valid until the next call. */
struct emit_piece {
    struct str text;
    const struct sluice_token *tokens;
    int32_t n_tokens;
    int32_t stop; /* index of the stop string that ended the answer, or -1 */
};

/* The bytes of the longest token of a vocabulary, which emit_init needs. */
size_t emit_token_bytes_max(const struct tokenizer *t);

/* `stops` lives as long as the emit.  ERR_NOMEM. */
int emit_init(struct emit *e, const struct tokenizer *t, const struct str *stops, int32_t n_stops,
              bool show_special, size_t token_bytes_max, struct err *err);
void emit_deinit(struct emit *e);

/* The bytes that a token contributes: its text, or a special token's name if those are shown. */
struct str emit_token_text(const struct tokenizer *t, int32_t id, bool show_special);

/* Take a token.  are_stops_on: stop strings count now (min_tokens is reached). */
struct emit_piece emit_push(struct emit *e, const struct sampled *s, bool are_stops_on);

/* The answer is over without a stop string: tell all that is held. */
struct emit_piece emit_finish(struct emit *e);

#endif
