/* auth.c - Who asks: the key out of the request, and what it may use. */
#include <stdio.h>

#include "base/clock.h"
#include "gateway/auth.h"
#include "net/http.h"

#define QUERY_KEY_MAX 256

struct str auth_presented(const struct http_head *head, char query_key[AUTH_QUERY_KEY_BYTES])
{
    struct str bearer = http_value(head, S("authorization"));
    if (bearer.n > 7 && str_eq_nocase(str_sub(bearer, 0, 7), S("Bearer ")))
        return str_trim(str_sub(bearer, 7, bearer.n));
    struct str v = http_value(head, S("x-api-key"));
    if (v.n)
        return v;
    v = http_value(head, S("x-goog-api-key"));
    if (v.n)
        return v;
    struct str raw;
    if (head->query.p && http_query_find(head->query, S("key"), &raw)) {
        ptrdiff_t n = http_percent_decode(raw, false, query_key, AUTH_QUERY_KEY_BYTES);
        if (n > 0)
            return str_of(query_key, (size_t)n);
    }
    return S("");
}

struct gw_key *auth_find(struct key_table *keys, const struct http_head *head, struct chat_error *e)
{
    char query_key[AUTH_QUERY_KEY_BYTES];
    struct str presented = auth_presented(head, query_key);
    if (presented.n == 0) {
        chat_error_set(e, CHAT_ERR_AUTH, NULL, "this server needs a key (Authorization: Bearer %s...)",
                       KEY_PREFIX);
        return NULL;
    }
    struct gw_key *k = key_find(keys, presented);
    if (!k) {
        chat_error_set(e, CHAT_ERR_AUTH, NULL, "the key is not known here");
        return NULL;
    }
    if (k->def.expires_s && clock_wall_ns() / NS_PER_S >= k->def.expires_s) {
        chat_error_set(e, CHAT_ERR_AUTH, NULL, "the key '%.*s' has expired", STR(k->def.name));
        key_release(keys, k);
        return NULL;
    }
    return k;
}

enum gw_step phase_auth(struct gw_request *r)
{
    if (r->config->auth == AUTH_NONE)
        return GW_NEXT;
    struct chat_error e = {.retry_after_ms = -1};
    r->key = auth_find(ledger_keys(r->gw->ledger), r->http->head, &e);
    if (!r->key) {
        answer_error(r, &e);
        return GW_END;
    }
    r->limits = key_limits(r->key, r->config);
    return GW_NEXT;
}
