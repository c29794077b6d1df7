/* render_templates.c - Render templates for the oracle script: JSON lines in, JSON lines out.
 *
 * In:  {"template": "...", "context": {"messages": [...], ...}, "texts": {"bos_token": "..."}}
 * Out: {"ok": "text", "marks": "0011..."} or {"error": "..."}; marks only with "marks": true. */
#include <stdio.h>
#include <stdlib.h>

#include "text/template_int.h"

static void reply_error(struct json_writer *w, const struct err *err)
{
    jw_kv_z(w, "error", err->text);
    jw_kv_z(w, "code", err_name(err->code));
}

static int run(struct arena *a, struct json request, struct json_writer *w)
{
    struct template *t;
    struct err err = {0};
    struct template_output out;
    struct template_var vars[64];
    struct template_text texts[16];
    struct template_input in = {.vars = vars, .texts = texts, .now_unix_s = 1700000000};
    struct template_caps as_given = {.arguments_as_given = true};
    struct json_iter it;
    for (it = json_iter(json_get(request, "context")); json_next(&it) && in.n_vars < 64;) {
        if (str_eq(it.key, S("messages")))
            in.messages = it.value;
        else if (str_eq(it.key, S("tools")))
            in.tools = it.value;
        else if (str_eq(it.key, S("documents")))
            in.documents = it.value;
        else if (str_eq(it.key, S("add_generation_prompt")))
            json_bool(it.value, &in.add_generation_prompt);
        else
            vars[in.n_vars++] = (struct template_var){it.key, it.value};
    }
    for (it = json_iter(json_get(request, "texts")); json_next(&it) && in.n_texts < 16;)
        texts[in.n_texts++] = (struct template_text){it.key, json_text(it.value, a)};
    int rc = template_compile(&t, json_text(json_get(request, "template"), a), &err);
    if (rc == OK)
        rc = template_render_with(t, json_exists(json_get(request, "as_engine")) ? &t->caps : &as_given, a,
                                  &in, &out, &err);
    jw_begin_object(w);
    if (rc != OK) {
        reply_error(w, &err);
    } else {
        jw_kv_str(w, "ok", out.text);
        if (json_exists(json_get(request, "marks"))) {
            jw_key(w, "segments");
            jw_begin_array(w);
            for (int i = 0; i < out.n_segments; i++) {
                jw_begin_array(w);
                jw_bool(w, out.segments[i].is_data);
                jw_str(w, out.segments[i].text);
                jw_end_array(w);
            }
            jw_end_array(w);
        }
    }
    jw_end_object(w);
    template_free(rc == OK || t ? t : NULL);
    return rc;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        struct arena a;
        struct json_doc doc;
        struct buf out;
        struct err err = {0};
        arena_init(&a, (size_t)1 << 30);
        buf_init(&out, (size_t)1 << 28);
        struct json_writer w = json_writer(&out);
        if (json_parse(&doc, &a, str_of(line, (size_t)n), &err) == OK) {
            run(&a, json_root(&doc), &w);
        } else {
            jw_begin_object(&w);
            reply_error(&w, &err);
            jw_end_object(&w);
        }
        printf("%s\n", buf_z(&out));
        fflush(stdout);
        buf_deinit(&out);
        arena_deinit(&a);
    }
    free(line);
    return 0;
}
