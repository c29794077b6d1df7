/* arch.h - An architecture as data.
 *
 * What differs between two architectures in a number or a flag is a field here; what changes the
 * order of operations is another block file.  A new architecture is one file arch_NAME.c and one
 * row in archs.c. */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum arch_rope {
    ARCH_ROPE_NORM, /* pairs (2i, 2i + 1) */
    ARCH_ROPE_NEOX  /* pairs (i, i + n_rot / 2) */
};

enum arch_attn {
    ARCH_ATTN_GQA,
    ARCH_ATTN_MLA /* latent: keys and values from one vector of a token (plan_mla.c) */
};

enum arch_ffn {
    ARCH_FFN_DENSE,
    ARCH_FFN_MOE,   /* every layer */
    ARCH_FFN_EITHER /* experts if the file has an expert count */
};

enum arch_gate {
    ARCH_GATE_SILU,
    ARCH_GATE_GELU, /* its approximation with tanh */
    ARCH_GATE_OAI   /* SwiGLU of gpt-oss: clamped, and up + 1 */
};

/* An expert that every token visits, beside the chosen ones. */
enum arch_shared {
    ARCH_SHARED_NONE,
    ARCH_SHARED_PLAIN,
    ARCH_SHARED_GATED /* its output times sigmoid(w norm(x)) */
};

struct arch {
    const char *name;   /* general.architecture */
    const char *models; /* for people */
    enum arch_rope rope;
    enum arch_attn attn;
    enum arch_ffn ffn;
    enum arch_gate gate;   /* of the feed-forward block */
    bool qk_norm;          /* RMS norm of each head of q and k before rope; its tensors are required */
    bool experts_sum_to_1; /* weights of the chosen experts are divided by their sum, unless the file says */
    bool softmax_chosen;   /* the router's softmax is over the logits of the chosen experts alone */
    bool expert_biases;    /* of the router and of every expert; tensors required */
    bool sinks;            /* a logit of each head to which no key belongs; tensors required */
    bool expert_groups;    /* experts may be in groups, of which some are chosen first */
    enum arch_shared shared;
    bool gate_in_up;      /* ffn_up holds the rows of the gate, then those of up */
    bool long_rope;       /* rope factors for long and short contexts (plan_rope.c) */
    bool post_norms;      /* RMS norm of what attention and ffn add to the stream; tensors required */
    bool embd_scale;      /* embeddings times sqrt(n_embd) */
    bool yarn_exact;      /* the range of pairs that YaRN blends is not rounded to whole ones */
    const char *ffn_norm; /* its tensor; NULL: ffn_norm.weight */

    /* Soft caps: cap * tanh(x / cap).  Keys of the file are read if `softcaps`; these where it has none. */
    bool softcaps;
    float attn_softcap, logit_softcap; /* 0: none */

    /* Sliding windows: keys of the file are read if there is a period; layers with
     * il % window_period < window_period - 1 see only the last keys. */
    uint32_t window_period;
    uint32_t window;        /* where the file has none; 0: no windows then */
    float window_rope_base; /* of these layers, without scaling; 0: rope as in the others */

    /* The number of layers that tells the model whose scores are divided by sqrt(n_embd / n_heads)
     * instead of sqrt(head_dim); 0: there is none. */
    uint32_t wide_scale_layers;
};

/* By general.architecture, or NULL. */
const struct arch *arch_find(struct str name);
/* "llama, qwen2, ..." */
void arch_list(char *text, size_t cap);

extern const struct arch arch_deepseek2, arch_gemma, arch_gemma2, arch_gemma3, arch_gpt_oss, arch_llama,
    arch_phi3, arch_qwen2, arch_qwen2moe, arch_qwen3, arch_qwen3moe;

#endif
