/* plan.h - What a file's model is: numbers, rope frequencies and tensors, checked and named.
 *
 * The plan is the only place that reads metadata keys and tensor names.  It is made from a
 * description of the architecture (arch.h), holds no weights, and points into the gguf. */
#ifndef MODEL_PLAN_H
#define MODEL_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "kernel/kernel.h"
#include "model/arch.h"
#include "model/gguf.h"

#define PLAN_LAYERS_MAX       1024
#define PLAN_EMBD_MAX         (1u << 17)
#define PLAN_HEAD_DIM_MAX     KERN_HEAD_MAX
#define PLAN_EXPERTS_MAX      1024
#define PLAN_EXPERTS_USED_MAX 64

/* A way to rotate. */
struct plan_rope {
    double *freq;    /* [n_rot / 2] radians per position, all scalings included */
    float magnitude; /* multiplies cos and sin (YaRN, long rope) */
};

#define PLAN_ROPES_MAX 2

/* A layer's numbers, and its tensors: NULL where the model has none.  What a file has fused (q, k and v; gate
 * and up) is described as the parts that it consists of: tensors of fewer rows, further on in the same file.
 */
struct plan_layer {
    uint32_t window; /* a row sees its own key and window - 1 before it; 0: all */
    uint32_t rope;   /* which of the plan's */
    const struct gguf_tensor *attn_norm;
    const struct gguf_tensor *q, *k, *v, *o;
    const struct gguf_tensor *q_bias, *k_bias, *v_bias, *o_bias;
    const struct gguf_tensor *q_norm, *k_norm;                   /* [head_dim], before rope */
    const struct gguf_tensor *attn_post_norm, *ffn_post_norm;    /* of what the block adds to the stream */
    const struct gguf_tensor *q_a, *q_a_norm, *kv_a, *kv_a_norm; /* latent attention; q is applied to q_a's */
    const struct gguf_tensor *k_b, *v_b;                         /* of each head, */
    const struct gguf_tensor *kv_b; /* or together: [kv_lora][heads][nope + value] */
    const struct gguf_tensor *ffn_norm;
    const struct gguf_tensor *gate, *up, *down;                         /* dense */
    const struct gguf_tensor *router, *gate_exps, *up_exps, *down_exps; /* mixture of experts */
    const struct gguf_tensor *gate_shared, *up_shared, *down_shared;    /* the shared expert */
    const struct gguf_tensor *shared_router;                            /* one row: its gate */
    const struct gguf_tensor *expert_bias;                              /* [n_experts], for choosing only */
    const struct gguf_tensor *router_bias;                              /* [n_experts] */
    const struct gguf_tensor *gate_bias, *up_bias, *down_bias;          /* [n_experts][outputs] */
    const struct gguf_tensor *sinks;                                    /* [n_heads] */
};

/* Latent attention: sizes of a head, and of what queries, keys and values are made from. */
struct plan_mla {
    uint32_t q_lora; /* 0: queries are made from x directly */
    uint32_t kv_lora;
    uint32_t nope, value; /* dimensions of a key that are not rotated, of a value */
};

struct plan {
    const struct arch *arch;
    uint32_t n_vocab, n_ctx_train, n_embd, n_layers;
    uint32_t n_ff, n_ff_exp, n_ff_shared;   /* of a dense layer, an expert, the shared expert; 0: none */
    uint32_t n_heads, n_kv_heads, head_dim; /* as the KV cache has them */
    struct plan_mla mla;                    /* where arch->attn says so */
    uint32_t n_experts, n_experts_used;     /* 0: dense */
    float rms_eps;
    uint32_t n_dense_layers;          /* the first ones, of a mixture of experts */
    uint32_t n_groups, n_groups_used; /* of experts; at most 1: none */
    bool router_is_sigmoid;           /* else softmax */
    bool experts_sum_to_1;
    float expert_scale;  /* multiplies the weights of the chosen experts */
    float embd_scale;    /* multiplies the embeddings; 1: none */
    float score_scale;   /* of attention, times log2(e): p = 2^(score_scale q k) / sum */
    float attn_softcap;  /* of a score before log2(e): cap * tanh(s / cap); 0: none */
    float logit_softcap; /* 0: none */

    uint32_t n_rot; /* dimensions of a head that rope rotates */
    uint32_t n_ropes;
    struct plan_rope ropes[PLAN_ROPES_MAX];

    const struct gguf_tensor *token_embd, *output_norm;
    const struct gguf_tensor *output; /* token_embd if the head is tied */
    struct plan_layer *layers;        /* [n_layers] */
    struct gguf_tensor *parts;        /* of fused tensors */
    uint32_t n_parts;
};

/* n_ctx is the context that the model will be used with (0: that of its training), which some files choose
 * their rope factors by.  ERR_UNSUPPORTED for an architecture that is not known (the sentence lists those
 * that are) or a feature that the forward pass does not have; ERR_FORMAT for missing or misshapen parts. */
int plan_init(struct plan *p, const struct gguf *g, uint32_t n_ctx, struct err *err);
void plan_deinit(struct plan *p);

/* cos and sin of a position for every pair, [n_rot / 2] each; the same on every host. */
void plan_rope_at(const struct plan *p, const struct plan_rope *rope, uint32_t pos, float *cosines,
                  float *sines);

#endif
