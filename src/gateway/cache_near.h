/* cache_near.h - The semantic cache in the life of a request.  Internal to this folder.
 *
 * A request that leads (nobody has its answer, cache_phase.c) and whose model has `cache: {mode: semantic}`
 * gets a vector of the last text of its last turn, and is answered with what was answered to the nearest text
 * that is near enough.  Only that text may differ: the scope in which is searched is a digest of everything
 * else in the request, byte for byte, of who may share it, of what the two texts must have in common
 * (near_guard.h) and of who made the vector.
 *
 * The vector is asked for by a request of our own (gw_child_new), so that routes, breakers, retries and
 * regions hold for it as for any other.  Its attempts are lines of the asking request's record, and its
 * cost is that request's.  Whatever goes wrong, the request goes on as a miss. */
#ifndef GATEWAY_CACHE_NEAR_H
#define GATEWAY_CACHE_NEAR_H

#include "gateway/gateway_int.h"

enum gw_step phase_near(struct gw_request *r);
/* How near a kept answer must be for this model; above 1: only equal requests count. */
float cache_near_least(const struct config_cache *c);
/* What the vector may cost at most, on top of *tokens and *nano. */
void cache_near_reserve(struct gw_request *r, int64_t *tokens, int64_t *nano);
/* The request for a vector has ended: its parent goes on. */
void cache_near_embedded(struct gw_request *child);
/* The client left, or nobody waits any more. */
void cache_near_leave(struct gw_request *r);
/* Where r's answer stands among near ones; NULL: nowhere. */
const struct cache_near *cache_near_place(const struct gw_request *r);

#endif
