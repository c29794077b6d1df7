/* cache_keep.h - A request and the file of its model's cache: looking there, writing there.  Internal to
 * this folder. */
#ifndef GATEWAY_CACHE_KEEP_H
#define GATEWAY_CACHE_KEEP_H

#include "gateway/gateway_int.h"

/* The memory has nothing and r leads: true if the file is asked first.  gw_advance follows; what was found is
 * in the memory then, and r leads no more. */
bool cache_keep_look(struct gw_request *r);
/* The client left while the file was asked. */
void cache_keep_forget(struct gw_request *r);
/* r's whole answer, on its way into the memory, also goes to the file. */
void cache_keep_write(struct gw_request *r, const struct chat_answer *answer);

#endif
