/* face_bench_int.h - What the parts of sluice_bench share. */
#ifndef ENGINE_FACE_BENCH_INT_H
#define ENGINE_FACE_BENCH_INT_H

#include "base/json.h"
#include "engine/face_context.h"

#define BENCH_REPETITIONS_MAX 1000
#define BENCH_STREAMS_MAX     256

struct bench {
    struct sluice_context *ctx;
    struct sluice_bench_options o;
    int32_t *tokens;
    uint64_t n_prompts; /* every prompt is a new one, so that none is cached */
};

struct bench_spread {
    double median, min, max, stddev;
};
/* Of v[n], which is sorted. */
struct bench_spread bench_spread_of(double *v, int n);
/* "name": {median, min, max, stddev} */
void bench_put_spread(struct json_writer *w, const char *name, struct bench_spread s);

/* face_bench_draft.c: what guessing is worth, as the object "draft". */
int bench_drafts(struct bench *b, struct json_writer *w, struct err *err);

#endif
