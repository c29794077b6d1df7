/* ffn_moe.c - Mixture of experts: x += sum over the chosen experts of weight * ffn(norm(x)).
 *
 *   p = softmax or sigmoid(router norm(x)); the k largest of p + bias, of all experts or of those in the
 *   best groups, ties to the lower id; weights p (divided by their sum where the model does so) times
 *   expert_scale.  Or p = router norm(x), and weights the softmax of the chosen ones
 *
 * A slot is one (row, choice) pair.  Slots are sorted by expert, so that an expert's weights are
 * read once for all its rows; each slot has its own output, and a row's outputs are added in the
 * order of its choices, whoever computed them when.  The shared expert, where there is one, is computed
 * for all rows in the same loops, behind the chosen ones, and added last. */
#include <math.h>
#include <string.h>

#include "model/cpu_int.h"

/* --- choosing -------------------------------------------------------------------------------- */

/* The largest of x, the first of equals; only what is above -infinity, else `fallback`. */
static int largest(const float *x, int n, int fallback)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (x[i] > -INFINITY && (best < 0 || x[i] > x[best]))
            best = i;
    return best < 0 ? fallback : best;
}

/* DeepSeek V2 values a group by its best expert, V3 by the sum of its best two. */
static float group_value(const float *score, int n, bool two)
{
    int first = largest(score, n, 0);
    float second = -INFINITY;
    for (int i = 0; i < n; i++)
        if (i != first && score[i] > second)
            second = score[i];
    return two && n > 1 ? score[first] + second : score[first];
}

/* Scores of experts outside the chosen groups become -infinity.  `value`: room for all groups. */
static void keep_groups(const struct plan *p, float *score, float *value)
{
    int n = (int)(p->n_experts / p->n_groups), groups = (int)p->n_groups;
    for (int i = 0; i < groups; i++)
        value[i] = group_value(score + i * n, n, p->router_is_sigmoid);
    for (uint32_t k = 0; k < p->n_groups_used; k++) {
        int best = largest(value, groups, (int)k);
        value[best] = -INFINITY; /* chosen: marked by what no value is */
    }
    for (int i = 0; i < groups; i++)
        for (int e = 0; value[i] > -INFINITY && e < n; e++)
            score[i * n + e] = -INFINITY;
}

/* Experts and weights of a row from its logits; a bias counts for choosing only. */
static void choose(struct backend *b, const struct cpu_layer *l, int row)
{
    const struct plan *p = b->plan;
    int n = (int)p->n_experts, k = (int)p->n_experts_used, *expert = b->slot_expert + row * k;
    size_t stride = (size_t)(n + KERN_STRIP - 1) / KERN_STRIP * KERN_STRIP;
    float *prob = b->router_logits + (size_t)row * stride, *weight = b->slot_weight + row * k;
    float *score = (float *)b->scratch[0], total = 1, sum = 0;
    if (l->router_bias)
        b->ops->add(prob, l->router_bias, n);
    if (p->router_is_sigmoid)
        b->ops->sigmoid(prob, prob, n);
    else if (!p->arch->softmax_chosen)
        total = b->ops->softmax_exp(prob, prob, n);
    for (int e = 0; e < n; e++)
        score[e] = l->expert_bias ? prob[e] / total + l->expert_bias[e] : prob[e];
    if (p->n_groups > 1)
        keep_groups(p, score, score + n);
    for (int i = 0; i < k; i++) { /* logits that are not numbers: any choice, always the same */
        int best = largest(score, n, i);
        expert[i] = best;
        weight[i] = prob[best] / total;
        sum += weight[i];
        score[best] = -INFINITY;
    }
    if (p->arch->softmax_chosen) {
        total = b->ops->softmax_exp(weight, weight, k);
        b->ops->scale(weight, weight, 1 / total, k);
    }
    for (int i = 0; i < k; i++) {
        if (p->experts_sum_to_1)
            weight[i] = weight[i] / (sum > 6.103515625e-5f ? sum : 6.103515625e-5f);
        weight[i] *= p->expert_scale;
    }
}

/* Slots in the order of their experts, each expert's in ascending order. */
static void sort_slots(struct backend *b)
{
    int n = (int)b->plan->n_experts, slots = b->n_rows * (int)b->plan->n_experts_used,
        *start = b->expert_start;
    memset(start, 0, (size_t)(n + 1) * sizeof *start);
    for (int s = 0; s < slots; s++)
        start[b->slot_expert[s] + 1]++;
    for (int e = 0; e < n; e++)
        start[e + 1] += start[e];
    for (int s = 0; s < slots; s++)
        b->expert_slots[start[b->slot_expert[s]]++] = s;
    for (int e = n; e > 0; e--) /* each start has moved to its end */
        start[e] = start[e - 1];
    start[0] = 0;
}

/* --- computing ------------------------------------------------------------------------------- */

struct moe_job {
    struct backend *b;
    const struct cpu_layer *l;
    int per_expert; /* items of one expert */
    int n_chosen;   /* items of all of them; behind these are the shared expert's */
    int *in_rows;   /* row of each sorted slot */
};

static void shared_units(const struct moe_job *j, int begin, int end, int worker)
{
    struct backend *b = j->b;
    struct cpu_gated g = {.gate = &j->l->gate_shared,
                          .up = &j->l->up_shared,
                          .h_act = j->l->down_shared.act,
                          .in = &b->in,
                          .out = &b->mid,
                          .n_pairs = b->n_rows};
    cpu_gated_units(b, &g, begin, end, worker);
}

static const float *bias_of(const float *biases, const struct cpu_matrix *m, int expert)
{
    return biases ? biases + (size_t)expert * (size_t)m->n_out : NULL;
}

/* Items are (expert with work, unit): expert-major, so that a worker stays with one. */
static void gated_items(void *arg, int begin, int end, int worker)
{
    const struct moe_job *j = arg;
    struct backend *b = j->b;
    if (end > j->n_chosen) {
        shared_units(j, begin > j->n_chosen ? begin - j->n_chosen : 0, end - j->n_chosen, worker);
        end = j->n_chosen;
    }
    while (begin < end) {
        int expert = begin / j->per_expert, stop = (expert + 1) * j->per_expert;
        int first = b->expert_start[expert], n = b->expert_start[expert + 1] - first;
        stop = stop < end ? stop : end;
        struct cpu_gated g = {.gate = &j->l->gate,
                              .up = &j->l->up,
                              .gate_bias = bias_of(j->l->gate_bias, &j->l->gate, expert),
                              .up_bias = bias_of(j->l->up_bias, &j->l->up, expert),
                              .h_act = j->l->down.act,
                              .expert = expert,
                              .in = &b->in,
                              .out = &b->slot_h,
                              .in_rows = j->in_rows + first,
                              .out_rows = b->expert_slots + first,
                              .n_pairs = n};
        if (n > 0)
            cpu_gated_units(b, &g, begin - expert * j->per_expert, stop - expert * j->per_expert, worker);
        begin = stop;
    }
}

static void down_items(void *arg, int begin, int end, int worker)
{
    const struct moe_job *j = arg;
    struct backend *b = j->b;
    const struct cpu_matrix *m = &j->l->down, *shared = &j->l->down_shared;
    (void)worker;
    if (end > j->n_chosen) {
        int from = begin > j->n_chosen ? begin - j->n_chosen : 0;
        const struct kern_row *pairs = b->pairs + b->n_rows * (int)b->plan->n_experts_used;
        cpu_strips(shared, shared->data, pairs, b->n_rows, from, end - j->n_chosen, false);
        end = j->n_chosen;
    }
    while (begin < end) {
        int expert = begin / j->per_expert, base = expert * j->per_expert;
        int first = b->expert_start[expert], n = b->expert_start[expert + 1] - first;
        int stop = base + j->per_expert < end ? base + j->per_expert : end;
        if (n > 0)
            cpu_strips(m, m->data + (size_t)expert * (size_t)m->n_strips * m->strip_bytes, b->pairs + first,
                       n, begin - base, stop - base, false);
        begin = stop;
    }
}

static void add_rows(void *arg, int begin, int end, int worker)
{
    const struct moe_job *j = arg;
    struct backend *b = j->b;
    bool has_shared = j->l->down_shared.tensor, is_gated = j->l->shared_router.tensor;
    int k = (int)b->plan->n_experts_used, n = (int)b->plan->n_embd;
    float *sum = (float *)b->scratch[worker];
    for (int row = begin; row < end; row++) {
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int i = 0; i < k; i++) {
            int slot = row * k + i;
            const float *bias = bias_of(j->l->down_bias, &j->l->down, b->slot_expert[slot]);
            b->ops->axpy(sum, b->slot_weight[slot], b->slot_out + (size_t)slot * (size_t)n, n);
            if (bias)
                b->ops->axpy(sum, b->slot_weight[slot], bias, n);
        }
        if (has_shared)
            b->ops->axpy(sum, is_gated ? b->shared_weight[row] : 1, b->shared_out + (size_t)row * (size_t)n,
                         n);
        if (j->l->ffn_post_norm)
            b->ops->rmsnorm(sum, sum, j->l->ffn_post_norm, n, b->plan->rms_eps);
        b->ops->add(b->x + (size_t)row * (size_t)n, sum, n);
    }
}

/* The router's logits, and the weight of the shared expert. */
static void route(struct backend *b, const struct cpu_layer *l)
{
    struct cpu_product list[] = {
        {&l->router, b->router_logits, (size_t)l->router.n_strips * KERN_STRIP, false},
        {&l->shared_router, b->shared_weight, 1, false}};
    bool is_gated = l->shared_router.tensor;
    cpu_products(b, list, is_gated ? 2 : 1, &b->in, b->n_rows);
    if (is_gated)
        b->ops->sigmoid(b->shared_weight, b->shared_weight, b->n_rows);
}

static void point_pairs(struct backend *b, const struct cpu_layer *l)
{
    size_t n = b->plan->n_embd;
    int slots = b->n_rows * (int)b->plan->n_experts_used;
    for (int s = 0; s < slots; s++) {
        int slot = b->expert_slots[s];
        b->pairs[s] =
            (struct kern_row){cpu_act_row(&b->slot_h, l->down.act, slot), b->slot_out + (size_t)slot * n};
    }
    for (int row = 0; l->down_shared.tensor && row < b->n_rows; row++)
        b->pairs[slots + row] =
            (struct kern_row){cpu_act_row(&b->mid, l->down_shared.act, row), b->shared_out + (size_t)row * n};
}

static int n_units(const struct cpu_matrix *gate, const struct cpu_matrix *down)
{
    struct cpu_gated shape = {.gate = gate, .h_act = down->act};
    return down->tensor ? cpu_gated_n_units(&shape) : 0;
}

void cpu_moe(struct backend *b, uint32_t layer)
{
    const struct cpu_layer *l = &b->layers[layer];
    int n_experts = (int)b->plan->n_experts, k = (int)b->plan->n_experts_used, slots = b->n_rows * k;
    cpu_norm_quantize(b, &b->in, b->x, l->ffn_norm, (int)b->plan->n_embd, b->n_rows);
    route(b, l);
    for (int row = 0; row < b->n_rows; row++)
        choose(b, l, row);
    sort_slots(b);

    struct moe_job j = {.b = b, .l = l, .in_rows = b->expert_slots + slots};
    for (int s = 0; s < slots; s++)
        j.in_rows[s] = b->expert_slots[s] / k;
    j.per_expert = n_units(&l->gate, &l->down);
    j.n_chosen = n_experts * j.per_expert;
    team_run(b->team, gated_items, &j, j.n_chosen + n_units(&l->gate_shared, &l->down_shared), 1);

    point_pairs(b, l);
    j.per_expert = l->down.n_strips;
    j.n_chosen = n_experts * j.per_expert;
    team_run(b->team, down_items, &j, j.n_chosen + l->down_shared.n_strips, 1);
    team_run(b->team, add_rows, &j, b->n_rows, 1);
}
