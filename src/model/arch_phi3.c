/* arch_phi3.c - Phi 3, 3.5 and 4.
 *
 * q, k and v lie in one tensor, and gate and up in another; Phi 4 mini ties the head and rotates only
 * part of a head.  The long-context ones have two sets of rope factors.  The sliding window that some
 * of the files name is not applied, as in llama.cpp. */
#include "model/arch.h"

const struct arch arch_phi3 = {
    .name = "phi3",
    .models = "Phi-3, Phi-3.5, Phi-4",
    .rope = ARCH_ROPE_NEOX,
    .ffn = ARCH_FFN_DENSE,
    .gate_in_up = true,
    .long_rope = true,
};
