/* face_model.c - Opening models: file, vocabulary, template, weights, KV pool. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/face_int.h"
#include "engine/face_vocab.h"
#include "engine/sched.h"

#define CONTEXT_DEFAULT_MAX 32768
#define CONTEXT_MIN         16
#define BATCH_DEFAULT       32
#define OUTPUTS_MIN         64
#define PAGE_TOKENS         32
/* The default pool: four sequences of full length, but no more than 1 GiB unless one needs it, and at
 * most a quarter of the free memory.  It is touched when the model is opened, so a large one
 * would make every start slow. */
#define POOL_SEQUENCES    4
#define POOL_BYTES        ((uint64_t)1 << 30)
#define SEQUENCE_BYTES    ((uint64_t)2 << 30) /* of one sequence, where no context was asked for */
#define POOL_MEMORY_SHARE 4

SLUICE_API const char *sluice_version(void)
{
    return SLUICE_VERSION;
}

SLUICE_API void sluice_free(void *p)
{
    free(p);
}

/* ---- sizes ---- */

struct sizes {
    uint32_t n_ctx, n_pages;
};

static uint64_t default_context(const struct model_facts *f)
{
    uint64_t n = f->n_ctx_train < CONTEXT_DEFAULT_MAX ? f->n_ctx_train : CONTEXT_DEFAULT_MAX;
    uint64_t most = SEQUENCE_BYTES / f->kv_token_bytes;
    n = n < most ? n : most;
    return n > CONTEXT_MIN ? n : CONTEXT_MIN;
}

static int choose_sizes(struct sizes *s, const struct sluice_model_options *o, const struct model_facts *f,
                        struct err *err)
{
    uint64_t page_bytes = f->kv_token_bytes * PAGE_TOKENS;
    uint64_t wanted = o->context > 0 ? (uint64_t)o->context : default_context(f);
    uint64_t seq_pages = (wanted + PAGE_TOKENS - 1) / PAGE_TOKENS, n_pages;

    if (o->context < 0 || (o->context > 0 && o->context < CONTEXT_MIN))
        return fail(err, ERR_ARG, "context is %d; at least %d tokens are needed", o->context, CONTEXT_MIN);
    if (o->kv_bytes > 0) {
        n_pages = o->kv_bytes / page_bytes;
        if (n_pages == 0)
            return fail(err, ERR_ARG, "kv_bytes is %llu; a page of %d tokens of this model needs %llu",
                        (unsigned long long)o->kv_bytes, PAGE_TOKENS, (unsigned long long)page_bytes);
        if (o->context > 0 && n_pages < seq_pages)
            return fail(err, ERR_ARG, "a context of %d tokens needs %llu bytes of KV pool; kv_bytes is %llu",
                        o->context, (unsigned long long)(seq_pages * page_bytes),
                        (unsigned long long)o->kv_bytes);
    } else {
        uint64_t share = sys_memory_available_bytes() / POOL_MEMORY_SHARE / page_bytes;
        uint64_t usual = POOL_BYTES / page_bytes > seq_pages ? POOL_BYTES / page_bytes : seq_pages;
        n_pages = POOL_SEQUENCES * seq_pages < usual ? POOL_SEQUENCES * seq_pages : usual;
        n_pages = n_pages < share ? n_pages : share;
        if (o->context > 0 && n_pages < seq_pages)
            n_pages = seq_pages; /* asked for by name: try, even if it is much of the memory */
        if (n_pages == 0)
            n_pages = 1;
    }
    n_pages = n_pages < 1u << 24 ? n_pages : 1u << 24;
    s->n_pages = (uint32_t)n_pages;
    s->n_ctx = (uint32_t)(n_pages < seq_pages ? n_pages * PAGE_TOKENS : wanted);
    return OK;
}

/* ---- parts ---- */

/* Threads above the cores take turns on them, and every loop waits for all: 8 on 2 cores decode a small model
 * at two thirds of the speed of 2. */
static int useful_threads(int asked)
{
    int n_cpus = sys_n_cpus();
    return asked > 0 && asked < n_cpus ? asked : n_cpus;
}

/* The weights, without what the words have to do with them. */
static int load_weights(struct sluice_model *m, const struct sluice_model_options *o, struct err *err)
{
    struct sizes sizes = {0};
    enum kv_type kv_type = KV_I16;
    int rc = o->kv_type ? kv_type_by_name(str_c(o->kv_type), &kv_type) : OK;

    if (rc != OK)
        return fail(err, ERR_ARG, "kv_type '%s' is unknown; there are i16, f16, bf16 and q8_0", o->kv_type);
    m->max_batch = o->max_batch ? o->max_batch : BATCH_DEFAULT;
    if (m->max_batch < 1 || m->max_batch > SCHED_BATCH_MAX)
        return fail(err, ERR_ARG, "max_batch is %d; it must be between 1 and %d", m->max_batch,
                    SCHED_BATCH_MAX);
    if ((rc = model_describe(m->gguf, kv_type, &m->facts, err)) != OK ||
        (rc = choose_sizes(&sizes, o, &m->facts, err)) != OK ||
        (rc = team_create(&m->team, useful_threads(o->threads), err)) != OK)
        return rc;
    struct model_options mo = {
        .team = m->team,
        .isa = o->isa,
        .kv_type = kv_type,
        .n_ctx = sizes.n_ctx,
        .page_tokens = PAGE_TOKENS,
        .n_pages = sizes.n_pages,
        .outputs_max = (uint32_t)(m->max_batch > OUTPUTS_MIN ? m->max_batch : OUTPUTS_MIN),
        .hidden_max = m->facts.pooling == MODEL_POOL_MEAN ? MODEL_ROWS_MAX : 0, /* every row may want it */
    };
    rc = model_open(&m->model, m->gguf, &mo, err);
    if (rc == OK)
        m->facts = *model_facts(m->model);
    return rc;
}

static bool has_token(void *ctx, struct str text)
{
    return tokenizer_find(ctx, text) != TOKEN_NONE;
}

static int load_template(struct sluice_model *m, struct err *err)
{
    struct str source = {NULL, 0};
    int rc = gguf_opt_str(m->gguf, "tokenizer.chat_template", &source, err);
    if (rc != OK)
        return rc;
    m->has_own_template = source.n > 0;
    if (source.n == 0)
        source = template_builtin(template_builtin_for(has_token, m->tokenizer));
    struct err why;
    rc = template_compile(&m->chat_template, source, &why);
    if (rc != OK) { /* the model still completes text; chat calls say why they cannot be served */
        m->chat_template = NULL;
        m->template_error = str_dup_z(str_c(why.text));
    }
    return OK;
}

static void load_name(struct sluice_model *m)
{
    struct str name = {NULL, 0}, arch = {NULL, 0};
    gguf_opt_str(m->gguf, "general.name", &name, NULL);
    gguf_opt_str(m->gguf, "general.architecture", &arch, NULL);
    m->architecture = str_dup_z(arch);
    m->name = str_dup_z(name.n > 0 ? name : arch);
}

static int load_words(struct sluice_model *m, struct err *err)
{
    int rc = face_vocab_read(&m->tokenizer, m->gguf, err);
    return rc == OK ? load_template(m, err) : rc;
}

/* ---- open and close ---- */

/* The words of a large vocabulary take a tenth of a second of one core, which the weights' reading leaves. */
struct words_job {
    struct sluice_model *m;
    struct err err;
    int rc;
};

static void *words_main(void *arg)
{
    struct words_job *job = arg;
    job->rc = load_words(job->m, &job->err);
    return NULL;
}

static int open_parts(struct sluice_model *m, const struct sluice_model_options *o, struct err *err)
{
    load_name(m);
    if (!m->name || !m->architecture)
        return FACE_OUT_OF_MEMORY(err);
    if (o->vocab_only)
        return load_words(m, err);
    struct words_job job = {.m = m};
    pthread_t thread;
    bool has_thread = sys_start_thread(&thread, words_main, &job) == 0;
    if (!has_thread)
        words_main(&job);
    struct err weights_err = {0};
    int rc = has_thread || job.rc == OK ? load_weights(m, o, &weights_err) : OK;
    if (has_thread)
        pthread_join(thread, NULL);
    if (job.rc != OK || rc != OK) {
        if (err)
            *err = job.rc != OK ? job.err : weights_err;
        return job.rc != OK ? job.rc : rc;
    }
    if (m->facts.n_vocab < (uint32_t)tokenizer_n_vocab(m->tokenizer))
        return fail(err, ERR_FORMAT, "the tokenizer has %d tokens, the model's weights only %u",
                    tokenizer_n_vocab(m->tokenizer), m->facts.n_vocab);
    return OK;
}

static int open_model(const char *path, const void *gguf, size_t gguf_bytes,
                      const struct sluice_model_options *options, struct sluice_model **model,
                      struct err *err)
{
    struct sluice_model_options o;
    int rc;

    sluice_model_options_init(&o, sizeof o);
    if (options && (rc = face_copy_options(&o, sizeof o, options, options->struct_bytes,
                                           "sluice_model_options", err)) != OK)
        return rc;
    struct sluice_model *m = calloc(1, sizeof *m);
    if (!m)
        return FACE_OUT_OF_MEMORY(err);
    m->pid = getpid();
    pthread_mutex_init(&m->vocab_lock, NULL);
    grammar_cache_init(&m->grammars);
    rc = path ? gguf_open(&m->gguf, path, err) : gguf_open_memory(&m->gguf, gguf, gguf_bytes, err);
    if (rc == OK)
        rc = open_parts(m, &o, err);
    if (rc != OK) {
        sluice_model_free(m);
        return rc;
    }
    *model = m;
    return OK;
}

SLUICE_API int sluice_model_open(const char *path, const struct sluice_model_options *o,
                                 struct sluice_model **model, struct sluice_error *err)
{
    if (!path)
        return fail(face_err(err), ERR_ARG, "no path was given");
    return open_model(path, NULL, 0, o, model, face_err(err));
}

SLUICE_API int sluice_model_open_memory(const void *gguf, size_t gguf_bytes,
                                        const struct sluice_model_options *o, struct sluice_model **model,
                                        struct sluice_error *err)
{
    if (!gguf)
        return fail(face_err(err), ERR_ARG, "no model was given");
    return open_model(NULL, gguf, gguf_bytes, o, model, face_err(err));
}

SLUICE_API void sluice_model_free(struct sluice_model *m)
{
    if (!m)
        return;
    if (m->pid == getpid()) { /* a forked child has no workers to stop */
        model_close(m->model);
        team_free(m->team);
    }
    grammar_cache_deinit(&m->grammars);
    grammar_vocab_free(m->grammar_vocab);
    pthread_mutex_destroy(&m->vocab_lock);
    template_free(m->chat_template);
    tokenizer_free(m->tokenizer);
    gguf_close(m->gguf);
    free(m->template_error);
    free(m->architecture);
    free(m->name);
    free(m);
}

SLUICE_API void sluice_model_get_info(const struct sluice_model *m, struct sluice_model_info *info,
                                      size_t struct_bytes)
{
    uint32_t trained = m->facts.n_ctx_train;
    struct gguf_arch_key key;
    gguf_opt_u32(m->gguf, gguf_arch_key(&key, m->gguf, "context_length"), &trained, NULL);
    struct sluice_model_info i = {
        .struct_bytes = struct_bytes,
        .name = m->name,
        .architecture = m->architecture,
        .isa = m->model ? model_isa(m->model) : "",
        .threads = m->team ? team_size(m->team) : 0,
        .n_vocab = tokenizer_n_vocab(m->tokenizer),
        .context_trained = (int32_t)trained,
        .context = m->model ? (int32_t)model_n_ctx(m->model) : 0,
        .n_params = m->facts.n_params,
        .file_bytes = m->facts.file_bytes,
        .has_weights = m->model != NULL,
        .has_chat_template = m->has_own_template && m->chat_template,
        .has_infill = tokenizer_role(m->tokenizer, ROLE_FIM_PRE) >= 0 &&
                      tokenizer_role(m->tokenizer, ROLE_FIM_SUF) >= 0 &&
                      tokenizer_role(m->tokenizer, ROLE_FIM_MID) >= 0,
        .has_tool_format = face_tool_format(m)->shape != TOOLCALL_NONE,
        .bos = tokenizer_role(m->tokenizer, ROLE_BOS),
        .eos = tokenizer_role(m->tokenizer, ROLE_EOS),
        .n_embd = (int32_t)m->facts.n_embd,
    };
    memcpy(info, &i, struct_bytes < sizeof i ? struct_bytes : sizeof i);
}
