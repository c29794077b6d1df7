/* models.c - GET /v1/models and /v1/models/ID: what this client may ask for. */
#include "base/clock.h"
#include "gateway/auth.h"
#include "gateway/cors.h"

#define MODELS_MAX 4096

struct list {
    struct model_entry items[MODELS_MAX];
    size_t n;
};

static void add(struct list *l, struct str id, struct str owner, int64_t created_s, int64_t context)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->items[i].id, id))
            return;
    if (l->n < MODELS_MAX)
        l->items[l->n++] = (struct model_entry){
            .id = id, .owned_by = owner, .created_s = created_s, .context_tokens = context};
}

static void collect(const struct gw_thread *t, const struct config *c, const struct gw_key *k, struct list *l)
{
    struct str allowed = k ? k->def.models : S("");
    for (int i = 0; i < c->n_models; i++)
        if (key_list_has(allowed, c->models[i].name))
            add(l, c->models[i].name, S("sluice"), 0, 0);
    const struct local_engine *local = t->gw->local;
    struct local_model m;
    for (int i = 0; local->get_model(local->arg, i, &m); i++)
        if (key_list_has(allowed, m.name))
            add(l, m.name, S("local"), m.created_s, m.context);
}

void gw_thread_models(struct gw_thread *t, struct request *http)
{
    struct config *c = gateway_config(t->gw);
    struct list *l = arena_new(http->arena, struct list);
    const struct dialect *d = dialect_get(DIALECT_OPENAI_CHAT);
    struct buf body;
    int status = 200;
    buf_init(&body, 4 << 20);
    struct gw_key *key = NULL;
    if (c->auth == AUTH_KEYS) {
        struct chat_error e = {.retry_after_ms = -1};
        key = auth_find(ledger_keys(t->gw->ledger), http->head, &e);
        if (!key) {
            answer_refusal(http, d, "", &e);
            buf_deinit(&body);
            config_drop(c);
            return;
        }
    }
    if (l)
        collect(t, c, key, l);
    key_release(ledger_keys(t->gw->ledger), key);
    struct str id = str_sub(http->head->path, sizeof "/v1/models/" - 1, http->head->path.n);
    char decoded[512];
    ptrdiff_t n = http_percent_decode(id, false, decoded, sizeof decoded);
    const struct model_entry *found = NULL;
    for (size_t i = 0; l && n > 0 && i < l->n; i++)
        if (str_eq(l->items[i].id, str_of(decoded, (size_t)n)))
            found = &l->items[i];
    if (found) {
        d->write_model(found, &body);
    } else if (id.n == 0 && l) {
        d->write_models(l->items, l->n, &body);
    } else {
        struct chat_error e;
        chat_error_set(&e, CHAT_ERR_NOT_FOUND, "model",
                       "the model '%.*s' does not exist or may not be used with this key",
                       STR(str_sub(id, 0, 100)));
        d->write_error(&e, S(""), &body);
        status = 404;
    }
    struct http_header headers[3] = {{S("content-type"), S("application/json")}};
    int n_headers = 1;
    struct str origin = cors_origin(c, http->head);
    if (origin.n) {
        headers[n_headers++] = (struct http_header){S("access-control-allow-origin"), origin};
        headers[n_headers++] = (struct http_header){S("vary"), S("origin")};
    }
    request_respond(http, status, headers, n_headers, buf_str(&body));
    buf_deinit(&body);
    config_drop(c);
}
