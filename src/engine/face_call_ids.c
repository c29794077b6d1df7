/* face_call_ids.c - Ids of tool calls as a template wants them.
 *
 * Mistral's templates refuse a conversation whose calls have other ids than nine letters or digits, which no
 * client knows.  Each other id gives way to one that is made of it, always the same, so that a result still
 * finds its call and a prompt its prefix in the cache. */
#include "base/json.h"
#include "engine/face_int.h"

#define ID_BYTES 9

struct rewriting {
    struct str from; /* the messages as they came */
    size_t at;       /* of them, what is copied */
    struct buf out;
    struct arena *arena;
};

static bool is_short_id(struct str id)
{
    bool ok = id.n == ID_BYTES;
    for (size_t i = 0; ok && i < id.n; i++) {
        char c = id.p[i];
        ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    }
    return ok;
}

static void replace(struct rewriting *w, struct json id)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    struct str text = json_text(id, w->arena), span = json_span(id);
    if (!text.p || is_short_id(text))
        return;
    size_t begin = (size_t)(span.p - w->from.p);
    uint64_t h = str_hash_seeded(text, ID_BYTES);
    buf_add(&w->out, w->from.p + w->at, begin - w->at);
    buf_putc(&w->out, '"');
    for (int i = 0; i < ID_BYTES; i++, h /= sizeof letters - 1)
        buf_putc(&w->out, letters[h % (sizeof letters - 1)]);
    buf_putc(&w->out, '"');
    w->at = begin + span.n;
}

static void replace_calls(struct rewriting *w, struct json calls)
{
    struct json_iter it = json_iter(calls);
    while (json_next(&it))
        replace(w, json_get(it.value, "id"));
}

struct str face_short_call_ids(struct json messages, struct str text, struct arena *a)
{
    struct rewriting w = {.from = text, .arena = a};
    buf_init(&w.out, text.n * 2 + 4096);
    struct json_iter it = json_iter(messages);
    while (json_next(&it)) {
        struct json_iter member = json_iter(it.value); /* in the order of the text */
        while (json_next(&member)) {
            if (json_text_is(member.key_value, "tool_calls"))
                replace_calls(&w, member.value);
            else if (json_text_is(member.key_value, "tool_call_id"))
                replace(&w, member.value);
        }
    }
    struct str done = text;
    if (w.at > 0) {
        buf_add(&w.out, text.p + w.at, text.n - w.at);
        done = buf_ok(&w.out) ? arena_str(a, buf_str(&w.out)) : str_of(NULL, 0);
    }
    buf_deinit(&w.out);
    return done;
}
