/* model.h - What the weights compute: tokens, positions and KV pages in, logits out.
 *
 * No policy lives here.  A model computes one step at a time: a batch of rows (a token at a
 * position of a sequence each), prefill chunks and single decode rows mixed as the caller likes.
 *
 * EQUAL RESULTS.  The logits of a row depend only on the tokens of its sequence up to the row, on
 * the model file, the instruction-set level and the KV type: bit for bit the same, whatever else is
 * in the batch, however a prompt is cut into chunks, with any number of threads, in whichever
 * physical pages.
 *
 * KV PAGES.  All keys and values live in one pool of n_pages pages of page_tokens tokens each; a
 * page holds all layers.  Pages are named by their index.  Who owns which page is the caller's
 * business (engine/kv): a sequence is here nothing but a page table.  The token at position p lies in
 * pages[p / page_tokens].  A row writes the key and value of its token there and reads those of all
 * positions before it; so these must have been written by an earlier step or stand earlier in the same
 * batch.  A page that is shared may be read by all and must not be written.
 *
 * MEMORY.  model_open reserves everything: packed weights, KV pool, work buffers for rows_max
 * rows, logits for outputs_max and hidden state for hidden_max rows.  A step allocates nothing.  Of a large
 * KV pool only the first part is in memory when model_open returns; a thread brings the rest, low pages
 * first.
 *
 * Threads: model_open, model_step_* and model_kv_copy of one model are called by one thread at a
 * time; the facts (model_facts) may be read by all. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/team.h"
#include "model/gguf.h"

#define MODEL_ROWS_MAX 2048 /* upper bound of options.rows_max */

/* I16: 16-bit integers with a scale for each head of a token, nearer to exact than F16; faster in prompts. */
enum kv_type { KV_I16, KV_F16, KV_BF16, KV_Q8_0, KV_TYPES_END };
const char *kv_type_name(enum kv_type t);              /* "i16", "f16", "bf16", "q8_0" */
int kv_type_by_name(struct str name, enum kv_type *t); /* OK or ERR_ARG */

struct model_options {
    struct team *team; /* borrowed, leased during open and each step; must outlive the model */
    const char *isa;   /* NULL or "auto", "ref", "avx2", "neon", ...: see kernel/kernel.h */
    enum kv_type kv_type;
    uint32_t n_ctx; /* largest position + 1 ever used; 0: as the model was trained.  Files with rope factors
                     * for long and short contexts (Phi) choose by it: other numbers on either side */
    uint32_t page_tokens; /* multiple of 16 that divides 512; 0: the default, 32 */
    uint32_t n_pages;     /* of the KV pool; at least 1 */
    uint32_t rows_max;    /* of one step, at most MODEL_ROWS_MAX; 0: 512 */
    uint32_t outputs_max; /* rows of one step that want logits; 0: 64 */
    uint32_t hidden_max;  /* rows of one step that want hidden state; 0: outputs_max */
};

/* How the hidden states of a text's tokens become one vector; the values are those of the files. */
enum model_pooling {
    MODEL_POOL_NONE, /* not at all: a vector per token */
    MODEL_POOL_MEAN,
    MODEL_POOL_CLS,  /* the first token's */
    MODEL_POOL_LAST, /* the last token's: what a causal model is pooled by where its file says nothing */
    MODEL_POOL_RANK  /* a score instead of a vector */
};

/* What a file asks for, known before anything is loaded. */
struct model_facts {
    char arch[32];       /* "llama", "qwen2", ... */
    char name[128];      /* general.name, or "" */
    char size_label[32]; /* general.size_label, or "" */
    uint32_t n_vocab;
    uint32_t n_ctx_train;
    uint32_t n_embd;
    uint32_t n_layers;
    uint32_t n_heads, n_kv_heads;       /* largest of all layers */
    uint32_t n_experts, n_experts_used; /* 0 for a dense model */
    uint64_t n_params;                  /* elements of all tensors */
    uint64_t file_bytes;                /* of all tensors as they are in the file */
    uint64_t step_bytes; /* tensor bytes of the file that one decoded token reads (all layers and the head) */
    uint64_t step_macs;  /* multiply-adds of one token without attention, head included */
    uint64_t head_macs;  /* of these, the head's */
    uint64_t kv_token_bytes; /* of the KV pool per token, for the KV type asked for */
    enum model_pooling pooling;
};

struct model;

/* Read the facts of an opened file without loading it.  Fails as model_open would for an unknown
 * architecture or a missing tensor. */
int model_describe(const struct gguf *g, enum kv_type kv_type, struct model_facts *facts, struct err *err);

/* Load.  `g` is needed only during the call.  A file that does not hold a model that can be
 * computed here is an error that says which tensor or key is at fault; an unknown architecture's
 * error lists the known ones. */
int model_open(struct model **out, const struct gguf *g, const struct model_options *options,
               struct err *err);
void model_close(struct model *m); /* NULL is fine */
/* Wait until nothing that opening began is going on any more (the KV pool is being put into memory beside
 * the first steps): for measuring. */
void model_settle(struct model *m);

const struct model_facts *model_facts(const struct model *m);

struct model_memory {
    uint64_t weights_bytes; /* packed */
    uint64_t kv_bytes;      /* the whole pool */
    uint64_t work_bytes;    /* activations, logits, scratch */
    bool huge_pages;        /* the system granted 2 MiB pages for most of it */
};
void model_memory(const struct model *m, struct model_memory *memory);
/* The packed weights, *n bytes: for measuring how fast they can be read.  NULL where they are elsewhere. */
const void *model_weights(const struct model *m, size_t *n);
const char *model_isa(const struct model *m); /* level in use: "ref", "avx2", ... */
uint32_t model_page_tokens(const struct model *m);
uint32_t model_n_pages(const struct model *m);
uint32_t model_n_ctx(const struct model *m);
uint32_t model_rows_max(const struct model *m);
uint32_t model_outputs_max(const struct model *m);
uint32_t model_hidden_max(const struct model *m);
uint64_t model_kv_page_bytes(const struct model *m);
/* A number that changes whenever the same tokens could give other KV bytes or logits: hash of
 * the weights' description, numerics version, level, KV type and page layout (keys of KV kept
 * on disk). */
uint64_t model_fingerprint(const struct model *m);
/* A checksum of every packed weight, norm and bias, for the same keys: the fingerprint looks at samples
 * only, since it is made at every start.  Reads the weights once, on the team. */
uint64_t model_weights_sum(struct model *m);

/* --- one step ------------------------------------------------------------------------------ */

enum model_want {
    MODEL_WANT_NOTHING = 0,
    MODEL_WANT_LOGITS = 1,
    MODEL_WANT_HIDDEN = 2 /* the state after the last norm (embeddings) */
};

struct model_row {
    int32_t token; /* in [0, n_vocab) */
    uint32_t pos;  /* in [0, n_ctx) */
    uint32_t seq;  /* index into batch.seqs */
    uint32_t want; /* bits of enum model_want */
};

struct model_seq {
    const uint32_t *pages; /* page table, covers at least the largest pos of its rows */
    uint32_t n_pages;
};

/* Rows are in the order of their sequences, and those of one sequence have consecutive ascending
 * positions.  All arrays are borrowed until model_step_wait returns. */
struct model_batch {
    const struct model_row *rows;
    uint32_t n_rows; /* 1 .. rows_max */
    const struct model_seq *seqs;
    uint32_t n_seqs;
};

/* Start computing.  A batch that breaks a rule above is ERR_ARG with a sentence, and nothing is
 * computed.  On a CPU the work is done inside this call, on the leased team. */
int model_step_submit(struct model *m, const struct model_batch *batch, struct err *err);

/* Wait for it.  Afterwards the outputs of rows that asked for some stand in row order. */
int model_step_wait(struct model *m, struct err *err);

/* Logits [n_vocab] of the i-th row that wanted logits; valid until the next step.  The caller
 * may change them in place (sampling does). */
float *model_logits(struct model *m, uint32_t i);
/* Hidden state [n_embd] of the i-th row that wanted it. */
const float *model_hidden(struct model *m, uint32_t i);

/* --- KV pages ------------------------------------------------------------------------------ */

/* Make the first n_tokens tokens of page dst equal to those of page src in all layers (so that a
 * sequence can go on in a page that another one still shares); the rest of dst becomes zero. */
void model_kv_copy(struct model *m, uint32_t dst, uint32_t src, uint32_t n_tokens);

/* The bytes of a page, model_kv_page_bytes of them, as one record for snapshots.  Bytes put back
 * by model_kv_import into any page of a model with the same fingerprint and weights mean the same.
 * Both may be called by another thread than the one that computes, at any time, for a page that no step
 * uses meanwhile (export: that no step writes). */
void model_kv_export(const struct model *m, uint32_t page, void *bytes);
void model_kv_import(struct model *m, uint32_t page, const void *bytes);

#endif
