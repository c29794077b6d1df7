/* validate_again.c - The request once more, with what was wrong quoted.
 *
 * The new turn is put into the client's own body, behind its last message, and the body is read
 * again: so every field that came stays what it was, whichever dialect the target speaks. */
#include <stdio.h>

#include "base/json.h"
#include "gateway/validate_int.h"

#define QUOTED_BYTES_MAX 16384 /* of the answer that was not valid */
#define BODY_GROWTH_MAX  (QUOTED_BYTES_MAX * 8 + 65536)

/* Whole characters only: a cut inside one would be no UTF-8. */
static struct str cut_text(struct str s)
{
    if (s.n <= QUOTED_BYTES_MAX)
        return s;
    size_t n = QUOTED_BYTES_MAX;
    while (n > 0 && ((uint8_t)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_sub(s, 0, n);
}

static void write_turn(struct json_writer *w, bool is_gemini, const char *role, struct str text)
{
    jw_begin_object(w);
    jw_kv_z(w, "role", role);
    if (!is_gemini) {
        jw_kv_str(w, "content", text);
    } else {
        jw_key(w, "parts");
        jw_begin_array(w);
        jw_begin_object(w);
        jw_kv_str(w, "text", text);
        jw_end_object(w);
        jw_end_array(w);
    }
    jw_end_object(w);
}

static void add_answer_text(struct buf *b, const struct chat_answer *a, bool is_call)
{
    for (size_t i = 0; a && a->n_choices && i < a->choices[0].n_parts; i++) {
        const struct chat_part *p = &a->choices[0].parts[i];
        if (!is_call && p->type == CHAT_PART_TEXT)
            buf_str_add(b, p->text);
        if (is_call && p->type == CHAT_PART_TOOL_CALL)
            buf_printf(b, "%.*s(%.*s)\n", STR(p->name), STR(p->args_json));
    }
}

/* The turns: what was answered, as the model's own, and what is wrong with it.  A call is told in
 * words: as a call it would have to be answered by a result. */
static void write_turns(const struct validation *v, bool is_gemini, struct buf *out)
{
    struct json_writer w = json_writer(out);
    struct buf answer, text;
    buf_init(&answer, (size_t)64 << 20);
    buf_init(&text, BODY_GROWTH_MAX);
    add_answer_text(&answer, v->answered, v->is_call);
    struct str quoted = cut_text(buf_str(&answer));
    jw_begin_array(&w);
    if (!v->is_call && quoted.n)
        write_turn(&w, is_gemini, is_gemini ? "model" : "assistant", quoted);
    if (v->is_call)
        buf_printf(&text, "Your last answer made these tool calls, none of which was run:\n%.*s\n",
                   STR(quoted));
    buf_printf(&text, "%s is not valid: %s. Answer again, completely and correctly.",
               v->is_call ? "That" : "Your last answer", v->why);
    if (v->wants_json && !v->is_call)
        buf_puts(&text, " Give nothing but the JSON that was asked for.");
    write_turn(&w, is_gemini, "user", buf_str(&text));
    jw_end_array(&w);
    if (!buf_ok(&answer) || !buf_ok(&text))
        buf_putc(out, '!'); /* no JSON: the reader refuses it */
    buf_deinit(&answer);
    buf_deinit(&text);
}

struct chat_request *validate_quote(struct gw_request *r)
{
    struct validation *v = r->validation;
    bool is_gemini = r->client->id == DIALECT_GEMINI;
    struct json list = json_get(json_root(r->req->doc), is_gemini ? "contents" : "messages");
    if (!r->req->doc || !json_is(list, JSON_ARRAY) || json_count(list) == 0)
        return NULL;
    struct str body = r->req->body, span = json_span(list);
    size_t end = (size_t)(span.p + span.n - 1 - body.p);
    struct buf turns, whole;
    buf_init(&turns, BODY_GROWTH_MAX * 2);
    buf_init(&whole, body.n + BODY_GROWTH_MAX * 2);
    write_turns(v, is_gemini, &turns);
    buf_add(&whole, body.p, end);
    buf_putc(&whole, ',');
    buf_str_add(&whole, str_sub(buf_str(&turns), 1, turns.n - 1)); /* without the brackets */
    buf_add(&whole, body.p + end, body.n - end);
    struct chat_request *again = NULL;
    struct dialect_in in = r->in;
    struct chat_error e = {0};
    in.body = buf_ok(&turns) && buf_ok(&whole) ? arena_str(&v->arena, buf_str(&whole)) : str_of(NULL, 0);
    if (!in.body.p || r->client->read_request(&in, &v->arena, &again, &e) != OK)
        again = NULL;
    buf_deinit(&turns);
    buf_deinit(&whole);
    return again;
}
