/* validate.h - The phase `validate`: answers are checked before the client sees them.
 *
 * Where a model's configuration asks for it, the answer must follow the request's JSON Schema, tool
 * calls must name a known tool and follow its schema, and cited text must stand in the source that
 * it names.  A stream is held until it is known to be valid (`buffer`), or checked as it goes.
 *
 * An answer that is not valid costs what it cost, is a row of the ledger, and is followed by what
 * `on_fail` says: the same target is asked once more with the fault quoted, then the next target,
 * and when nothing is left the client gets a 502 that says what was wrong.
 *
 * No check holds a loop: what takes longer than about a millisecond is left to a thread for that
 * (worker.h), while the request waits.  A stream that is checked as it goes is then shown no further
 * until it is whole.
 *
 * A choice that was cut (length, content filter) or declined is marked as such by its finish and
 * passes: no promise was made for it.  Owner: the request's loop thread. */
#ifndef GATEWAY_VALIDATE_H
#define GATEWAY_VALIDATE_H

#include "gateway/gateway_int.h"

/* What the answer to this request must follow is prepared; a schema that cannot be read is a 400. */
enum gw_step phase_validate(struct gw_request *r);
void validate_free(struct validation *v); /* NULL is fine */

/* An attempt begins.  True: its stream is held until the answer is known to be valid. */
bool validate_begin(struct gw_request *r);

/* The attempt brought a whole answer.  If it is not valid r->error says what is wrong, and it is counted.
 * False: that takes a while (r->is_judging), and gw_on_judged comes when it is known. */
bool validate_whole(struct gw_request *r);
/* A stream that is not held: looks at an event before the client sees it.  False: r->error is set,
 * and *n_good bytes of a text event may still be shown.  May set r->is_withheld: from this event on
 * nothing is shown until validate_whole has judged. */
bool validate_event(struct gw_request *r, const struct chat_event *ev, size_t *n_good);

enum validate_next { VALIDATE_ASK_AGAIN, VALIDATE_NEXT_TARGET, VALIDATE_GIVE_UP };
/* What follows an answer that was not valid.  For ASK_AGAIN r->asked is the request with the fault
 * quoted. */
enum validate_next validate_next(struct gw_request *r);

#endif
