/* face_context.h - A context's inside, for face_context.c and face_bench.c. */
#ifndef ENGINE_FACE_CONTEXT_H
#define ENGINE_FACE_CONTEXT_H

#include "engine/face_int.h"

struct sluice_context {
    struct sluice_model *model;
    struct sluice_model *draft; /* or NULL */
    struct engine *engine;
};

/* SLUICE_ERR_FORK in a forked child. */
int face_check_alive(const struct sluice_context *ctx, struct err *err);

#endif
