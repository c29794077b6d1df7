/* spec_model.c - Guesses by a smaller model that reads along.
 *
 * Each sequence that is followed has a slot: pages of the draft model's own pool and the tokens that
 * were read into them.  What the target refused is simply read over: a slot is valid as far as its
 * tokens agree with the sequence's. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/kv.h"
#include "engine/pick.h"
#include "engine/sched.h"
#include "engine/spec.h"

#define READ_ROWS  64 /* rows of text that are read beside a step: a new prompt must not stop the others */
#define ROUND_RATE 0.2

struct slot {
    const struct seq *owner; /* NULL: free */
    int32_t *tokens;         /* that were read */
    int32_t *pages;
    int32_t n_pages;
    int64_t n_read;
};

struct spec_model {
    struct compute c;
    struct kv kv;
    struct pick pick;
    struct slot *slots;
    int32_t n_slots;
    struct model_row *rows;
    struct model_seq *seqs;
    double round_us;
};

int spec_model_create(struct spec_model **out, const struct compute *draft, int32_t n_slots, struct err *err)
{
    struct spec_model *m = calloc(1, sizeof *m);
    if (!m)
        return fail(err, ERR_NOMEM, "no memory for the draft model's tables");
    m->c = *draft;
    m->n_slots = n_slots < draft->outputs_max ? n_slots : draft->outputs_max;
    int rc = kv_init(&m->kv, draft->n_pages, draft->page_tokens, err);
    if (rc == OK)
        rc = pick_init(&m->pick, logits_ops_for(draft->isa), draft->n_vocab, err);
    m->slots = calloc((size_t)m->n_slots, sizeof *m->slots);
    m->rows = calloc((size_t)draft->rows_max, sizeof *m->rows);
    m->seqs = calloc((size_t)m->n_slots, sizeof *m->seqs);
    bool is_whole = m->slots && m->rows && m->seqs;
    for (int32_t i = 0; is_whole && i < m->n_slots; i++) {
        m->slots[i].tokens = calloc((size_t)draft->n_ctx, sizeof(int32_t));
        m->slots[i].pages = calloc((size_t)kv_pages_for(&m->kv, draft->n_ctx), sizeof(int32_t));
        is_whole = m->slots[i].tokens && m->slots[i].pages;
    }
    if (rc == OK && !is_whole)
        rc = fail(err, ERR_NOMEM, "no memory for the draft model's tables");
    if (rc != OK) {
        spec_model_free(m);
        return rc;
    }
    *out = m;
    return OK;
}

void spec_model_free(struct spec_model *m)
{
    if (!m)
        return;
    for (int32_t i = 0; m->slots && i < m->n_slots; i++) {
        free(m->slots[i].tokens);
        free(m->slots[i].pages);
    }
    free(m->slots);
    free(m->rows);
    free(m->seqs);
    pick_deinit(&m->pick);
    kv_deinit(&m->kv);
    free(m);
}

double spec_model_round_us(const struct spec_model *m)
{
    return m->round_us;
}

static struct slot *find_slot(struct spec_model *m, const struct seq *owner)
{
    for (int32_t i = 0; i < m->n_slots; i++)
        if (m->slots[i].owner == owner)
            return &m->slots[i];
    return NULL;
}

void spec_model_forget(struct spec_model *m, const struct seq *s)
{
    struct slot *slot = find_slot(m, s);
    if (!slot)
        return;
    while (slot->n_pages > 0)
        kv_release(&m->kv, slot->pages[--slot->n_pages]);
    slot->owner = NULL;
    slot->n_read = 0;
}

/* The slot of a sequence, brought back to what is still true of it; NULL: it cannot be followed. */
static struct slot *sync_slot(struct spec_model *m, const struct seq *s)
{
    struct slot *slot = find_slot(m, s);
    if (!slot && (slot = find_slot(m, NULL)))
        slot->owner = s;
    if (!slot)
        return NULL;
    /* Guesses are the only tokens that can have been wrong. */
    int64_t n = slot->n_read < s->n_tokens - 1 ? slot->n_read : s->n_tokens - 1;
    int64_t from = n > SEQ_DRAFT_MAX + 1 ? n - SEQ_DRAFT_MAX - 1 : 0;
    while (from < n && slot->tokens[from] == s->tokens[from])
        from++;
    slot->n_read = from;
    return slot;
}

static bool reserve(struct spec_model *m, struct slot *slot, int64_t n_tokens)
{
    int32_t wanted = kv_pages_for(&m->kv, n_tokens);
    if (n_tokens > m->c.n_ctx || wanted - slot->n_pages > m->kv.n_free)
        return false;
    while (slot->n_pages < wanted)
        slot->pages[slot->n_pages++] = kv_take(&m->kv);
    return true;
}

/* One token row of a slot joins the batch. */
static void add_row(struct spec_model *m, struct model_batch *b, struct slot *slot, int32_t token,
                    uint32_t seq, bool is_wanted)
{
    slot->tokens[slot->n_read] = token;
    m->rows[b->n_rows++] = (struct model_row){token, (uint32_t)slot->n_read++, seq,
                                              is_wanted ? MODEL_WANT_LOGITS : MODEL_WANT_NOTHING};
}

/* Who takes part in a round of guesses. */
struct member {
    struct seq *seq;
    struct slot *slot;
    int32_t wanted;
};

/* Read what is new of a member's text, at most `room` rows.  True: all but nothing is left, and the last
 * row tells about the next token. */
static bool add_text(struct spec_model *m, struct model_batch *b, struct member *p, uint32_t idx,
                     int32_t room)
{
    int64_t end = p->seq->n_tokens, begin = p->slot->n_read;
    int64_t n = end - begin < room ? end - begin : room;
    for (int64_t i = 0; i < n; i++)
        add_row(m, b, p->slot, p->seq->tokens[begin + i], idx, begin + i == end - 1);
    m->seqs[idx] = (struct model_seq){(const uint32_t *)p->slot->pages, (uint32_t)p->slot->n_pages};
    return begin + n == end;
}

/* The token behind a sequence's guesses so far, by the logits of output `out`. */
static int32_t guess(struct spec_model *m, const struct seq *s, uint32_t out)
{
    return sampler_guess(&s->sampler, &m->pick, m->c.logits(m->c.self, out), m->c.n_vocab,
                         s->n_tokens + s->n_draft);
}

/* The first step reads text and makes the first guesses; members that are not done with reading fall out. */
static int32_t first_round(struct spec_model *m, struct member *p, int32_t n, int32_t *n_rows, bool *is_ok)
{
    struct model_batch b = {.rows = m->rows, .seqs = m->seqs};
    bool is_done[SCHED_BATCH_MAX];
    int32_t room = m->c.rows_max - n < READ_ROWS ? m->c.rows_max - n : READ_ROWS, n_left = 0;

    for (int32_t i = 0; i < n; i++) {
        int32_t before = (int32_t)b.n_rows;
        is_done[i] = add_text(m, &b, &p[i], (uint32_t)i, room + 1);
        int32_t used = (int32_t)b.n_rows - before - 1;
        room -= used > 0 ? used : 0;
    }
    b.n_seqs = (uint32_t)n;
    *n_rows = (int32_t)b.n_rows;
    *is_ok = m->c.step(m->c.self, &b, NULL) == OK;
    uint32_t out = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!is_done[i] || !*is_ok)
            continue;
        int32_t token = guess(m, p[i].seq, out++);
        if (token == PICK_NONE || p[i].wanted == 0)
            continue;
        p[i].seq->draft[p[i].seq->n_draft++] = token;
        p[n_left++] = p[i];
    }
    return n_left;
}

/* Each further round reads the guess before and makes the next one. */
static int32_t next_round(struct spec_model *m, struct member *p, int32_t n, bool *is_ok)
{
    struct model_batch b = {.rows = m->rows, .seqs = m->seqs, .n_seqs = (uint32_t)n};
    int32_t n_left = 0;

    for (int32_t i = 0; i < n; i++) {
        add_row(m, &b, p[i].slot, p[i].seq->draft[p[i].seq->n_draft - 1], (uint32_t)i, true);
        m->seqs[i] = (struct model_seq){(const uint32_t *)p[i].slot->pages, (uint32_t)p[i].slot->n_pages};
    }
    *is_ok = m->c.step(m->c.self, &b, NULL) == OK;
    for (int32_t i = 0; *is_ok && i < n; i++) {
        int32_t token = guess(m, p[i].seq, (uint32_t)i);
        if (token == PICK_NONE)
            continue;
        p[i].seq->draft[p[i].seq->n_draft++] = token;
        p[n_left++] = p[i];
    }
    return n_left;
}

/* Those who want more guesses stay. */
static int32_t keep_hungry(struct member *p, int32_t n)
{
    int32_t n_left = 0;
    for (int32_t i = 0; i < n; i++)
        if (p[i].seq->n_draft < p[i].wanted)
            p[n_left++] = p[i];
    return n_left;
}

bool spec_model_guess(struct spec_model *m, struct seq **seqs, const int32_t *wanted, int32_t n)
{
    struct member p[SCHED_BATCH_MAX];
    int32_t n_members = 0, n_rounds = 0, n_rows = 0;
    bool is_ok = true;

    for (int32_t i = 0; i < n && n_members < m->c.rows_max / 2; i++) {
        struct slot *slot = wanted[i] > 0 ? sync_slot(m, seqs[i]) : NULL;
        if (slot && reserve(m, slot, seqs[i]->n_tokens + wanted[i]))
            p[n_members++] = (struct member){seqs[i], slot, wanted[i]};
    }
    if (n_members == 0)
        return true;
    int64_t begin_ns = clock_now_ns();
    int32_t usual = n_members * 2; /* rows: the token that was sampled, and a guess that was right */
    n_members = keep_hungry(p, first_round(m, p, n_members, &n_rows, &is_ok));
    for (n_rounds = 1; n_members > 0 && is_ok; n_rounds++)
        n_members = keep_hungry(p, next_round(m, p, n_members, &is_ok));
    double us = (double)(clock_now_ns() - begin_ns) / NS_PER_US / n_rounds;
    if (n_rows <= usual) /* to read a new prompt takes longer, once */
        m->round_us += (m->round_us > 0 ? ROUND_RATE : 1) * (us - m->round_us);
    for (int32_t i = 0; !is_ok && i < n; i++) {
        seqs[i]->n_draft = 0;
        spec_model_forget(m, seqs[i]);
    }
    return is_ok;
}
