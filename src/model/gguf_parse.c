/* gguf_parse.c - Parse the header of one GGUF file.
 *
 * A file is: magic, version, counts, key-value pairs, tensor infos, padding, tensor data; all
 * little endian.  The parser goes through it once with a small window (struct reader), copies what
 * it keeps into the arena, and checks each count against the bytes that are left in the file
 * before it allocates: whatever a file claims, it costs at most a small multiple of its size.
 *
 * Every rule that is checked has its own sentence with the byte offset of the fault.  Start
 * reading at gguf_parse_part(). */
#include <assert.h>
#include <stdlib.h>

#include "kernel/quant.h"
#include "model/gguf_int.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF is read as little endian");

enum {
    MAGIC = 0x46554747, /* "GGUF" */
    ALIGNMENT_DEFAULT = 32,
    KV_BYTES_MIN = 8 + 1 + 4 + 1,         /* key length, a one-byte key, type, a one-byte value */
    TENSOR_BYTES_MIN = 8 + 1 + 4 + 4 + 8, /* name length, name, n_dims = 0, type, offset */
    WINDOW_BYTES = 64 * 1024,
};

/* What the parsing of one file says about itself, beside what goes into struct gguf. */
struct reader {
    struct gguf *g;
    struct arena *arena; /* for keys and values: those of later parts are thrown away */
    struct err *err;
    uint32_t part;
    uint64_t pos;     /* of the next byte to be taken, in the file */
    uint64_t n_bytes; /* of the file */
    size_t at, have;  /* in the window */
    uint8_t window[WINDOW_BYTES];
};

struct meta {
    struct gguf_kv *kvs;
    uint32_t n_kvs;
    struct gguf_index index;
};

/* --- bytes ------------------------------------------------------------------------------------ */

static uint64_t bytes_left(const struct reader *r)
{
    return r->n_bytes - r->pos;
}

static int take(struct reader *r, void *dst, size_t n)
{
    if (n > bytes_left(r))
        return fail(r->err, ERR_FORMAT, "at byte %llu: the file ends inside its header",
                    (unsigned long long)r->pos);
    for (size_t done = 0; done < n;) {
        size_t ready = r->have - r->at;
        if (ready == 0) {
            uint64_t left = bytes_left(r);
            size_t want = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
            int rc = gguf_read(r->g, r->part, r->pos, r->window, want, r->err);
            if (rc != OK)
                return rc;
            r->at = 0;
            ready = r->have = want;
        }
        size_t part = ready < n - done ? ready : n - done;
        memcpy((char *)dst + done, r->window + r->at, part);
        r->at += part;
        r->pos += part;
        done += part;
    }
    return OK;
}

static int take_u32(struct reader *r, uint32_t *v)
{
    return take(r, v, sizeof *v);
}

static int take_u64(struct reader *r, uint64_t *v)
{
    return take(r, v, sizeof *v);
}

static int no_memory(struct reader *r)
{
    return fail(r->err, ERR_NOMEM, "at byte %llu: no memory for the header", (unsigned long long)r->pos);
}

/* A length-prefixed string; `what` is for the message. */
static int take_str(struct reader *r, struct str *s, uint64_t max, const char *what)
{
    uint64_t n, at = r->pos;
    int rc = take_u64(r, &n);
    if (rc != OK)
        return rc;
    if (n > max)
        return fail(r->err, ERR_FORMAT, "at byte %llu: %s of %llu bytes, at most %llu are possible",
                    (unsigned long long)at, what, (unsigned long long)n, (unsigned long long)max);
    if (n > bytes_left(r))
        return fail(r->err, ERR_FORMAT, "at byte %llu: %s of %llu bytes, but only %llu follow",
                    (unsigned long long)at, what, (unsigned long long)n, (unsigned long long)bytes_left(r));
    char *p = arena_alloc(r->arena, (size_t)n + 1);
    if (!p)
        return no_memory(r);
    *s = (struct str){p, (size_t)n};
    return take(r, p, (size_t)n);
}

/* --- the index -------------------------------------------------------------------------------- */

static const struct str *item_name(const struct gguf_index *ix, uint32_t i)
{
    return (const struct str *)(ix->items + (size_t)i * ix->item_bytes);
}

int64_t gguf_index_find(const struct gguf_index *ix, struct str name)
{
    if (!ix->slots)
        return -1;
    for (uint32_t at = (uint32_t)str_hash(name) & ix->mask; ix->slots[at]; at = (at + 1) & ix->mask)
        if (str_eq(*item_name(ix, ix->slots[at] - 1), name))
            return ix->slots[at] - 1;
    return -1;
}

/* Room for n items at `items`; twice as many slots as items. */
static bool index_init(struct gguf_index *ix, struct arena *arena, const void *items, size_t item_bytes,
                       uint32_t n)
{
    uint32_t cap = 16;
    while (cap < 2 * n)
        cap *= 2;
    *ix = (struct gguf_index){.items = items, .item_bytes = item_bytes, .mask = cap - 1};
    ix->slots = arena_new_array(arena, uint32_t, cap);
    return ix->slots != NULL;
}

/* False if an item of that name is there already. */
static bool index_add(struct gguf_index *ix, uint32_t i)
{
    struct str name = *item_name(ix, i);
    uint32_t at = (uint32_t)str_hash(name) & ix->mask;
    for (; ix->slots[at]; at = (at + 1) & ix->mask)
        if (str_eq(*item_name(ix, ix->slots[at] - 1), name))
            return false;
    ix->slots[at] = i + 1;
    return true;
}

/* --- keys and values -------------------------------------------------------------------------- */

/* Bytes of a scalar in the file; 0 for strings and arrays. */
static size_t scalar_bytes(uint32_t type)
{
    static const uint8_t size[GGUF_TYPES_END] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
        [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return size[type];
}

static int take_scalar(struct reader *r, struct gguf_value *v)
{
    union {
        uint8_t u8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        float f32;
        uint64_t u64;
        int64_t i64;
        double f64;
    } raw = {0};
    uint64_t at = r->pos;
    int rc = take(r, &raw, scalar_bytes(v->type));
    if (rc != OK)
        return rc;
    switch (v->type) {
    case GGUF_BOOL:
        if (raw.u8 > 1)
            return fail(r->err, ERR_FORMAT, "at byte %llu: a bool is %u, only 0 and 1 are possible",
                        (unsigned long long)at, raw.u8);
        v->u = raw.u8;
        break;
    case GGUF_U8: v->u = raw.u8; break;
    case GGUF_U16: v->u = raw.u16; break;
    case GGUF_U32: v->u = raw.u32; break;
    case GGUF_U64: v->u = raw.u64; break;
    case GGUF_I8:
        v->i = (raw.u8 ^ 128) - 128; /* sign-extended */
        break;
    case GGUF_I16: v->i = raw.i16; break;
    case GGUF_I32: v->i = raw.i32; break;
    case GGUF_I64: v->i = raw.i64; break;
    case GGUF_F32: v->f = (double)raw.f32; break;
    case GGUF_F64: v->f = raw.f64; break;
    case GGUF_STR:
    case GGUF_ARRAY:
    case GGUF_TYPES_END: assert(!"a scalar type");
    }
    return OK;
}

static int take_string_array(struct reader *r, struct gguf_value *v, uint64_t at)
{
    if (v->n > bytes_left(r) / 8) /* each string has at least its length */
        return fail(r->err, ERR_FORMAT, "at byte %llu: an array of %llu strings, but only %llu bytes follow",
                    (unsigned long long)at, (unsigned long long)v->n, (unsigned long long)bytes_left(r));
    struct str *strs = arena_new_array(r->arena, struct str, (size_t)v->n);
    if (!strs)
        return no_memory(r);
    v->strs = strs;
    for (uint64_t i = 0; i < v->n; i++) {
        int rc = take_str(r, &strs[i], GGUF_VALUE_MAX, "a string in an array");
        if (rc != OK)
            return rc;
    }
    return OK;
}

static int take_array(struct reader *r, struct gguf_value *v)
{
    uint32_t elem_type;
    uint64_t at = r->pos;
    int rc = take_u32(r, &elem_type);
    if (rc == OK)
        rc = take_u64(r, &v->n);
    if (rc != OK)
        return rc;
    if (elem_type == GGUF_ARRAY)
        return fail(r->err, ERR_UNSUPPORTED, "at byte %llu: an array of arrays, which no model uses",
                    (unsigned long long)at);
    if (elem_type >= GGUF_TYPES_END)
        return fail(r->err, ERR_FORMAT, "at byte %llu: an array of unknown type %u", (unsigned long long)at,
                    elem_type);
    v->elem_type = elem_type;
    if (elem_type == GGUF_STR)
        return take_string_array(r, v, at);

    size_t size = scalar_bytes(elem_type);
    if (v->n > GGUF_VALUE_MAX / size)
        return fail(r->err, ERR_LIMIT, "at byte %llu: an array of %llu elements, more than 1 GiB",
                    (unsigned long long)at, (unsigned long long)v->n);
    if (v->n * size > bytes_left(r))
        return fail(r->err, ERR_FORMAT, "at byte %llu: an array of %llu elements, but only %llu bytes follow",
                    (unsigned long long)at, (unsigned long long)v->n, (unsigned long long)bytes_left(r));
    void *elems = arena_array(r->arena, (size_t)v->n, size);
    if (!elems)
        return no_memory(r);
    v->elems = elems;
    at = r->pos;
    rc = take(r, elems, (size_t)v->n * size);
    for (uint64_t i = 0; rc == OK && elem_type == GGUF_BOOL && i < v->n; i++)
        if (((const uint8_t *)elems)[i] > 1)
            return fail(r->err, ERR_FORMAT, "at byte %llu: a bool is %u, only 0 and 1 are possible",
                        (unsigned long long)at + i, ((const uint8_t *)elems)[i]);
    return rc;
}

static int take_kv(struct reader *r, struct gguf_kv *kv)
{
    uint64_t at = r->pos;
    uint32_t type = 0;
    int rc = take_str(r, &kv->key, GGUF_KEY_MAX, "a key");
    if (rc != OK)
        return rc;
    if (kv->key.n == 0)
        return fail(r->err, ERR_FORMAT, "at byte %llu: an empty key", (unsigned long long)at);
    at = r->pos;
    rc = take_u32(r, &type);
    if (rc != OK)
        return rc;
    if (type >= GGUF_TYPES_END)
        return fail(r->err, ERR_FORMAT, "at byte %llu: key '%.*s' has unknown type %u",
                    (unsigned long long)at, STR(kv->key), type);
    kv->value = (struct gguf_value){.type = type, .n = 1};
    if (type == GGUF_STR)
        return take_str(r, &kv->value.str, GGUF_VALUE_MAX, "a string");
    if (type == GGUF_ARRAY)
        return take_array(r, &kv->value);
    return take_scalar(r, &kv->value);
}

static int take_meta(struct reader *r, struct meta *m, uint64_t n_kvs)
{
    if (n_kvs > GGUF_KEYS_MAX)
        return fail(r->err, ERR_LIMIT, "at byte 16: %llu keys, at most %u are possible",
                    (unsigned long long)n_kvs, GGUF_KEYS_MAX);
    if (n_kvs > bytes_left(r) / KV_BYTES_MIN)
        return fail(r->err, ERR_FORMAT, "at byte 16: %llu keys, but only %llu bytes follow",
                    (unsigned long long)n_kvs, (unsigned long long)bytes_left(r));
    m->n_kvs = (uint32_t)n_kvs;
    m->kvs = arena_new_array(r->arena, struct gguf_kv, m->n_kvs);
    if (!m->kvs || !index_init(&m->index, r->arena, m->kvs, sizeof *m->kvs, m->n_kvs))
        return no_memory(r);
    for (uint32_t i = 0; i < m->n_kvs; i++) {
        uint64_t at = r->pos;
        int rc = take_kv(r, &m->kvs[i]);
        if (rc != OK)
            return rc;
        if (!index_add(&m->index, i))
            return fail(r->err, ERR_FORMAT, "at byte %llu: key '%.*s' is there twice", (unsigned long long)at,
                        STR(m->kvs[i].key));
    }
    return OK;
}

/* An unsigned integer of the metadata, at most `max`; *is_there tells whether the key exists. */
static int meta_uint(struct reader *r, const struct meta *m, struct str key, uint64_t max, uint64_t *v,
                     bool *is_there)
{
    int64_t i = gguf_index_find(&m->index, key);
    *is_there = i >= 0;
    if (i < 0)
        return OK;
    assert(m->kvs);
    const struct gguf_value *value = &m->kvs[i].value;
    switch (value->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64: *v = value->u; break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: *v = value->i < 0 ? UINT64_MAX : (uint64_t)value->i; break;
    default: return fail(r->err, ERR_FORMAT, "key '%.*s' is not an integer", STR(key));
    }
    if (*v > max)
        return fail(r->err, ERR_FORMAT, "key '%.*s' is not between 0 and %llu", STR(key),
                    (unsigned long long)max);
    return OK;
}

/* --- tensor infos ------------------------------------------------------------------------------ */

/* Shape and type to sizes, every product checked. */
static int size_tensor(struct reader *r, struct gguf_tensor *t, uint64_t at)
{
    const struct quant_info *info = quant_info(t->type);
    if (!info)
        return fail(r->err, ERR_UNSUPPORTED, "at byte %llu: tensor '%.*s' has the unknown type %u",
                    (unsigned long long)at, STR(t->name), t->type);
    t->n_elems = 1;
    for (uint32_t d = 0; d < GGUF_DIMS_MAX; d++) {
        if (t->ne[d] == 0)
            return fail(r->err, ERR_FORMAT, "at byte %llu: dimension %u of tensor '%.*s' is 0",
                        (unsigned long long)at, d, STR(t->name));
        if (__builtin_mul_overflow(t->n_elems, t->ne[d], &t->n_elems) || t->n_elems > INT64_MAX)
            return fail(r->err, ERR_FORMAT, "at byte %llu: tensor '%.*s' has more than 2^63 elements",
                        (unsigned long long)at, STR(t->name));
    }
    if (t->ne[0] % info->block_elems != 0)
        return fail(r->err, ERR_FORMAT,
                    "at byte %llu: rows of tensor '%.*s' have %llu elements, which are no whole %s "
                    "blocks of %u",
                    (unsigned long long)at, STR(t->name), (unsigned long long)t->ne[0], info->name,
                    info->block_elems);
    if (!quant_row_bytes(t->type, t->ne[0], &t->row_bytes) ||
        __builtin_mul_overflow(t->row_bytes, t->n_elems / t->ne[0], &t->n_bytes) || t->n_bytes > INT64_MAX)
        return fail(r->err, ERR_FORMAT, "at byte %llu: tensor '%.*s' has more than 2^63 bytes",
                    (unsigned long long)at, STR(t->name));
    return OK;
}

static int take_tensor(struct reader *r, struct gguf_tensor *t)
{
    uint64_t at = r->pos;
    *t = (struct gguf_tensor){.part = r->part, .ne = {1, 1, 1, 1}};
    int rc = take_str(r, &t->name, GGUF_NAME_MAX, "a tensor name");
    if (rc == OK)
        rc = take_u32(r, &t->n_dims);
    if (rc != OK)
        return rc;
    if (t->name.n == 0)
        return fail(r->err, ERR_FORMAT, "at byte %llu: a tensor without a name", (unsigned long long)at);
    if (t->n_dims > GGUF_DIMS_MAX)
        return fail(r->err, ERR_FORMAT,
                    "at byte %llu: tensor '%.*s' has %u dimensions, at most %d are possible",
                    (unsigned long long)at, STR(t->name), t->n_dims, GGUF_DIMS_MAX);
    for (uint32_t d = 0; rc == OK && d < t->n_dims; d++)
        rc = take_u64(r, &t->ne[d]);
    if (rc == OK)
        rc = take_u32(r, &t->type);
    if (rc == OK)
        rc = take_u64(r, &t->offset);
    return rc == OK ? size_tensor(r, t, at) : rc;
}

static bool align_up(uint64_t *v, uint64_t alignment)
{
    if (*v > UINT64_MAX - alignment)
        return false;
    *v = (*v + alignment - 1) & ~(alignment - 1);
    return true;
}

/* Tensor data must lie one after the other, each padded to the alignment, inside the file.  This
 * also rules out overlap.  Turns offsets into positions in the file. */
static int place_tensors(struct reader *r, uint32_t first, uint64_t alignment)
{
    uint64_t start = r->pos, next = 0;
    if (!align_up(&start, alignment))
        return fail(r->err, ERR_FORMAT, "the tensor data begins past every possible file");
    for (uint32_t i = first; i < r->g->n_tensors; i++) {
        struct gguf_tensor *t = &r->g->tensors[i];
        if (t->offset != next)
            return fail(r->err, ERR_FORMAT,
                        "tensor '%.*s' lies at data offset %llu, but the one before ends at %llu",
                        STR(t->name), (unsigned long long)t->offset, (unsigned long long)next);
        if (start > r->n_bytes || next > r->n_bytes - start || t->n_bytes > r->n_bytes - start - next)
            return fail(r->err, ERR_FORMAT,
                        "tensor '%.*s' of %llu bytes at byte %llu ends past the file of %llu bytes; "
                        "is it complete?",
                        STR(t->name), (unsigned long long)t->n_bytes, (unsigned long long)start + next,
                        (unsigned long long)r->n_bytes);
        t->offset = start + next;
        next += t->n_bytes;
        if (!align_up(&next, alignment))
            return fail(r->err, ERR_FORMAT, "the sizes of the tensors overflow");
    }
    return OK;
}

/* Adds this part's tensors to those of the parts before. */
static int take_tensors(struct reader *r, uint64_t n, uint64_t alignment)
{
    struct gguf *g = r->g;
    uint32_t first = g->n_tensors;
    if (n > GGUF_TENSORS_MAX - first)
        return fail(r->err, ERR_LIMIT, "at byte 8: %llu tensors, at most %u are possible",
                    (unsigned long long)n, GGUF_TENSORS_MAX);
    if (n > bytes_left(r) / TENSOR_BYTES_MIN)
        return fail(r->err, ERR_FORMAT, "at byte 8: %llu tensors, but only %llu bytes follow",
                    (unsigned long long)n, (unsigned long long)bytes_left(r));
    struct gguf_tensor *all = arena_new_array(&g->arena, struct gguf_tensor, first + (size_t)n);
    if (!all)
        return no_memory(r);
    if (first)
        memcpy(all, g->tensors, first * sizeof *all);
    g->tensors = all;
    if (!index_init(&g->tensor_index, &g->arena, all, sizeof *all, first + (uint32_t)n))
        return no_memory(r);
    for (uint32_t i = 0; i < first; i++)
        index_add(&g->tensor_index, i);
    r->arena = &g->arena; /* names are kept, of every part */
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = r->pos;
        int rc = take_tensor(r, &all[g->n_tensors]);
        if (rc != OK)
            return rc;
        if (!index_add(&g->tensor_index, g->n_tensors))
            return fail(r->err, ERR_FORMAT, "at byte %llu: tensor '%.*s' is there twice",
                        (unsigned long long)at, STR(all[g->n_tensors].name));
        g->n_tensors++;
    }
    return place_tensors(r, first, alignment);
}

/* --- a part ------------------------------------------------------------------------------------ */

static int take_start(struct reader *r, uint64_t *n_tensors, uint64_t *n_kvs)
{
    uint32_t magic = 0, version = 0;
    if (r->n_bytes < 24)
        return fail(r->err, ERR_FORMAT, "the file has %llu bytes: too short for a GGUF file",
                    (unsigned long long)r->n_bytes);
    int rc = take_u32(r, &magic);
    if (rc == OK)
        rc = take_u32(r, &version);
    if (rc != OK)
        return rc;
    if (magic != MAGIC)
        return fail(r->err, ERR_FORMAT, "at byte 0: not a GGUF file (it does not begin with 'GGUF')");
    if ((version & 0xffff) == 0)
        return fail(r->err, ERR_UNSUPPORTED,
                    "at byte 4: the file is big-endian, only little-endian GGUF can be read");
    if (version != 2 && version != 3)
        return fail(r->err, ERR_UNSUPPORTED, "at byte 4: GGUF version %u, only 2 and 3 can be read", version);
    r->g->version = version;
    rc = take_u64(r, n_tensors);
    return rc == OK ? take_u64(r, n_kvs) : rc;
}

static int meta_alignment(struct reader *r, const struct meta *m, uint64_t *alignment)
{
    bool is_there;
    *alignment = ALIGNMENT_DEFAULT;
    int rc = meta_uint(r, m, S("general.alignment"), GGUF_ALIGNMENT_MAX, alignment, &is_there);
    if (rc != OK)
        return rc;
    if (*alignment == 0 || (*alignment & (*alignment - 1)) != 0)
        return fail(r->err, ERR_FORMAT, "general.alignment is %llu, which is not a power of two",
                    (unsigned long long)*alignment);
    return OK;
}

/* Is this the part that it should be?  Sets *n_parts from the first. */
static int check_split(struct reader *r, const struct meta *m, uint32_t *n_parts)
{
    uint64_t no = 0, count = 1;
    bool has_no, has_count;
    int rc = meta_uint(r, m, S("split.no"), UINT32_MAX, &no, &has_no);
    if (rc == OK)
        rc = meta_uint(r, m, S("split.count"), UINT32_MAX, &count, &has_count);
    if (rc != OK)
        return rc;
    if (count == 0) /* some writers say so for "not split" */
        count = 1;
    if (r->part == 0 && no != 0)
        return fail(r->err, ERR_ARG, "this is part %llu of a split model: open its first part",
                    (unsigned long long)no + 1);
    if (no != r->part || (r->part > 0 && count != *n_parts))
        return fail(r->err, ERR_FORMAT, "says that it is part %llu of %llu, expected part %u of %u",
                    (unsigned long long)no + 1, (unsigned long long)count, r->part + 1, *n_parts);
    if (count > GGUF_PARTS_MAX)
        return fail(r->err, ERR_LIMIT, "split into %llu parts, at most %d are possible",
                    (unsigned long long)count, GGUF_PARTS_MAX);
    *n_parts = (uint32_t)count;
    return OK;
}

static int parse_with(struct reader *r, uint32_t *n_parts)
{
    struct gguf *g = r->g;
    uint64_t n_tensors = 0, n_kvs = 0, alignment = 0;
    struct meta m = {0};
    int rc = take_start(r, &n_tensors, &n_kvs);
    if (rc == OK)
        rc = take_meta(r, &m, n_kvs);
    if (rc == OK)
        rc = check_split(r, &m, n_parts);
    if (rc == OK)
        rc = meta_alignment(r, &m, &alignment);
    if (rc != OK)
        return rc;
    if (r->part == 0) {
        g->kvs = m.kvs;
        g->n_kvs = m.n_kvs;
        g->kv_index = m.index;
    }
    return take_tensors(r, n_tensors, alignment);
}

/* Header memory that a file of this size may need: a string array's element of 8 bytes becomes a
 * struct str and a piece of the arena, the worst ratio. */
static size_t arena_max(uint64_t n_bytes)
{
    uint64_t max = (64u << 10) + (n_bytes < (1ull << 40) ? 16 * n_bytes : 1ull << 44);
    return max > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)max;
}

int gguf_parse_part(struct gguf *g, uint32_t part, uint32_t *n_parts, struct err *err)
{
    struct arena scratch;
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return fail(err, ERR_NOMEM, "no memory to read the header");
    arena_init(&scratch, arena_max(g->parts[part].n_bytes));
    r->g = g;
    r->err = err;
    r->part = part;
    r->n_bytes = g->parts[part].n_bytes;
    r->arena = part == 0 ? &g->arena : &scratch;
    g->arena.max += arena_max(g->parts[part].n_bytes);
    int rc = parse_with(r, n_parts);
    arena_deinit(&scratch);
    free(r);
    return rc;
}
