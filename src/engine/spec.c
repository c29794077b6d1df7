/* spec.c - Which sequences are worth guesses, how many, and guesses from the text itself. */
#include "engine/spec.h"

#include "engine/sched.h"

#define NGRAM_MAX   8 /* a longer agreement tells nothing more */
#define NGRAM_MIN   2
#define LUCK_RATE   0.1 /* how fast luck follows what happens */
#define TRIES_FIRST 16  /* guesses before luck is believed */
#define TRY_AGAIN   64  /* where guessing does not pay: once in so many tokens */
#define TRY_GUESSES 2

int32_t spec_lookup(const int32_t *tokens, int64_t n, int32_t *draft, int32_t draft_max)
{
    int64_t best_at = -1;
    int32_t best = NGRAM_MIN - 1;

    /* From the latest place backwards; `at` is the place behind the earlier occurrence. */
    for (int64_t at = n - 1; at >= NGRAM_MIN && best < NGRAM_MAX; at--) {
        if (tokens[at - 1] != tokens[n - 1])
            continue;
        int32_t same = 1;
        while (same < NGRAM_MAX && same < at && tokens[at - 1 - same] == tokens[n - 1 - same])
            same++;
        if (same > best) {
            best = same;
            best_at = at;
        }
    }
    if (best_at < 0)
        return 0;
    int32_t n_draft = 0;
    for (; n_draft < draft_max; n_draft++) {
        int64_t at = best_at + n_draft; /* a repetition may go on into what was just guessed */
        draft[n_draft] = at < n ? tokens[at] : draft[at - n];
    }
    return n_draft;
}

int32_t spec_worth(const struct cost *cost, struct cost_step base, int32_t n_streams, double luck,
                   double guess_us, int32_t most)
{
    double best_rate = (double)n_streams / cost_predict_us(cost, base), right = 0, all_right = 1;
    int32_t best = 0;

    for (int32_t d = 1; d <= most; d++) {
        struct cost_step step = {base.n_rows + d, base.n_logits + d, base.n_keys};
        all_right *= luck;
        right += all_right; /* guess d counts if it and all before it are right */
        double rate = ((double)n_streams + right) / (cost_predict_us(cost, step) + d * guess_us);
        if (rate > best_rate) {
            best_rate = rate;
            best = d;
        }
    }
    return best;
}

double spec_saved_us(const struct cost *cost, struct cost_step with, int32_t n_streams, int64_t n_drafts,
                     int64_t n_right, double guess_us)
{
    struct cost_step without = {with.n_rows - n_drafts, with.n_logits - n_drafts, with.n_keys};
    struct cost_step one = {n_streams, n_streams, 0};
    double spent_us = cost_predict_us(cost, with) - cost_predict_us(cost, without) + guess_us;
    return n_streams > 0 ? (double)n_right / n_streams * cost_predict_us(cost, one) - spent_us : 0;
}

void spec_learn(struct seq *s, bool is_right)
{
    s->draft_luck += LUCK_RATE * (is_right - s->draft_luck);
}

static int32_t guesses_for(const struct cost *cost, const struct seq *s, struct cost_step base,
                           int32_t n_streams, double guess_us, int32_t draft_max)
{
    int64_t room = s->tokens_max - s->n_tokens - 1; /* the last token needs no successor */
    int32_t most = room < draft_max ? (int32_t)room : draft_max;

    if (most <= 0)
        return 0;
    int32_t worth = spec_worth(cost, base, n_streams, s->draft_luck, guess_us, most);
    if (worth > 0)
        return worth;
    /* A first look at the text, unless even guesses that were all right would not pay; what that
     * costs has to be seen once, too: a prompt's steps tell little about a few rows. */
    bool is_open = !cost_knows(cost, base.n_rows + TRY_GUESSES) ||
                   spec_worth(cost, base, n_streams, 1, guess_us, most) > 0;
    if ((is_open && s->usage.draft_tokens < TRIES_FIRST) || seq_n_answer(s) % TRY_AGAIN == TRY_AGAIN - 1)
        return most < TRY_GUESSES ? most : TRY_GUESSES;
    return 0;
}

void spec_draft(struct spec_model *model, const struct cost *cost, struct seq **seqs, int32_t n,
                int32_t draft_max)
{
    int32_t wanted[SCHED_BATCH_MAX];
    double guess_us = model ? spec_model_round_us(model) : 0;
    struct cost_step base = {n, n, 0};
    bool any = false;

    for (int32_t i = 0; i < n; i++) {
        wanted[i] = guesses_for(cost, seqs[i], base, n, guess_us / n, draft_max);
        any |= wanted[i] > 0;
        seqs[i]->n_draft = 0;
    }
    if (model && any)
        spec_model_guess(model, seqs, wanted, n);
    for (int32_t i = 0; !model && i < n; i++)
        if (wanted[i] > 0)
            seqs[i]->n_draft = spec_lookup(seqs[i]->tokens, seqs[i]->n_tokens, seqs[i]->draft, wanted[i]);
}
