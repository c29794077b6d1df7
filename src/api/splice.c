/* splice.c - Change members of a JSON object in its text, leaving every other byte alone.
 *
 * Works on the tape of the parsed document: spans of the members to replace are known, the
 * bytes between them are copied.  Duplicate keys were refused by the reader, so there is one
 * place for each key. */
#include <assert.h>

#include "api/write_int.h"

struct cut {
    size_t at, end;                      /* bytes of the source to leave out */
    struct str put;                      /* instead */
    const char *new_key, *new_inner_key; /* written before `put` */
};

/* Where the member's key begins, and what a removal must take along: one comma. */
static struct cut member_cut(struct str src, struct json key, struct json value)
{
    size_t at = (size_t)(json_span(key).p - src.p);
    struct str v = json_span(value);
    size_t end = (size_t)(v.p - src.p) + v.n;
    size_t after = end;
    while (after < src.n && strchr(" \t\r\n", src.p[after]))
        after++;
    if (after < src.n && src.p[after] == ',')
        return (struct cut){.at = at, .end = after + 1};
    size_t before = at;
    while (before > 0 && strchr(" \t\r\n", src.p[before - 1]))
        before--;
    if (before > 0 && src.p[before - 1] == ',')
        before--;
    else
        before = at;
    return (struct cut){.at = before, .end = end};
}

/* Just behind the last member of obj (or behind its '{'). */
static size_t end_of_members(struct str src, struct json obj)
{
    struct str span = json_span(obj);
    size_t end = (size_t)(span.p - src.p) + span.n - 1; /* at '}' */
    while (end > 0 && strchr(" \t\r\n", src.p[end - 1]))
        end--;
    return end;
}

static struct json find_key(struct json obj, const char *key, struct json *key_value)
{
    for (struct json_iter it = json_iter(obj); json_next(&it);)
        if (json_text_is(it.key_value, key)) {
            *key_value = it.key_value;
            return it.value;
        }
    return json_absent();
}

static struct cut plan(const struct json_doc *doc, const struct splice *e)
{
    struct str src = doc->source;
    struct json obj = json_root(doc), key_value = json_absent();
    struct json v = find_key(obj, e->key, &key_value);
    const char *missing = e->key, *inner = e->key2;
    if (e->key2 && json_is(v, JSON_OBJECT)) {
        obj = v;
        v = find_key(obj, e->key2, &key_value);
        missing = e->key2;
        inner = NULL;
    }
    if (json_exists(v) && !e->json.p)
        return member_cut(src, key_value, v);
    if (json_exists(v)) {
        struct str span = json_span(v);
        size_t at = (size_t)(span.p - src.p);
        return (struct cut){.at = at, .end = at + span.n, .put = e->json, .new_inner_key = inner};
    }
    if (!e->json.p)
        return (struct cut){0};
    size_t at = end_of_members(src, obj);
    return (struct cut){.at = at, .end = at, .put = e->json, .new_key = missing, .new_inner_key = inner};
}

static void write_cut(const struct cut *c, bool comma, struct buf *out)
{
    if (comma)
        buf_putc(out, ',');
    if (c->new_key)
        buf_printf(out, "\"%s\":", c->new_key);
    if (c->new_inner_key)
        buf_printf(out, "{\"%s\":", c->new_inner_key);
    if (c->put.p)
        buf_str_add(out, c->put);
    if (c->new_inner_key)
        buf_putc(out, '}');
}

struct str json_list_plus(struct arena *a, struct json list, struct str item)
{
    struct str span = json_span(list);
    if (!json_is(list, JSON_ARRAY))
        return (struct str){0};
    return arena_printf(a, "%.*s%s%.*s]", STR(str_sub(span, 0, span.n - 1)), json_count(list) ? "," : "",
                        STR(item));
}

void splice_write(const struct json_doc *doc, const struct splice *edits, size_t n, struct buf *out)
{
    assert(n <= SPLICES_MAX);
    struct cut cuts[SPLICES_MAX];
    size_t n_cuts = 0, n_removals = 0;
    for (size_t i = 0; i < n; i++) {
        /* Neighbouring removals would quarrel about the comma between them; nobody needs two. */
        n_removals += !edits[i].json.p;
        assert(n_removals <= 1);
        struct cut c = plan(doc, &edits[i]);
        if (c.at == 0 && c.end == 0)
            continue; /* removal of what is not there */
        size_t k = n_cuts++;
        for (; k > 0 && cuts[k - 1].at > c.at; k--)
            cuts[k] = cuts[k - 1];
        cuts[k] = c;
    }
    struct str src = doc->source;
    size_t pos = 0;
    buf_reserve(out, src.n); /* at once: growing by doubling would copy it all once more */
    for (size_t i = 0; i < n_cuts; i++) {
        size_t at = cuts[i].at < pos ? pos : cuts[i].at;
        buf_add(out, src.p + pos, at - pos);
        /* Whether a comma is due, the last byte says: no value ends in '{' or ','.  That holds
         * after a removal and for a second insertion at the same place too. */
        char last = out->n ? out->p[out->n - 1] : 0;
        bool comma = cuts[i].new_key && last != '{' && last != ',';
        write_cut(&cuts[i], comma, out);
        pos = cuts[i].end > at ? cuts[i].end : at;
    }
    buf_add(out, src.p + pos, src.n - pos);
}
