/* cache_phase.h - The exact cache in the life of a request.  Internal to this folder. */
#ifndef GATEWAY_CACHE_PHASE_H
#define GATEWAY_CACHE_PHASE_H

#include "gateway/gateway_int.h"
#include "net/digest.h"

enum gw_step phase_cache(struct gw_request *r);
/* Everything that decides the answer and who may share it goes into `d`, but for `cut`, a piece of the body
 * (n == 0: all of it). */
void cache_phase_digest(struct gw_request *r, struct str cut, struct digest *d);
/* Answer with r->hit, which is released. */
enum gw_step cache_phase_serve(struct gw_request *r);
/* A leader has ended: keep its answer or wake who waits for it. */
void cache_phase_end(struct gw_request *r);
/* The client left.  True: the request goes on (others wait for it, or it is about to be woken). */
bool cache_phase_leave(struct gw_request *r);

#endif
