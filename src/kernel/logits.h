/* logits.h - Passes over a row of logits: what sampling needs of a large vocabulary.
 *
 * One implementation (logits_impl.h), compiled once per instruction-set level.  Sums run in a fixed
 * order over LOGITS_LANES lanes and no fused multiply-add is used, so all levels give the same
 * bits.  A row may have any length and alignment.  Not a number and -inf count as "not there". */
#ifndef KERNEL_LOGITS_H
#define KERNEL_LOGITS_H

#include <stdint.h>

#define LOGITS_LANES 16
#define LOGITS_BLOCK 64 /* elements that share one entry of a block array */
#define LOGITS_RUN   1024
#define LOGITS_CUTS  4

static inline int32_t logits_n_blocks(int32_t n)
{
    return (n + LOGITS_BLOCK - 1) / LOGITS_BLOCK;
}

struct logits_ops {
    /* block_max[b] = the largest of each block (-inf if there is none); returns the largest of all. */
    float (*block_max)(const float *x, int32_t n, float *block_max);

    /* e[i] = exp((x[i] - max) * scale), exactly 0 below about e^-86; block_sum[b] = the sum of each
     * block; returns the sum of all.  x[i] <= max, scale > 0. */
    double (*exp_sum)(const float *x, int32_t n, float max, float scale, float *e, double *block_sum);

    /* mass[j] = sum of the e[i] >= cut[j], and count[j] their number.  The sum runs in LOGITS_LANES lanes
     * over LOGITS_RUN elements at a time, so it may differ from the others in its last digits. */
    void (*mass_above)(const float *e, int32_t n, const float cut[LOGITS_CUTS], double mass[LOGITS_CUTS],
                       int32_t count[LOGITS_CUTS]);

    /* ids[] = the i with low <= e[i] < high, ascending; their number, or -1 if there are more than ids_max.
     * ids has room for LOGITS_BLOCK more. */
    int32_t (*between)(const float *e, int32_t n, float low, float high, int32_t *ids, int32_t ids_max);

    /* block_sum[b] = sum of the e[i] >= cut of each block; returns the sum of all. */
    double (*block_mass)(const float *e, int32_t n, float cut, double *block_sum);
};

extern const struct logits_ops logits_ops_plain;
#if defined(__x86_64__)
extern const struct logits_ops logits_ops_avx2;
extern const struct logits_ops logits_ops_avx512;
#endif

/* The passes for a level as model_isa names it ("avx512", "avx2", "avxvnni"; anything else is the plain C).
 */
const struct logits_ops *logits_ops_for(const char *isa);

/* The same function as in exp_sum, for one number x <= 0. */
float logits_exp(float x);

#endif
