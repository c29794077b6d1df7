/* auth.h - Keys in requests. */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "gateway/gateway_int.h"

#define AUTH_QUERY_KEY_BYTES 256

/* The key as the client sent it, in any dialect's way; empty if there is none. */
struct str auth_presented(const struct http_head *head, char query_key[AUTH_QUERY_KEY_BYTES]);
/* Its live record (release it), or NULL and *e. */
struct gw_key *auth_find(struct key_table *keys, const struct http_head *head, struct chat_error *e);
enum gw_step phase_auth(struct gw_request *r);

#endif
