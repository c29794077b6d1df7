/* hello.c - Complete a text with libsluice, every error looked at.
 *
 *     cc hello.c $(pkg-config --cflags --libs sluice) -o hello
 *     ./hello model.gguf "Once upon a time" [TOKENS]
 *
 * Prints the answer as it is made, then on stderr how it ended. */
#include <stdio.h>
#include <stdlib.h>

#include "sluice.h"

static int complain(const struct sluice_error *err)
{
    fprintf(stderr, "hello: %s\n", err->text);
    return 1;
}

/* Read the stream until it is over.  Returns 0, or 1 after complaining. */
static int read_answer(struct sluice_stream *stream)
{
    struct sluice_error err;
    struct sluice_event ev;

    do {
        if (sluice_stream_next(stream, -1, &ev, &err) < 0)
            return complain(&err);
        if (ev.kind == SLUICE_EVENT_TEXT) {
            fwrite(ev.text, 1, ev.text_bytes, stdout);
            fflush(stdout);
        }
    } while (ev.kind != SLUICE_EVENT_DONE);
    putchar('\n');
    if (ev.finish == SLUICE_FINISH_ERROR) {
        fprintf(stderr, "hello: %s\n", ev.error_text);
        return 1;
    }
    fprintf(stderr, "%llu prompt tokens, %llu generated, finish %d\n",
            (unsigned long long)ev.usage.prompt_tokens, (unsigned long long)ev.usage.generated_tokens,
            (int)ev.finish);
    return 0;
}

int main(int argc, char **argv)
{
    struct sluice_error err;
    struct sluice_model *model;
    struct sluice_context *ctx;
    struct sluice_stream *stream;
    struct sluice_request rq;
    int status = 1;

    if (argc < 3) {
        fprintf(stderr, "usage: hello MODEL TEXT [TOKENS]\n");
        return 2;
    }
    if (sluice_model_open(argv[1], NULL, &model, &err) != SLUICE_OK)
        return complain(&err);
    if (sluice_context_create(model, NULL, &ctx, &err) != SLUICE_OK) {
        sluice_model_free(model);
        return complain(&err);
    }
    sluice_request_init(&rq, sizeof rq);
    rq.text = argv[2];
    rq.sampling.temperature = 0;
    rq.sampling.max_tokens = argc > 3 ? (int32_t)strtol(argv[3], NULL, 10) : 64;
    if (sluice_submit(ctx, &rq, &stream, &err) == SLUICE_OK) {
        status = read_answer(stream);
        sluice_stream_free(stream);
    } else {
        complain(&err);
    }
    sluice_context_free(ctx);
    sluice_model_free(model);
    return status;
}
