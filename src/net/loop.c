/* loop.c - An event loop on libuv: own timers, posted tasks, turn-end tasks.  See loop.h.
 *
 * libuv gives the waiting, the wake-up from other threads and the signals.  Timers are our own
 * pairing heap driven by one uv_timer_t, because a uv_timer_t must be closed and waited for
 * before its memory may go, and because moving a timeout later (at every read of every
 * stream) should cost two stores: the heap keeps the old, earlier key, and when that comes up the
 * timer is put back where it belongs.
 *
 * Start reading at on_before_wait(). */
#include "net/loop.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

#include "base/clock.h"

#define NOT_ARMED UINT64_MAX

struct task_list {
    struct loop_task *first, *last;
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t before_wait;
    uv_check_t after_wait;
    uv_timer_t alarm;
    uv_idle_t do_not_sleep; /* active while timers are due: the wait takes what is there only */
    uint64_t alarm_ms;      /* when `alarm` rings, or NOT_ARMED */
    bool has_due_timers, is_simulated;
    struct timer *heap;
    struct task_list turn_end[LOOP_PHASES];
    _Atomic(struct loop_task *) posted; /* newest first, pushed by any thread */
    atomic_bool is_stopping;
};

/* ------------------------------------------------------------- pairing heap */

/* Joins two heaps; the later root becomes the first child of the earlier one.  `prev` of a
 * first child is its parent, otherwise its left neighbour. */
static struct timer *heap_join(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->key_ms < a->key_ms) {
        struct timer *t = a;
        a = b;
        b = t;
    }
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* Makes one heap of a list of siblings: in pairs from the left, then together from the right. */
static struct timer *heap_join_siblings(struct timer *first)
{
    struct timer *pairs = NULL; /* linked by next, newest first */
    while (first) {
        struct timer *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        struct timer *pair = heap_join(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    struct timer *heap = NULL;
    while (pairs) {
        struct timer *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        heap = heap_join(heap, pair);
    }
    return heap;
}

static void heap_insert(struct loop *loop, struct timer *t)
{
    t->child = t->next = t->prev = NULL;
    loop->heap = heap_join(loop->heap, t);
}

static void heap_remove(struct loop *loop, struct timer *t)
{
    struct timer *children = heap_join_siblings(t->child);
    if (t == loop->heap) {
        loop->heap = children;
    } else {
        if (t->prev->child == t)
            t->prev->child = t->next;
        else
            t->prev->next = t->next;
        if (t->next)
            t->next->prev = t->prev;
        loop->heap = heap_join(loop->heap, children);
    }
    t->child = t->next = t->prev = NULL;
}

/* ------------------------------------------------------------------- timers */

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *))
{
    *timer = (struct timer){.fire = fire, .loop = loop};
}

void timer_start(struct timer *timer, uint64_t delay_ms)
{
    struct loop *loop = timer->loop;
    uint64_t due = loop_now_ms(loop) + (delay_ms ? delay_ms : 1);
    timer->due_ms = due;
    if (timer->is_running && due >= timer->key_ms)
        return;
    if (timer->is_running)
        heap_remove(loop, timer);
    timer->key_ms = due;
    timer->is_running = true;
    heap_insert(loop, timer);
}

void timer_stop(struct timer *timer)
{
    if (!timer->is_running)
        return;
    heap_remove(timer->loop, timer);
    timer->is_running = false;
}

static void nothing(uv_idle_t *handle)
{
    (void)handle;
}

/* Only notes that timers are due: they fire after the sockets were looked at, because what has
 * come meanwhile may move them.  Otherwise a loop that was held up for a second (by a slow
 * callback, a busy machine, a debugger) would cut off connections whose bytes are waiting. */
static void on_alarm(uv_timer_t *alarm)
{
    struct loop *loop = alarm->data;
    loop->alarm_ms = NOT_ARMED;
    loop->has_due_timers = true;
    uv_idle_start(&loop->do_not_sleep, nothing);
}

/* A timer that fires now and starts itself again is due in the future, so this ends. */
static void fire_due_timers(struct loop *loop)
{
    uint64_t now = loop_now_ms(loop);
    loop->has_due_timers = false;
    uv_idle_stop(&loop->do_not_sleep);
    while (loop->heap && loop->heap->key_ms <= now) {
        struct timer *t = loop->heap;
        heap_remove(loop, t);
        if (t->due_ms > t->key_ms) { /* was moved later meanwhile */
            t->key_ms = t->due_ms;
            heap_insert(loop, t);
            continue;
        }
        t->is_running = false;
        t->fire(t);
    }
}

static void set_alarm(struct loop *loop)
{
    uint64_t want = loop->heap ? loop->heap->key_ms : NOT_ARMED;
    if (loop->has_due_timers || want == loop->alarm_ms)
        return;
    loop->alarm_ms = want;
    if (want == NOT_ARMED) {
        uv_timer_stop(&loop->alarm);
        return;
    }
    uint64_t now = loop_now_ms(loop);
    uv_timer_start(&loop->alarm, on_alarm, want > now ? want - now : 0, 0);
}

/* -------------------------------------------------------------------- tasks */

void loop_post(struct loop *loop, struct loop_task *task)
{
    struct loop_task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posted, &head, task, memory_order_release,
                                                    memory_order_relaxed));
    /* Only the one that found the list empty wakes the loop: the others are seen with it. */
    if (!head)
        uv_async_send(&loop->wake);
}

static void run_posted(struct loop *loop)
{
    struct loop_task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct loop_task *oldest = NULL;
    while (newest) {
        struct loop_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_task *task = oldest;
        oldest = task->next;
        task->next = NULL;
        task->run(task); /* may free the task */
    }
}

static void on_wake(uv_async_t *wake)
{
    struct loop *loop = wake->data;
    run_posted(loop);
    if (atomic_load(&loop->is_stopping))
        uv_stop(&loop->uv);
}

void loop_at_turn_end(struct loop *loop, enum loop_phase phase, struct loop_task *task)
{
    if (task->is_queued)
        return;
    struct task_list *list = &loop->turn_end[phase];
    task->is_queued = true;
    task->next = NULL;
    task->prev = list->last;
    if (list->last)
        list->last->next = task;
    else
        list->first = task;
    list->last = task;
}

void loop_withdraw(struct loop *loop, enum loop_phase phase, struct loop_task *task)
{
    if (!task->is_queued)
        return;
    struct task_list *list = &loop->turn_end[phase];
    if (task->prev)
        task->prev->next = task->next;
    else
        list->first = task->next;
    if (task->next)
        task->next->prev = task->prev;
    else
        list->last = task->prev;
    task->is_queued = false;
}

/* Always the oldest task of the first phase that has one. */
static void run_turn_end(struct loop *loop)
{
    for (int phase = 0; phase < LOOP_PHASES;) {
        struct loop_task *task = loop->turn_end[phase].first;
        if (!task) {
            phase++;
            continue;
        }
        loop_withdraw(loop, (enum loop_phase)phase, task);
        task->run(task);
        phase = 0;
    }
}

/* The last thing before the loop sleeps: what timers have queued goes out, and the alarm is
 * set once for all timers that were started or stopped in this turn. */
static void on_before_wait(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;
    run_turn_end(loop);
    set_alarm(loop);
}

static void on_after_wait(uv_check_t *handle)
{
    struct loop *loop = handle->data;
    if (loop->has_due_timers)
        fire_due_timers(loop);
    run_turn_end(loop);
}

/* ------------------------------------------------------------ life of a loop */

struct loop *loop_create(struct err *err)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        fail(err, ERR_NOMEM, "no memory for an event loop");
        return NULL;
    }
    int rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        fail(err, ERR_IO, "an event loop cannot be made: %s", uv_strerror(rc));
        free(loop);
        return NULL;
    }
    rc = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (rc < 0) {
        fail(err, ERR_IO, "an event loop cannot get its wake-up descriptor: %s", uv_strerror(rc));
        uv_loop_close(&loop->uv);
        free(loop);
        return NULL;
    }
    loop->wake.data = loop;
    uv_prepare_init(&loop->uv, &loop->before_wait); /* these four cannot fail */
    uv_check_init(&loop->uv, &loop->after_wait);
    uv_timer_init(&loop->uv, &loop->alarm);
    uv_idle_init(&loop->uv, &loop->do_not_sleep);
    loop->before_wait.data = loop->after_wait.data = loop->alarm.data = loop;
    uv_prepare_start(&loop->before_wait, on_before_wait);
    uv_check_start(&loop->after_wait, on_after_wait);
    loop->alarm_ms = NOT_ARMED;
    return loop;
}

void loop_run(struct loop *loop)
{
    while (!atomic_load(&loop->is_stopping))
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    atomic_store(&loop->is_stopping, false);
}

static void wait_is_over(struct timer *timer)
{
    (void)timer;
}

void loop_run_once(struct loop *loop, int wait_ms)
{
    struct timer wait;
    timer_init(&wait, loop, wait_is_over);
    if (wait_ms > 0) {
        uv_update_time(&loop->uv);
        timer_start(&wait, (uint64_t)wait_ms);
    }
    uv_run(&loop->uv, wait_ms > 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    timer_stop(&wait);
}

bool loop_simulate(struct loop *loop)
{
    loop->is_simulated = true;
    run_posted(loop);
    run_turn_end(loop);
    if (!loop->heap)
        return false;
    int64_t ahead_ns = (int64_t)loop->heap->key_ms * NS_PER_MS - clock_now_ns();
    if (ahead_ns > 0)
        clock_fake_advance(ahead_ns);
    fire_due_timers(loop);
    run_turn_end(loop);
    return true;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->is_stopping, true);
    uv_async_send(&loop->wake);
}

static void assert_is_closing(uv_handle_t *handle, void *arg)
{
    (void)arg;
    assert(uv_is_closing(handle)); /* somebody has not freed a server, a client or a signal */
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->before_wait, NULL);
    uv_close((uv_handle_t *)&loop->after_wait, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_close((uv_handle_t *)&loop->do_not_sleep, NULL);
    uv_walk(&loop->uv, assert_is_closing, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* close callbacks, and look-ups that still run */
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0);
    (void)rc;
    free(loop);
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->is_simulated ? (uint64_t)clock_now_ms() : uv_now(&loop->uv);
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

/* ------------------------------------------------------------------ signals */

struct loop_signal {
    uv_signal_t handle;
    void (*on_signal)(void *arg, int signum);
    void *arg;
};

static void signal_came(uv_signal_t *handle, int signum)
{
    struct loop_signal *sig = handle->data;
    sig->on_signal(sig->arg, signum);
}

static void signal_is_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct loop_signal *loop_signal_open(struct loop *loop, int signum, void (*on_signal)(void *arg, int signum),
                                     void *arg, struct err *err)
{
    struct loop_signal *sig = calloc(1, sizeof *sig);
    if (!sig) {
        fail(err, ERR_NOMEM, "no memory to watch signal %d", signum);
        return NULL;
    }
    sig->on_signal = on_signal;
    sig->arg = arg;
    int rc = uv_signal_init(&loop->uv, &sig->handle);
    if (rc < 0) {
        fail(err, ERR_IO, "signal %d cannot be watched: %s", signum, uv_strerror(rc));
        free(sig);
        return NULL;
    }
    sig->handle.data = sig;
    rc = uv_signal_start(&sig->handle, signal_came, signum);
    if (rc < 0) {
        fail(err, ERR_IO, "signal %d cannot be watched: %s", signum, uv_strerror(rc));
        uv_close((uv_handle_t *)&sig->handle, signal_is_closed);
        return NULL;
    }
    return sig;
}

void loop_signal_close(struct loop_signal *sig)
{
    if (sig)
        uv_close((uv_handle_t *)&sig->handle, signal_is_closed);
}
