/* cpu_int.h - The processor backend's own structures; cpu.c tells how they fit together.
 *
 * Owner of everything here: the thread that calls the model.  Within an operation the team's
 * workers write disjoint parts. */
#ifndef MODEL_CPU_INT_H
#define MODEL_CPU_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "kernel/kernel.h"
#include "model/backend.h"

/* A weight matrix y = W x in strips; n_experts of them one after another. */
struct cpu_matrix {
    const struct gguf_tensor *tensor;
    enum quant_type type;
    enum quant_act act;
    int n_in, n_out, n_blocks, n_strips; /* of one expert */
    int n_experts;
    size_t row_bytes; /* as in the file, or as they are transposed */
    size_t strip_bytes;
    uint8_t *data;
    kern_strip *strip;
    /* Where its rows are in the tensor: row r of expert e is first_row + e * expert_rows + r; or, if it is
     * transposed, the column r of the n_in rows from there on. */
    int first_row, expert_rows;
    bool is_transposed;
};

struct cpu_layer {
    struct cpu_matrix q, k, v, o;
    struct cpu_matrix q_a, kv_a, k_b, v_b; /* latent attention; k_b and v_b have the heads as experts */
    struct cpu_matrix gate, up, down;      /* dense, or all experts */
    struct cpu_matrix router;              /* none: a dense layer */
    struct cpu_matrix shared_router, gate_shared, up_shared, down_shared;
    float *attn_norm, *ffn_norm;
    float *attn_post_norm, *ffn_post_norm; /* NULL: none */
    float *q_a_norm, *kv_a_norm;
    float *expert_bias;                                         /* NULL: none */
    float *router_bias, *gate_bias, *up_bias, *down_bias;       /* of all experts; NULL: none */
    float *sinks;                                               /* [n_heads], times log2(e); NULL: none */
    float *q_bias, *k_bias, *v_bias, *o_bias, *q_norm, *k_norm; /* NULL: none */
};

/* Rows of quantised activations, in every form that some matrix asks for. */
struct cpu_acts {
    uint8_t *rows[QUANT_ACT_Q8_256 + 1]; /* by enum quant_act; NULL where nobody asks */
    size_t stride[QUANT_ACT_Q8_256 + 1];
};

/* Work memory of latent attention. */
struct cpu_mla {
    float *q_a;              /* [rows][q_lora] */
    float *q;                /* [rows][heads][nope + n_rot] */
    float *kv_a;             /* [rows][kv_lora + n_rot] */
    float *o;                /* [rows][heads][value] */
    struct cpu_acts q_lora;  /* [rows] */
    struct cpu_acts nope;    /* [rows * heads] */
    struct cpu_acts kv_lora; /* [rows * heads] */
};

/* Rows of one sequence in the batch. */
struct cpu_run {
    int row, n_rows;
    uint32_t pos; /* of the first row */
    const uint32_t *pages;
};

/* Memory that a thread of its own puts in place (cpu_prefault.c). */
struct cpu_prefault {
    uint8_t *p;
    size_t n;
    pthread_t thread;
    bool is_running;
    atomic_bool stop, hurry;
    atomic_uint steps;  /* computed so far: whoever computes counts them here, */
    atomic_size_t near; /* and says how many bytes are in use or will soon be */
};

#define CPU_KV_GROUP 16 /* pages: a segment of attention, with pages of the usual size */

struct backend {
    const struct kern_ops *ops;
    const struct plan *plan;
    struct team *team;

    /* Weights. */
    struct cpu_layer *layers;
    struct cpu_matrix token_embd, head; /* the same packed matrix if tied */
    bool is_tied;
    float *output_norm;
    void *weights;
    size_t weights_bytes;
    float *floats; /* norms and biases */
    size_t floats_bytes;

    /* KV pool: [group of CPU_KV_GROUP pages][layer][kv head][keys, values][page of the group] of
     * kv_page_bytes. Pages of a head lie side by side: with the heads of a page side by side, all pages of a
     * head would fall into the same few sets of the caches.  So do all their keys, and all their values, as a
     * segment of attention reads first the ones and then the others, and memory is fastest in ascending
     * order.  In groups, so that a short conversation touches a small part of the pool. */
    uint8_t *kv;
    size_t kv_bytes, kv_tile_bytes, kv_page_bytes;
    struct cpu_prefault prefault;
    enum kern_kv kv_type;
    int page_tokens;
    uint32_t n_pages;

    /* Work memory, for rows_max rows. */
    void *work;
    size_t work_bytes;
    int rows_max, outputs_max, hidden_max;
    float *x;               /* [rows][n_embd] the residual stream */
    struct cpu_acts in;     /* norm(x) */
    struct cpu_acts mid;    /* attention's output; h of the ffn or of the shared expert */
    float *branch;          /* [rows][n_embd] what a block adds to x, where it is normalised before */
    float *q, *k, *v;       /* [rows][heads * head_dim] */
    float *a;               /* [rows][heads * head_dim] */
    float *cosines, *sines; /* [ropes][rows_max][n_rot / 2] */
    float *logits;          /* [outputs][vocab rounded up] */
    float *hidden; /* [hidden_max][n_embd], and behind it [outputs][n_embd] on their way to the head */
    size_t logits_stride;
    float *parts;                        /* [parts_max][head_dim] attention of single segments */
    struct kern_attn_state *part_states; /* [parts_max] */
    size_t parts_max;
    uint8_t **scratch; /* [workers] of scratch_bytes */
    size_t scratch_bytes;

    struct cpu_mla mla;

    /* Mixture of experts, for rows_max * n_experts_used slots. */
    float *router_logits;   /* [rows][experts rounded up] */
    int *slot_expert;       /* [slots] */
    float *slot_weight;     /* [slots] */
    int *expert_slots;      /* [slots] sorted by expert, then slot */
    int *expert_start;      /* [experts + 1] */
    struct cpu_acts slot_h; /* [slots] */
    float *slot_out;        /* [slots][n_embd] */
    float *shared_out;      /* [rows][n_embd] */
    float *shared_weight;   /* [rows] */

    /* The step. */
    const struct model_row *rows;
    int n_rows;
    struct cpu_run *runs; /* [rows] at most */
    int n_runs;
    struct kern_row *pairs; /* kernel arguments: of three products, or of slots and then rows */
};

/* --- cpu_prefault.c -------------------------------------------------------------------------- */

/* Begin to populate n bytes at p, both multiples of the page size. */
void cpu_prefault_start(struct cpu_prefault *f, void *p, size_t n);
void cpu_prefault_finish(struct cpu_prefault *f); /* wait until all is there */
void cpu_prefault_stop(struct cpu_prefault *f);   /* before the memory is freed; also if never started */

/* --- cpu_load.c ------------------------------------------------------------------------------ */

int cpu_load(struct backend *b, const struct gguf *g, struct err *err);
void cpu_unload(struct backend *b);
/* A checksum of all that was loaded, the same for any number of threads. */
uint64_t cpu_weights_sum(struct backend *b);

/* --- cpu_matmul.c ---------------------------------------------------------------------------- */

/* acts = x rows quantised in each form that acts->rows has.  Rows in parallel if there are many. */
void cpu_quantize(struct backend *b, struct cpu_acts *acts, const float *x, size_t x_stride, int n,
                  int n_rows);
/* One row of n, by one worker. */
void cpu_quantize_row(const struct backend *b, struct cpu_acts *acts, const float *x, int n, int row);
/* acts = quantised w x / rms(x), rows of n one behind the other */
void cpu_norm_quantize(struct backend *b, struct cpu_acts *acts, const float *x, const float *w, int n,
                       int n_rows);

struct cpu_product {
    const struct cpu_matrix *m;
    float *y;
    size_t y_stride;
    bool add;
};

#define CPU_PRODUCTS_MAX 3

/* The loop after the one that is about to be run goes over all strips of a matrix (and perhaps others behind
 * it in memory): each worker fetches the beginning of its share while it waits.  n_strips counts the
 * strips of the whole loop. */
void cpu_expect(struct backend *b, const struct cpu_matrix *m, int n_strips);
void cpu_expect_layer(struct backend *b, uint32_t layer); /* its first loop; n_layers: the head */

/* y (+)= W x for up to three matrices with the same input, as one parallel loop. */
void cpu_products(struct backend *b, const struct cpu_product *list, int n, const struct cpu_acts *acts,
                  int n_rows);

/* x += norm(W acts + bias), the end of a block; `bias` and `norm` may be NULL. */
void cpu_add_branch(struct backend *b, const struct cpu_matrix *m, const struct cpu_acts *acts,
                    const float *bias, const float *norm);

/* The strips [begin, end) of a matrix for all pairs, in an order that reuses the caches. */
void cpu_strips(const struct cpu_matrix *m, const uint8_t *data, const struct kern_row *pairs, int n_pairs,
                int begin, int end, bool add);

static inline const void *cpu_act_row(const struct cpu_acts *acts, enum quant_act act, int row)
{
    return acts->rows[act] + (size_t)row * acts->stride[act];
}

/* A KV head's part of a page: tiles of keys, and of values. */
struct cpu_kv {
    uint8_t *k, *v;
};

static inline struct cpu_kv cpu_kv_at(const struct backend *b, uint32_t layer, uint32_t head, uint32_t page)
{
    size_t group = page / CPU_KV_GROUP, line = (size_t)layer * b->plan->n_kv_heads + head;
    size_t lines = (size_t)b->plan->n_layers * b->plan->n_kv_heads;
    uint8_t *k = b->kv + (2 * (group * lines + line) * CPU_KV_GROUP + page % CPU_KV_GROUP) * b->kv_page_bytes;
    return (struct cpu_kv){k, k + CPU_KV_GROUP * b->kv_page_bytes};
}

/* Where cosines and sines of a row begin. */
static inline size_t cpu_angles_at(const struct backend *b, uint32_t rope, int row)
{
    return ((size_t)rope * (size_t)b->rows_max + (size_t)row) * (b->plan->n_rot / 2);
}

/* Elements of a block of activations. */
static inline int cpu_act_block(enum quant_act act)
{
    return act == QUANT_ACT_Q8_256 ? 256 : 32;
}

/* Few rows are not worth a parallel loop of their own. */
#define CPU_FEW_ROWS 3
/* Run `work` over rows: in parallel if there are many. */
void cpu_run_rows(struct backend *b, team_work *work, void *job, int n_rows);

/* --- blocks ---------------------------------------------------------------------------------- */

void cpu_attn_in(struct backend *b, uint32_t layer); /* attn_gqa.c */
void cpu_attn(struct backend *b, uint32_t layer);
void cpu_attn_out(struct backend *b, uint32_t layer);
size_t cpu_attn_scratch_bytes(const struct backend *b);
size_t cpu_attn_parts(const struct backend *b, uint32_t n_ctx); /* worth keeping room for */
void cpu_rotate(const struct backend *b, uint32_t layer, float *x, int row);
/* Queries of a row ready for attention: scaled, in the form that the KV type asks for. */
void cpu_finish_queries(const struct backend *b, float *q);
/* k and v of a row, as they are in b->k and b->v, into the pool. */
void cpu_store_kv(struct backend *b, uint32_t layer, int row, const struct cpu_run *run);
void cpu_mla_in(struct backend *b, uint32_t layer); /* attn_mla.c */
void cpu_mla_out(struct backend *b, uint32_t layer);
void cpu_ffn_in(struct backend *b, uint32_t layer); /* ffn_dense.c */
void cpu_ffn_out(struct backend *b, uint32_t layer);
size_t cpu_ffn_scratch_bytes(const struct backend *b);
void cpu_moe(struct backend *b, uint32_t layer); /* ffn_moe.c */

/* h = gate(gate x) * up x for outputs [begin, end) of an expert (0 if dense), quantised into
 * h_acts rows; units of cpu_ffn_unit outputs.  pairs[i] gives activations; h row i is h_rows[i]
 * (NULL: row i). */
struct cpu_gated {
    const struct cpu_matrix *gate, *up;
    const float *gate_bias, *up_bias; /* of this expert; NULL: none */
    enum quant_act h_act;
    int expert;
    const int *in_rows;  /* row of `in` for pair i; NULL: i */
    const int *out_rows; /* row of `out` for pair i; NULL: i */
    const struct cpu_acts *in;
    struct cpu_acts *out;
    int n_pairs;
};
void cpu_gated_units(struct backend *b, const struct cpu_gated *g, int begin, int end, int worker);
int cpu_gated_n_units(const struct cpu_gated *g);

#endif
