/* schema_value.c - JSON values compared, hashed and written as JSON Schema sees them.
 *
 * Comparing and hashing call themselves once per level of nesting, of which the JSON reader allows
 * JSON_DEPTH_MAX. */
#include <stdlib.h>

#include "grammar/schema_int.h"

/* Objects with more members than this are compared by sorted hashes of their keys. */
#define PAIRWISE_MAX 16u

static bool has_escapes(struct json v)
{
    return v.doc->nodes[v.idx].count != 0;
}

static struct str raw_text(struct json v)
{
    struct str span = json_span(v);
    return str_of(span.p + 1, span.n - 2);
}

static bool strings_equal(struct json a, struct json b)
{
    if (!has_escapes(a) && !has_escapes(b))
        return str_eq(raw_text(a), raw_text(b));
    struct buf x, y;
    buf_init(&x, raw_text(a).n + 16);
    buf_init(&y, raw_text(b).n + 16);
    bool same =
        json_unescape(&x, raw_text(a)) && json_unescape(&y, raw_text(b)) && str_eq(buf_str(&x), buf_str(&y));
    buf_deinit(&x);
    buf_deinit(&y);
    return same;
}

static uint64_t string_hash(struct json v)
{
    if (!has_escapes(v))
        return str_hash(raw_text(v));
    struct buf text;
    buf_init(&text, raw_text(v).n + 16);
    json_unescape(&text, raw_text(v));
    uint64_t h = str_hash(buf_str(&text));
    buf_deinit(&text);
    return h;
}

uint64_t schema_string_length(struct json v)
{
    struct buf text;
    struct str s = raw_text(v);
    buf_init(&text, s.n + 16);
    if (has_escapes(v)) {
        json_unescape(&text, s);
        s = buf_str(&text);
    }
    uint64_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
    buf_deinit(&text);
    return n;
}

static bool numbers_equal(struct json a, struct json b)
{
    if (str_eq(json_span(a), json_span(b)))
        return true;
    struct schema_number x, y;
    struct schema_number_room rx, ry;
    bool known = schema_number_of(&x, a, &rx);
    known = schema_number_of(&y, b, &ry) && known;
    bool same = known && schema_number_cmp(&x, &y) == 0;
    schema_number_done(&rx);
    schema_number_done(&ry);
    return same;
}

static bool arrays_equal(struct json a, struct json b)
{
    struct json_iter x = json_iter(a), y = json_iter(b);
    while (json_next(&x) && json_next(&y))
        if (!schema_values_equal(x.value, y.value))
            return false;
    return true;
}

static struct json find_member(struct json object, struct json key)
{
    struct json_iter it = json_iter(object);
    while (json_next(&it))
        if (strings_equal(it.key_value, key))
            return it.value;
    return json_absent();
}

struct member {
    uint64_t hash;
    struct json key, value;
};

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct member *)a)->hash, y = ((const struct member *)b)->hash;
    return x < y ? -1 : x > y;
}

static struct json find_sorted(const struct member *members, uint32_t n, struct json key)
{
    uint64_t hash = string_hash(key);
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (members[mid].hash < hash)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < n && members[lo].hash == hash; lo++)
        if (strings_equal(members[lo].key, key))
            return members[lo].value;
    return json_absent();
}

static bool objects_equal(struct json a, struct json b)
{
    uint32_t n = json_count(b);
    struct member *members = n > PAIRWISE_MAX ? malloc(n * sizeof *members) : NULL;
    struct json_iter it = json_iter(b);
    while (members && json_next(&it))
        members[it.i] = (struct member){string_hash(it.key_value), it.key_value, it.value};
    if (members)
        qsort(members, n, sizeof *members, by_hash);
    bool same = true;
    it = json_iter(a);
    while (same && json_next(&it)) {
        struct json other = members ? find_sorted(members, n, it.key_value) : find_member(b, it.key_value);
        same = json_exists(other) && schema_values_equal(it.value, other);
    }
    free(members);
    return same;
}

bool schema_values_equal(struct json a, struct json b)
{
    if (json_type(a) != json_type(b) || json_count(a) != json_count(b))
        return false;
    switch (json_type(a)) {
    case JSON_NUMBER: return numbers_equal(a, b);
    case JSON_STRING: return strings_equal(a, b);
    case JSON_ARRAY: return arrays_equal(a, b);
    case JSON_OBJECT: return objects_equal(a, b);
    default: return true;
    }
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t number_hash(struct json v)
{
    struct schema_number n;
    struct schema_number_room room;
    uint64_t h = 0;
    if (schema_number_of(&n, v, &room))
        h = mix(str_hash(str_of(n.digits, n.n_digits)), (uint64_t)n.exp * 2 + n.is_negative);
    schema_number_done(&room);
    return h;
}

uint64_t schema_value_hash(struct json v)
{
    uint64_t h = json_type(v);
    struct json_iter it = json_iter(v);
    switch (json_type(v)) {
    case JSON_NUMBER: return mix(h, number_hash(v));
    case JSON_STRING: return mix(h, string_hash(v));
    case JSON_ARRAY:
        while (json_next(&it))
            h = mix(h, schema_value_hash(it.value));
        return h;
    case JSON_OBJECT: /* a sum: the order has no meaning */
        while (json_next(&it))
            h += mix(string_hash(it.key_value), schema_value_hash(it.value));
        return h;
    default: return mix(h, 0);
    }
}

/* The source without what stands between its tokens; no tree is needed for that. */
bool schema_write_compact(struct buf *out, struct json v)
{
    struct str s = json_span(v);
    struct buf text;
    buf_init(&text, s.n + 16);
    for (size_t i = 0; i < s.n;) {
        if (s.p[i] != '"') {
            if (!strchr(" \t\r\n", s.p[i]))
                buf_putc(out, s.p[i]);
            i++;
            continue;
        }
        size_t end = i + 1;
        while (s.p[end] != '"')
            end += s.p[end] == '\\' ? 2 : 1;
        buf_clear(&text);
        json_unescape(&text, str_of(s.p + i + 1, end - i - 1));
        json_quote(out, buf_str(&text));
        i = end + 1;
    }
    bool ok = buf_ok(&text) && buf_ok(out);
    buf_deinit(&text);
    return ok;
}
