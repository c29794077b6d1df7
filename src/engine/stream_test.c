/* stream_test.c - Polled and called-back streams across threads, slow readers, early leavers. */
#include "engine/stream.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/test.h"
#include "engine/fake_test.h"

static struct sluice_request polled(void)
{
    struct sluice_request rq;
    sluice_request_init(&rq, sizeof rq);
    return rq;
}

struct pipe_of_events {
    struct stream_home *home;
    struct sluice_stream *s;
    int n;
};

/* Sends n texts of changing length with tokens and alternatives, then DONE; waits for room. */
static void *send_many(void *arg)
{
    struct pipe_of_events *p = arg;
    struct rng r = rng_seeded(1);
    char text[600];

    for (int i = 0; i < p->n; i++) {
        struct sluice_top top[2] = {{i, -1}, {i + 1, -2}};
        struct sluice_token token = {.id = i, .bytes = "x", .n_bytes = 1, .top = top, .n_top = 2};
        size_t n = rng_below(&r, sizeof text);
        memset(text, 'a' + i % 26, n);
        struct sluice_event ev = {
            .kind = SLUICE_EVENT_TEXT, .text = text, .text_bytes = n, .tokens = &token, .n_tokens = 1};
        for (;;) {
            uint32_t ticket = gate_ticket(&p->home->work);
            if (stream_has_room(p->s))
                break;
            gate_wait(&p->home->work, ticket, -1);
        }
        stream_send(p->s, &ev);
    }
    struct sluice_event done = {.kind = SLUICE_EVENT_DONE, .text = ""};
    stream_send(p->s, &done);
    stream_release(p->s);
    return NULL;
}

TEST(a_reader_gets_every_event_whole_and_in_order_however_slow)
{
    struct pipe_of_events p = {.home = stream_home_create(), .n = 20000};
    struct sluice_request rq = polled();
    struct rng r = rng_seeded(1);
    struct sluice_event ev;
    pthread_t sender;
    int n = 0;

    p.s = stream_create(p.home, &rq, 600, 0);
    REQUIRE(p.s && pthread_create(&sender, NULL, send_many, &p) == 0);
    while (sluice_stream_next(p.s, n % 3 ? -1 : 1000, &ev, NULL) == 1 && ev.kind == SLUICE_EVENT_TEXT) {
        size_t want = rng_below(&r, 600);
        CHECK_INT(ev.text_bytes, want);
        if (want > 0)
            CHECK(ev.text[0] == 'a' + n % 26 && ev.text[want - 1] == 'a' + n % 26);
        CHECK_INT(ev.tokens[0].id, n);
        CHECK_INT(ev.tokens[0].top[1].id, n + 1);
        n++;
    }
    CHECK_INT(n, 20000);
    CHECK_INT(ev.kind, SLUICE_EVENT_DONE);
    CHECK_INT(sluice_stream_next(p.s, 0, &ev, NULL), SLUICE_ERR_STATE);
    pthread_join(sender, NULL);
    sluice_stream_free(p.s);
    stream_home_release(p.home);
}

static void count_ready(void *user, struct sluice_stream *s)
{
    (void)s;
    ++*(int *)user;
}

TEST(the_last_event_outlives_what_it_was_made_of)
{
    struct stream_home *home = stream_home_create();
    struct sluice_request rq = polled();
    struct sluice_stream *s = stream_create(home, &rq, 600, 0);
    char *stop = strdup("a stop string"), *text = strdup("one sentence");
    struct sluice_event ev;

    REQUIRE(s && stop && text);
    stream_send(
        s, &(struct sluice_event){.kind = SLUICE_EVENT_DONE, .text = "", .stop = stop, .error_text = text});
    memset(stop, '!', strlen(stop));
    memset(text, '!', strlen(text));
    free(stop);
    free(text);
    CHECK_INT(sluice_stream_next(s, 0, &ev, NULL), 1);
    CHECK(strcmp(ev.stop, "a stop string") == 0);
    CHECK(strcmp(ev.error_text, "one sentence") == 0);
    stream_release(s);
    sluice_stream_free(s);
    stream_home_release(home);
}

TEST(a_reader_who_read_everything_is_told_of_the_next_event_once)
{
    struct stream_home *home = stream_home_create();
    struct sluice_request rq = polled();
    struct sluice_event ev = {.kind = SLUICE_EVENT_TEXT, .text = "hi", .text_bytes = 2};
    int n_ready = 0, fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t n_told;

    rq.on_ready = count_ready;
    rq.user = &n_ready;
    rq.notify_fd = fd;
    struct sluice_stream *s = stream_create(home, &rq, 0, 0);
    REQUIRE(s && fd >= 0);
    CHECK_INT(sluice_stream_next(s, 0, &ev, NULL), 0);
    for (int i = 0; i < 3; i++)
        stream_send(s, &ev);
    CHECK_INT(n_ready, 1);
    for (int i = 0; i < 3; i++)
        CHECK_INT(sluice_stream_next(s, 0, &ev, NULL), 1);
    CHECK_INT(sluice_stream_next(s, 5, &ev, NULL), 0);
    stream_send(s, &ev);
    CHECK_INT(n_ready, 2);
    CHECK(read(fd, &n_told, sizeof n_told) == sizeof n_told && n_told == 2);
    close(fd);
    stream_release(s);
    sluice_stream_free(s);
    stream_home_release(home);
}

/* ---- with a running engine ---- */

struct answer {
    int32_t tokens[512];
    int n_tokens;
};

static struct sluice_request ask(uint64_t seed, int32_t max_tokens)
{
    struct sluice_request rq = polled();
    rq.sampling.has_seed = true;
    rq.sampling.seed = seed;
    rq.sampling.max_tokens = max_tokens;
    rq.sampling.ignore_eos = true;
    return rq;
}

static void read_all(struct sluice_stream *s, struct answer *a, int pause_us)
{
    struct sluice_event ev;
    while (sluice_stream_next(s, -1, &ev, NULL) == 1 && ev.kind != SLUICE_EVENT_DONE) {
        for (size_t i = 0; i < ev.n_tokens; i++)
            a->tokens[a->n_tokens++] = ev.tokens[i].id;
        if (pause_us)
            usleep((useconds_t)pause_us);
    }
}

struct client {
    struct engine *e;
    uint64_t seed;
    struct answer got;
    bool leaves;
};

static void *be_client(void *arg)
{
    struct client *c = arg;
    struct sluice_request rq = ask(c->seed, 120);
    int32_t prompt[20];
    struct sluice_stream *s;
    struct sluice_event ev;

    for (int i = 0; i < 20; i++)
        prompt[i] = FAKE_BYTE + (i < 10 ? i : (int)c->seed);
    REQUIRE(engine_submit(c->e, &rq, prompt, 20, &s, NULL) == OK);
    if (c->leaves)
        sluice_stream_next(s, -1, &ev, NULL);
    else
        read_all(s, &c->got, c->seed % 4 == 0 ? 100 : 0);
    sluice_stream_free(s);
    return NULL;
}

TEST(many_threads_ask_one_engine_and_some_leave_early)
{
    enum { CLIENTS = 12 };
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_pages = 120};
    struct client *c = calloc(CLIENTS, sizeof *c);
    struct heard *solo = calloc(1, sizeof *solo);
    pthread_t threads[CLIENTS];

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 6, 5000, 0, true);
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){.e = e, .seed = (uint64_t)i + 1, .leaves = i % 3 == 2};
        REQUIRE(pthread_create(&threads[i], NULL, be_client, &c[i]) == 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CLIENTS; i++) {
        if (c[i].leaves)
            continue;
        struct sluice_request rq = ask(c[i].seed, 120);
        int32_t prompt[20];
        for (int k = 0; k < 20; k++)
            prompt[k] = FAKE_BYTE + (k < 10 ? k : (int)c[i].seed);
        fake_solo(&m, t, &rq, prompt, 20, solo);
        CHECK_INT(c[i].got.n_tokens, 120);
        CHECK(!memcmp(c[i].got.tokens, solo->tokens, 120 * sizeof(int32_t)));
    }
    engine_free(e);
    CHECK(!m.is_corrupt);
    fake_model_deinit(&m);
    tokenizer_free(t);
    free(c);
    free(solo);
}

TEST(a_reader_who_never_reads_pauses_his_own_stream_only)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.n_pages = 400, .n_ctx = 1024};
    struct sluice_request slow = ask(1, 900), quick = ask(2, 200);
    struct sluice_stream *a, *b;
    struct answer got = {0}, late = {0};
    struct sluice_stats stats;
    int32_t prompt[4] = {5, 6, 7, 8};

    slow.sampling.logprobs = 20; /* large events: the ring is full early */
    slow.sampling.max_tokens = 500;
    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 5000, 0, true);
    REQUIRE(engine_submit(e, &slow, prompt, 4, &a, NULL) == OK);
    REQUIRE(engine_submit(e, &quick, prompt, 4, &b, NULL) == OK);
    read_all(b, &got, 0);
    CHECK_INT(got.n_tokens, 200);
    for (int i = 0; i < 100; i++) {
        usleep(2000);
        engine_get_stats(e, &stats);
    }
    CHECK(stats.generated_tokens < 200 + 450); /* the slow one stands */
    read_all(a, &late, 0);
    CHECK_INT(late.n_tokens, 500);
    sluice_stream_free(a);
    sluice_stream_free(b);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
}

TEST(closing_an_engine_cancels_its_streams_which_stay_readable)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {0};
    struct sluice_request rq = ask(1, 900);
    struct sluice_stream *s;
    struct sluice_event ev;
    int32_t prompt[4] = {5, 6, 7, 8};

    fake_model_init(&m);
    struct engine *e = fake_engine(&m, t, 4, 5000, 0, true);
    REQUIRE(engine_submit(e, &rq, prompt, 4, &s, NULL) == OK);
    CHECK_INT(sluice_stream_next(s, -1, &ev, NULL), 1);
    CHECK_INT(ev.kind, SLUICE_EVENT_START);
    engine_free(e);
    while (sluice_stream_next(s, -1, &ev, NULL) == 1 && ev.kind != SLUICE_EVENT_DONE)
        ;
    CHECK_INT(ev.kind, SLUICE_EVENT_DONE);
    CHECK(ev.finish == SLUICE_FINISH_CANCELLED || ev.finish == SLUICE_FINISH_LENGTH);
    sluice_stream_cancel(s);
    sluice_stream_free(s);
    fake_model_deinit(&m);
    tokenizer_free(t);
}

TEST(after_fork_a_stream_says_so_instead_of_hanging)
{
    struct stream_home *home = stream_home_create();
    struct sluice_request rq = polled();
    struct sluice_stream *s = stream_create(home, &rq, 0, 0);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct sluice_event ev;
        _exit(sluice_stream_next(s, -1, &ev, NULL) == SLUICE_ERR_FORK ? 0 : 1);
    }
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK_INT(status, 0);
    stream_release(s);
    sluice_stream_free(s);
    stream_home_release(home);
}
