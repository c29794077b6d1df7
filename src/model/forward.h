/* forward.h - One step of a model: the layer loop. */
#ifndef MODEL_FORWARD_H
#define MODEL_FORWARD_H

#include "model/backend.h"

int forward_step(const struct backend_ops *ops, struct backend *b, const struct plan *plan,
                 const struct model_batch *batch, struct err *err);

#endif
