/* arch_gemma.c - Gemma 1 to 3, text.
 *
 * All: embeddings times sqrt(n_embd), GELU, a tied head; the converter has added 1 to the norms.
 * Gemma 2: norms behind attention and ffn too, soft caps, a window in every other layer from the first
 * on.  Gemma 3: norms of q and k instead of the cap on scores, a window in five layers of six with a
 * rope base of their own.  The 27B models (46 and 62 layers) scale scores by the width of the stream. */
#include "model/arch.h"

const struct arch arch_gemma = {
    .name = "gemma",
    .models = "Gemma, CodeGemma",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_DENSE,
    .gate = ARCH_GATE_GELU,
    .embd_scale = true,
};

const struct arch arch_gemma2 = {
    .name = "gemma2",
    .models = "Gemma 2",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_DENSE,
    .gate = ARCH_GATE_GELU,
    .post_norms = true,
    .embd_scale = true,
    .softcaps = true,
    .attn_softcap = 50,
    .logit_softcap = 30,
    .window_period = 2,
    .window = 4096,
    .wide_scale_layers = 46,
};

const struct arch arch_gemma3 = {
    .name = "gemma3",
    .models = "Gemma 3 (text)",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_DENSE,
    .gate = ARCH_GATE_GELU,
    .qk_norm = true,
    .post_norms = true,
    .embd_scale = true,
    .softcaps = true,
    .window_period = 6,
    .window_rope_base = 10000,
    .wide_scale_layers = 62,
};
