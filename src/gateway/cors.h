/* cors.h - Which web pages may talk to us: the Host and Origin guard, and CORS answers. */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include "gateway/config.h"
#include "net/http.h"

/* The request's Origin if pages of it may read our answers, else an empty str. */
struct str cors_origin(const struct config *c, const struct http_head *head);

/* Why a request must be refused with 403, or NULL.  Without keys, only programs and pages of this
 * machine may come: a page on the web that a browser here has open could otherwise use the server
 * (DNS rebinding changes Host, a plain request brings Origin). */
const char *cors_refusal(const struct config *c, const struct http_head *head);

#endif
