/* names.c - The names of the objects that are open in a JSON text. */
#include "grammar/names.h"

#include <stddef.h>

void names_init(struct names *n)
{
    memset(n, 0, offsetof(struct names, first));
}

void names_copy(struct names *to, const struct names *from)
{
    memcpy(to, from, offsetof(struct names, first));
    memcpy(to->first, from->first, from->depth * sizeof *to->first);
    memcpy(to->is_object, from->is_object, from->depth * sizeof *to->is_object);
    memcpy(to->bytes, from->bytes, (size_t)from->n_used + from->n_open);
}

static struct str name_at(const struct names *n, uint32_t at)
{
    uint16_t length;
    memcpy(&length, n->bytes + at, sizeof length);
    return str_of(n->bytes + at + sizeof length, length);
}

bool names_next(const struct names *n, uint32_t *at, struct str *name)
{
    if (n->depth == 0 || n->is_blind)
        return false;
    if (*at == NAMES_FIRST)
        *at = n->first[n->depth - 1];
    else
        *at += (uint32_t)(sizeof(uint16_t) + name_at(n, *at).n);
    if (*at >= n->n_used)
        return false;
    *name = name_at(n, *at);
    return true;
}

struct str names_open(const struct names *n)
{
    if (n->mode != NAMES_IN_NAME || n->is_blind)
        return (struct str){NULL, 0};
    return str_of(n->bytes + n->n_used + sizeof(uint16_t), n->n_open - sizeof(uint16_t));
}

static void open_container(struct names *n, bool is_object)
{
    if (n->depth == NAMES_DEPTH_MAX) {
        n->is_blind = true;
        return;
    }
    n->first[n->depth] = n->n_used;
    n->is_object[n->depth++] = is_object;
    n->wants_name = is_object;
}

static void close_container(struct names *n)
{
    if (n->depth > 0)
        n->n_used = n->first[--n->depth];
    n->wants_name = false;
}

/* The bytes of the name being written begin with room for its length. */
static void begin_name(struct names *n)
{
    n->mode = NAMES_IN_NAME;
    n->n_open = sizeof(uint16_t);
    n->is_blind |= (size_t)n->n_used + n->n_open > NAMES_BYTES_MAX;
}

static bool end_name(struct names *n)
{
    struct str open = names_open(n), name;
    uint16_t length = (uint16_t)open.n;
    for (uint32_t at = NAMES_FIRST; names_next(n, &at, &name);)
        if (str_eq(name, open))
            return false;
    n->mode = NAMES_BETWEEN;
    n->wants_name = false;
    if (n->is_blind)
        return true;
    memcpy(n->bytes + n->n_used, &length, sizeof length);
    n->n_used = (uint16_t)(n->n_used + n->n_open);
    n->n_open = 0;
    return true;
}

static bool in_string(struct names *n, uint8_t byte)
{
    bool is_end = byte == '"' && !n->is_escaped;
    n->is_escaped = byte == '\\' && !n->is_escaped;
    if (is_end && n->mode == NAMES_IN_NAME)
        return end_name(n);
    if (is_end)
        n->mode = NAMES_BETWEEN;
    if (is_end || n->mode == NAMES_IN_TEXT || n->is_blind)
        return true;
    if ((size_t)n->n_used + n->n_open == NAMES_BYTES_MAX)
        n->is_blind = true;
    else
        n->bytes[n->n_used + n->n_open++] = (char)byte;
    return true;
}

bool names_step(struct names *n, uint8_t byte, bool is_json)
{
    if (!is_json) {
        if (n->mode != NAMES_OUTSIDE)
            names_init(n);
        return true;
    }
    if (n->mode == NAMES_OUTSIDE)
        n->mode = NAMES_BETWEEN;
    if (n->mode != NAMES_BETWEEN)
        return in_string(n, byte);
    switch (byte) {
    case '{':
    case '[': open_container(n, byte == '{'); break;
    case '}':
    case ']': close_container(n); break;
    case ',': n->wants_name = n->depth > 0 && n->is_object[n->depth - 1]; break;
    case '"':
        if (n->wants_name)
            begin_name(n);
        else
            n->mode = NAMES_IN_TEXT;
        break;
    default: break;
    }
    return true;
}
