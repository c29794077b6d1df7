/* logits_llama_cpp.c - The same as logits.c with llama.cpp's library, for accuracy.py.
 *
 *   logits_llama_cpp MODEL.gguf IDS OUT */
#include <stdio.h>
#include <stdlib.h>

#include "llama.h"

enum { TOKENS_MAX = 1 << 16 };

static llama_token tokens[TOKENS_MAX];

static void only_errors(enum ggml_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    int n = 0;
    FILE *ids = fopen(argv[2], "r"), *out = fopen(argv[3], "wb");
    while (ids && n < TOKENS_MAX && fscanf(ids, "%d", &tokens[n]) == 1)
        n++;
    llama_log_set(only_errors, NULL);
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = p.n_batch = p.n_ubatch = (uint32_t)(n < 64 ? 64 : n);
    struct llama_context *ctx = model ? llama_init_from_model(model, p) : NULL;
    if (!n || !out || !ctx)
        return 1;
    struct llama_batch batch = llama_batch_init(n, 0, 1);
    batch.n_tokens = n;
    for (int i = 0; i < n; i++) {
        batch.token[i] = tokens[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    if (llama_decode(ctx, batch))
        return 1;
    size_t vocab = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int i = 0; i < n; i++)
        if (fwrite(llama_get_logits_ith(ctx, i), sizeof(float), vocab, out) != vocab)
            return 1;
    return fclose(out) != 0;
}
