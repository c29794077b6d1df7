/* plan_int.h - What the files that make a plan share. */
#ifndef MODEL_PLAN_INT_H
#define MODEL_PLAN_INT_H

#include "model/plan.h"

/* plan.c: the value of key ARCHITECTURE.suffix, unchanged if it is not there and not required; ERR_FORMAT
 * unless lo <= v <= hi. */
int plan_key_u32(const struct gguf *g, const char *suffix, uint32_t *v, uint32_t lo, uint32_t hi,
                 bool required, struct err *err);
int plan_key_f32(const struct gguf *g, const char *suffix, float *v, float lo, float hi, bool required,
                 struct err *err);

/* ERR_UNSUPPORTED, with `what`, if the key is there and asks for something. */
int plan_key_refuse(const struct gguf *g, const char *suffix, const char *what, struct err *err);

/* plan_attn.c: scale, soft caps and the layers' windows.  Layers are there. */
int plan_attn_init(struct plan *p, const struct gguf *g, struct err *err);

/* plan_rope.c: ropes and the layers' choice.  Windows are known. */
int plan_rope_init(struct plan *p, const struct gguf *g, uint32_t n_ctx, struct err *err);

#endif
