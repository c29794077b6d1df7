/* str.h - Text as {pointer, length} (borrowed) and as a bounded buffer (owned).
 *
 * struct str borrows: whoever holds one must know whose memory it is.  It may hold any bytes
 * and has no NUL at its end.
 * struct buf owns heap memory and has a maximum: past it (or without memory) an append fails,
 * the buffer frees what it had, and every later append fails too, so that a long row of
 * appends needs one check at its end (buf_ok). */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

/* For printf's "%.*s". */
#define STR(s) (int)((s).n > 0x7fffffff ? 0x7fffffff : (s).n), (s).p

/* A str of a string literal. */
#define S(lit) ((struct str){"" lit, sizeof(lit) - 1})

static inline struct str str_of(const char *p, size_t n)
{
    return (struct str){p, n};
}

/* Of a NUL-terminated string; NULL gives the empty str. */
static inline struct str str_c(const char *z)
{
    return (struct str){z ? z : "", z ? strlen(z) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* Bytes [from, to) of s, both clamped to its length. */
static inline struct str str_sub(struct str s, size_t from, size_t to)
{
    if (to > s.n)
        to = s.n;
    if (from > to)
        from = to;
    return (struct str){s.p ? s.p + from : s.p, to - from};
}

bool str_eq_nocase(struct str a, struct str b); /* ASCII letters only */
int str_cmp(struct str a, struct str b);        /* bytewise, shorter first */

#define STR_NONE ((size_t)-1)
/* Offset of the first occurrence at or after `from`, or STR_NONE. */
size_t str_find(struct str s, struct str needle, size_t from);
size_t str_find_char(struct str s, char c, size_t from);

struct str str_trim(struct str s); /* space, tab, CR, LF at both ends */

/* Cut *rest at the first `sep`: returns what is before it, leaves what follows in *rest.
 * Returns false when *rest was already used up (p == NULL). */
bool str_split(struct str *rest, char sep, struct str *part);

/* The value of a hexadecimal digit of either case, else -1. */
static inline int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Whole of s as a number; false if empty, not a number, or out of range.  *v is then unchanged. */
bool str_to_u64(struct str s, uint64_t *v);
bool str_to_i64(struct str s, int64_t *v);
bool str_to_f64(struct str s, double *v); /* decimal, finite; locale-independent */

/* A heap copy with a NUL at its end, or NULL without memory.  The caller frees. */
char *str_dup_z(struct str s);

/* Edit distance (Levenshtein) for "did you mean", inputs cut at 64 bytes. */
int str_distance(struct str a, struct str b);

/* A 64-bit hash, seeded: SipHash-2-4 with a per-process random key unless `seed` is given by
 * the caller for reproducibility.  Use str_hash for tables that strangers can fill. */
uint64_t str_hash(struct str s);
uint64_t str_hash_seeded(struct str s, uint64_t seed);

/* True if s is well-formed UTF-8 (no surrogates, no overlong forms). */
bool str_is_utf8(struct str s);

struct buf {
    char *p;    /* NULL while empty or after failure */
    size_t n;   /* bytes used */
    size_t cap; /* bytes owned */
    size_t max; /* never more than this */
    bool failed;
};

void buf_init(struct buf *b, size_t max_bytes);
void buf_deinit(struct buf *b); /* usable again after another buf_init */
void buf_clear(struct buf *b);  /* n = 0 and not failed; keeps the memory */
static inline bool buf_ok(const struct buf *b)
{
    return !b->failed;
}
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p ? b->p : "", b->n};
}
/* Room for n more bytes: a pointer to write at (then call buf_commit), or NULL. */
char *buf_reserve(struct buf *b, size_t n);
static inline void buf_commit(struct buf *b, size_t n)
{
    b->n += n;
}
bool buf_add(struct buf *b, const void *p, size_t n);
static inline bool buf_str_add(struct buf *b, struct str s)
{
    return buf_add(b, s.p, s.n);
}
bool buf_putc(struct buf *b, char c);
bool buf_puts(struct buf *b, const char *z);
bool buf_i64(struct buf *b, int64_t v); /* in decimal */
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
/* Remove the first n bytes (n <= b->n). */
void buf_consume(struct buf *b, size_t n);
/* NUL-terminate without counting the NUL, and give the pointer ("" on failure or empty). */
const char *buf_z(struct buf *b);
/* Take the memory (NUL-terminated); the caller frees it; b is empty afterwards.  NULL on failure. */
char *buf_take(struct buf *b, size_t *n);

#endif
