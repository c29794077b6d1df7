/* disk_test.c - KV pages on disk: equal answers after a restart, and no harm from crashes, damage, full
 * disks or other processes. */
#include "engine/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/test.h"
#include "engine/engine_int.h"
#include "engine/face_int.h"
#include "engine/fake_test.h"

/* The demo model's bytes, in a build that has them. */
extern const char sluice_demo_gguf[] __attribute__((weak));
extern const char sluice_demo_gguf_end[] __attribute__((weak));

enum { N_PROMPT = 100, N_ANSWER = 12, PAGE = 4096 };

/* ---- a folder and what is in it ---- */

static void make_folder(char dir[32])
{
    snprintf(dir, 32, "/tmp/sluice-test-XXXXXX");
    REQUIRE(mkdtemp(dir) != NULL);
}

static struct {
    int n_pages, n_parts;
    uint64_t n_bytes;
    void (*visit)(const char *path);
} seen;

static int see(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    const char *name = path + at->base;
    size_t n = strlen(name);
    if (flag != FTW_F || !strcmp(name, "lock"))
        return 0;
    bool is_page = n > 3 && !strcmp(name + n - 3, ".kv");
    seen.n_pages += is_page;
    seen.n_parts += !is_page;
    seen.n_bytes += (uint64_t)st->st_size;
    if (is_page && seen.visit)
        seen.visit(path);
    return 0;
}

static int see_folder(const char *dir, void (*visit)(const char *path))
{
    memset(&seen, 0, sizeof seen);
    seen.visit = visit;
    REQUIRE(nftw(dir, see, 16, FTW_PHYS) == 0);
    return seen.n_pages;
}

/* ---- one request on the fake model and a folder ---- */

struct answer {
    struct heard heard;
    struct sluice_stats stats;
};

static void ask_fake(struct answer *a, const char *dir, uint64_t weights, size_t n_prompt)
{
    struct tokenizer *t = fake_tokenizer();
    struct fake_model m = {.weights = weights};
    struct sluice_request rq;
    struct err err;
    int32_t prompt[N_PROMPT];

    for (int i = 0; i < N_PROMPT; i++)
        prompt[i] = FAKE_BYTE + i;
    fake_model_init(&m);
    struct engine *e = fake_engine_on_disk(&m, t, 4, 0, dir, 1 << 20);
    memset(a, 0, sizeof *a);
    sluice_request_init(&rq, sizeof rq);
    rq.sampling.max_tokens = N_ANSWER;
    rq.sampling.ignore_eos = true;
    rq.sampling.has_seed = true;
    rq.on_event = heard_event;
    rq.user = &a->heard;
    REQUIRE(engine_submit(e, &rq, prompt, n_prompt, &a->heard.stream, &err) == OK);
    for (int i = 0; a->heard.n_done == 0 || !engine_pages_are_whole(e); i++) {
        REQUIRE(i < 100000);
        if (!engine_turn(e))
            usleep(50);
    }
    disk_flush(e->disk);
    engine_get_stats(e, &a->stats);
    CHECK(!m.is_corrupt);
    sluice_stream_free(a->heard.stream);
    engine_free(e);
    fake_model_deinit(&m);
    tokenizer_free(t);
}

static void check_equal(const struct answer *a, const struct answer *b)
{
    CHECK_INT(a->heard.n_tokens, N_ANSWER);
    CHECK_INT(b->heard.n_tokens, N_ANSWER);
    CHECK(!memcmp(a->heard.tokens, b->heard.tokens, sizeof a->heard.tokens));
}

TEST(after_a_restart_a_prompt_comes_from_disk_and_answers_the_same)
{
    char dir[32];
    struct answer *a = calloc(4, sizeof *a);
    make_folder(dir);
    ask_fake(&a[0], dir, 1, N_PROMPT);
    CHECK_INT(a[0].heard.usage.cached_tokens, 0);
    CHECK_INT(see_folder(dir, NULL), (N_PROMPT + N_ANSWER - 1) / 8);
    ask_fake(&a[1], dir, 1, N_PROMPT);
    CHECK_INT(a[1].heard.usage.cached_tokens, 96);
    CHECK_INT(a[1].stats.kv_disk_loaded, 12);
    CHECK_INT(a[1].stats.kv_disk_damaged, 0);
    check_equal(&a[0], &a[1]);
    ask_fake(&a[2], dir, 1, 50); /* a part of it */
    CHECK_INT(a[2].heard.usage.cached_tokens, 48);
    ask_fake(&a[3], dir, 2, N_PROMPT); /* another model's pages are nobody's */
    CHECK_INT(a[3].heard.usage.cached_tokens, 0);
    test_remove_folder(dir);
    free(a);
}

/* ---- damage ---- */

static int n_visited;

static void damage(const char *path)
{
    struct stat st;
    int kind = n_visited++ % 5, fd = open(path, O_RDWR);
    REQUIRE(fd >= 0 && fstat(fd, &st) == 0);
    if (kind == 0)
        CHECK(ftruncate(fd, st.st_size - 1) == 0);
    else if (kind == 1)
        CHECK(ftruncate(fd, 0) == 0);
    else if (kind == 2)
        CHECK(pwrite(fd, "x", 1, 0) == 1); /* the magic */
    else if (kind == 3)
        CHECK(pwrite(fd, "\x81", 1, st.st_size - 1) == 1); /* the page */
    else
        CHECK(pwrite(fd, "\x81\x82\x83", 3, 45) == 3); /* the key */
    close(fd);
}

static void damage_one(const char *path)
{
    if (n_visited++ == 5)
        damage(path);
}

TEST(damaged_files_are_removed_and_change_nothing)
{
    char dir[32];
    struct answer *a = calloc(3, sizeof *a);
    make_folder(dir);
    ask_fake(&a[0], dir, 1, N_PROMPT);
    for (int all = 0; all < 2; all++) {
        n_visited = 0;
        int n = see_folder(dir, all ? damage : damage_one);
        ask_fake(&a[1], dir, 1, N_PROMPT);
        check_equal(&a[0], &a[1]);
        CHECK(all ? a[1].heard.usage.cached_tokens == 0 : a[1].heard.usage.cached_tokens < 96);
        if (all)
            CHECK(a[1].stats.kv_disk_damaged >= 1);
        ask_fake(&a[2], dir, 1, N_PROMPT); /* what was removed was written again */
        check_equal(&a[0], &a[2]);
        CHECK_INT(see_folder(dir, NULL), n);
    }
    ask_fake(&a[2], dir, 1, N_PROMPT);
    CHECK_INT(a[2].stats.kv_disk_damaged, 0);
    CHECK_INT(a[2].heard.usage.cached_tokens, 96);
    test_remove_folder(dir);
    free(a);
}

/* ---- full disks ---- */

TEST(a_full_disk_costs_nothing_but_the_cache)
{
    char dir[32];
    struct answer *a = calloc(2, sizeof *a);
    struct rlimit most = {100, 100};
    make_folder(dir);
    ask_fake(&a[0], dir, 1, N_PROMPT);
    test_remove_folder(dir);
    make_folder(dir);
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &most) == 0); /* every write beyond 100 bytes fails from here on */
    ask_fake(&a[1], dir, 1, N_PROMPT);
    check_equal(&a[0], &a[1]);
    CHECK(a[1].stats.kv_disk_failed > 0);
    CHECK_INT(a[1].stats.kv_disk_saved, 0);
    CHECK_INT(see_folder(dir, NULL), 0);
    CHECK_INT(seen.n_parts, 0);
    test_remove_folder(dir);
    free(a);
}

TEST(a_folder_that_cannot_be_used_is_refused_at_once)
{
    struct snapshot_dir d;
    struct err err;
    CHECK(snapshot_dir_open(&d, "/proc/none/here", 1 << 20, PAGE, &err) != OK && err.text[0]);
    CHECK(snapshot_dir_open(&d, "/dev/null", 1 << 20, PAGE, &err) != OK && err.text[0]);
    CHECK_INT(snapshot_dir_open(&d, "/tmp", PAGE, PAGE, &err), ERR_ARG); /* not even one page fits */
}

/* ---- files alone ---- */

struct record {
    struct snapshot_head head;
    uint8_t page[PAGE];
};

static struct snapshot_key key_of(uint64_t chain, uint64_t at)
{
    int32_t tokens[] = {(int32_t)chain, (int32_t)at};
    struct snapshot_key zero = {{0}}, key;
    snapshot_key_next(&key, &zero, tokens, 2);
    return key;
}

static int put_page(struct snapshot_dir *d, uint64_t chain, uint64_t at)
{
    struct record r;
    struct snapshot_key key = key_of(chain, at), parent = key_of(chain, at - 1);
    memset(r.page, (int)(chain * 16 + at), sizeof r.page);
    snapshot_dir_make_room(d);
    return snapshot_dir_write(d, &key, &parent, &r.head, NULL);
}

/* OK, ERR_NOT_FOUND, ERR_FORMAT; what is found must be right. */
static int get_page(struct snapshot_dir *d, uint64_t chain, uint64_t at)
{
    struct record r;
    struct snapshot_key key = key_of(chain, at), parent = key_of(chain, at - 1);
    int rc = snapshot_dir_read(d, &key, &parent, &r.head);
    for (size_t i = 0; rc == OK && i < sizeof r.page; i++)
        if (r.page[i] != (uint8_t)(chain * 16 + at))
            test_fail(__FILE__, __LINE__, "page %d of %d holds other bytes", (int)at, (int)chain);
    return rc;
}

static void open_dir(struct snapshot_dir *d, const char *dir, uint64_t max_bytes)
{
    struct err err;
    REQUIRE(snapshot_dir_open(d, dir, max_bytes, PAGE, &err) == OK);
}

TEST(a_kill_in_the_middle_of_writing_leaves_no_bad_page)
{
    char dir[32];
    struct snapshot_dir d;
    make_folder(dir);
    for (int round = 0; round < 12; round++) {
        pid_t child = fork();
        if (child == 0) {
            open_dir(&d, dir, 64 << 20);
            for (uint64_t i = 1;; i++)
                put_page(&d, (uint64_t)round, i % 400 + 1);
        }
        usleep(3000 + (useconds_t)(rand_at(1, 2, (uint64_t)round) % 5000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    open_dir(&d, dir, 64 << 20);
    int n_good = 0;
    for (uint64_t round = 0; round < 12; round++)
        for (uint64_t i = 1; i <= 400; i++) {
            int rc = get_page(&d, round, i);
            CHECK(rc == OK || rc == ERR_NOT_FOUND);
            n_good += rc == OK;
        }
    CHECK(n_good > 0);
    CHECK_INT(see_folder(dir, NULL), n_good);
    snapshot_dir_close(&d);
    test_remove_folder(dir);
}

static void make_old(const char *path)
{
    struct timespec then[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    utimensat(AT_FDCWD, path, then, 0);
}

TEST(what_a_dead_writer_left_is_removed_and_strange_files_are_not)
{
    char dir[32], part[64], strange[64];
    struct snapshot_dir d;
    make_folder(dir);
    open_dir(&d, dir, 1 << 20);
    CHECK(put_page(&d, 1, 1) == OK);
    struct snapshot_key key = key_of(1, 1);
    snprintf(part, sizeof part, "%s/%02x/.part-7-1", dir, key.b[0]);
    snprintf(strange, sizeof strange, "%s/%02x/notes.txt", dir, key.b[0]);
    close(open(part, O_CREAT | O_WRONLY, 0600));
    close(open(strange, O_CREAT | O_WRONLY, 0600));
    snapshot_dir_trim(&d);
    CHECK(access(part, F_OK) == 0); /* it may be being written */
    make_old(part);
    make_old(strange);
    snapshot_dir_trim(&d);
    CHECK(access(part, F_OK) != 0);
    CHECK(access(strange, F_OK) == 0);
    CHECK_INT(get_page(&d, 1, 1), OK);
    snapshot_dir_close(&d);
    test_remove_folder(dir);
}

TEST(the_folder_stays_small_and_loses_old_paths_from_their_ends)
{
    char dir[32];
    struct snapshot_dir d;
    uint64_t max = 20 * 8192;
    make_folder(dir);
    open_dir(&d, dir, max);
    for (uint64_t chain = 1; chain <= 12; chain++)
        for (uint64_t at = 1; at <= 5; at++) {
            CHECK(put_page(&d, chain, at) == OK);
            /* The first path is used all the time, which is told at its end only. */
            struct snapshot_key key = key_of(1, 5), parent = key_of(1, 4);
            snapshot_dir_touch(&d, &key, &parent);
            see_folder(dir, NULL);
            CHECK(seen.n_bytes <= max);
        }
    int n_left = 0;
    for (uint64_t chain = 1; chain <= 12; chain++) {
        bool is_cut = false;
        for (uint64_t at = 1; at <= 5; at++) {
            bool is_there = get_page(&d, chain, at) == OK;
            CHECK(!(is_there && is_cut)); /* no page without those before it */
            is_cut |= !is_there;
            n_left += is_there;
        }
        if (chain == 1 || chain == 12)
            CHECK(!is_cut);
        if (chain == 2)
            CHECK(get_page(&d, chain, 1) == ERR_NOT_FOUND);
    }
    CHECK(n_left >= 10);
    snapshot_dir_close(&d);
    test_remove_folder(dir);
}

TEST(processes_share_a_folder)
{
    char dir[32];
    struct snapshot_dir d;
    pid_t children[3];
    make_folder(dir);
    for (int c = 0; c < 3; c++) {
        children[c] = fork();
        if (children[c])
            continue;
        bool is_good = true;
        open_dir(&d, dir, 30 * 8192);
        for (uint64_t i = 0; i < 150; i++) { /* the same pages, in another order each */
            uint64_t k = rand_at((uint64_t)c, 3, i) % 60;
            is_good &= get_page(&d, k / 6, k % 6 + 1) != ERR_FORMAT;
            is_good &= put_page(&d, k / 6, k % 6 + 1) == OK;
        }
        _exit(is_good ? 0 : 1);
    }
    for (int c = 0; c < 3; c++) {
        int status = -1;
        waitpid(children[c], &status, 0);
        CHECK_INT(status, 0);
    }
    open_dir(&d, dir, 30 * 8192);
    snapshot_dir_trim(&d);
    see_folder(dir, NULL);
    CHECK(seen.n_bytes <= 30 * 8192 && seen.n_pages > 5);
    CHECK_INT(seen.n_parts, 0);
    snapshot_dir_close(&d);
    test_remove_folder(dir);
}

/* ---- a real model: its logits, bit for bit ---- */

struct spy {
    struct compute real;
    float *rows; /* [N_ANSWER][n_vocab] the logits of the last steps */
    int n_rows;
};

static int spy_step(void *self, const struct model_batch *b, struct err *err)
{
    struct spy *s = self;
    int rc = s->real.step(s->real.self, b, err);
    if (rc == OK && b->rows[b->n_rows - 1].want && s->n_rows < N_ANSWER)
        memcpy(s->rows + (size_t)s->n_rows++ * (size_t)s->real.n_vocab, s->real.logits(s->real.self, 0),
               (size_t)s->real.n_vocab * sizeof(float));
    return rc;
}
static float *spy_logits(void *self, uint32_t i)
{
    struct spy *s = self;
    return s->real.logits(s->real.self, i);
}
static void spy_export(void *self, uint32_t page, void *bytes)
{
    struct spy *s = self;
    s->real.kv_export(s->real.self, page, bytes);
}
static void spy_import(void *self, uint32_t page, const void *bytes)
{
    struct spy *s = self;
    s->real.kv_import(s->real.self, page, bytes);
}
static void spy_identity(void *self, uint64_t id[2])
{
    struct spy *s = self;
    s->real.kv_identity(s->real.self, id);
}

/* The logits behind a prompt and its answer; returns the prompt tokens that were not computed. */
static uint64_t logits_of(const char *kv_type, const char *dir, int threads, float **rows, size_t *n_bytes)
{
    struct sluice_model_options mo;
    struct sluice_model *m;
    struct sluice_error error;
    struct err err;
    struct heard *h = calloc(1, sizeof *h);
    int32_t prompt[N_PROMPT];

    sluice_model_options_init(&mo, sizeof mo);
    mo.context = 160;
    mo.threads = threads;
    mo.kv_type = kv_type;
    REQUIRE(h);
    if (sluice_model_open_memory(sluice_demo_gguf, (size_t)(sluice_demo_gguf_end - sluice_demo_gguf), &mo, &m,
                                 &error) != OK) {
        test_fail(__FILE__, __LINE__, "%s", error.text);
        test_stop();
    }
    struct spy spy = {.real = compute_of_model(m->model)};
    *n_bytes = (size_t)N_ANSWER * (size_t)spy.real.n_vocab * sizeof(float);
    spy.rows = *rows = calloc(1, *n_bytes);
    REQUIRE(spy.rows);
    struct engine_options o = {.compute = spy.real,
                               .tokenizer = m->tokenizer,
                               .max_batch = 4,
                               .max_queue = 4,
                               .step_budget_us = 50000,
                               .use_prefix = true,
                               .kv_cache_dir = dir,
                               .kv_cache_bytes = 64 << 20};
    o.compute.self = &spy;
    o.compute.step = spy_step;
    o.compute.logits = spy_logits;
    o.compute.kv_export = spy_export;
    o.compute.kv_import = spy_import;
    o.compute.kv_identity = spy_identity;
    struct engine *e;
    struct sluice_request rq;
    struct sluice_event ev;
    for (int i = 0; i < N_PROMPT; i++)
        prompt[i] = (int32_t)(rand_at(3, 4, (uint64_t)i) % (uint64_t)spy.real.n_vocab);
    sluice_request_init(&rq, sizeof rq);
    rq.sampling.max_tokens = N_ANSWER;
    rq.sampling.ignore_eos = true;
    rq.sampling.temperature = 0;
    REQUIRE(engine_create(&e, &o, &err) == OK);
    REQUIRE(engine_submit(e, &rq, prompt, N_PROMPT, &h->stream, &err) == OK);
    do
        REQUIRE(sluice_stream_next(h->stream, -1, &ev, &error) == 1);
    while (ev.kind != SLUICE_EVENT_DONE);
    uint64_t n_cached = ev.usage.cached_tokens;
    CHECK_INT(spy.n_rows, N_ANSWER);
    sluice_stream_free(h->stream);
    engine_free(e); /* saves what is not saved yet */
    sluice_model_free(m);
    free(h);
    return n_cached;
}

TEST(logits_behind_loaded_pages_equal_computed_ones_bit_for_bit)
{
    static const char *const types[] = {"f16", "bf16", "q8_0"};
    char dir[32];
    if (!sluice_demo_gguf)
        test_skip("this build has no demo model");
    make_folder(dir);
    for (int i = 0; i < 3; i++) {
        float *rows[2];
        size_t n[2];
        CHECK_INT(logits_of(types[i], dir, 1, &rows[0], &n[0]), 0);
        CHECK_INT(logits_of(types[i], dir, 2, &rows[1], &n[1]), 96); /* pages of 32 */
        CHECK(n[0] == n[1] && !memcmp(rows[0], rows[1], n[0]));
        free(rows[0]);
        free(rows[1]);
    }
    test_remove_folder(dir);
}
