/* price.c - See price.h. */
#include "gateway/price.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/sys.h"

#define FILE_MAX     ((size_t)64 << 20)
#define PICO_PER_USD 1e12

struct price_entry {
    struct str name;
    struct config_price price;
    int64_t context;
};

struct price_table {
    struct arena arena;
    struct buf text;
    struct price_entry *entries; /* by name */
    size_t n;
};

struct config_price price_complete(struct config_price p, bool is_anthropic)
{
    if (!config_price_is_known(&p))
        return p;
    if (p.cached_input < 0)
        p.cached_input = p.input;
    if (p.cache_write < 0)
        p.cache_write = is_anthropic ? p.input + p.input / 4 : p.input;
    if (p.cache_write_1h < 0)
        p.cache_write_1h = is_anthropic ? p.input * 2 : p.cache_write;
    return p;
}

static int64_t add_product(int64_t sum, int64_t n, int64_t price)
{
    int64_t product;
    if (n <= 0 || price <= 0)
        return sum;
    if (__builtin_mul_overflow(n, price, &product) || __builtin_add_overflow(sum, product, &sum))
        return INT64_MAX; /* more than nine million dollars for one request: nobody pays that by accident */
    return sum;
}

int64_t price_cost_nano(const struct config_price *p, const struct token_account *t)
{
    if (!config_price_is_known(p))
        return 0;
    int64_t pico = add_product(0, t->input_fresh, p->input);
    pico = add_product(pico, t->cache_read, p->cached_input);
    pico = add_product(pico, t->cache_write_5m, p->cache_write);
    pico = add_product(pico, t->cache_write_1h, p->cache_write_1h);
    pico = add_product(pico, t->output, p->output);
    return pico / 1000 + (pico % 1000 >= 500);
}

int64_t price_most_nano(const struct config_price *p, int64_t input_tokens, int64_t output_tokens)
{
    if (!config_price_is_known(p))
        return 0;
    int64_t input = p->input;
    input = p->cache_write > input ? p->cache_write : input;
    input = p->cache_write_1h > input ? p->cache_write_1h : input;
    int64_t pico = add_product(add_product(0, input_tokens, input), output_tokens, p->output);
    return pico / 1000 + (pico % 1000 != 0);
}

/* ---- the community's file ---- */

static int64_t read_price(struct json entry, const char *key)
{
    double usd;
    if (!json_f64(json_get(entry, key), &usd) || usd < 0 || usd > 1)
        return -1;
    return (int64_t)llround(usd * PICO_PER_USD);
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct price_entry *)a)->name, ((const struct price_entry *)b)->name);
}

static int read_entries(struct price_table *t, struct json root, struct err *err)
{
    t->entries = arena_new_array(&t->arena, struct price_entry, (size_t)json_count(root) + 1);
    if (!t->entries)
        return fail(err, ERR_NOMEM, "no memory for the prices");
    struct json_iter it = json_iter(root);
    while (json_next(&it)) {
        struct price_entry e = {.name = json_text(it.key_value, &t->arena)};
        e.price = (struct config_price){read_price(it.value, "input_cost_per_token"),
                                        read_price(it.value, "cache_read_input_token_cost"),
                                        read_price(it.value, "output_cost_per_token"),
                                        read_price(it.value, "cache_creation_input_token_cost"),
                                        read_price(it.value, "cache_creation_input_token_cost_above_1hr")};
        json_i64(json_get(it.value, "max_input_tokens"), &e.context);
        if (e.name.p && config_price_is_known(&e.price))
            t->entries[t->n++] = e;
    }
    qsort(t->entries, t->n, sizeof *t->entries, by_name);
    return OK;
}

struct price_table *price_table_load(const char *path, struct err *err)
{
    struct price_table *t = calloc(1, sizeof *t);
    struct json_doc doc;
    if (!t) {
        fail(err, ERR_NOMEM, "no memory for the prices");
        return NULL;
    }
    arena_init(&t->arena, 8 * FILE_MAX);
    buf_init(&t->text, FILE_MAX);
    int rc = sys_read_file(path, &t->text, err);
    if (rc == OK && json_parse(&doc, &t->arena, buf_str(&t->text), err) != OK)
        rc = err_prefix(err, "'%s'", path);
    if (rc == OK && !json_is(json_root(&doc), JSON_OBJECT))
        rc = fail(err, ERR_FORMAT, "'%s' must hold a JSON object of models and their prices", path);
    rc = rc ? rc : read_entries(t, json_root(&doc), err);
    if (rc == OK)
        return t;
    price_table_free(t);
    return NULL;
}

void price_table_free(struct price_table *t)
{
    if (!t)
        return;
    arena_deinit(&t->arena);
    buf_deinit(&t->text);
    free(t);
}

static const struct price_entry *find(const struct price_table *t, struct str name)
{
    struct price_entry key = {.name = name};
    return bsearch(&key, t->entries, t->n, sizeof key, by_name);
}

bool price_table_find(const struct price_table *t, struct str provider, struct str model,
                      struct config_price *p, int64_t *context)
{
    if (!t)
        return false;
    char both[512];
    const struct price_entry *e = NULL;
    int n = snprintf(both, sizeof both, "%.*s/%.*s", STR(provider), STR(model));
    if (n > 0 && n < (int)sizeof both)
        e = find(t, str_c(both));
    if (!e)
        e = find(t, model);
    if (!e)
        return false;
    *p = e->price;
    if (context)
        *context = e->context;
    return true;
}
