/* resume.h - A text answer that breaks off goes on at another target.  Internal to this folder.
 *
 * With `resume: true` on the model, what a stream has shown is kept.  If it breaks after its first
 * content, the targets with `prefill: true` that have not broken are asked to continue: the same
 * request with the text so far as the beginning of the answer.  The client sees one text, one end, and usage
 * that adds up.
 *
 * Only where that cannot change the answer's meaning: one choice of plain text so far (no reasoning,
 * calls, citations, log-probabilities), no structured output or validation, no reasoning asked for, and a
 * request that does not end in the assistant's own words.  Otherwise the stream ends in an error, as without
 * resume. */
#ifndef GATEWAY_RESUME_H
#define GATEWAY_RESUME_H

#include "gateway/gateway_int.h"

struct resume;

/* Once the request is read and its model known.  Leaves r->resume NULL where it cannot be resumed. */
void resume_prepare(struct gw_request *r);
void resume_free(struct gw_request *r);

/* An event of the running attempt, before it is shown.  True: it is to be shown, perhaps changed. */
bool resume_on_event(struct gw_request *r, struct chat_event *ev);
/* Something was shown that cannot be continued. */
void resume_forbid(struct gw_request *r);

/* The attempt broke after its first content and is accounted for.  True: r->route and r->asked are those of
 * the continuation, phase attempt goes on. */
bool resume_begin(struct gw_request *r);

/* The answer is over: usage and first content are those of all attempts together. */
void resume_end(struct gw_request *r);

#endif
