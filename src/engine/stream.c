/* stream.c - One request as its asker sees it: events from the engine thread to another.
 *
 * The ring holds records: a header, the event, its tokens, their alternatives, its strings.  A record
 * is contiguous (what would cross the end starts anew at the front, behind a skip record) and its
 * pointers point into itself, so that the reader uses it in place.  One writer, one reader, two
 * counters.
 *
 * Who sleeps is woken: the reader stores head, then looks at tail; the writer stores tail, then
 * looks at head.  Both in sequential order, so that one of them sees the other. */
#include "engine/stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc_guard.h"
#include "base/clock.h"
#include "engine/ensure.h"

#define ALIGN 16u

_Static_assert(sizeof(struct sluice_error) == sizeof(struct err) &&
                   offsetof(struct sluice_error, text) == offsetof(struct err, text),
               "the public error is ours");

struct record {
    size_t bytes; /* this header included */
    bool is_skip;
    struct sluice_event ev;
};

static size_t aligned(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* ---- life ---- */

struct stream_home *stream_home_create(void)
{
    struct stream_home *home = calloc(1, sizeof *home);
    if (home) {
        home->n_owners = 1;
        home->pid = getpid();
    }
    return home;
}

void stream_home_release(struct stream_home *home)
{
    if (home && atomic_fetch_sub(&home->n_owners, 1) == 1)
        free(home);
}

/* Its address differs from thread to thread. */
static _Thread_local char here;

void stream_home_enter(struct stream_home *home)
{
    atomic_store(&home->engine_thread, &here);
}

struct sluice_stream *stream_create(struct stream_home *home, const struct sluice_request *rq,
                                    size_t step_text_bytes, size_t extra_bytes)
{
    struct sluice_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->n_owners = 2;
    s->on_event = rq->on_event;
    s->on_ready = rq->on_ready;
    s->user = rq->user;
    s->notify_fd = rq->notify_fd;
    if (!s->on_event) {
        s->room_bytes = aligned(STREAM_ROOM_BYTES + step_text_bytes);
        s->ring_bytes = 2 * s->room_bytes + aligned(extra_bytes);
        s->ring = malloc(s->ring_bytes);
        if (!s->ring) {
            free(s);
            return NULL;
        }
    }
    s->home = home;
    atomic_fetch_add(&home->n_owners, 1);
    return s;
}

void stream_release(struct sluice_stream *s)
{
    if (!s || atomic_fetch_sub(&s->n_owners, 1) != 1)
        return;
    stream_home_release(s->home);
    free(s->ring);
    free(s);
}

/* ---- writing ---- */

static void call_back(struct sluice_stream *s, const struct sluice_event *ev)
{
    atomic_store(&s->is_calling, true);
    if (!atomic_load(&s->is_detached)) {
        bool is_guarded = alloc_guard_set(false); /* what the host does is the host's */
        if (ev)
            s->on_event(s->user, s, ev);
        else
            s->on_ready(s->user, s);
        alloc_guard_set(is_guarded);
    }
    atomic_store(&s->is_calling, false);
    if (atomic_load(&s->is_detached))
        gate_open(&s->called);
}

static void tell_reader(struct sluice_stream *s)
{
    gate_open(&s->ready);
    if (s->on_ready)
        call_back(s, NULL);
    if (s->notify_fd >= 0) {
        uint64_t one = 1;
        ssize_t n = write(s->notify_fd, &one, sizeof one); /* full means: told already */
        (void)n;
    }
}

static size_t record_bytes(const struct sluice_event *ev)
{
    size_t n = sizeof(struct record) + ev->text_bytes + ev->n_tokens * sizeof *ev->tokens +
               ev->n_vector * sizeof *ev->vector;
    for (size_t i = 0; i < ev->n_tokens; i++)
        n += ev->tokens[i].n_top * sizeof(struct sluice_top);
    n += ev->stop ? strlen(ev->stop) + 1 : 0;
    n += ev->error_text ? strlen(ev->error_text) + 1 : 0;
    return aligned(n);
}

/* A copy at *to, which moves behind it; NULL stays NULL. */
static const char *write_string(char **to, const char *z)
{
    if (!z)
        return NULL;
    char *copy = *to;
    size_t n = strlen(z) + 1;
    memcpy(copy, z, n);
    *to += n;
    return copy;
}

/* Lay the event out behind its record's header, in the order of alignment.  Nothing may point at
 * the sequence any more: it is freed while its last event still waits for the reader. */
static void write_record(struct record *r, size_t bytes, const struct sluice_event *ev)
{
    struct sluice_token *tokens = (struct sluice_token *)(r + 1);
    struct sluice_top *tops = (struct sluice_top *)(tokens + ev->n_tokens);

    *r = (struct record){.bytes = bytes, .ev = *ev};
    for (size_t i = 0; i < ev->n_tokens; i++) {
        tokens[i] = ev->tokens[i];
        tokens[i].top = tops;
        if (tokens[i].n_top > 0)
            memcpy(tops, ev->tokens[i].top, tokens[i].n_top * sizeof *tops);
        tops += tokens[i].n_top;
    }
    r->ev.tokens = tokens;
    float *vector = (float *)tops;
    r->ev.vector = ev->vector ? vector : NULL;
    if (ev->n_vector > 0)
        memcpy(vector, ev->vector, ev->n_vector * sizeof *vector);
    char *text = (char *)(vector + ev->n_vector);
    r->ev.text = text;
    if (ev->text_bytes > 0)
        memcpy(text, ev->text, ev->text_bytes);
    text += ev->text_bytes;
    r->ev.stop = write_string(&text, ev->stop);
    r->ev.error_text = write_string(&text, ev->error_text);
}

static size_t bytes_free(const struct sluice_stream *s)
{
    return s->ring_bytes - (size_t)(atomic_load(&s->tail) - atomic_load(&s->head));
}

void stream_send(struct sluice_stream *s, const struct sluice_event *ev)
{
    if (s->on_event) {
        call_back(s, ev);
        return;
    }
    size_t bytes = record_bytes(ev);
    uint64_t old_tail = atomic_load(&s->tail), tail = old_tail;
    size_t at = (size_t)(tail % s->ring_bytes), to_end = s->ring_bytes - at;

    ensure(bytes + (bytes > to_end ? to_end : 0) <= bytes_free(s));
    if (bytes > to_end) {
        if (to_end >= sizeof(struct record))
            *(struct record *)(s->ring + at) = (struct record){.bytes = to_end, .is_skip = true};
        tail += to_end; /* less than a header is skipped without one */
        at = 0;
    }
    write_record((struct record *)(s->ring + at), bytes, ev);
    atomic_store(&s->tail, tail + bytes);
    if (atomic_load(&s->head) == old_tail)
        tell_reader(s);
}

bool stream_has_room(struct sluice_stream *s)
{
    if (s->on_event || bytes_free(s) >= s->room_bytes)
        return true;
    atomic_store(&s->is_full, true);
    /* Between the look and the store the reader may have read everything. */
    return bytes_free(s) >= s->room_bytes;
}

/* ---- reading ---- */

/* Give back the record that was looked at. */
static void finish_reading(struct sluice_stream *s)
{
    if (s->n_reading == 0)
        return;
    atomic_store(&s->head, atomic_load(&s->head) + s->n_reading);
    s->n_reading = 0;
    if (atomic_load(&s->is_full) && bytes_free(s) >= s->room_bytes) {
        atomic_store(&s->is_full, false);
        gate_open(&s->home->work);
    }
}

/* The next record, or NULL.  Skips what is only filling. */
static const struct record *next_record(struct sluice_stream *s)
{
    for (;;) {
        uint64_t head = atomic_load(&s->head);
        if (head == atomic_load(&s->tail))
            return NULL;
        size_t at = (size_t)(head % s->ring_bytes), to_end = s->ring_bytes - at;
        const struct record *r = (const struct record *)(s->ring + at);
        if (to_end >= sizeof *r && !r->is_skip)
            return r;
        atomic_store(&s->head, head + to_end);
    }
}

/* Wait for a record, at most timeout_ms. */
static const struct record *wait_record(struct sluice_stream *s, int timeout_ms)
{
    int64_t deadline_ns = timeout_ms > 0 ? clock_now_ns() + timeout_ms * NS_PER_MS : -1;
    for (;;) {
        uint32_t ticket = gate_ticket(&s->ready);
        const struct record *r = next_record(s);
        int64_t left_ns = deadline_ns < 0 ? -1 : deadline_ns - clock_now_ns();
        if (r || timeout_ms == 0 || (deadline_ns >= 0 && left_ns <= 0))
            return r;
        gate_wait(&s->ready, ticket, left_ns);
    }
}

SLUICE_API int sluice_stream_next(struct sluice_stream *s, int timeout_ms, struct sluice_event *ev,
                                  struct sluice_error *error)
{
    struct err *err = (struct err *)error;
    if (s->home->pid != getpid())
        return fail(err, SLUICE_ERR_FORK, "this stream belongs to the process before fork()");
    if (s->on_event)
        return fail(err, ERR_STATE, "this stream tells its events by callback");
    finish_reading(s);
    if (s->is_over)
        return fail(err, ERR_STATE, "this stream is over: its last event was read");
    const struct record *r = wait_record(s, timeout_ms);
    if (!r)
        return 0;
    s->n_reading = r->bytes;
    s->is_over = r->ev.kind == SLUICE_EVENT_DONE;
    *ev = r->ev;
    return 1;
}

SLUICE_API void sluice_stream_cancel(struct sluice_stream *s)
{
    atomic_store(&s->is_cancelled, true);
    gate_open(&s->home->work);
}

SLUICE_API void sluice_stream_free(struct sluice_stream *s)
{
    if (!s)
        return;
    atomic_store(&s->is_detached, true);
    sluice_stream_cancel(s);
    while (atomic_load(&s->home->engine_thread) != &here) {
        uint32_t ticket = gate_ticket(&s->called);
        if (!atomic_load(&s->is_calling))
            break;
        gate_wait(&s->called, ticket, -1);
    }
    stream_release(s);
}
