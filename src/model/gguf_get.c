/* gguf_get.c - Ask an open GGUF file for its values and tensors.  See gguf.h. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/quant.h"
#include "model/gguf_int.h"

/* --- the file ---------------------------------------------------------------------------------- */

uint32_t gguf_version(const struct gguf *g)
{
    return g->version;
}

uint32_t gguf_n_parts(const struct gguf *g)
{
    return g->n_parts;
}

uint64_t gguf_part_bytes(const struct gguf *g, uint32_t part)
{
    assert(part < g->n_parts);
    return g->parts[part].n_bytes;
}

const char *gguf_path(const struct gguf *g)
{
    return g->path ? g->path : "";
}

/* --- values ------------------------------------------------------------------------------------ */

const char *gguf_type_name(enum gguf_type type)
{
    static const char *const name[GGUF_TYPES_END] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                     "bool", "string", "array", "u64", "i64", "f64"};
    return (unsigned)type < GGUF_TYPES_END ? name[type] : "unknown";
}

uint32_t gguf_n_keys(const struct gguf *g)
{
    return g->n_kvs;
}

const struct gguf_kv *gguf_key_at(const struct gguf *g, uint32_t i)
{
    assert(i < g->n_kvs);
    return &g->kvs[i];
}

const struct gguf_value *gguf_find(const struct gguf *g, struct str key)
{
    int64_t i = gguf_index_find(&g->kv_index, key);
    return i < 0 ? NULL : &g->kvs[i].value;
}

static int absent(const char *key, struct err *err)
{
    return fail(err, ERR_NOT_FOUND, "the file has no key '%s'", key);
}

static int wrong_type(const char *key, const struct gguf_value *v, const char *want, struct err *err)
{
    return fail(err, ERR_FORMAT, "key '%s' is of type %s, expected %s", key, gguf_type_name(v->type), want);
}

static bool is_unsigned(enum gguf_type t)
{
    return t == GGUF_U8 || t == GGUF_U16 || t == GGUF_U32 || t == GGUF_U64;
}

static bool is_signed(enum gguf_type t)
{
    return t == GGUF_I8 || t == GGUF_I16 || t == GGUF_I32 || t == GGUF_I64;
}

static int out_of_range(const char *key, const struct gguf_value *v, struct err *err)
{
    if (is_signed(v->type))
        return fail(err, ERR_FORMAT, "key '%s' is %lld, which is out of range", key, (long long)v->i);
    return fail(err, ERR_FORMAT, "key '%s' is %llu, which is out of range", key, (unsigned long long)v->u);
}

int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *v, struct err *err)
{
    const struct gguf_value *value = gguf_find(g, str_c(key));
    if (!value)
        return absent(key, err);
    if (is_unsigned(value->type))
        *v = value->u;
    else if (!is_signed(value->type))
        return wrong_type(key, value, "an integer", err);
    else if (value->i < 0)
        return out_of_range(key, value, err);
    else
        *v = (uint64_t)value->i;
    return OK;
}

int gguf_get_u32(const struct gguf *g, const char *key, uint32_t *v, struct err *err)
{
    uint64_t wide = 0;
    int rc = gguf_get_u64(g, key, &wide, err);
    if (rc != OK)
        return rc;
    if (wide > UINT32_MAX)
        return out_of_range(key, gguf_find(g, str_c(key)), err);
    *v = (uint32_t)wide;
    return OK;
}

int gguf_get_i32(const struct gguf *g, const char *key, int32_t *v, struct err *err)
{
    const struct gguf_value *value = gguf_find(g, str_c(key));
    if (!value)
        return absent(key, err);
    if (is_unsigned(value->type)) {
        if (value->u > INT32_MAX)
            return out_of_range(key, value, err);
        *v = (int32_t)value->u;
    } else if (!is_signed(value->type)) {
        return wrong_type(key, value, "an integer", err);
    } else {
        if (value->i < INT32_MIN || value->i > INT32_MAX)
            return out_of_range(key, value, err);
        *v = (int32_t)value->i;
    }
    return OK;
}

int gguf_get_f32(const struct gguf *g, const char *key, float *v, struct err *err)
{
    const struct gguf_value *value = gguf_find(g, str_c(key));
    if (!value)
        return absent(key, err);
    if (value->type != GGUF_F32 && value->type != GGUF_F64)
        return wrong_type(key, value, "a float", err);
    if (!(value->f >= -3.4028234663852886e38 && value->f <= 3.4028234663852886e38))
        return fail(err, ERR_FORMAT, "key '%s' is %g, which is not a finite f32", key, value->f);
    *v = (float)value->f;
    return OK;
}

int gguf_get_bool(const struct gguf *g, const char *key, bool *v, struct err *err)
{
    const struct gguf_value *value = gguf_find(g, str_c(key));
    if (!value)
        return absent(key, err);
    if (value->type != GGUF_BOOL)
        return wrong_type(key, value, "a bool", err);
    *v = value->u != 0;
    return OK;
}

int gguf_get_str(const struct gguf *g, const char *key, struct str *v, struct err *err)
{
    const struct gguf_value *value = gguf_find(g, str_c(key));
    if (!value)
        return absent(key, err);
    if (value->type != GGUF_STR)
        return wrong_type(key, value, "a string", err);
    *v = value->str;
    return OK;
}

static bool is_absent(const struct gguf *g, const char *key)
{
    return !gguf_find(g, str_c(key));
}

int gguf_opt_u32(const struct gguf *g, const char *key, uint32_t *v, struct err *err)
{
    return is_absent(g, key) ? OK : gguf_get_u32(g, key, v, err);
}

int gguf_opt_i32(const struct gguf *g, const char *key, int32_t *v, struct err *err)
{
    return is_absent(g, key) ? OK : gguf_get_i32(g, key, v, err);
}

int gguf_opt_f32(const struct gguf *g, const char *key, float *v, struct err *err)
{
    return is_absent(g, key) ? OK : gguf_get_f32(g, key, v, err);
}

int gguf_opt_bool(const struct gguf *g, const char *key, bool *v, struct err *err)
{
    return is_absent(g, key) ? OK : gguf_get_bool(g, key, v, err);
}

int gguf_opt_str(const struct gguf *g, const char *key, struct str *v, struct err *err)
{
    return is_absent(g, key) ? OK : gguf_get_str(g, key, v, err);
}

/* The array under `key`, whose element type must be one of two; NULL and *rc if it is not so. */
static const struct gguf_value *find_array(const struct gguf *g, const char *key, enum gguf_type a,
                                           enum gguf_type b, int *rc, struct err *err)
{
    const struct gguf_value *value = gguf_find(g, str_c(key));
    *rc = OK;
    if (!value)
        *rc = absent(key, err);
    else if (value->type != GGUF_ARRAY)
        *rc = wrong_type(key, value, "an array", err);
    else if (value->elem_type != a && value->elem_type != b)
        *rc = fail(err, ERR_FORMAT, "key '%s' is an array of %s, expected %s", key,
                   gguf_type_name(value->elem_type), gguf_type_name(a));
    else
        return value;
    return NULL;
}

int gguf_get_strs(const struct gguf *g, const char *key, const struct str **v, uint64_t *n, struct err *err)
{
    int rc;
    const struct gguf_value *value = find_array(g, key, GGUF_STR, GGUF_STR, &rc, err);
    if (!value)
        return rc;
    *v = value->strs;
    *n = value->n;
    return OK;
}

int gguf_get_i32s(const struct gguf *g, const char *key, const int32_t **v, uint64_t *n, struct err *err)
{
    int rc;
    const struct gguf_value *value = find_array(g, key, GGUF_I32, GGUF_U32, &rc, err);
    if (!value)
        return rc;
    *v = value->elems;
    *n = value->n;
    return OK;
}

int gguf_get_f32s(const struct gguf *g, const char *key, const float **v, uint64_t *n, struct err *err)
{
    int rc;
    const struct gguf_value *value = find_array(g, key, GGUF_F32, GGUF_F32, &rc, err);
    if (!value)
        return rc;
    *v = value->elems;
    *n = value->n;
    return OK;
}

/* Element i of an array of integers or bools; false if it is none or does not fit. */
static bool array_u32(const struct gguf_value *v, uint64_t i, uint32_t *out)
{
    int64_t wide;
    switch (v->elem_type) {
    case GGUF_BOOL:
    case GGUF_U8: wide = ((const uint8_t *)v->elems)[i]; break;
    case GGUF_I8:
        wide = (((const uint8_t *)v->elems)[i] ^ 128) - 128; /* sign-extended */
        break;
    case GGUF_U16: wide = ((const uint16_t *)v->elems)[i]; break;
    case GGUF_I16: wide = ((const int16_t *)v->elems)[i]; break;
    case GGUF_U32: wide = ((const uint32_t *)v->elems)[i]; break;
    case GGUF_I32: wide = ((const int32_t *)v->elems)[i]; break;
    case GGUF_U64:
    case GGUF_I64: /* above 2^63 reads as negative: refused below */
        wide = ((const int64_t *)v->elems)[i];
        break;
    default: return false;
    }
    if (wide < 0 || wide > UINT32_MAX)
        return false;
    *out = (uint32_t)wide;
    return true;
}

int gguf_get_u32_per_layer(const struct gguf *g, const char *key, uint32_t *v, uint32_t n_layers,
                           struct err *err)
{
    const struct gguf_value *value = gguf_find(g, str_c(key));
    if (!value)
        return absent(key, err);
    if (value->type != GGUF_ARRAY) {
        uint32_t one = 0;
        bool flag = false;
        int rc =
            value->type == GGUF_BOOL ? gguf_get_bool(g, key, &flag, err) : gguf_get_u32(g, key, &one, err);
        for (uint32_t i = 0; rc == OK && i < n_layers; i++)
            v[i] = value->type == GGUF_BOOL ? flag : one;
        return rc;
    }
    if (value->n < n_layers)
        return fail(err, ERR_FORMAT, "key '%s' has %llu elements for %u layers", key,
                    (unsigned long long)value->n, n_layers);
    for (uint32_t i = 0; i < n_layers; i++)
        if (!array_u32(value, i, &v[i]))
            return fail(err, ERR_FORMAT, "element %u of key '%s' (%s) is not a possible number", i, key,
                        gguf_type_name(value->elem_type));
    return OK;
}

const char *gguf_arch_key(struct gguf_arch_key *k, const struct gguf *g, const char *suffix)
{
    struct str arch = S("unknown");
    gguf_opt_str(g, "general.architecture", &arch, NULL);
    if (arch.n > 64)
        arch.n = 64;
    snprintf(k->z, sizeof k->z, "%.*s.%s", STR(arch), suffix);
    return k->z;
}

/* --- tensors ----------------------------------------------------------------------------------- */

uint32_t gguf_n_tensors(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, uint32_t i)
{
    assert(i < g->n_tensors);
    return &g->tensors[i];
}

const struct gguf_tensor *gguf_tensor_find(const struct gguf *g, struct str name)
{
    int64_t i = gguf_index_find(&g->tensor_index, name);
    return i < 0 ? NULL : &g->tensors[i];
}

const struct gguf_tensor *gguf_tensor_findf(const struct gguf *g, const char *fmt, ...)
{
    char name[GGUF_NAME_MAX + 2];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(name, sizeof name, fmt, args); /* NOLINT(clang-analyzer-valist.Uninitialized): it is */
    va_end(args);
    if (n < 0 || n > GGUF_NAME_MAX)
        return NULL;
    return gguf_tensor_find(g, str_of(name, (size_t)n));
}

int gguf_read_rows_f32(const struct gguf *g, const struct gguf_tensor *t, uint64_t row, uint64_t n_rows,
                       float *y, struct err *err)
{
    const struct quant_info *info = quant_info(t->type);
    assert(row <= t->n_elems / t->ne[0] && n_rows <= t->n_elems / t->ne[0] - row);
    if (!info->dequantize)
        return fail(err, ERR_UNSUPPORTED, "tensor '%.*s' has type %s, which cannot be computed with",
                    STR(t->name), info->name);
    uint8_t *bytes = malloc(t->row_bytes);
    if (!bytes)
        return fail(err, ERR_NOMEM, "no memory for a row of %llu bytes", (unsigned long long)t->row_bytes);
    int rc = OK;
    for (uint64_t i = 0; rc == OK && i < n_rows; i++) {
        rc = gguf_read(g, t->part, t->offset + (row + i) * t->row_bytes, bytes, t->row_bytes, err);
        if (rc == OK)
            info->dequantize(y + i * t->ne[0], bytes, t->ne[0]);
    }
    free(bytes);
    return rc;
}
