/* face_options.c - Defaults of the public structs, and how they grow without breaking programs. */
#include <string.h>

#include "engine/face_int.h"

int face_copy_options(void *to, size_t to_bytes, const void *from, size_t from_bytes, const char *name,
                      struct err *err)
{
    if (from_bytes > to_bytes)
        return fail(err, ERR_UNSUPPORTED,
                    "%s has %zu bytes, this library knows %zu: the program was built for a later version",
                    name, from_bytes, to_bytes);
    if (from_bytes < sizeof(size_t))
        return fail(err, ERR_ARG, "%s was not set up by its _init function (struct_bytes is %zu)", name,
                    from_bytes);
    memcpy(to, from, from_bytes);
    return OK;
}

struct str face_text(const char *p, size_t n)
{
    return p && n != SLUICE_Z ? str_of(p, n) : str_c(p);
}

/* Defaults, as much of them as the caller's struct holds. */
#define INIT(o_, struct_bytes_, ...)                                                                         \
    do {                                                                                                     \
        __typeof__(*(o_)) defaults_ = {.struct_bytes = (struct_bytes_), __VA_ARGS__};                        \
        memset((o_), 0, (struct_bytes_));                                                                    \
        memcpy((o_), &defaults_, (struct_bytes_) < sizeof defaults_ ? (struct_bytes_) : sizeof defaults_);   \
    } while (0)

SLUICE_API void sluice_model_options_init(struct sluice_model_options *o, size_t struct_bytes)
{
    INIT(o, struct_bytes, .threads = 0);
}

SLUICE_API void sluice_chat_init(struct sluice_chat *chat, size_t struct_bytes)
{
    INIT(chat, struct_bytes, .messages_bytes = SLUICE_Z, .tools_bytes = SLUICE_Z,
         .variables_bytes = SLUICE_Z);
}

SLUICE_API void sluice_context_options_init(struct sluice_context_options *o, size_t struct_bytes)
{
    INIT(o, struct_bytes, .max_queue = 0);
}

SLUICE_API void sluice_answer_options_init(struct sluice_answer_options *o, size_t struct_bytes)
{
    INIT(o, struct_bytes, .tool_choice = SLUICE_TOOLS_AUTO);
}

SLUICE_API void sluice_request_init(struct sluice_request *rq, size_t struct_bytes)
{
    INIT(rq, struct_bytes, .text_bytes = SLUICE_Z, .priority = SLUICE_PRIORITY_NORMAL, .notify_fd = -1,
         .sampling = {.temperature = 1,
                      .top_p = 1,
                      .repeat_penalty = 1,
                      .repeat_last_n = -1,
                      .max_tokens = -1,
                      .logprobs = -1},
         .embed = false);
}

SLUICE_API void sluice_file_options_init(struct sluice_file_options *o, size_t struct_bytes)
{
    INIT(o, struct_bytes, .threads = 0);
}

SLUICE_API void sluice_bench_options_init(struct sluice_bench_options *o, size_t struct_bytes)
{
    INIT(o, struct_bytes, .prompt_tokens = 512, .generate_tokens = 128, .n_streams = 1, .repetitions = 5,
         .prompt_bytes = SLUICE_Z);
}
