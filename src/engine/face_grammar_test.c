/* face_grammar_test.c - Grammars of many threads: compiled, kept, dropped and followed at the same time. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/test.h"
#include "engine/face_grammar_cache.h"
#include "sluice.h"

enum { N_SPECS = GRAMMAR_CACHE_ENTRIES + 8, ASKERS = 3, ASKED = 16, COMPILERS = 2, LONGEST = 64 };

struct place {
    struct sluice_model *model;
    struct sluice_context *context;
    char texts[N_SPECS][LONGEST]; /* what is answered when nothing else happens */
};

struct worker {
    struct place *place;
    int first;
    char fault[256];
};

/* Grammar k, which counts and leaves many tokens open. */
static int compile(struct place *p, int k, struct sluice_grammar **grammar, struct sluice_error *err)
{
    char pattern[96];
    struct sluice_grammar_spec spec = {.kind = SLUICE_GRAMMAR_SCHEMA, .text = pattern};
    int n = snprintf(pattern, sizeof pattern,
                     "{\"type\":\"string\",\"pattern\":\"^[a-z]+( [a-z]+)*$\",\"minLength\":%d,"
                     "\"maxLength\":%d}",
                     k % 5, 8 + k);
    spec.text_bytes = (size_t)n;
    return sluice_grammar_compile(p->model, &spec, grammar, NULL, 0, err);
}

static bool ask(struct place *p, int k, char *text, struct sluice_error *err)
{
    struct sluice_grammar *grammar;
    struct sluice_stream *stream;
    struct sluice_event event;
    struct sluice_request rq;
    static const int32_t prompt[] = {1, 7, 9};
    sluice_request_init(&rq, sizeof rq);
    rq.tokens = prompt;
    rq.n_tokens = sizeof prompt / sizeof *prompt;
    rq.sampling.has_seed = true;
    rq.sampling.seed = (uint64_t)k;
    rq.sampling.max_tokens = 12;
    if (compile(p, k, &grammar, err) != SLUICE_OK)
        return false;
    rq.grammar = grammar;
    int rc = sluice_submit(p->context, &rq, &stream, err);
    sluice_grammar_free(grammar); /* the request holds what it needs */
    if (rc != SLUICE_OK)
        return false;
    size_t n = 0;
    do {
        rc = sluice_stream_next(stream, -1, &event, err);
        if (rc >= 0 && event.kind == SLUICE_EVENT_TEXT && n + event.text_bytes < LONGEST) {
            memcpy(text + n, event.text, event.text_bytes);
            n += event.text_bytes;
        }
    } while (rc >= 0 && event.kind != SLUICE_EVENT_DONE);
    text[n] = 0;
    bool is_over = rc >= 0 && (event.finish == SLUICE_FINISH_END || event.finish == SLUICE_FINISH_LENGTH);
    sluice_stream_free(stream);
    return is_over;
}

static void *be_asker(void *arg)
{
    struct worker *w = arg;
    struct sluice_error err = {0};
    for (int i = 0; i < ASKED && !w->fault[0]; i++) {
        int k = (w->first + i * 5) % N_SPECS; /* some at the same time as another thread, some alone */
        char text[LONGEST] = "";
        if (!ask(w->place, k, text, &err))
            snprintf(w->fault, sizeof w->fault, "%s", err.text);
        else if (strcmp(text, w->place->texts[k]) != 0)
            snprintf(w->fault, sizeof w->fault, "grammar %d: '%s', alone '%s'", k, text, w->place->texts[k]);
    }
    return NULL;
}

static void *be_compiler(void *arg)
{
    struct worker *w = arg;
    struct sluice_error err = {0};
    for (int i = 0; i < N_SPECS && !w->fault[0]; i++) {
        struct sluice_grammar *grammar;
        if (compile(w->place, (w->first + i) % N_SPECS, &grammar, &err) != SLUICE_OK) {
            snprintf(w->fault, sizeof w->fault, "%s", err.text);
            break;
        }
        if (sluice_grammar_bytes(grammar) == 0)
            snprintf(w->fault, sizeof w->fault, "a grammar takes no memory");
        sluice_grammar_free(grammar);
    }
    return NULL;
}

TEST(grammars_are_shared_and_dropped_while_others_are_compiled)
{
    static struct place place;
    struct worker workers[ASKERS + COMPILERS] = {0};
    pthread_t threads[ASKERS + COMPILERS];
    struct sluice_model_options o;
    struct sluice_error err;
    sluice_model_options_init(&o, sizeof o);
    o.threads = 1;
    o.context = 96;
    REQUIRE(sluice_model_open("tests/golden/models/llama.gguf", &o, &place.model, &err) == SLUICE_OK);
    REQUIRE(sluice_context_create(place.model, NULL, &place.context, &err) == SLUICE_OK);
    for (int k = 0; k < N_SPECS; k++) {
        if (!ask(&place, k, place.texts[k], &err))
            test_fail(__FILE__, __LINE__, "%s", err.text);
        CHECK(strlen(place.texts[k]) > 2);
    }
    for (int i = 0; i < ASKERS + COMPILERS; i++) {
        workers[i].place = &place;
        workers[i].first = i * 3;
        REQUIRE(pthread_create(&threads[i], NULL, i < ASKERS ? be_asker : be_compiler, &workers[i]) == 0);
    }
    for (int i = 0; i < ASKERS + COMPILERS; i++) {
        pthread_join(threads[i], NULL);
        if (workers[i].fault[0])
            test_fail(__FILE__, __LINE__, "%s", workers[i].fault);
    }
    sluice_context_free(place.context);
    sluice_model_free(place.model);
}
