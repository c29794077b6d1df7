/* json.c - The strict one-pass JSON reader.  See json.h; the writer is json_write.c.
 *
 * The parser is a loop with an explicit stack of open containers (no recursion on input).  Nodes
 * go into a tape that grows by doubling inside the arena.  The tape index of a container's end
 * is known when it closes and is stored in `next`, so walking over a value is one step. */
#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define TAPE_FIRST 64u
/* From this many members on, duplicates are searched by sorting hashes instead of pairwise. */
#define DUP_PAIRWISE_MAX 12u

struct parser {
    const char *base, *p, *end;
    struct arena *arena;
    struct json_node *nodes;
    uint32_t n_nodes, cap;
    struct err *err;
    uint32_t open[JSON_DEPTH_MAX]; /* tape indices of the containers that are open */
    int depth;
};

static int bad(struct parser *ps, const char *at, const char *what)
{
    return fail(ps->err, ERR_FORMAT, "JSON is not valid at byte %zu: %s", (size_t)(at - ps->base), what);
}

static struct json_node *add_node(struct parser *ps, enum json_type type, const char *at)
{
    if (ps->n_nodes == ps->cap) {
        uint32_t cap = ps->cap ? ps->cap * 2 : TAPE_FIRST;
        if (cap < ps->cap)
            return NULL;
        struct json_node *nodes = arena_new_array(ps->arena, struct json_node, cap);
        if (!nodes)
            return NULL;
        if (ps->n_nodes)
            memcpy(nodes, ps->nodes, ps->n_nodes * sizeof *nodes);
        ps->nodes = nodes;
        ps->cap = cap;
    }
    struct json_node *node = &ps->nodes[ps->n_nodes++];
    *node = (struct json_node){.at = (uint32_t)(at - ps->base), .type = (uint8_t)type, .next = ps->n_nodes};
    return node;
}

static int no_memory(struct parser *ps)
{
    return fail(ps->err, ERR_NOMEM, "the JSON document needs more memory than it may have");
}

/* How many bytes at p, of the next PLAIN_STEP, are plain ASCII: no quote, backslash, control, high bit. */
#ifdef __SSE2__
#define PLAIN_STEP 16
static unsigned n_plain(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), back = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)); /* signed: bytes from 0x80 on are below too */
    unsigned hits = (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, back)));
    return hits ? (unsigned)__builtin_ctz(hits) : PLAIN_STEP;
}
#else
#define PLAIN_STEP 8
static unsigned n_plain(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t w;
    memcpy(&w, p, 8);
    uint64_t quote = w ^ (ones * '"'), back = w ^ (ones * '\\');
    uint64_t hits = (((w - ones * 0x20) | (quote - ones) | (back - ones)) & ~w & high) | (w & high);
    if (!hits)
        return PLAIN_STEP;
    unsigned n = 0; /* a borrow may mark bytes behind the first hit, never before it */
    while (n < PLAIN_STEP && (uint8_t)p[n] >= 0x20 && (uint8_t)p[n] < 0x80 && p[n] != '"' && p[n] != '\\')
        n++;
    return n;
}
#endif

static const char *utf8_char(const char *at, const char *end)
{
    const uint8_t *p = (const uint8_t *)at;
    int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
    if (end - at <= more || !str_is_utf8(str_of(at, (size_t)more + 1)))
        return NULL;
    return at + more + 1;
}

static int escape(struct parser *ps)
{
    const char *p = ps->p + 1;
    if (p < ps->end && *p == 'u') {
        if (ps->end - p < 5 || hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0 || hex_digit(p[3]) < 0 ||
            hex_digit(p[4]) < 0)
            return bad(ps, ps->p, "\\u needs four hexadecimal digits");
        ps->p = p + 5;
        return OK;
    }
    if (p >= ps->end || !*p || !strchr("\"\\/bfnrt", *p))
        return bad(ps, ps->p, "unknown escape in a string");
    ps->p = p + 1;
    return OK;
}

/* ps->p at the opening quote; leaves it behind the closing one. */
static int parse_string(struct parser *ps)
{
    const char *start = ps->p++;
    bool has_escape = false;
    for (;;) {
        while (ps->end - ps->p >= PLAIN_STEP) {
            unsigned n = n_plain(ps->p);
            ps->p += n;
            if (n < PLAIN_STEP)
                break;
        }
        if (ps->p >= ps->end)
            return bad(ps, start, "the string has no end");
        uint8_t c = (uint8_t)*ps->p;
        if (c == '"')
            break;
        if (c < 0x20)
            return bad(ps, ps->p, "control characters in a string must be escaped");
        if (c == '\\') {
            has_escape = true;
            int rc = escape(ps);
            if (rc != OK)
                return rc;
        } else if (c < 0x80) {
            ps->p++;
        } else {
            const char *after = utf8_char(ps->p, ps->end);
            if (!after)
                return bad(ps, ps->p, "not valid UTF-8");
            ps->p = after;
        }
    }
    ps->p++;
    struct json_node *node = add_node(ps, JSON_STRING, start);
    if (!node)
        return no_memory(ps);
    node->n = (uint32_t)(ps->p - start);
    node->count = has_escape;
    return OK;
}

static bool digits(struct parser *ps)
{
    const char *from = ps->p;
    while (ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9')
        ps->p++;
    return ps->p > from;
}

static int parse_number(struct parser *ps)
{
    const char *start = ps->p;
    if (*ps->p == '-')
        ps->p++;
    if (ps->p < ps->end && *ps->p == '0')
        ps->p++;
    else if (!digits(ps))
        return bad(ps, start, "expected a value");
    if (ps->p < ps->end && *ps->p == '.') {
        ps->p++;
        if (!digits(ps))
            return bad(ps, start, "a number needs digits after its point");
    }
    if (ps->p < ps->end && (*ps->p == 'e' || *ps->p == 'E')) {
        ps->p++;
        if (ps->p < ps->end && (*ps->p == '+' || *ps->p == '-'))
            ps->p++;
        if (!digits(ps))
            return bad(ps, start, "a number needs digits in its exponent");
    }
    struct json_node *node = add_node(ps, JSON_NUMBER, start);
    if (!node)
        return no_memory(ps);
    node->n = (uint32_t)(ps->p - start);
    return OK;
}

static int parse_word(struct parser *ps, const char *word, enum json_type type)
{
    size_t n = strlen(word);
    if ((size_t)(ps->end - ps->p) < n || memcmp(ps->p, word, n) != 0)
        return bad(ps, ps->p, "expected a value");
    struct json_node *node = add_node(ps, type, ps->p);
    if (!node)
        return no_memory(ps);
    node->n = (uint32_t)n;
    ps->p += n;
    return OK;
}

static int open_container(struct parser *ps, enum json_type type)
{
    if (ps->depth == JSON_DEPTH_MAX)
        return fail(ps->err, ERR_LIMIT, "JSON is nested deeper than %d levels at byte %zu", JSON_DEPTH_MAX,
                    (size_t)(ps->p - ps->base));
    if (!add_node(ps, type, ps->p))
        return no_memory(ps);
    ps->open[ps->depth++] = ps->n_nodes - 1;
    ps->p++;
    return OK;
}

static int parse_scalar(struct parser *ps)
{
    if (ps->p >= ps->end)
        return bad(ps, ps->p, "it ends where a value is expected");
    switch (*ps->p) {
    case '{': return open_container(ps, JSON_OBJECT);
    case '[': return open_container(ps, JSON_ARRAY);
    case '"': return parse_string(ps);
    case 't': return parse_word(ps, "true", JSON_TRUE);
    case 'f': return parse_word(ps, "false", JSON_FALSE);
    case 'n': return parse_word(ps, "null", JSON_NULL);
    default: return parse_number(ps);
    }
}

static void skip_blanks(struct parser *ps)
{
    while (ps->p < ps->end && (*ps->p == ' ' || *ps->p == '\n' || *ps->p == '\t' || *ps->p == '\r'))
        ps->p++;
}

/* ---- duplicate keys ---- */

static bool keys_equal(const struct parser *ps, const struct json_node *a, const struct json_node *b)
{
    struct str x = {ps->base + a->at + 1, a->n - 2}, y = {ps->base + b->at + 1, b->n - 2};
    if (!a->count && !b->count)
        return str_eq(x, y);
    struct buf p, q;
    buf_init(&p, x.n + 16);
    buf_init(&q, y.n + 16);
    bool same = json_unescape(&p, x) && json_unescape(&q, y) && str_eq(buf_str(&p), buf_str(&q));
    buf_deinit(&p);
    buf_deinit(&q);
    return same;
}

struct hashed_key {
    uint64_t hash;
    uint32_t idx;
};

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct hashed_key *)a)->hash, y = ((const struct hashed_key *)b)->hash;
    return x < y ? -1 : x > y;
}

static uint64_t key_hash(const struct parser *ps, const struct json_node *key)
{
    struct str raw = {ps->base + key->at + 1, key->n - 2};
    if (!key->count)
        return str_hash(raw);
    struct buf plain;
    buf_init(&plain, raw.n + 16);
    json_unescape(&plain, raw);
    uint64_t h = str_hash(buf_str(&plain));
    buf_deinit(&plain);
    return h;
}

static int duplicate(struct parser *ps, const struct json_node *key)
{
    struct str raw = {ps->base + key->at + 1, key->n - 2};
    return fail(ps->err, ERR_FORMAT, "JSON has the key \"%.*s\" twice in one object at byte %u",
                STR(str_sub(raw, 0, 80)), key->at);
}

static int check_many_keys(struct parser *ps, uint32_t object)
{
    uint32_t n = ps->nodes[object].count, k = 0;
    struct hashed_key *keys = malloc(n * sizeof *keys);
    if (!keys)
        return no_memory(ps);
    for (uint32_t i = object + 1; k < n; i = ps->nodes[i + 1].next)
        keys[k++] = (struct hashed_key){key_hash(ps, &ps->nodes[i]), i};
    qsort(keys, n, sizeof *keys, by_hash);
    int rc = OK;
    for (uint32_t i = 1; i < n && rc == OK; i++) {
        if (keys[i].hash != keys[i - 1].hash)
            continue;
        if (keys_equal(ps, &ps->nodes[keys[i].idx], &ps->nodes[keys[i - 1].idx]))
            rc = duplicate(ps, &ps->nodes[keys[i].idx]);
    }
    free(keys);
    return rc;
}

static int check_keys(struct parser *ps, uint32_t object)
{
    uint32_t n = ps->nodes[object].count;
    if (n > DUP_PAIRWISE_MAX)
        return check_many_keys(ps, object);
    uint32_t seen[DUP_PAIRWISE_MAX], k = 0;
    for (uint32_t i = object + 1; k < n; i = ps->nodes[i + 1].next) {
        for (uint32_t j = 0; j < k; j++) {
            const struct json_node *a = &ps->nodes[seen[j]], *b = &ps->nodes[i];
            bool may_be = a->n == b->n || a->count || b->count;
            if (may_be && keys_equal(ps, a, b))
                return duplicate(ps, b);
        }
        seen[k++] = i;
    }
    return OK;
}

static int close_container(struct parser *ps)
{
    uint32_t idx = ps->open[--ps->depth];
    ps->p++;
    ps->nodes[idx].n = (uint32_t)(ps->p - ps->base) - ps->nodes[idx].at;
    ps->nodes[idx].next = ps->n_nodes;
    return ps->nodes[idx].type == JSON_OBJECT ? check_keys(ps, idx) : OK;
}

/* Inside a container, before an item: reads the key if it is an object's, then the value. */
static int parse_item(struct parser *ps)
{
    struct json_node *container = &ps->nodes[ps->open[ps->depth - 1]];
    container->count++;
    if (container->type == JSON_OBJECT) {
        if (ps->p >= ps->end || *ps->p != '"')
            return bad(ps, ps->p, "expected a key in double quotes");
        int rc = parse_string(ps);
        if (rc != OK)
            return rc;
        skip_blanks(ps);
        if (ps->p >= ps->end || *ps->p != ':')
            return bad(ps, ps->p, "expected ':' after a key");
        ps->p++;
        skip_blanks(ps);
    }
    return parse_scalar(ps);
}

static char closer(const struct parser *ps)
{
    return ps->nodes[ps->open[ps->depth - 1]].type == JSON_OBJECT ? '}' : ']';
}

/* After a value: close what closes here, or read the next item.  One item per call. */
static int step(struct parser *ps)
{
    skip_blanks(ps);
    if (ps->p >= ps->end)
        return bad(ps, ps->p, "it ends inside an object or array");
    const struct json_node *container = &ps->nodes[ps->open[ps->depth - 1]];
    if (*ps->p == closer(ps))
        return close_container(ps);
    if (container->count > 0) {
        if (*ps->p != ',')
            return bad(ps, ps->p,
                       container->type == JSON_OBJECT ? "expected ',' or '}'" : "expected ',' or ']'");
        ps->p++;
        skip_blanks(ps);
    }
    return parse_item(ps);
}

int json_parse(struct json_doc *doc, struct arena *arena, struct str source, struct err *err)
{
    struct parser ps = {
        .base = source.p, .p = source.p, .end = source.p + source.n, .arena = arena, .err = err};
    if (source.n >= UINT32_MAX)
        return fail(err, ERR_LIMIT, "JSON of %zu bytes is longer than 4 GiB", source.n);
    skip_blanks(&ps);
    int rc = parse_scalar(&ps);
    while (rc == OK && ps.depth > 0)
        rc = step(&ps);
    if (rc != OK)
        return rc;
    skip_blanks(&ps);
    if (ps.p != ps.end)
        return bad(&ps, ps.p, "something follows the value");
    *doc = (struct json_doc){.source = source, .nodes = ps.nodes, .n_nodes = ps.n_nodes};
    return OK;
}

/* ---- looking at values ---- */

static const struct json_node *node_of(struct json v)
{
    return &v.doc->nodes[v.idx];
}

struct json json_root(const struct json_doc *doc)
{
    return (struct json){doc, 0};
}

enum json_type json_type(struct json v)
{
    return v.doc ? (enum json_type)node_of(v)->type : JSON_ABSENT;
}

struct str json_span(struct json v)
{
    if (!v.doc)
        return str_of("", 0);
    return str_of(v.doc->source.p + node_of(v)->at, node_of(v)->n);
}

uint32_t json_count(struct json v)
{
    enum json_type t = json_type(v);
    return t == JSON_ARRAY || t == JSON_OBJECT ? node_of(v)->count : 0;
}

struct json_iter json_iter(struct json v)
{
    struct json_iter it = {0};
    if (json_type(v) < JSON_ARRAY)
        return it;
    it.doc_ = v.doc;
    it.at_ = v.idx + 1;
    it.end_ = node_of(v)->next;
    it.is_object_ = json_type(v) == JSON_OBJECT;
    it.i = UINT32_MAX;
    return it;
}

bool json_next(struct json_iter *it)
{
    if (!it->doc_ || it->at_ >= it->end_)
        return false;
    it->i++;
    if (it->is_object_) {
        const struct json_node *key = &it->doc_->nodes[it->at_];
        it->key_value = (struct json){it->doc_, it->at_};
        it->key = str_of(it->doc_->source.p + key->at + 1, key->n - 2);
        it->at_++;
    }
    it->value = (struct json){it->doc_, it->at_};
    it->at_ = it->doc_->nodes[it->at_].next;
    return true;
}

/* Does the string value v, escapes undone, equal s? */
static bool text_is(struct json v, struct str s)
{
    const struct json_node *node = node_of(v);
    struct str raw = {v.doc->source.p + node->at + 1, node->n - 2};
    if (!node->count) /* the first letter tells most names apart without a call */
        return raw.n == s.n && (s.n == 0 || (raw.p[0] == s.p[0] && memcmp(raw.p, s.p, s.n) == 0));
    if (raw.n < s.n) /* an escape never makes a text longer than it is written */
        return false;
    struct buf plain;
    buf_init(&plain, raw.n + 16);
    bool same = json_unescape(&plain, raw) && str_eq(buf_str(&plain), s);
    buf_deinit(&plain);
    return same;
}

struct json json_get_str(struct json v, struct str key)
{
    if (json_type(v) != JSON_OBJECT)
        return json_absent();
    const struct json_node *nodes = v.doc->nodes;
    uint32_t end =
        nodes[v.idx].next; /* not by json_next: this is where readers of messages spend their time */
    for (uint32_t at = v.idx + 1; at < end; at = nodes[at + 1].next) {
        bool may_be = nodes[at].n == key.n + 2 || nodes[at].count;
        if (may_be && text_is((struct json){v.doc, at}, key))
            return (struct json){v.doc, at + 1};
    }
    return json_absent();
}

struct json json_get(struct json v, const char *key)
{
    return json_get_str(v, str_c(key));
}

struct json json_at(struct json v, uint32_t i)
{
    if (json_type(v) != JSON_ARRAY)
        return json_absent();
    struct json_iter it = json_iter(v);
    while (json_next(&it))
        if (it.i == i)
            return it.value;
    return json_absent();
}

/* ---- texts ---- */

static uint32_t hex4(const char *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        v = v * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return v;
}

static bool put_code_point(struct buf *out, uint32_t c)
{
    char u[4];
    size_t n;
    if (c < 0x80) {
        u[0] = (char)c;
        n = 1;
    } else if (c < 0x800) {
        u[0] = (char)(0xc0 | c >> 6);
        u[1] = (char)(0x80 | (c & 63));
        n = 2;
    } else if (c < 0x10000) {
        u[0] = (char)(0xe0 | c >> 12);
        u[1] = (char)(0x80 | (c >> 6 & 63));
        u[2] = (char)(0x80 | (c & 63));
        n = 3;
    } else {
        u[0] = (char)(0xf0 | c >> 18);
        u[1] = (char)(0x80 | (c >> 12 & 63));
        u[2] = (char)(0x80 | (c >> 6 & 63));
        u[3] = (char)(0x80 | (c & 63));
        n = 4;
    }
    return buf_add(out, u, n);
}

/* raw.p[i] is the 'u' of an escape.  Returns the index behind what was used. */
static size_t unescape_unicode(struct buf *out, struct str raw, size_t i)
{
    uint32_t c = hex4(raw.p + i + 1);
    i += 5;
    if (c >= 0xd800 && c < 0xdc00 && raw.n - i >= 6 && raw.p[i] == '\\' && raw.p[i + 1] == 'u') {
        uint32_t low = hex4(raw.p + i + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            put_code_point(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
            return i + 6;
        }
    }
    put_code_point(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return i;
}

bool json_unescape(struct buf *out, struct str raw)
{
    size_t i = 0;
    while (i < raw.n) {
        size_t at = str_find_char(raw, '\\', i);
        if (at == STR_NONE)
            at = raw.n;
        if (!buf_add(out, raw.p + i, at - i))
            return false;
        i = at + 1;
        if (i >= raw.n)
            break;
        switch (raw.p[i]) {
        case 'u':
            if (raw.n - i < 5)
                return false;
            i = unescape_unicode(out, raw, i);
            break;
        case 'b': buf_putc(out, '\b'), i++; break;
        case 'f': buf_putc(out, '\f'), i++; break;
        case 'n': buf_putc(out, '\n'), i++; break;
        case 'r': buf_putc(out, '\r'), i++; break;
        case 't': buf_putc(out, '\t'), i++; break;
        default: buf_putc(out, raw.p[i]), i++; break;
        }
    }
    return buf_ok(out);
}

struct str json_text(struct json v, struct arena *arena)
{
    if (json_type(v) != JSON_STRING)
        return (struct str){NULL, 0};
    const struct json_node *node = node_of(v);
    struct str raw = {v.doc->source.p + node->at + 1, node->n - 2};
    if (!node->count)
        return raw;
    struct buf plain;
    buf_init(&plain, raw.n + 16);
    json_unescape(&plain, raw);
    struct str text = arena_str(arena, buf_str(&plain));
    buf_deinit(&plain);
    return text;
}

bool json_text_is(struct json v, const char *z)
{
    return json_type(v) == JSON_STRING && text_is(v, str_c(z));
}

/* ---- numbers ---- */

bool json_f64(struct json v, double *out)
{
    return json_type(v) == JSON_NUMBER && str_to_f64(json_span(v), out);
}

/* 2.0, 1e3 and 12.5e1 are integers too; what is not written plainly goes through a double and is
 * taken only where a double is exact. */
static bool whole(struct json v, double *d)
{
    return json_f64(v, d) && *d == floor(*d) && fabs(*d) <= 0x1p53;
}

bool json_i64(struct json v, int64_t *out)
{
    double d;
    if (json_type(v) != JSON_NUMBER)
        return false;
    if (str_to_i64(json_span(v), out))
        return true;
    if (!whole(v, &d))
        return false;
    *out = (int64_t)d;
    return true;
}

bool json_u64(struct json v, uint64_t *out)
{
    double d;
    if (json_type(v) != JSON_NUMBER)
        return false;
    if (str_to_u64(json_span(v), out))
        return true;
    if (!whole(v, &d) || d < 0)
        return false;
    *out = (uint64_t)d;
    return true;
}

bool json_bool(struct json v, bool *out)
{
    enum json_type t = json_type(v);
    if (t != JSON_TRUE && t != JSON_FALSE)
        return false;
    *out = t == JSON_TRUE;
    return true;
}
