/* loop_test.c - Timers, tasks, the order of a turn. */
#include "net/loop.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/test.h"

static int order[100];
static int n_order;

struct numbered {
    struct timer timer;
    struct loop_task task;
    int number;
    uint64_t due_ms;
};

static void note(int number)
{
    if (n_order < 100)
        order[n_order++] = number;
}

static void fire_numbered(struct timer *t)
{
    note(((struct numbered *)t)->number);
}

static struct loop *open_loop(void)
{
    struct err err;
    struct loop *loop = loop_create(&err);
    REQUIRE(loop);
    return loop;
}

TEST(timers_fire_in_their_order_and_not_early)
{
    struct loop *loop = open_loop();
    struct numbered t[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    for (int i = 0; i < 4; i++)
        timer_init(&t[i].timer, loop, fire_numbered);
    uint64_t begin = loop_now_ms(loop);
    timer_start(&t[0].timer, 30);
    timer_start(&t[1].timer, 10);
    timer_start(&t[2].timer, 20);
    timer_start(&t[3].timer, 5);
    timer_start(&t[3].timer, 40); /* moved later */
    timer_start(&t[0].timer, 15); /* moved earlier */
    timer_stop(&t[2].timer);
    timer_stop(&t[2].timer);
    while (n_order < 3)
        loop_run_once(loop, 100);
    CHECK(loop_now_ms(loop) - begin >= 40);
    CHECK(order[0] == 1 && order[1] == 0 && order[2] == 3);
    loop_free(loop);
}

static struct numbered many[2000];
static uint64_t last_due;
static int n_fired;

static void fire_checked(struct timer *t)
{
    struct numbered *n = (struct numbered *)t;
    CHECK(t->due_ms == n->due_ms && n->due_ms >= last_due);
    CHECK(loop_now_ms(t->loop) >= n->due_ms);
    last_due = n->due_ms;
    n->due_ms = 0;
    n_fired++;
}

/* The heap against a plain list of what is due. */
TEST(many_timers_started_moved_and_stopped)
{
    struct loop *loop = open_loop();
    struct rng rng = rng_seeded(7);
    for (int i = 0; i < 2000; i++)
        timer_init(&many[i].timer, loop, fire_checked);
    for (int i = 0; i < 20000; i++) {
        struct numbered *n = &many[rng_below(&rng, 2000)];
        if (rng_below(&rng, 3) == 0) {
            timer_stop(&n->timer);
            n->due_ms = 0;
        } else {
            uint64_t delay = 1 + rng_below(&rng, 60);
            timer_start(&n->timer, delay);
            n->due_ms = loop_now_ms(loop) + delay;
        }
    }
    int n_running = 0;
    for (int i = 0; i < 2000; i++) {
        CHECK(many[i].timer.is_running == (many[i].due_ms != 0));
        n_running += many[i].due_ms != 0;
    }
    for (int i = 0; i < 200 && n_fired < n_running; i++)
        loop_run_once(loop, 10);
    CHECK_INT(n_fired, n_running);
    loop_free(loop);
}

static struct loop *turn_loop;
static struct numbered first_phase = {.number = 1}, second_phase = {.number = 2}, late = {.number = 3};

static void run_late(struct loop_task *task)
{
    (void)task;
    note(late.number);
}

static void run_first(struct loop_task *task)
{
    (void)task;
    note(first_phase.number);
}

static void run_second(struct loop_task *task)
{
    (void)task;
    note(second_phase.number);
    if (n_order < 3)
        loop_at_turn_end(turn_loop, LOOP_FIRST, &late.task);
}

TEST(turn_end_tasks_run_by_phase_in_the_same_turn)
{
    turn_loop = open_loop();
    first_phase.task.run = run_first;
    second_phase.task.run = run_second;
    late.task.run = run_late;
    loop_at_turn_end(turn_loop, LOOP_FLUSH, &second_phase.task);
    loop_at_turn_end(turn_loop, LOOP_FLUSH, &second_phase.task); /* once only */
    loop_at_turn_end(turn_loop, LOOP_FIRST, &first_phase.task);
    loop_run_once(turn_loop, 0);
    CHECK(n_order == 3 && order[0] == 1 && order[1] == 2 && order[2] == 3);
    loop_at_turn_end(turn_loop, LOOP_FIRST, &first_phase.task);
    loop_withdraw(turn_loop, LOOP_FIRST, &first_phase.task);
    loop_withdraw(turn_loop, LOOP_FIRST, &first_phase.task);
    loop_run_once(turn_loop, 0);
    CHECK_INT(n_order, 3);
    loop_free(turn_loop);
}

enum { POSTS = 2000, POSTERS = 4 };

struct posted {
    struct loop_task task;
    int poster, number;
};

static struct posted posts[POSTERS][POSTS];
static int next_of[POSTERS];
static int n_run;

static void run_posted(struct loop_task *task)
{
    struct posted *p = (struct posted *)task;
    CHECK_INT(p->number, next_of[p->poster]++);
    if (++n_run == POSTERS * POSTS)
        loop_stop(turn_loop);
}

static void *post_all(void *arg)
{
    struct posted *mine = arg;
    for (int i = 0; i < POSTS; i++)
        loop_post(turn_loop, &mine[i].task);
    return NULL;
}

TEST(tasks_posted_by_many_threads_all_run_in_order)
{
    turn_loop = open_loop();
    pthread_t threads[POSTERS];
    for (int p = 0; p < POSTERS; p++) {
        for (int i = 0; i < POSTS; i++)
            posts[p][i] = (struct posted){.task.run = run_posted, .poster = p, .number = i};
        REQUIRE(pthread_create(&threads[p], NULL, post_all, posts[p]) == 0);
    }
    loop_run(turn_loop);
    for (int p = 0; p < POSTERS; p++)
        pthread_join(threads[p], NULL);
    CHECK_INT(n_run, POSTERS * POSTS);
    loop_free(turn_loop);
}

static void on_signal(void *arg, int signum)
{
    *(int *)arg = signum;
}

TEST(signals_arrive_on_the_loop)
{
    struct loop *loop = open_loop();
    struct err err;
    int came = 0;
    struct loop_signal *s = loop_signal_open(loop, SIGUSR1, on_signal, &came, &err);
    REQUIRE(s);
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 100 && !came; i++)
        loop_run_once(loop, 10);
    CHECK_INT(came, SIGUSR1);
    loop_signal_close(s);
    loop_free(loop);
}
