/* stream.h - One request as its asker sees it: events from the engine thread to another.
 *
 * With a callback, an event is delivered where it is made.  Without, it is copied into a ring of
 * records that one reader reads in place; the engine looks at stream_has_room before it computes
 * more, so that a reader who is behind costs memory once and time never.
 *
 * A stream has two owners, the asker and the engine; the last one to let go frees it. */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "engine/gate.h"
#include "sluice.h"

#define STREAM_ROOM_BYTES (64u << 10) /* what one step may say at most, texts not counted */

struct stream_home; /* whom to wake: shared by all streams of an engine */

struct sluice_stream {
    _Atomic int n_owners;
    struct stream_home *home;
    sluice_event_fn *on_event;
    sluice_ready_fn *on_ready;
    void *user;
    int notify_fd;

    _Atomic bool is_cancelled; /* asker to engine */
    _Atomic bool is_detached;  /* the asker is gone: no callbacks */
    _Atomic bool is_calling;   /* the engine is inside a callback */
    struct gate called;        /* opened when a callback returned to a detached stream */

    unsigned char *ring; /* polled streams only */
    size_t ring_bytes;
    size_t room_bytes;     /* what one step may say at most */
    _Atomic uint64_t head; /* bytes the reader is done with */
    _Atomic uint64_t tail; /* bytes that were written */
    struct gate ready;     /* opened when there is something to read again */
    _Atomic bool is_full;  /* the engine waits for room */
    size_t n_reading;      /* reader: bytes of the record it looks at */
    bool is_over;          /* reader: the last event was read */
};

/* Outlives the engine while streams do.  `work` is what the engine thread sleeps at. */
struct stream_home {
    _Atomic int n_owners;
    _Atomic(const void *) engine_thread; /* who the engine thread is, see stream_home_enter */
    pid_t pid;                           /* of the process that made it: a forked child has no engine */
    struct gate work;
};

struct stream_home *stream_home_create(void); /* NULL without memory; one owner */
void stream_home_release(struct stream_home *home);
/* The calling thread is the engine thread from now on. */
void stream_home_enter(struct stream_home *home);

/* For a request whose steps say at most step_text_bytes of text each; extra_bytes of ring are for
 * prompt log-probabilities.  NULL without memory. */
struct sluice_stream *stream_create(struct stream_home *home, const struct sluice_request *rq,
                                    size_t step_text_bytes, size_t extra_bytes);
void stream_release(struct sluice_stream *s); /* one owner lets go */

/* Engine thread.  The event's text and tokens are borrowed. */
void stream_send(struct sluice_stream *s, const struct sluice_event *ev);
/* True if all that a step can say fits; false: the engine will be woken when it does. */
bool stream_has_room(struct sluice_stream *s);

#endif
