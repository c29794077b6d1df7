/* emit.c - Turn sampled tokens into pieces of text that may be told.
 *
 * `text` holds what is complete and not told; a piece is always a beginning of it.  What the last
 * call told is removed at the start of the next one, so that the piece stays valid in between. */
#include "engine/emit.h"

#include <string.h>

#include "engine/ensure.h"

#define REPLACEMENT_BYTES 3 /* U+FFFD for one bad byte */

struct str emit_token_text(const struct tokenizer *t, int32_t id, bool show_special)
{
    return show_special && tokenizer_is_special(t, id) ? tokenizer_token_text(t, id)
                                                       : tokenizer_token_bytes(t, id);
}

size_t emit_token_bytes_max(const struct tokenizer *t)
{
    size_t max = 0;
    for (int32_t id = 0; id < tokenizer_n_vocab(t); id++) {
        size_t n = emit_token_text(t, id, true).n;
        max = n > max ? n : max;
    }
    return max;
}

int emit_init(struct emit *e, const struct tokenizer *t, const struct str *stops, int32_t n_stops,
              bool show_special, size_t token_bytes_max, struct err *err)
{
    size_t stop_max = 0;
    for (int32_t i = 0; i < n_stops; i++)
        stop_max = stops[i].n > stop_max ? stops[i].n : stop_max;

    size_t room = stop_max + REPLACEMENT_BYTES * (token_bytes_max + sizeof e->char_bytes);
    *e = (struct emit){.tokenizer = t, .stops = stops, .n_stops = n_stops, .show_special = show_special};
    buf_init(&e->text, room);
    if (!buf_reserve(&e->text, room))
        return fail(err, ERR_NOMEM, "no memory for %zu bytes of text", room);
    return OK;
}

void emit_deinit(struct emit *e)
{
    buf_deinit(&e->text);
}

/* Remove what the last piece told. */
static void forget_told(struct emit *e)
{
    buf_consume(&e->text, e->n_telling);
    e->told += e->n_telling;
    e->n_telling = 0;
    e->n_tokens -= e->n_tokens_telling;
    memmove(e->tokens, e->tokens + e->n_tokens_telling, (size_t)e->n_tokens * sizeof *e->tokens);
    e->n_tokens_telling = 0;
}

/* The stop string that begins first; its offset in `text` goes to *at. */
static int32_t find_stop(const struct emit *e, size_t *at)
{
    int32_t found = -1;
    for (int32_t i = 0; i < e->n_stops; i++) {
        size_t where = str_find(buf_str(&e->text), e->stops[i], 0);
        if (where != STR_NONE && (found < 0 || where < *at)) {
            found = i;
            *at = where;
        }
    }
    return found;
}

/* Bytes at the end of `text` that are the beginning of a stop string. */
static size_t stop_beginning(const struct emit *e)
{
    size_t longest = 0;
    for (int32_t i = 0; i < e->n_stops; i++) {
        size_t n = e->stops[i].n - 1 < e->text.n ? e->stops[i].n - 1 : e->text.n;
        while (n > longest && memcmp(e->text.p + e->text.n - n, e->stops[i].p, n) != 0)
            n--;
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Tell the first n bytes, and the tokens that they end (or at the end of all: begin). */
static struct emit_piece tell(struct emit *e, size_t n, bool is_end)
{
    uint64_t upto = e->told + n;
    int32_t k = 0;

    while (k < e->n_tokens && (e->tokens[k].end <= upto || (is_end && e->tokens[k].begin < upto)))
        k++;
    if (k == 0 && e->n_tokens == EMIT_TOKENS_MAX)
        k = e->n_tokens;
    for (int32_t i = 0; i < k; i++) {
        struct sampled *s = &e->tokens[i].sampled;
        struct str bytes = emit_token_text(e->tokenizer, s->token, e->show_special);
        e->told_tokens[i] = (struct sluice_token){.id = s->token,
                                                  .logprob = s->logprob,
                                                  .bytes = bytes.p ? bytes.p : "",
                                                  .n_bytes = bytes.n,
                                                  .top = s->top,
                                                  .n_top = (size_t)s->n_top};
    }
    e->n_telling = (uint32_t)n;
    e->n_tokens_telling = k;
    return (struct emit_piece){str_of(buf_str(&e->text).p, n), e->told_tokens, k, -1};
}

static void take_token(struct emit *e, const struct sampled *s)
{
    ensure(e->n_tokens < EMIT_TOKENS_MAX);
    struct emit_token *t = &e->tokens[e->n_tokens++];
    t->sampled = *s;
    t->begin = e->told + e->text.n;
    struct str bytes = emit_token_text(e->tokenizer, s->token, e->show_special);
    utf8_stream_push(e->char_bytes, &e->n_char_bytes, bytes, &e->text);
    /* A character that is not complete will add at least one byte more. */
    t->end = e->told + e->text.n + (e->n_char_bytes > 0);
}

struct emit_piece emit_push(struct emit *e, const struct sampled *s, bool are_stops_on)
{
    size_t at = 0;

    forget_told(e);
    take_token(e, s);
    ensure(buf_ok(&e->text));
    if (!are_stops_on)
        return tell(e, e->text.n, false);
    int32_t stop = find_stop(e, &at);
    if (stop < 0)
        return tell(e, e->text.n - stop_beginning(e), false);
    struct emit_piece piece = tell(e, at, true);
    piece.stop = stop;
    return piece;
}

struct emit_piece emit_finish(struct emit *e)
{
    forget_told(e);
    if (e->n_char_bytes > 0) {
        buf_puts(&e->text, "\xef\xbf\xbd");
        e->n_char_bytes = 0;
    }
    return tell(e, e->text.n, true);
}
