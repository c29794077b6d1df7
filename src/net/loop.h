/* loop.h - One event loop per thread: timers, work from other threads, the end of a turn.
 *
 * A loop belongs to the thread that runs it.  Everything here and in the rest of net/ is called
 * on that thread only, except loop_post and loop_stop, which any thread may call.
 *
 * A turn is: run the turn-end tasks, wait for sockets, handle what they bring, run the timers that
 * are due, run the turn-end tasks again.  Turn-end tasks are how many small things become
 * one system call: sockets flush there, and a journal writes there.
 *
 * The structs below live in the caller's memory and are never allocated here.  A stopped timer
 * and a task that has run (or was withdrawn) may be freed at once. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct loop;
struct uv_loop_s;

/* Returns NULL and says why (no descriptors, no memory). */
struct loop *loop_create(struct err *err);

/* Runs turns until loop_stop.  May be called again after it has returned. */
void loop_run(struct loop *loop);

/* Handles what is ready now and returns; waits at most wait_ms for something (tests). */
void loop_run_once(struct loop *loop, int wait_ms);

/* Any thread, any number of times.  loop_run returns at the end of the turn. */
void loop_stop(struct loop *loop);

/* The loop is not running, every server, client and signal on it is freed.  Accepts NULL.
 * Tasks posted and not yet run are dropped: who posts must have stopped before. */
void loop_free(struct loop *loop);

/* Milliseconds of the monotonic clock, as of the beginning of this turn: costs nothing. */
uint64_t loop_now_ms(const struct loop *loop);

/* For simulations, instead of loop_run: time is a fake clock (clock_fake), and nothing is waited
 * for.  Each call runs what is queued, moves the clock to the next timer, and fires what is due
 * then.  False: no timer is left. */
bool loop_simulate(struct loop *loop);

/* ------------------------------------------------------------------ tasks */

struct loop_task {
    void (*run)(struct loop_task *task);
    struct loop_task *next, *prev; /* the loop's */
    bool is_queued;                /* at a turn's end; not for posted tasks */
};

/* Runs task->run on the loop's thread.  Any thread.  Never blocks and never fails: the task is
 * the queue's own link, so one task may be under way once at a time.  Tasks posted by one
 * thread run in their order. */
void loop_post(struct loop *loop, struct loop_task *task);

/* Runs the task once, before this turn ends; nothing happens if it is queued already.  Tasks
 * run in the order in which they were queued; one queued by a task of phase LOOP_FIRST (say, a
 * journal that lets its requests go on after its write) still runs in the same turn.  A task may
 * not queue itself again each time it runs: the turn would not end. */
enum loop_phase { LOOP_FIRST, LOOP_FLUSH, LOOP_PHASES };
void loop_at_turn_end(struct loop *loop, enum loop_phase phase, struct loop_task *task);
void loop_withdraw(struct loop *loop, enum loop_phase phase, struct loop_task *task);

/* ----------------------------------------------------------------- timers */

struct timer {
    void (*fire)(struct timer *timer);
    struct loop *loop;
    uint64_t due_ms;                   /* when it fires */
    uint64_t key_ms;                   /* where it stands in the heap: never later than due_ms */
    struct timer *child, *next, *prev; /* the heap's */
    bool is_running;
};

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(struct timer *));

/* Fires once, delay_ms after loop_now_ms (at least 1), not earlier.  Starting a running timer moves it; to
 * move it later costs nothing, so a timeout may be pushed back at every read. */
void timer_start(struct timer *timer, uint64_t delay_ms);
void timer_stop(struct timer *timer); /* also when it is not running */

/* ---------------------------------------------------------------- signals */

struct loop_signal;

/* on_signal runs on the loop's thread at every `signum`.  Returns NULL on failure. */
struct loop_signal *loop_signal_open(struct loop *loop, int signum, void (*on_signal)(void *arg, int signum),
                                     void *arg, struct err *err);
void loop_signal_close(struct loop_signal *sig); /* accepts NULL */

/* For net/ itself and for who must put a foreign descriptor on the loop. */
struct uv_loop_s *loop_uv(struct loop *loop);

#endif
