/* fuzz_gguf.c - Any bytes as a model file: parsed or refused, never a crash. */
#include <stdlib.h>

#include "kernel/quant.h"
#include "model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Asks for everything that a loader asks for. */
static void use(const struct gguf *g)
{
    struct gguf_arch_key k;
    uint32_t layers[16];
    for (uint32_t i = 0; i < gguf_n_keys(g); i++) {
        char *key = str_dup_z(gguf_key_at(g, i)->key);
        const struct str *strs;
        uint64_t n;
        if (key) {
            gguf_get_u32_per_layer(g, key, layers, 16, NULL);
            if (gguf_get_strs(g, key, &strs, &n, NULL) == OK)
                for (uint64_t j = 0; j < n; j++)
                    str_is_utf8(strs[j]);
        }
        free(key);
    }
    gguf_arch_key(&k, g, "block_count");
    for (uint32_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        float *y = t->ne[0] < 4096 ? malloc((size_t)t->ne[0] * sizeof *y) : NULL;
        if (y && quant_info(t->type)->dequantize)
            gguf_read_rows_f32(g, t, t->n_elems / t->ne[0] - 1, 1, y, NULL);
        free(y);
        if (gguf_tensor_find(g, t->name) != t)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gguf *g;
    struct err err;
    if (gguf_open_memory(&g, data, n, &err) == OK)
        use(g);
    gguf_close(g);
    return 0;
}
