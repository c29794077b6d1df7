/* forward.c - The layer loop of a decoder-only transformer, for all architectures.
 *
 *     x = embed(token)
 *     for each layer:   x += Wo attention(rope(Wq n), rope(Wk n), Wv n),   n = norm(x)
 *                       x += ffn(norm(x)),   dense or a mixture of experts
 *     logits = Whead norm(x)
 *
 * What each operation means is said in backend.h; how a processor does it, in cpu_*.c. */
#include "model/forward.h"

int forward_step(const struct backend_ops *ops, struct backend *b, const struct plan *plan,
                 const struct model_batch *batch, struct err *err)
{
    ops->step_begin(b, batch);
    ops->embed(b);
    for (uint32_t layer = 0; layer < plan->n_layers; layer++) {
        if (plan->arch->attn == ARCH_ATTN_MLA) {
            ops->mla_in(b, layer);
            ops->attn(b, layer);
            ops->mla_out(b, layer);
        } else {
            ops->attn_in(b, layer);
            ops->attn(b, layer);
            ops->attn_out(b, layer);
        }
        if (plan->layers[layer].router) {
            ops->moe(b, layer);
        } else {
            ops->ffn_in(b, layer);
            ops->ffn_out(b, layer);
        }
    }
    ops->head(b);
    return ops->step_submit(b, err);
}
