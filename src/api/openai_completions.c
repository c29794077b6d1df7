/* openai_completions.c - Legacy completions: prompts of text or token ids, suffix, echo.
 *
 * Answers and streams are chat's with `text` for `delta`; see openai_answer.c, openai_read.c. */
#include <stdio.h>

#include "api/openai_int.h"

/* Tokens of one prompt, all of them numbers. */
static int read_tokens(struct rd *r, struct json list, struct chat_prompt *p)
{
    p->tokens = arena_new_array(r->a, int64_t, json_count(list) + 1);
    if (!p->tokens)
        return rd_nomem(r);
    for (struct json_iter it = json_iter(list); json_next(&it);) {
        struct chat_i64 id = {0};
        size_t at = rd_idx(r, it.i);
        int rc = json_is(it.value, JSON_NUMBER) ? rd_i64(r, NULL, it.value, 0, INT32_MAX, &id)
                                                : rd_wrong_type(r, NULL, it.value, "a token id");
        if (rc != OK)
            return rc;
        rd_up(r, at);
        p->tokens[it.i] = id.v;
    }
    p->n_tokens = json_count(list);
    return OK;
}

static int read_one(struct rd *r, struct json v, struct chat_prompt *p)
{
    if (json_is(v, JSON_STRING))
        return rd_text(r, NULL, v, &p->text);
    if (json_is(v, JSON_ARRAY))
        return read_tokens(r, v, p);
    return rd_wrong_type(r, NULL, v, "a string or an array of token ids");
}

/* A string, a list of strings, a list of token ids, or a list of lists of token ids. */
int openai_read_prompts(struct rd *r, struct json v, uint32_t max, struct chat_prompt **out, size_t *n,
                        bool *is_array)
{
    bool is_many = json_is(v, JSON_ARRAY) && !json_is(json_at(v, 0), JSON_NUMBER);
    uint32_t count = is_many ? json_count(v) : 1;
    if (!json_is(v, JSON_STRING) && !json_is(v, JSON_ARRAY))
        return rd_wrong_type(r, NULL, v, "a string or an array");
    if (count == 0)
        return rd_fail(r, NULL, "must not be empty");
    if (count > max)
        return rd_fail(r, NULL, "has %u items, at most %u are possible", count, max);
    struct chat_prompt *list = arena_new_array(r->a, struct chat_prompt, count);
    if (!list)
        return rd_nomem(r);
    int rc = OK;
    if (!is_many)
        rc = read_one(r, v, &list[0]);
    for (struct json_iter it = json_iter(v); is_many && rc == OK && json_next(&it);) {
        size_t at = rd_idx(r, it.i);
        rc = read_one(r, it.value, &list[it.i]);
        rd_up(r, at);
    }
    *out = list;
    *n = count;
    *is_array = is_many;
    return rc;
}

static int read_prompt(struct rd *r, struct json v)
{
    struct chat_request *q = r->req;
    return openai_read_prompts(r, v, CHAT_PROMPTS_MAX, &q->prompts, &q->n_prompts, &q->is_prompt_array);
}

static int read_logprobs(struct rd *r, struct json v)
{
    struct chat_i64 n = {0};
    bool yes = false;
    if (json_bool(v, &yes)) { /* some clients send chat's form */
        r->req->logprobs = yes;
        return OK;
    }
    int rc = rd_i64(r, NULL, v, 0, 20, &n);
    if (rc == OK) {
        r->req->logprobs = true;
        r->req->top_logprobs = n.v;
    }
    return rc;
}

static int read_best_of(struct rd *r, struct json v)
{
    struct chat_i64 n = {0};
    int rc = rd_i64(r, NULL, v, 1, CHAT_CHOICES_MAX, &n);
    r->path_n = 0;
    if (rc == OK && n.v > 1)
        rc = rd_keep(r, S("best_of"), v, CHAT_FIELD_MEANING);
    return rc;
}

#define AT(member) offsetof(struct chat_request, member)

static const struct field_row own_rows[] = {
    {"prompt", FIELD_CALL, 0, 0, 0, read_prompt},
    {"suffix", FIELD_STR, AT(suffix), 0, 0, 0},
    {"echo", FIELD_BOOL, AT(echo), 0, 0, 0},
    {"logprobs", FIELD_CALL, 0, 0, 0, read_logprobs},
    {"max_tokens", FIELD_I64, AT(max_tokens), 0, INT32_MAX, 0},
    {"best_of", FIELD_CALL, 0, 0, 0, read_best_of},
};

/* Fields of chat that mean nothing here. */
static const char *const not_here[] = {
    "messages", "tools", "tool_choice", "parallel_tool_calls", "max_completion_tokens", NULL};

static int read_request(const struct dialect_in *in, struct arena *a, struct chat_request **req,
                        struct chat_error *e)
{
    struct rd r;
    struct json root;
    struct field_row rows[96];
    size_t n = 0;
    const struct field_row *common;
    size_t n_common = openai_common_rows(&common);
    int rc = rd_begin(&r, a, e, in->body, &root);
    if (rc != OK)
        return rc;
    r.req->op = CHAT_OP_COMPLETE;
    r.req->from = DIALECT_OPENAI_COMPLETIONS;
    /* Own rows first: they win over chat's of the same name. */
    for (size_t i = 0; i < sizeof(own_rows) / sizeof(own_rows[0]); i++)
        rows[n++] = own_rows[i];
    for (size_t i = 0; i < n_common && n < 96; i++)
        rows[n++] = common[i];
    for (const char *const *k = not_here; *k; k++)
        if (!json_is_none(json_get(root, *k)))
            return rd_fail(&r, *k, "is a field of chat completions, not of completions");
    if ((rc = rd_fields(&r, root, rows, n)) != OK)
        return rc;
    r.path_n = 0;
    struct chat_request *q = r.req;
    if (!q->model.n)
        return rd_fail(&r, "model", "is missing: name a model");
    if (!q->prompts)
        return rd_fail(&r, "prompt", "is missing: it must be a string or an array");
    if ((int64_t)q->n_prompts * q->n > CHAT_CHOICES_MAX)
        return rd_fail(&r, "n", "times the number of prompts is %lld, at most %d are possible",
                       (long long)q->n_prompts * (long long)q->n, (int)CHAT_CHOICES_MAX);
    if (!q->is_stream)
        q->include_usage = false;
    *req = q;
    return OK;
}

static void write_prompt(struct json_writer *w, const struct chat_prompt *p)
{
    if (p->text.p) {
        jw_str(w, p->text);
        return;
    }
    jw_begin_array(w);
    for (size_t i = 0; i < p->n_tokens; i++)
        jw_i64(w, p->tokens[i]);
    jw_end_array(w);
}

void openai_write_prompts(struct json_writer *w, const char *key, const struct chat_prompt *list, size_t n,
                          bool is_array)
{
    jw_key(w, key);
    if (!is_array) {
        write_prompt(w, &list[0]);
        return;
    }
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        write_prompt(w, &list[i]);
    jw_end_array(w);
}

static int write_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                         struct dialect_out *out)
{
    struct json_writer w = json_writer(out->body);
    (void)a;
    snprintf(out->path, sizeof(out->path), "/completions");
    if (req->op != CHAT_OP_COMPLETE) {
        lack_refuse(&out->lacks, "messages");
        return OK;
    }
    jw_begin_object(&w);
    if (!(target->quirks & QUIRK_NO_MODEL_FIELD))
        jw_kv_str(&w, "model", target->model);
    openai_write_prompts(&w, "prompt", req->prompts, req->n_prompts, req->is_prompt_array);
    if (req->suffix.p)
        jw_kv_str(&w, "suffix", req->suffix);
    if (req->echo)
        jw_kv_bool(&w, "echo", true);
    if (req->logprobs)
        jw_kv_i64(&w, "logprobs", req->top_logprobs);
    int64_t max_tokens = capped_max_tokens(req, target);
    if (max_tokens > 0 || req->max_tokens.is_set)
        jw_kv_i64(&w, "max_tokens", max_tokens);
    openai_write_format(&w, req, target, &out->lacks);
    openai_write_sampling(&w, req, target, &out->lacks);
    if (req->user.p)
        jw_kv_str(&w, "user", req->user);
    for (size_t i = 0; i < req->n_fields; i++) {
        if (!json_exists(json_get_str(json_root(req->doc), req->fields[i].name)))
            continue;
        jw_key_str(&w, req->fields[i].name);
        jw_raw(&w, req->fields[i].json);
    }
    openai_write_stream_fields(&w, req, target);
    jw_end_object(&w);
    return buf_ok(out->body) ? OK : ERR_LIMIT;
}

static int pass_request(const struct chat_request *req, const struct dialect_target *target, struct arena *a,
                        struct dialect_out *out)
{
    snprintf(out->path, sizeof(out->path), "/completions");
    return openai_pass_body(req, target, "max_tokens", a, out);
}

const struct dialect dialect_openai_completions = {
    .id = DIALECT_OPENAI_COMPLETIONS,
    .name = "openai-completions",
    .auth_header = "authorization",
    .auth_prefix = "Bearer ",
    .request_id_header = "x-request-id",
    .read_request = read_request,
    .write_answer = openai_write_answer,
    .writer_new = openai_writer_new,
    .writer_free = openai_writer_free,
    .writer_event = openai_writer_event,
    .writer_end = openai_writer_end,
    .writer_heartbeat = openai_writer_heartbeat,
    .stream_content_type = openai_stream_content_type,
    .write_error = openai_write_error,
    .error_status = openai_error_status,
    .write_limits = limits_write_openai,
    .write_models = openai_write_models,
    .write_model = openai_write_model,
    .write_request = write_request,
    .pass_request = pass_request,
    .read_answer = openai_read_answer,
    .reader_new = openai_reader_new,
    .reader_free = openai_reader_free,
    .reader_event = openai_reader_event,
    .reader_end = openai_reader_end,
    .read_error = openai_read_error,
    .read_limits = openai_read_limits,
};
