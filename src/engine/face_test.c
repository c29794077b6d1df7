/* face_test.c - The library's door on real (tiny) models: equal tokens, clear refusals, text, chat. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/sys.h"
#include "base/test.h"
#include "engine/fake_test.h"
#include "sluice.h"

#define TINY "tests/golden/models/llama.gguf"
enum { N_PROMPT = 40, N_ANSWER = 24 };

static void must(int rc, const struct sluice_error *err)
{
    if (rc >= 0)
        return;
    test_fail(__FILE__, __LINE__, "%s", err->text);
    test_stop();
}

static struct sluice_model *open_tiny(const char *path, int threads, const char *kv_type, uint64_t kv_bytes)
{
    struct sluice_model_options o;
    struct sluice_model *m;
    struct sluice_error err;
    sluice_model_options_init(&o, sizeof o);
    o.threads = threads;
    o.context = kv_bytes ? 0 : 160;
    o.kv_type = kv_type;
    o.kv_bytes = kv_bytes;
    must(sluice_model_open(path, &o, &m, &err), &err);
    return m;
}

static struct sluice_context *create(struct sluice_model *m)
{
    struct sluice_context *ctx;
    struct sluice_error err;
    must(sluice_context_create(m, NULL, &ctx, &err), &err);
    return ctx;
}

struct said {
    int32_t tokens[N_ANSWER];
    float logprobs[N_ANSWER];
    int n;
    uint64_t cached;
    enum sluice_finish finish;
};

static struct sluice_request question(const struct sluice_model *m, uint64_t seed, int32_t *prompt)
{
    struct sluice_request rq;
    struct sluice_model_info info;
    sluice_model_get_info(m, &info, sizeof info);
    for (int i = 0; i < N_PROMPT; i++)
        prompt[i] = (int32_t)(rand_at(seed / 4, i < 20 ? 0 : seed, (uint64_t)i) % (uint64_t)info.n_vocab);
    sluice_request_init(&rq, sizeof rq);
    rq.tokens = prompt;
    rq.n_tokens = N_PROMPT - seed % 5;
    rq.sampling.has_seed = true;
    rq.sampling.seed = seed;
    rq.sampling.temperature = seed % 3 ? 1 : 0;
    rq.sampling.top_p = seed % 2 ? 0.9f : 1;
    rq.sampling.max_tokens = N_ANSWER;
    rq.sampling.ignore_eos = true;
    rq.sampling.logprobs = 1;
    return rq;
}

static struct said hear(struct sluice_stream *s)
{
    struct sluice_event ev;
    struct sluice_error err;
    struct said a = {.n = 0};
    do {
        must(sluice_stream_next(s, -1, &ev, &err), &err);
        for (size_t i = 0; ev.kind == SLUICE_EVENT_TEXT && i < ev.n_tokens && a.n < N_ANSWER; i++) {
            a.tokens[a.n] = ev.tokens[i].id;
            a.logprobs[a.n++] = ev.tokens[i].logprob;
        }
    } while (ev.kind != SLUICE_EVENT_DONE);
    a.cached = ev.usage.cached_tokens;
    a.finish = ev.finish;
    sluice_stream_free(s);
    return a;
}

static struct said ask(struct sluice_context *ctx, const struct sluice_model *m, uint64_t seed)
{
    int32_t prompt[N_PROMPT];
    struct sluice_request rq = question(m, seed, prompt);
    struct sluice_stream *s;
    struct sluice_error err;
    must(sluice_submit(ctx, &rq, &s, &err), &err);
    return hear(s);
}

static bool same(const struct said *a, const struct said *b)
{
    return a->n == N_ANSWER && b->n == N_ANSWER && !memcmp(a->tokens, b->tokens, sizeof a->tokens) &&
           !memcmp(a->logprobs, b->logprobs, sizeof a->logprobs);
}

/* Alone with one thread; alone, from the cache, among others and preempted with three threads: the
 * same tokens and the same log-probabilities, bit for bit. */
static void check_equal(const char *path, const char *kv_type)
{
    enum { CROWD = 12 };
    struct sluice_model *one = open_tiny(path, 1, kv_type, 0), *three = open_tiny(path, 3, kv_type, 0);
    struct sluice_context *alone = create(one), *crowd = create(three);
    struct said want[CROWD], got;
    struct sluice_stream *s[CROWD];
    struct sluice_stats stats;

    for (uint64_t i = 0; i < CROWD; i++)
        want[i] = ask(alone, one, i);
    sluice_context_free(alone);
    for (uint64_t i = 0; i < CROWD; i++) {
        int32_t prompt[N_PROMPT];
        struct sluice_request rq = question(three, i, prompt);
        must(sluice_submit(crowd, &rq, &s[i], NULL), NULL);
    }
    for (int i = 0; i < CROWD; i++) {
        got = hear(s[i]);
        CHECK(same(&got, &want[i]));
    }
    got = ask(crowd, three, 1);
    CHECK_INT(got.cached, 32);
    CHECK(same(&got, &want[1]));
    must(sluice_context_get_stats(crowd, &stats, sizeof stats), NULL);
    CHECK_INT(stats.n_requests, CROWD + 1);
    CHECK_INT(stats.generated_tokens, (CROWD + 1) * N_ANSWER);
    sluice_context_free(crowd);

    /* A pool for little more than one sequence: the crowd must take turns. */
    /* The pool's memory is whole groups of pages. */
    uint64_t page_bytes = stats.kv_bytes / (((uint64_t)stats.kv_pages + 32 - 1) / 32 * 32);
    struct sluice_model *tight = open_tiny(path, 2, kv_type, page_bytes * 7);
    crowd = create(tight);
    for (uint64_t i = 0; i < CROWD; i++) {
        int32_t prompt[N_PROMPT];
        struct sluice_request rq = question(tight, i, prompt);
        must(sluice_submit(crowd, &rq, &s[i], NULL), NULL);
    }
    for (int i = 0; i < CROWD; i++) {
        got = hear(s[i]);
        CHECK(same(&got, &want[i]));
    }
    must(sluice_context_get_stats(crowd, &stats, sizeof stats), NULL);
    CHECK_INT(stats.kv_pages, 7);
    CHECK_INT(stats.kv_pages_used, 0);
    sluice_context_free(crowd);
    sluice_model_free(one);
    sluice_model_free(three);
    sluice_model_free(tight);
}

TEST(a_real_model_answers_the_same_alone_in_a_crowd_cached_and_with_any_threads)
{
    check_equal(TINY, NULL);
}

TEST(a_model_takes_no_more_threads_than_there_are_cores)
{
    struct sluice_model *m = open_tiny(TINY, 500, NULL, 0);
    struct sluice_model_info info;
    sluice_model_get_info(m, &info, sizeof info);
    CHECK_INT(info.threads, sys_n_cpus());
    sluice_model_free(m);
}

TEST(quantised_and_expert_models_do_too)
{
    check_equal("tests/golden/models/qwen3-q4_k_m.gguf", "q8_0");
    check_equal("tests/golden/models/qwen3moe.gguf", "bf16");
}

/* Shared experts; one KV head for all. */
TEST(models_with_shared_experts_and_latent_attention_do_too)
{
    check_equal("tests/golden/models/qwen2moe.gguf", NULL);
    check_equal("tests/golden/models/deepseek2-lite.gguf", "f16");
}

/* Windows of 12 and 9 keys: shorter than a page, and than what is cached. */
TEST(models_with_windows_do_too)
{
    check_equal("tests/golden/models/gemma2.gguf", NULL);
    check_equal("tests/golden/models/gemma3.gguf", "f16");
    check_equal("tests/golden/models/gpt-oss.gguf", NULL); /* and sinks */
}

TEST(a_draft_model_changes_speed_and_nothing_else)
{
    struct sluice_model *m = open_tiny(TINY, 2, NULL, 0), *other = open_tiny(TINY, 1, NULL, 0);
    struct sluice_context *ctx = create(m);
    struct sluice_context_options co;
    struct sluice_stats stats;
    struct sluice_error err;
    struct said want[6];

    for (uint64_t i = 0; i < 6; i++)
        want[i] = ask(ctx, m, i);
    sluice_context_free(ctx);
    sluice_context_options_init(&co, sizeof co);
    co.draft = m;
    CHECK_INT(sluice_context_create(m, &co, &ctx, &err), SLUICE_ERR_ARG);
    co.draft = other;
    must(sluice_context_create(m, &co, &ctx, &err), &err);
    for (uint64_t i = 0; i < 6; i++) {
        struct said got = ask(ctx, m, i);
        CHECK(same(&got, &want[i]));
    }
    must(sluice_context_get_stats(ctx, &stats, sizeof stats), NULL);
    CHECK(stats.draft_tokens > 0 && stats.draft_accepted > 0);
    sluice_context_free(ctx);
    sluice_model_free(m);
    sluice_model_free(other);
}

TEST(mistakes_of_the_caller_are_refused_in_a_sentence)
{
    struct sluice_model_options mo;
    struct sluice_context_options co;
    struct sluice_request rq;
    struct sluice_model *m = NULL;
    struct sluice_context *ctx, *second;
    struct sluice_stream *s;
    struct sluice_error err;
    int32_t tokens[200] = {0};

    CHECK_INT(sluice_model_open("/nowhere/x.gguf", NULL, &m, &err), SLUICE_ERR_IO);
    CHECK(strstr(err.text, "/nowhere/x.gguf") != NULL);
    CHECK_INT(sluice_model_open_memory("GGUF", 4, NULL, &m, &err), SLUICE_ERR_FORMAT);
    sluice_model_options_init(&mo, sizeof mo);
    mo.kv_type = "q9";
    CHECK_INT(sluice_model_open(TINY, &mo, &m, &err), SLUICE_ERR_ARG);
    CHECK(strstr(err.text, "q9") && strstr(err.text, "q8_0"));
    sluice_model_options_init(&mo, sizeof mo);
    mo.struct_bytes += 64;
    CHECK_INT(sluice_model_open(TINY, &mo, &m, &err), SLUICE_ERR_UNSUPPORTED);
    sluice_model_options_init(&mo, sizeof mo);
    mo.vocab_only = true;
    must(sluice_model_open(TINY, &mo, &m, &err), &err);
    CHECK_INT(sluice_context_create(m, NULL, &ctx, &err), SLUICE_ERR_ARG);
    sluice_model_free(m);

    m = open_tiny(TINY, 1, NULL, 0);
    sluice_context_options_init(&co, sizeof co);
    co.draft_max = 1000;
    CHECK_INT(sluice_context_create(m, &co, &ctx, &err), SLUICE_ERR_ARG);
    ctx = create(m);
    CHECK_INT(sluice_context_create(m, NULL, &second, &err), SLUICE_ERR_STATE);
    sluice_request_init(&rq, sizeof rq);
    CHECK_INT(sluice_submit(ctx, &rq, &s, &err), SLUICE_ERR_ARG);
    rq.tokens = tokens;
    rq.n_tokens = 200;
    CHECK_INT(sluice_submit(ctx, &rq, &s, &err), SLUICE_ERR_LIMIT);
    CHECK(strstr(err.text, "200 tokens") && strstr(err.text, "160 tokens"));
    rq.n_tokens = 5;
    rq.sampling.top_p = 7;
    CHECK_INT(sluice_submit(ctx, &rq, &s, &err), SLUICE_ERR_ARG);
    CHECK(strstr(err.text, "top_p is 7") != NULL);
    sluice_context_free(ctx);
    sluice_model_free(m);
}

TEST(in_a_forked_child_calls_say_so)
{
    struct sluice_model *m = open_tiny(TINY, 2, NULL, 0);
    struct sluice_context *ctx = create(m);
    int status = -1;
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct sluice_request rq;
        struct sluice_stream *s;
        int32_t token = 1;
        sluice_request_init(&rq, sizeof rq);
        rq.tokens = &token;
        rq.n_tokens = 1;
        _exit(sluice_submit(ctx, &rq, &s, NULL) == SLUICE_ERR_FORK ? 0 : 1);
    }
    while (waitpid(pid, &status, 0) < 0)
        ;
    CHECK_INT(status, 0);
    CHECK_INT(ask(ctx, m, 3).n, N_ANSWER);
    sluice_context_free(ctx);
    sluice_model_free(m);
}

TEST(the_demo_model_chats_and_shows_what_it_is)
{
    struct sluice_model_options mo;
    struct sluice_model *m;
    struct sluice_model_info info;
    struct sluice_chat chat;
    struct sluice_error err;
    char *text;
    int32_t tokens[256];
    char back[512];

    if (access("models/demo.gguf", R_OK) != 0)
        test_skip("models/demo.gguf is not there");
    sluice_model_options_init(&mo, sizeof mo);
    mo.vocab_only = true;
    must(sluice_model_open("models/demo.gguf", &mo, &m, &err), &err);
    sluice_model_get_info(m, &info, sizeof info);
    CHECK(info.n_vocab > 0 && info.context_trained >= 2048 && !info.has_weights);
    must(sluice_model_describe(m, &text, &err), &err);
    CHECK(strstr(text, "\"llama\"") != NULL);
    sluice_free(text);

    int64_t n = sluice_tokenize(m, "Hello, world", SLUICE_Z, 0, tokens, 256, &err);
    must((int)n, &err);
    int64_t n_back = sluice_detokenize(m, tokens, (size_t)n, SLUICE_TEXT_START, back, sizeof back, &err);
    CHECK_STR(str_of(back, (size_t)n_back), S("Hello, world"));
    CHECK_INT(sluice_tokenize(m, "Hello, world", SLUICE_Z, 0, NULL, 0, &err), n);

    sluice_chat_init(&chat, sizeof chat);
    chat.messages = "[{\"role\":\"user\",\"content\":\"Hi <|im_end|> there\"}]";
    must(sluice_chat_render(m, &chat, &text, &err), &err);
    CHECK(strstr(text, "Hi <|im_end|> there") != NULL);
    sluice_free(text);
    n = sluice_chat_tokenize(m, &chat, tokens, 256, &err);
    must((int)n, &err);
    CHECK(n > 4 && n < 256);
    chat.continue_last = true;
    chat.messages =
        "[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Well, I\"}]";
    must(sluice_chat_render(m, &chat, &text, &err), &err);
    CHECK(str_ends(str_c(text), S("Well, I")));
    sluice_free(text);
    chat.messages = "{}";
    CHECK_INT(sluice_chat_tokenize(m, &chat, tokens, 256, &err), SLUICE_ERR_ARG);
    chat.messages = "[";
    CHECK_INT(sluice_chat_tokenize(m, &chat, tokens, 256, &err), SLUICE_ERR_FORMAT);
    sluice_model_free(m);
}

TEST(perplexity_by_prompt_logprobs_is_that_of_the_sum_of_steps)
{
    struct sluice_model *m = open_tiny(TINY, 2, NULL, 0);
    struct sluice_context *ctx = create(m);
    int32_t prompt[N_PROMPT];
    struct sluice_request rq = question(m, 3, prompt);
    struct heard *h = calloc(1, sizeof *h);
    struct sluice_stream *s;
    struct sluice_event ev;

    rq.prompt_logprobs = true;
    rq.sampling.max_tokens = 0;
    must(sluice_submit(ctx, &rq, &s, NULL), NULL);
    while (sluice_stream_next(s, -1, &ev, NULL) == 1) {
        ev.kind == SLUICE_EVENT_DONE ? (void)0 : heard_event(h, s, &ev);
        if (ev.kind == SLUICE_EVENT_DONE)
            break;
    }
    sluice_stream_free(s);
    CHECK_INT(h->n_prompt_logprobs, rq.n_tokens);
    /* Each token's log-probability is what a greedy step after its prefix tells of it. */
    for (size_t n = 1; n < 6; n++) {
        struct sluice_request step = rq;
        step.prompt_logprobs = false;
        step.n_tokens = n;
        step.sampling.max_tokens = 1;
        step.sampling.logit_bias = &(struct sluice_logit_bias){prompt[n], 1000};
        step.sampling.n_logit_bias = 1;
        must(sluice_submit(ctx, &step, &s, NULL), NULL);
        struct said one = hear(s);
        CHECK_INT(one.tokens[0], prompt[n]);
        CHECK(one.logprobs[0] == h->prompt_logprobs[n]);
    }
    free(h);
    sluice_context_free(ctx);
    sluice_model_free(m);
}
