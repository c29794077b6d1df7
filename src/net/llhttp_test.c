/* llhttp_test.c - Our framing beside Node's parser, where its sources are installed.
 *
 * What we take, llhttp must take and read in the same way: same method, target, fields, body and
 * end.  (The other direction does not hold: we refuse more.)  The inputs are the corpus of
 * fuzz/fuzz_http.c and thousands of seeded mutations of it. */
#include <dirent.h>
#include <stdlib.h>

#include "base/rand.h"
#include "base/test.h"
#include "net/http.h"
#include "net/llhttp_oracle_int.h"

/* Ours in the same form; false if it is refused or incomplete. */
static bool read_by_us(struct str in, bool is_response, struct reading *r)
{
    static struct http_head head;
    struct http_parser p = {.head_max = HTTP_HEAD_BYTES_MAX};
    buf_init(&r->text, 1u << 20);
    int n = is_response ? http_response_parse(&p, in, false, &head) : http_request_parse(&p, in, &head);
    if (n <= 0)
        return false;
    if (!is_response) {
        buf_str_add(&r->text, head.target);
        buf_putc(&r->text, '\n');
    }
    for (int i = 0; i < head.n_fields; i++) {
        buf_str_add(&r->text, head.fields[i].name);
        buf_puts(&r->text, ": ");
        buf_str_add(&r->text, head.fields[i].value);
        buf_putc(&r->text, '\n');
    }
    buf_putc(&r->text, '\n');
    struct http_body body;
    struct str rest = str_sub(in, (size_t)n, in.n), data;
    http_body_init(&body, head.framing, head.content_length);
    enum http_body_result got;
    while ((got = http_body_next(&body, &rest, &data)) == HTTP_BODY_DATA)
        buf_str_add(&r->text, data);
    r->used = in.n - rest.n;
    r->is_complete = got == HTTP_BODY_DONE;
    /* What llhttp treats as another protocol, or has no name for, cannot be compared. */
    r->is_upgrade =
        head.has_upgrade || head.method == HTTP_CONNECT || head.method == HTTP_OTHER || head.status == 101;
    return r->is_complete;
}

/* llhttp gives trailer fields and chunk extensions by the same callbacks: compared is the
 * beginning, up to the end of our text. */
static void compare(struct str in, bool is_response, int *n_compared)
{
    struct reading ours = {0}, theirs = {0};
    if (read_by_us(in, is_response, &ours) && !ours.is_upgrade) {
        bool agrees = llhttp_read(in, is_response, &theirs) && theirs.used == ours.used &&
                      str_starts(buf_str(&theirs.text), buf_str(&ours.text));
        if (!agrees)
            test_fail(__FILE__, __LINE__,
                      "llhttp says %s, used %zu of our %zu\n%.*s\n--- ours\n%.*s\n--- theirs\n%.*s",
                      theirs.verdict, theirs.used, ours.used, STR(in), STR(buf_str(&ours.text)),
                      STR(buf_str(&theirs.text)));
        ++*n_compared;
        buf_deinit(&theirs.text);
    }
    buf_deinit(&ours.text);
}

static void mutate(struct rng *rng, struct buf *b)
{
    static const char *const pieces[] = {
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        ";",
        ",",
        "0",
        "5",
        "a",
        "\x01",
        "\x80",
        "chunked",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Host: b\r\n",
        "HTTP/1.0",
        "HTTP/1.1",
        "X: y\r\n",
        "\r\n\r\n",
        "0\r\n\r\n",
        "-",
        "+",
        "=",
        "?",
    };
    for (uint64_t k = 1 + rng_below(rng, 3); k > 0; k--) {
        size_t at = (size_t)rng_below(rng, b->n + 1);
        char tail[4096];
        size_t n_tail = b->n - at < sizeof tail ? b->n - at : sizeof tail;
        size_t drop = (size_t)rng_below(rng, 3) == 0 ? (size_t)rng_below(rng, 4) : 0;
        memcpy(tail, b->p + at, n_tail);
        b->n = at;
        if (rng_below(rng, 3))
            buf_puts(b, pieces[rng_below(rng, sizeof pieces / sizeof pieces[0])]);
        if (drop < n_tail)
            buf_add(b, tail + drop, n_tail - drop);
    }
}

TEST(framing_agrees_with_llhttp)
{
    if (!llhttp_is_here())
        test_skip("llhttp's sources (package node-llhttp) are not installed");
    DIR *dir = opendir("fuzz/corpus/http");
    if (!dir)
        test_skip("not run from the source tree");
    struct rng rng = rng_seeded(20);
    int n_compared = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[512];
        size_t n;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "fuzz/corpus/http/%s", e->d_name);
        char *bytes = test_read_file(path, &n);
        REQUIRE(bytes);
        if (n > 1 && n < 4096) {
            struct str in = str_of(bytes + 1, n - 1);
            compare(in, bytes[0] & 1, &n_compared);
            for (int i = 0; i < 300; i++) {
                struct buf b;
                buf_init(&b, 1u << 16);
                buf_str_add(&b, in);
                mutate(&rng, &b);
                compare(buf_str(&b), bytes[0] & 1, &n_compared);
                buf_deinit(&b);
            }
        }
        free(bytes);
    }
    closedir(dir);
    printf("    %d messages that we take were compared\n", n_compared);
    CHECK(n_compared > 100);
}
