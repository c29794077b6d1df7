/* ffn_dense.c - The gated feed-forward block: x += Wd (gate(Wg n) * (Wu n)), n = norm(x); gate is SiLU or
 * GELU, and what is added is normalised before where the architecture says so.
 *
 * One worker computes the same outputs of gate and up, multiplies them, and quantises the product
 * at once: a unit is a whole block of the activations that Wd wants (32 or 256), so nobody has to
 * wait for a whole row.  Neighbouring units are taken together up to OUTPUTS_MAX outputs: going from gate to
 * up and the arithmetic between them cost as much for few outputs as for many. The same code serves one
 * expert of a mixture (ffn_moe.c). */
#include <assert.h>

#include "model/cpu_int.h"

enum { PORTION_PAIRS = 64, OUTPUTS_MAX = 256 };

static enum kern_gate kern_gate_of(enum arch_gate gate)
{
    static const enum kern_gate of[] = {[ARCH_GATE_SILU] = KERN_GATE_SILU,
                                        [ARCH_GATE_GELU] = KERN_GATE_GELU,
                                        [ARCH_GATE_OAI] = KERN_GATE_OAI};
    return of[gate];
}

static int unit_outputs(enum quant_act act)
{
    return cpu_act_block(act);
}

int cpu_gated_n_units(const struct cpu_gated *g)
{
    int unit = unit_outputs(g->h_act);
    return (g->gate->n_out + unit - 1) / unit;
}

size_t cpu_ffn_scratch_bytes(const struct backend *b)
{
    (void)b;
    return (size_t)PORTION_PAIRS * (2 * OUTPUTS_MAX * sizeof(float) + 2 * sizeof(struct kern_row));
}

/* Scratch of a worker: gate and up of a portion of rows, and the kernels' arguments. */
struct gated_scratch {
    float *gate, *up; /* [PORTION_PAIRS][OUTPUTS_MAX] */
    struct kern_row *gate_pairs, *up_pairs;
};

static struct gated_scratch lay_out(uint8_t *p)
{
    struct gated_scratch s;
    s.gate = (float *)p;
    s.up = s.gate + PORTION_PAIRS * OUTPUTS_MAX;
    s.gate_pairs = (struct kern_row *)(s.up + PORTION_PAIRS * OUTPUTS_MAX);
    s.up_pairs = s.gate_pairs + PORTION_PAIRS;
    return s;
}

/* n_units units (at most OUTPUTS_MAX outputs) from `unit` on for one portion of rows. */
static void gated_outputs(struct backend *b, const struct cpu_gated *g, const struct gated_scratch *s,
                          int unit, int n_units, int first, int n)
{
    int width = n_units * unit_outputs(g->h_act), out0 = unit * unit_outputs(g->h_act);
    int valid = g->gate->n_out - out0 < width ? g->gate->n_out - out0 : width;
    kern_gate_mul *gate_mul = b->ops->gate_mul[kern_gate_of(b->plan->arch->gate)];
    int strip0 = out0 / KERN_STRIP, n_strips = (valid + KERN_STRIP - 1) / KERN_STRIP;
    const uint8_t *gate = g->gate->data + ((size_t)g->expert * (size_t)g->gate->n_strips + (size_t)strip0) *
                                              g->gate->strip_bytes;
    const uint8_t *up =
        g->up->data + ((size_t)g->expert * (size_t)g->up->n_strips + (size_t)strip0) * g->up->strip_bytes;
    cpu_strips(g->gate, gate, s->gate_pairs, n, 0, n_strips, false);
    cpu_strips(g->up, up, s->up_pairs, n, 0, n_strips, false);
    for (int i = 0; i < n; i++) {
        float *h = s->gate + i * OUTPUTS_MAX;
        int row = g->out_rows ? g->out_rows[first + i] : first + i;
        uint8_t *to = g->out->rows[g->h_act] + (size_t)row * g->out->stride[g->h_act];
        if (g->gate_bias)
            b->ops->add(h, g->gate_bias + out0, valid);
        if (g->up_bias)
            b->ops->add(s->up + i * OUTPUTS_MAX, g->up_bias + out0, valid);
        gate_mul(h, h, s->up + i * OUTPUTS_MAX, valid);
        b->ops->quantize(g->h_act, to + kern_act_bytes(b->ops, g->h_act, out0), h, valid);
    }
}

void cpu_gated_units(struct backend *b, const struct cpu_gated *g, int begin, int end, int worker)
{
    struct gated_scratch s = lay_out(b->scratch[worker]);
    int together = OUTPUTS_MAX / unit_outputs(g->h_act);
    for (int first = 0; first < g->n_pairs; first += PORTION_PAIRS) {
        int n = g->n_pairs - first < PORTION_PAIRS ? g->n_pairs - first : PORTION_PAIRS;
        for (int i = 0; i < n; i++) {
            int row = g->in_rows ? g->in_rows[first + i] : first + i;
            s.gate_pairs[i] =
                (struct kern_row){cpu_act_row(g->in, g->gate->act, row), s.gate + i * OUTPUTS_MAX};
            s.up_pairs[i] = (struct kern_row){cpu_act_row(g->in, g->up->act, row), s.up + i * OUTPUTS_MAX};
        }
        for (int unit = begin; unit < end; unit += together)
            gated_outputs(b, g, &s, unit, end - unit < together ? end - unit : together, first, n);
    }
}

struct ffn_job {
    struct backend *b;
    struct cpu_gated g;
};

static void ffn_units(void *arg, int begin, int end, int worker)
{
    struct ffn_job *j = arg;
    cpu_gated_units(j->b, &j->g, begin, end, worker);
}

void cpu_ffn_in(struct backend *b, uint32_t layer)
{
    const struct cpu_layer *l = &b->layers[layer];
    cpu_norm_quantize(b, &b->in, b->x, l->ffn_norm, (int)b->plan->n_embd, b->n_rows);
    struct ffn_job j = {b,
                        {.gate = &l->gate,
                         .up = &l->up,
                         .h_act = l->down.act,
                         .in = &b->in,
                         .out = &b->mid,
                         .n_pairs = b->n_rows}};
    cpu_expect(b, &l->down, l->down.n_strips);
    team_run(b->team, ffn_units, &j, cpu_gated_n_units(&j.g), 1);
}

void cpu_ffn_out(struct backend *b, uint32_t layer)
{
    cpu_expect_layer(b, layer + 1);
    cpu_add_branch(b, &b->layers[layer].down, &b->mid, NULL, b->layers[layer].ffn_post_norm);
}
