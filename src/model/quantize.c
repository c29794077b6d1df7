/* quantize.c - See quantize.h.
 *
 * A tensor is cut into pieces of whole rows; the team's workers read, dequantise, quantise and
 * write pieces on their own, each with scratch memory of its own, so that nothing large is ever
 * held.  The first error stops the rest. */
#include "model/quantize.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/sys.h"
#include "base/team.h"
#include "kernel/quant.h"
#include "model/gguf_write.h"
#include "model/quant_mix.h"

#define PIECE_ELEMS  (1u << 18) /* or one row, where that is longer */
#define BATCH_PIECES 64         /* between two calls of progress */

struct scratch {
    void *in, *out;
    float *x;
    size_t elems_cap;
};

struct job {
    const struct gguf *g;
    struct gguf_writer *w;
    struct scratch *scratch; /* one per worker */
    const struct gguf_tensor *t;
    uint32_t tensor_idx;
    const struct quant_info *to;
    uint64_t rows, rows_per_piece, first_piece;
    uint64_t out_row_bytes;
    _Atomic bool failed;
    pthread_mutex_t lock; /* of err */
    struct err err;
};

static void remember(struct job *j, const struct err *e)
{
    pthread_mutex_lock(&j->lock);
    if (!j->failed) {
        j->err = *e;
        j->failed = true;
    }
    pthread_mutex_unlock(&j->lock);
}

static int grow(struct scratch *s, size_t elems, struct err *err)
{
    if (elems <= s->elems_cap)
        return OK;
    free(s->in);
    free(s->out);
    free(s->x);
    *s = (struct scratch){.in = malloc(elems * 8), .out = malloc(elems * 8)};
    s->x = malloc(elems * sizeof *s->x);
    if (!s->in || !s->out || !s->x)
        return fail(err, ERR_NOMEM, "no memory for rows of %zu elements", elems);
    s->elems_cap = elems;
    return OK;
}

/* Block types have no way to say "not a number", and one such value would spoil its block. */
static int check_finite(const struct job *j, const float *x, uint64_t first, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return fail(err, ERR_FORMAT, "element %llu of tensor '%.*s' is %g and cannot be quantised",
                        (unsigned long long)first + i, STR(j->t->name), (double)x[i]);
    return OK;
}

static int do_piece(struct job *j, uint64_t piece, struct scratch *s, struct err *err)
{
    const struct gguf_tensor *t = j->t;
    uint64_t row = piece * j->rows_per_piece, n = j->rows - row;
    if (n > j->rows_per_piece)
        n = j->rows_per_piece;
    size_t elems = (size_t)(n * t->ne[0]), in_bytes = (size_t)(n * t->row_bytes);
    int rc = grow(s, elems, err);
    if (rc == OK)
        rc = gguf_read(j->g, t->part, t->offset + row * t->row_bytes, s->in, in_bytes, err);
    if (rc != OK)
        return rc;
    if (!j->to) /* the type stays */
        return gguf_write_data(j->w, j->tensor_idx, row * t->row_bytes, s->in, in_bytes, err);
    quant_info(t->type)->dequantize(s->x, s->in, elems);
    if (j->to->block_elems > 1)
        rc = check_finite(j, s->x, row * t->ne[0], elems, err);
    if (rc != OK)
        return rc;
    j->to->quantize(s->out, s->x, elems, NULL);
    return gguf_write_data(j->w, j->tensor_idx, row * j->out_row_bytes, s->out,
                           (size_t)(n * j->out_row_bytes), err);
}

static void work(void *arg, int begin, int end, int worker)
{
    struct job *j = arg;
    for (int i = begin; i < end && !j->failed; i++) {
        struct err err;
        if (do_piece(j, j->first_piece + (uint64_t)i, &j->scratch[worker], &err) != OK)
            remember(j, &err);
    }
}

struct progress {
    const struct quantize_options *o;
    uint64_t done, total;
};

static int do_tensor(struct job *j, struct team *team, struct progress *p, struct err *err)
{
    const struct gguf_tensor *t = j->t;
    j->rows = t->n_elems / t->ne[0];
    j->rows_per_piece = PIECE_ELEMS / t->ne[0] ? PIECE_ELEMS / t->ne[0] : 1;
    uint64_t n_pieces = (j->rows + j->rows_per_piece - 1) / j->rows_per_piece;
    for (j->first_piece = 0; j->first_piece < n_pieces; j->first_piece += BATCH_PIECES) {
        uint64_t left = n_pieces - j->first_piece;
        uint64_t done = p->done + (uint64_t)((double)t->n_bytes * (double)j->first_piece / (double)n_pieces);
        if (p->o->progress && !p->o->progress(p->o->progress_user, done, p->total))
            return fail(err, ERR_CANCELLED, "stopped");
        team_run(team, work, j, left < BATCH_PIECES ? (int)left : BATCH_PIECES, 1);
        if (j->failed)
            return fail(err, j->err.code, "%s", j->err.text);
    }
    p->done += t->n_bytes;
    return OK;
}

/* Keys that describe the file rather than the model are made anew. */
static bool is_of_the_file(struct str key)
{
    return str_eq(key, S("general.file_type")) || str_eq(key, S("general.quantization_version")) ||
           str_eq(key, S("general.alignment")) || str_starts(key, S("split."));
}

static void write_keys(struct gguf_writer *w, const struct gguf *g, const struct quant_mix *mix)
{
    for (uint32_t i = 0; i < gguf_n_keys(g); i++)
        if (!is_of_the_file(gguf_key_at(g, i)->key))
            gguf_write_kv(w, gguf_key_at(g, i));
    gguf_write_u32(w, "general.file_type", quant_mix_file_type(mix));
    gguf_write_u32(w, "general.quantization_version", 2);
}

static int run(struct job *j, const struct quant_mix *mix, const char *out, struct team *team,
               const struct quantize_options *o, struct err *err)
{
    struct quant_mix_model model;
    struct progress p = {.o = o};
    int rc = quant_mix_model_init(&model, j->g, err);
    if (rc != OK)
        return rc;
    write_keys(j->w, j->g, mix);
    for (uint32_t i = 0; i < gguf_n_tensors(j->g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(j->g, i);
        gguf_write_tensor(j->w, t->name, quant_mix_type(mix, &model, t), t->n_dims, t->ne);
        p.total += t->n_bytes;
    }
    rc = gguf_write_begin(j->w, out, err);
    for (uint32_t i = 0; rc == OK && i < gguf_n_tensors(j->g); i++) {
        j->t = gguf_tensor_at(j->g, i);
        j->tensor_idx = i;
        uint32_t type = quant_mix_type(mix, &model, j->t);
        j->to = type == j->t->type ? NULL : quant_info(type);
        quant_row_bytes(type, j->t->ne[0], &j->out_row_bytes);
        rc = do_tensor(j, team, &p, err);
    }
    if (rc == OK)
        rc = gguf_write_commit(j->w, err);
    if (rc == OK && o->progress)
        o->progress(o->progress_user, p.total, p.total);
    return rc;
}

static const struct quant_mix *find_mix(const char *type, struct err *err)
{
    const struct quant_mix *mix = quant_mix_find(type);
    if (!mix) {
        struct buf names;
        buf_init(&names, 4096);
        quant_mix_names(&names);
        fail(err, ERR_ARG, "'%s' is no type to quantise to; there are: %s", type, buf_z(&names));
        buf_deinit(&names);
    }
    return mix;
}

int quantize_file(const char *in, const char *out, const char *type, const struct quantize_options *o,
                  struct err *err)
{
    const struct quantize_options none = {0};
    struct gguf *g = NULL;
    struct team *team = NULL;
    struct job *j = NULL;
    int n_workers = 0;
    const struct quant_mix *mix = find_mix(type, err);
    if (!mix)
        return ERR_ARG;
    o = o ? o : &none;
    int rc = gguf_open(&g, in, err);
    if (rc == OK)
        rc = team_create(&team, o->n_threads, err);
    if (rc != OK)
        goto out;
    n_workers = team_size(team);
    j = calloc(1, sizeof *j);
    if (j)
        j->scratch = calloc((size_t)n_workers, sizeof *j->scratch);
    if (j)
        j->w = gguf_writer_create();
    if (!j || !j->scratch || !j->w) {
        rc = fail(err, ERR_NOMEM, "no memory to quantise a model");
        goto out;
    }
    j->g = g;
    pthread_mutex_init(&j->lock, NULL);
    team_lease(team);
    rc = run(j, mix, out, team, o, err);
    team_release(team);
    pthread_mutex_destroy(&j->lock);
out:
    for (int i = 0; j && j->scratch && i < n_workers; i++) {
        free(j->scratch[i].in);
        free(j->scratch[i].out);
        free(j->scratch[i].x);
    }
    if (j) {
        free(j->scratch);
        gguf_writer_free(j->w);
    }
    free(j);
    team_free(team);
    gguf_close(g);
    return rc;
}
