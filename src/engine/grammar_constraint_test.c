/* grammar_constraint_test.c - Answers under a grammar: equal tokens whatever happens around them. */
#include "engine/grammar_constraint.h"

#include <stdlib.h>

#include "base/alloc_guard.h"
#include "base/json.h"
#include "base/test.h"
#include "engine/engine_int.h"
#include "engine/fake_test.h"

#define N_ASKED 8

static const struct grammar_spec object = {.kind = GRAMMAR_JSON_OBJECT};

struct rig {
    struct tokenizer *tokenizer;
    struct grammar_vocab *vocab;
    struct sluice_grammar grammar;
};

static void rig_init(struct rig *r, const struct grammar_spec *spec)
{
    *r = (struct rig){.tokenizer = fake_tokenizer()};
    REQUIRE(grammar_constraint_vocab(&r->vocab, r->tokenizer, FAKE_VOCAB, NULL) == OK);
    REQUIRE(grammar_compile(&r->grammar.grammar, spec, r->vocab, NULL, NULL) == OK);
}

static void rig_deinit(struct rig *r)
{
    grammar_release(r->grammar.grammar);
    grammar_vocab_free(r->vocab);
    tokenizer_free(r->tokenizer);
}

static struct sluice_request request(struct rig *r, struct heard *heard, uint64_t seed)
{
    struct sluice_request rq;
    sluice_request_init(&rq, sizeof rq);
    rq.grammar = &r->grammar;
    rq.sampling.has_seed = true;
    rq.sampling.seed = seed;
    rq.sampling.max_tokens = 300;
    rq.on_event = heard_event;
    rq.user = heard;
    return rq;
}

static void run(struct engine *e)
{
    int guard = 0;
    while (engine_turn(e))
        REQUIRE(++guard < 200000);
}

/* The answer is whole and in the language, or was cut and is marked so. */
static int check_answer(struct rig *r, const struct heard *h)
{
    struct grammar_state *s;
    CHECK_INT(h->n_done, 1);
    REQUIRE(grammar_state_create(&s, r->grammar.grammar, NULL) == OK);
    CHECK(grammar_state_accept(s, str_of(h->text, h->n_text)));
    bool is_whole = h->finish == SLUICE_FINISH_END;
    CHECK(is_whole || h->finish == SLUICE_FINISH_LENGTH);
    if (is_whole)
        CHECK(grammar_state_may_end(s));
    grammar_state_free(s);
    return is_whole;
}

static void answers_of(struct rig *r, struct engine *e, bool is_greedy, struct heard *heard)
{
    int32_t prompt[40];
    for (int i = 0; i < N_ASKED; i++) {
        struct sluice_request rq = request(r, &heard[i], (uint64_t)i + 1);
        heard[i] = (struct heard){0};
        if (is_greedy)
            rq.sampling.temperature = 0;
        for (int k = 0; k < 40; k++)
            prompt[k] = FAKE_BYTE + (k < 20 ? k : (k * 7 + i) % 256);
        REQUIRE(engine_submit(e, &rq, prompt, 40, &heard[i].stream, NULL) == OK);
    }
    run(e);
    CHECK_INT(alloc_guard_count(), 0); /* masks and states have their memory from the start */
    CHECK(engine_pages_are_whole(e));
    for (int i = 0; i < N_ASKED; i++)
        sluice_stream_free(heard[i].stream);
    engine_free(e);
}

static void answers(struct rig *r, struct fake_model *m, int32_t max_batch, int32_t draft_max,
                    struct heard *heard)
{
    answers_of(r, fake_engine(m, r->tokenizer, max_batch, 50000, draft_max, false), false, heard);
}

/* The model that guesses is the same (its guesses are right, as far as the grammar lets them be) or another.
 */
TEST(guesses_of_a_model_do_not_change_answers_under_a_grammar)
{
    static const struct grammar_spec spec = {.kind = GRAMMAR_REGEX,
                                             .text = S("(?:[a-f]+, ){3,9}(?:and )?[!-~]{1,30}")};
    static struct heard alone[N_ASKED], guessed[N_ASKED];
    struct rig r;
    rig_init(&r, &spec);
    for (int round = 0; round < 4; round++) {
        struct fake_model m = {0}, same = {0}, draft = {.weights = (uint64_t)round % 2};
        bool is_greedy = round >= 2;
        uint64_t n_draft = 0;
        fake_model_init(&m);
        fake_model_init(&same);
        fake_model_init(&draft);
        answers_of(&r, fake_engine(&m, r.tokenizer, 1, 50000, 0, false), is_greedy, alone);
        answers_of(&r, fake_engine_drafted(&same, &draft, r.tokenizer, 8, 50000, 6), is_greedy, guessed);
        for (int i = 0; i < N_ASKED; i++) {
            check_answer(&r, &alone[i]);
            CHECK_INT(guessed[i].n_tokens, alone[i].n_tokens);
            CHECK(!memcmp(guessed[i].tokens, alone[i].tokens, (size_t)alone[i].n_tokens * sizeof(int32_t)));
            CHECK_INT(guessed[i].finish, alone[i].finish);
            n_draft += guessed[i].usage.draft_tokens;
        }
        CHECK(n_draft > 0);
        fake_model_deinit(&m);
        fake_model_deinit(&same);
        fake_model_deinit(&draft);
    }
    rig_deinit(&r);
}

TEST(answers_follow_the_grammar_and_do_not_depend_on_neighbours_guesses_or_pages)
{
    static struct heard alone[N_ASKED], crowd[N_ASKED];
    struct rig r;
    rig_init(&r, &object);
    struct fake_model m = {0};
    fake_model_init(&m);
    answers(&r, &m, 1, 0, alone);
    fake_model_deinit(&m);
    int n_whole = 0;
    for (int i = 0; i < N_ASKED; i++)
        n_whole += check_answer(&r, &alone[i]);
    CHECK(n_whole > 0);

    for (int round = 0; round < 3; round++) {
        struct fake_model other = {.copy_distance = 0, .n_pages = round == 1 ? 60 : 0};
        fake_model_init(&other);
        answers(&r, &other, 8, round == 2 ? 8 : 0, crowd);
        fake_model_deinit(&other);
        for (int i = 0; i < N_ASKED; i++) {
            CHECK_INT(crowd[i].n_tokens, alone[i].n_tokens);
            CHECK(!memcmp(crowd[i].tokens, alone[i].tokens, (size_t)alone[i].n_tokens * sizeof(int32_t)));
            CHECK_INT(crowd[i].finish, alone[i].finish);
        }
    }
    rig_deinit(&r);
}

/* Steps and generated tokens of one answer to a grammar with one text. */
static void answer_forced(struct rig *r, int32_t logprobs, struct heard *heard, int *n_steps)
{
    struct fake_model m = {0};
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, r->tokenizer, 4, 50000, 0, false);
    int32_t prompt[4] = {FAKE_BYTE + 1, FAKE_BYTE + 2, FAKE_BYTE + 3, FAKE_BYTE + 4};
    struct sluice_request rq = request(r, heard, 1);
    *heard = (struct heard){0};
    rq.sampling.logprobs = logprobs;
    REQUIRE(engine_submit(e, &rq, prompt, 4, &heard->stream, NULL) == OK);
    run(e);
    *n_steps = m.n_steps;
    sluice_stream_free(heard->stream);
    engine_free(e);
    fake_model_deinit(&m);
}

TEST(tokens_that_are_the_only_ones_cost_no_steps)
{
    static const struct grammar_spec spec = {.kind = GRAMMAR_REGEX, .text = S("[xy]!!!#?#?#?#?x")};
    static struct heard with, without;
    int n_forced, n_asked;
    struct rig r;
    rig_init(&r, &spec);
    answer_forced(&r, -1, &with, &n_forced);
    answer_forced(&r, 0, &without, &n_asked);
    CHECK_INT(with.finish, SLUICE_FINISH_END);
    CHECK_INT(with.n_tokens, without.n_tokens);
    CHECK(!memcmp(with.tokens, without.tokens, (size_t)with.n_tokens * sizeof(int32_t)));
    CHECK(n_forced < n_asked);
    CHECK_INT(n_asked, without.n_tokens);
    rig_deinit(&r);
}

/* One answer, cut by a stop string (or NULL) or a number of tokens. */
static void answer_cut(struct rig *r, const char *stop, int32_t max_tokens, struct heard *heard)
{
    struct fake_model m = {0};
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, r->tokenizer, 4, 50000, 0, false);
    int32_t prompt[1] = {FAKE_BYTE + 1};
    struct sluice_request rq = request(r, heard, 1);
    *heard = (struct heard){0};
    rq.sampling.stop = &stop;
    rq.sampling.n_stop = stop != NULL;
    rq.sampling.max_tokens = max_tokens;
    REQUIRE(engine_submit(e, &rq, prompt, 1, &heard->stream, NULL) == OK);
    run(e);
    CHECK(engine_pages_are_whole(e));
    sluice_stream_free(heard->stream);
    engine_free(e);
    fake_model_deinit(&m);
}

TEST(runs_of_forced_tokens_are_cut_where_single_ones_would_be)
{
    static const struct str words[] = {S("one two three four five six")};
    static const struct grammar_spec spec = {.kind = GRAMMAR_CHOICE, .choices = words, .n_choices = 1};
    static struct heard heard;
    struct rig r;
    rig_init(&r, &spec);
    answer_cut(&r, "ee f", -1, &heard);
    CHECK_INT(heard.finish, SLUICE_FINISH_STOP);
    CHECK_STR(str_of(heard.text, heard.n_text), S("one two thr"));
    answer_cut(&r, NULL, -1, &heard);
    CHECK_INT(heard.finish, SLUICE_FINISH_END);
    CHECK_STR(str_of(heard.text, heard.n_text), words[0]);
    for (int32_t n = 1; n < 8; n++) {
        answer_cut(&r, NULL, n, &heard);
        CHECK_INT(heard.finish, SLUICE_FINISH_LENGTH);
        CHECK_INT(heard.n_tokens, n);
        CHECK(str_starts(words[0], str_of(heard.text, heard.n_text)));
    }
    rig_deinit(&r);
}

TEST(stop_strings_and_lengths_cut_an_answer_and_say_so)
{
    static struct heard heard;
    struct rig r;
    rig_init(&r, &object);
    struct fake_model m = {0};
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, r.tokenizer, 4, 50000, 0, false);
    int32_t prompt[1] = {FAKE_BYTE + 1};
    const char *stops[1] = {"\""};
    struct sluice_request rq = request(&r, &heard, 3);
    rq.sampling.stop = stops;
    rq.sampling.n_stop = 1;
    rq.sampling.max_tokens = 200;
    heard = (struct heard){0};
    REQUIRE(engine_submit(e, &rq, prompt, 1, &heard.stream, NULL) == OK);
    run(e);
    CHECK(heard.finish == SLUICE_FINISH_STOP || heard.finish == SLUICE_FINISH_END);
    sluice_stream_free(heard.stream);

    rq.sampling.n_stop = 0;
    rq.sampling.max_tokens = 1;
    heard = (struct heard){0};
    REQUIRE(engine_submit(e, &rq, prompt, 1, &heard.stream, NULL) == OK);
    run(e);
    CHECK_INT(heard.finish, SLUICE_FINISH_LENGTH);
    CHECK_INT(heard.n_tokens, 1);
    sluice_stream_free(heard.stream);
    engine_free(e);
    fake_model_deinit(&m);
    rig_deinit(&r);
}

TEST(min_tokens_and_ignore_eos_do_not_go_beyond_the_grammar)
{
    static const struct str words[] = {S("ok")};
    static const struct grammar_spec spec = {.kind = GRAMMAR_CHOICE, .choices = words, .n_choices = 1};
    static struct heard heard;
    struct rig r;
    rig_init(&r, &spec);
    struct fake_model m = {0};
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, r.tokenizer, 4, 50000, 0, false);
    int32_t prompt[1] = {FAKE_BYTE + 1};
    struct sluice_request rq = request(&r, &heard, 3);
    rq.sampling.min_tokens = 50;
    rq.sampling.ignore_eos = true;
    heard = (struct heard){0};
    REQUIRE(engine_submit(e, &rq, prompt, 1, &heard.stream, NULL) == OK);
    run(e);
    CHECK_INT(heard.finish, SLUICE_FINISH_END);
    CHECK_STR(str_of(heard.text, heard.n_text), S("ok"));
    sluice_stream_free(heard.stream);
    engine_free(e);
    fake_model_deinit(&m);
    rig_deinit(&r);
}
