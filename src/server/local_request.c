/* local_request.c - A canonical request as the engine takes it: messages as the JSON that chat
 * templates know (OpenAI's shape), sampling as numbers.  What the engine cannot do is refused by
 * name here, so that the gateway can pass the target over or answer 400. */
#include <stdio.h>

#include "api/dialect.h"
#include "base/json.h"
#include "server/local_int.h"

#define PROMPT_BYTES_MAX          ((size_t)256 << 20)
#define COMPLETION_TOKENS_DEFAULT 16 /* of legacy completions, as OpenAI documents it */

static const struct chat_field *find_field(const struct chat_request *req, const char *name)
{
    for (size_t i = 0; i < req->n_fields; i++)
        if (str_eq(req->fields[i].name, str_c(name)))
            return &req->fields[i];
    return NULL;
}

/* Variables for the template: the caller's own, and what the canonical form says of thinking. */
static struct str variables_of(const struct chat_request *req, struct arena *a)
{
    const struct chat_field *own = find_field(req, "chat_template_kwargs");
    if (own)
        return arena_str(a, own->json);
    struct buf b;
    buf_init(&b, 1024);
    struct json_writer w = json_writer(&b);
    jw_begin_object(&w);
    if (req->reasoning.is_off)
        jw_kv_bool(&w, "enable_thinking", false);
    if (req->reasoning.effort > CHAT_EFFORT_NONE)
        jw_kv_z(&w, "reasoning_effort", chat_effort_name(req->reasoning.effort));
    jw_end_object(&w);
    struct str s = arena_str(a, buf_str(&b));
    buf_deinit(&b);
    return s;
}

int local_prompt_of(const struct chat_request *req, struct arena *a, struct local_prompt *p,
                    struct chat_error *e)
{
    int rc = OK;
    struct buf body;
    buf_init(&body, PROMPT_BYTES_MAX);
    struct dialect_target target = {.model = req->model,
                                    .quirks = QUIRK_ENGINE_FIELDS | QUIRK_NO_DEVELOPER | QUIRK_NO_IMAGES |
                                              QUIRK_REASONING_BACK};
    struct dialect_out out = {.body = &body};
    struct chat_request ask = *req;
    ask.op = CHAT_OP_GENERATE; /* counting renders the same conversation */
    struct json_doc *doc = arena_new(a, struct json_doc);
    struct err err = {0};
    if (!doc || dialect_get(DIALECT_OPENAI_CHAT)->write_request(&ask, &target, a, &out) != OK ||
        !buf_ok(&body)) {
        rc = chat_error_set(e, CHAT_ERR_TOO_LARGE, NULL,
                            "the request needs more memory than one request may have");
    } else if (out.lacks.n_refused) {
        const char *field = lacks_first_refused(&out.lacks);
        rc = chat_error_set(e, CHAT_ERR_INVALID, field, "%s is not possible with a local model", field);
    } else {
        struct str text = arena_str(a, buf_str(&body));
        if (!text.p || json_parse(doc, a, text, &err) != OK)
            rc = chat_error_set(e, CHAT_ERR_TOO_LARGE, NULL,
                                "the request needs more memory than one request may have");
    }
    buf_deinit(&body);
    if (rc != OK)
        return rc;
    struct json root = json_root(doc);
    p->messages = json_span(json_get(root, "messages"));
    struct json tools = json_get(root, "tools");
    bool with_tools = json_count(tools) > 0 && req->tool_choice != CHAT_TOOLS_NONE;
    p->tools = with_tools ? json_span(tools) : S("");
    p->variables = variables_of(req, a);
    sluice_chat_init(&p->chat, sizeof p->chat);
    p->chat.messages = p->messages.p;
    p->chat.messages_bytes = p->messages.n;
    p->chat.tools = with_tools ? p->tools.p : NULL;
    p->chat.tools_bytes = p->tools.n;
    p->chat.variables = p->variables.p;
    p->chat.variables_bytes = p->variables.n;
    const struct chat_field *go_on = find_field(req, "continue_final_message");
    p->chat.continue_last = chat_begun(req).p || (go_on && str_eq(go_on->json, S("true")));
    return OK;
}

struct chat_prompt *local_copy_prompts(const struct chat_prompt *prompts, size_t n, struct arena *a)
{
    struct chat_prompt *copies = arena_new_array(a, struct chat_prompt, n + 1);
    bool ok = copies != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        const struct chat_prompt *p = &prompts[i];
        copies[i] = (struct chat_prompt){.n_tokens = p->n_tokens};
        if (p->text.p) {
            copies[i].text = arena_str(a, p->text);
            ok = copies[i].text.p != NULL;
        } else {
            copies[i].tokens = arena_new_array(a, int64_t, p->n_tokens + 1);
            ok = copies[i].tokens != NULL;
            if (ok && p->n_tokens)
                memcpy(copies[i].tokens, p->tokens, p->n_tokens * sizeof *p->tokens);
        }
    }
    return ok ? copies : NULL;
}

/* ---- sampling ---- */

static int number(struct chat_f64 v, double lo, double hi, const char *field, float *out,
                  struct chat_error *e)
{
    if (!v.is_set)
        return OK;
    if (!(v.v >= lo && v.v <= hi))
        return chat_error_set(e, CHAT_ERR_INVALID, field, "%s must be between %g and %g, not %g", field, lo,
                              hi, v.v);
    *out = (float)v.v;
    return OK;
}

static int whole(struct chat_i64 v, int64_t lo, int64_t hi, const char *field, int32_t *out,
                 struct chat_error *e)
{
    if (!v.is_set)
        return OK;
    if (v.v < lo || v.v > hi)
        return chat_error_set(e, CHAT_ERR_INVALID, field, "%s must be between %lld and %lld, not %lld", field,
                              (long long)lo, (long long)hi, (long long)v.v);
    *out = (int32_t)v.v;
    return OK;
}

static int set_numbers(const struct chat_sampling *from, struct sluice_sampling *s, struct chat_error *e)
{
    int rc = number(from->temperature, 0, 100, "temperature", &s->temperature, e);
    rc = rc ? rc : number(from->top_p, 0, 1, "top_p", &s->top_p, e);
    rc = rc ? rc : number(from->min_p, 0, 1, "min_p", &s->min_p, e);
    rc = rc ? rc : number(from->presence_penalty, -2, 2, "presence_penalty", &s->presence_penalty, e);
    rc = rc ? rc : number(from->frequency_penalty, -2, 2, "frequency_penalty", &s->frequency_penalty, e);
    rc = rc ? rc : number(from->repeat_penalty, 1e-3, 100, "repeat_penalty", &s->repeat_penalty, e);
    rc = rc ? rc : whole(from->top_k, -1, 1 << 24, "top_k", &s->top_k, e);
    rc = rc ? rc : whole(from->min_tokens, 0, 1 << 24, "min_tokens", &s->min_tokens, e);
    rc = rc ? rc : whole(from->repeat_last_n, -1, 1 << 24, "repeat_last_n", &s->repeat_last_n, e);
    if (rc != OK)
        return rc;
    if (from->typical_p.is_set && from->typical_p.v != 1)
        return chat_error_set(e, CHAT_ERR_INVALID, "typical_p",
                              "typical_p is not available for local models");
    if (s->top_p <= 0)
        s->top_p = 1e-9f; /* OpenAI allows 0: only the likeliest token is left */
    if (s->top_k < 0)
        s->top_k = 0;
    return OK;
}

static int set_bias(const struct chat_sampling *from, struct arena *a, struct sluice_sampling *s,
                    struct chat_error *e)
{
    if (from->n_bias == 0)
        return OK;
    if (from->n_bias > SLUICE_LOGIT_BIAS_MAX)
        return chat_error_set(e, CHAT_ERR_INVALID, "logit_bias",
                              "logit_bias has %zu entries, at most %d are possible", from->n_bias,
                              SLUICE_LOGIT_BIAS_MAX);
    struct sluice_logit_bias *bias = arena_new_array(a, struct sluice_logit_bias, from->n_bias);
    if (!bias)
        return chat_error_set(e, CHAT_ERR_TOO_LARGE, NULL,
                              "the request needs more memory than one request may have");
    for (size_t i = 0; i < from->n_bias; i++) {
        if (from->bias[i].token < 0 || from->bias[i].token > INT32_MAX)
            return chat_error_set(e, CHAT_ERR_INVALID, "logit_bias",
                                  "logit_bias names a token %lld that does not exist",
                                  (long long)from->bias[i].token);
        bias[i] = (struct sluice_logit_bias){(int32_t)from->bias[i].token, (float)from->bias[i].bias};
    }
    s->logit_bias = bias;
    s->n_logit_bias = from->n_bias;
    return OK;
}

static int set_stops(const struct chat_request *req, struct arena *a, struct sluice_sampling *s,
                     struct chat_error *e)
{
    if (req->n_stops == 0)
        return OK;
    const char **stop = arena_new_array(a, const char *, req->n_stops);
    for (size_t i = 0; stop && i < req->n_stops; i++) {
        if (req->stops[i].n > SLUICE_STOP_BYTES_MAX)
            return chat_error_set(e, CHAT_ERR_INVALID, "stop",
                                  "a stop string has %zu bytes, at most %d are possible", req->stops[i].n,
                                  SLUICE_STOP_BYTES_MAX);
        if (memchr(req->stops[i].p, 0, req->stops[i].n))
            return chat_error_set(e, CHAT_ERR_INVALID, "stop", "a stop string cannot hold a NUL character");
        if (req->stops[i].n == 0)
            continue; /* ends nothing */
        stop[s->n_stop] = arena_str_z(a, req->stops[i]);
        if (!stop[s->n_stop++])
            stop = NULL;
    }
    if (!stop)
        return chat_error_set(e, CHAT_ERR_TOO_LARGE, NULL,
                              "the request needs more memory than one request may have");
    s->stop = stop;
    return OK;
}

int local_sampling_of(const struct chat_request *req, struct arena *a, int64_t max_tokens_cap, uint64_t seed,
                      struct sluice_sampling *s, struct chat_error *e)
{
    int rc = set_numbers(&req->sampling, s, e);
    rc = rc ? rc : set_bias(&req->sampling, a, s, e);
    rc = rc ? rc : set_stops(req, a, s, e);
    if (rc != OK)
        return rc;
    s->has_seed = true;
    s->seed = req->sampling.seed.is_set ? (uint64_t)req->sampling.seed.v : seed;
    s->ignore_eos = req->sampling.ignore_eos == CHAT_YES;
    int64_t max = req->max_tokens.is_set        ? req->max_tokens.v
                  : req->op == CHAT_OP_COMPLETE ? COMPLETION_TOKENS_DEFAULT
                                                : -1;
    if (max_tokens_cap > 0 && (max < 0 || max > max_tokens_cap))
        max = max_tokens_cap;
    s->max_tokens = (int32_t)(max > INT32_MAX ? INT32_MAX : max);
    s->logprobs = req->logprobs ? (int32_t)req->top_logprobs : -1;
    if (s->logprobs > SLUICE_TOP_LOGPROBS_MAX)
        return chat_error_set(e, CHAT_ERR_INVALID, "top_logprobs",
                              "top_logprobs is %d, at most %d are possible", s->logprobs,
                              SLUICE_TOP_LOGPROBS_MAX);
    return OK;
}
