/* sse.h - Server-sent events: the frames of a stream, read and written.  Pure, no I/O.
 *
 * The reader follows the WHATWG rules ("Interpreting an event stream"): lines end in LF, CRLF
 * or CR, several data lines are joined by LF, lines that begin with a colon are comments, a
 * byte order mark at the start is skipped.  It may be fed at any split, also in the middle of a
 * CRLF or of a character. */
#ifndef NET_SSE_H
#define NET_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct sse_event {
    struct str type; /* the event field; empty if absent (which means "message") */
    struct str data; /* data lines joined by LF; may be empty */
    struct str id;   /* the id field of this event; empty if absent */
};

/* A value that borrows from the fed bytes until they go, then from its own copy. */
struct sse_value {
    struct str now;
    struct buf copy;
};

struct sse_reader {
    struct str in;   /* fed and not used yet: the caller's memory */
    struct buf held; /* the beginning of a line that the last feed left unfinished */
    struct sse_value type, data, id;
    int n_data_lines;
    size_t event_bytes, event_max;
    int error;
    bool at_start, skip_lf, was_given;
};

/* No event (its fields together) may exceed event_bytes_max. */
void sse_reader_init(struct sse_reader *r, size_t event_bytes_max);
void sse_reader_deinit(struct sse_reader *r);

/* Gives the next bytes of the stream, which must stay until sse_next has returned 0.  Call it
 * only then (or at the beginning). */
void sse_feed(struct sse_reader *r, struct str bytes);

/* 1: *event is the next one that has data (others are dropped, as the rules say); its parts live
 * until the next call on r.  0: everything is used,
 * feed more.  ERR_LIMIT: an event is larger than allowed; ERR_NOMEM.  Errors stay. */
int sse_next(struct sse_reader *r, struct sse_event *event);

/* True if the stream would end inside an event: what came of it was never given out (the rules
 * say that such a rest is dropped; who needs it to be complete treats it as an error). */
bool sse_is_inside_event(const struct sse_reader *r);

/* The unfinished event at the end of a stream, as if a blank line had followed: some providers
 * end without it.  Returns 1 with the event, or 0 if there was none. */
int sse_finish(struct sse_reader *r, struct sse_event *event);

/* Appends "event: TYPE\n" (unless type is empty), "data: LINE\n" for each line of data, "\n".
 * CR, LF and CRLF in data each begin a new data line; a line break in type is dropped. */
void sse_write(struct buf *out, struct str type, struct str data);
/* Appends ": TEXT\n\n", a heartbeat that every client skips. */
void sse_write_comment(struct buf *out, struct str text);

#endif
