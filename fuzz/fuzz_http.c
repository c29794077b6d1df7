/* fuzz_http.c - HTTP framing.  The first byte chooses request or response and the split.
 *
 * Oracle: whatever way the bytes are cut, the result is the same; and slices never leave the
 * input (the address sanitizer sees that, because every piece is a copy of its own size). */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "net/http.h"

struct outcome {
    int rc; /* of the head */
    int status_or_method;
    int n_fields;
    uint64_t body_hash, body_bytes;
    int body_end; /* enum http_body_result of the end */
    size_t used;
};

static uint64_t mix(uint64_t h, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3;
    return h;
}

static void read_body(const struct http_head *head, struct str in, size_t step, struct outcome *o)
{
    struct http_body body;
    http_body_init(&body, head->framing, head->content_length);
    o->body_end = HTTP_BODY_MORE;
    size_t at = 0;
    do {
        size_t n = in.n - at < step ? in.n - at : step;
        char *copy = malloc(n ? n : 1);
        if (!copy)
            abort();
        if (n)
            memcpy(copy, in.p + at, n);
        struct str piece = {copy, n}, data;
        enum http_body_result got;
        while ((got = http_body_next(&body, &piece, &data)) == HTTP_BODY_DATA) {
            assert(data.n > 0);
            o->body_hash = mix(o->body_hash, data);
            o->body_bytes += data.n;
        }
        at += n;
        o->body_end = got;
        if (got == HTTP_BODY_DONE)
            o->used += at - piece.n;
        free(copy);
    } while (at < in.n && o->body_end == HTTP_BODY_MORE);
}

static struct outcome read_message(struct str in, bool is_response, size_t step)
{
    static struct http_head head;
    struct outcome o = {0};
    struct http_parser p = {.head_max = 4096};
    for (size_t n = step < in.n ? step : in.n;; n = n + step < in.n ? n + step : in.n) {
        char *copy = malloc(n ? n : 1);
        if (!copy)
            abort();
        if (n)
            memcpy(copy, in.p, n);
        o.rc = is_response ? http_response_parse(&p, str_of(copy, n), false, &head)
                           : http_request_parse(&p, str_of(copy, n), &head);
        if (o.rc > 0) {
            assert((size_t)o.rc <= n && head.n_fields <= HTTP_FIELDS_MAX);
            o.status_or_method = is_response ? head.status : (int)head.method;
            o.n_fields = head.n_fields;
            for (int i = 0; i < head.n_fields; i++) {
                o.body_hash = mix(mix(o.body_hash, head.fields[i].name), head.fields[i].value);
                (void)http_list_has(head.fields[i].value, S("close"));
            }
            struct str value;
            (void)http_query_find(head.query, S("key"), &value);
        } else if (o.rc < 0) {
            assert(p.problem);
        }
        free(copy);
        if (o.rc != HTTP_MORE || n == in.n)
            break;
    }
    if (o.rc > 0) {
        o.used = (size_t)o.rc;
        read_body(&head, str_sub(in, (size_t)o.rc, in.n), step, &o);
    }
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    bool is_response = data[0] & 1;
    struct str in = {(const char *)data + 1, n - 1};
    struct outcome whole = read_message(in, is_response, in.n ? in.n : 1);
    struct outcome cut = read_message(in, is_response, 1 + (data[0] >> 1) % 31);
    /* A head that is too large may be noticed before or after something else is wrong with it. */
    if ((whole.rc == HTTP_TOO_LARGE || cut.rc == HTTP_TOO_LARGE) && whole.rc < 0 && cut.rc < 0)
        return 0;
    assert(whole.rc == cut.rc && whole.status_or_method == cut.status_or_method);
    assert(whole.n_fields == cut.n_fields && whole.body_end == cut.body_end);
    assert(whole.body_hash == cut.body_hash && whole.body_bytes == cut.body_bytes);
    assert(whole.used == cut.used);
    return 0;
}
