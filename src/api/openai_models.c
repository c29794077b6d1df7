/* openai_models.c - GET /v1/models in the OpenAI dialect. */
#include "api/openai_int.h"

static void write_entry(struct json_writer *w, const struct model_entry *m)
{
    jw_begin_object(w);
    jw_kv_str(w, "id", m->id);
    jw_kv_z(w, "object", "model");
    jw_kv_i64(w, "created", m->created_s);
    jw_kv_str(w, "owned_by", m->owned_by.p ? m->owned_by : S("sluice"));
    if (m->context_tokens > 0) /* vLLM's name, which clients of local engines read */
        jw_kv_i64(w, "max_model_len", m->context_tokens);
    jw_end_object(w);
}

void openai_write_models(const struct model_entry *models, size_t n_models, struct buf *out)
{
    struct json_writer w = json_writer(out);
    jw_begin_object(&w);
    jw_kv_z(&w, "object", "list");
    jw_key(&w, "data");
    jw_begin_array(&w);
    for (size_t i = 0; i < n_models; i++)
        write_entry(&w, &models[i]);
    jw_end_array(&w);
    jw_end_object(&w);
}

void openai_write_model(const struct model_entry *model, struct buf *out)
{
    struct json_writer w = json_writer(out);
    write_entry(&w, model);
}
