/* validate_stream.h - JSON syntax, byte by byte: for streams that are checked as they go.
 *
 * Strict RFC 8259, UTF-8 checked, depth at most STREAM_DEPTH_MAX: the first byte with which no JSON
 * text can begin any more is found when it comes. */
#ifndef GATEWAY_VALIDATE_STREAM_H
#define GATEWAY_VALIDATE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define STREAM_DEPTH_MAX 128

struct stream_check {
    uint64_t is_object[STREAM_DEPTH_MAX / 64]; /* bit d: level d is an object */
    int depth;
    int state;
    const char *word; /* the rest of true, false, null */
    int n_hex;        /* of a \u escape, still to come */
    int n_more;       /* bytes of a UTF-8 character, still to come */
    uint8_t lo, hi;   /* the next of them lies between */
    uint16_t hex;     /* of a \u escape, so far */
    bool is_half;     /* the last escape was the first half of a surrogate pair */
    bool wants_object, in_key;
    uint64_t n_bytes;  /* good ones so far */
    uint64_t item_at;  /* where the last ',' stands, or what follows the last '{' */
    uint64_t piece_at; /* where the character or escape that is not whole yet begins */
    const char *why;   /* of the byte that is not */
};

void stream_check_init(struct stream_check *s, bool wants_object);
/* How many bytes of `text` are good; fewer than text.n: the next one is wrong, and s->why says why. */
size_t stream_check_feed(struct stream_check *s, struct str text);
/* Make the text whole that was fed so far: cut `text` where needed and append what closes it.  *n_real is
 * how much of it was said.  False: there is nothing yet. */
bool stream_check_close(const struct stream_check *s, struct buf *text, size_t *n_real, bool *is_number_open);
/* The text may end here: a whole value was read. */
bool stream_check_is_whole(const struct stream_check *s);

#endif
