/* dialects.c - The table of dialects, and which one a path speaks.
 *
 * A new dialect: one file with its row, its name here, its id in chat.h, recorded exchanges in
 * tests/cases/api, a fuzz target, and an SDK test. */
#include "api/openai_int.h"

static const struct dialect *const table[DIALECT_COUNT] = {
    [DIALECT_OPENAI_CHAT] = &dialect_openai_chat,
    [DIALECT_OPENAI_COMPLETIONS] = &dialect_openai_completions,
    [DIALECT_OPENAI_EMBEDDINGS] = &dialect_openai_embeddings,
    [DIALECT_ANTHROPIC] = &dialect_anthropic,
    [DIALECT_GEMINI] = &dialect_gemini,
};

const struct dialect *dialect_get(enum dialect_id id)
{
    return id > DIALECT_NONE && id < DIALECT_COUNT ? table[id] : NULL;
}

const struct dialect *dialect_find(struct str name)
{
    for (int i = DIALECT_NONE + 1; i < DIALECT_COUNT; i++)
        if (table[i] && str_eq(name, str_c(table[i]->name)))
            return table[i];
    return NULL;
}

const struct dialect *dialect_for_op(const struct dialect *provider, enum chat_op op)
{
    bool is_openai = openai_is_family(provider->id);
    if (is_openai && op == CHAT_OP_COMPLETE)
        return &dialect_openai_completions;
    if (is_openai && op == CHAT_OP_EMBED)
        return &dialect_openai_embeddings;
    if (is_openai)
        return op == CHAT_OP_GENERATE ? &dialect_openai_chat : NULL;
    if (op == CHAT_OP_COMPLETE || (op == CHAT_OP_EMBED && !provider->read_embeddings))
        return NULL;
    return provider;
}

const struct dialect *dialect_of_path(struct str path)
{
    static const struct {
        const char *path;
        enum dialect_id id;
    } exact[] = {
        {"/v1/chat/completions", DIALECT_OPENAI_CHAT},    {"/v1/completions", DIALECT_OPENAI_COMPLETIONS},
        {"/v1/embeddings", DIALECT_OPENAI_EMBEDDINGS},    {"/v1/messages", DIALECT_ANTHROPIC},
        {"/v1/messages/count_tokens", DIALECT_ANTHROPIC},
    };
    for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
        if (str_eq(path, str_c(exact[i].path)))
            return dialect_get(exact[i].id);
    /* Google's SDKs say v1beta, or v1 when told so. */
    bool is_gemini = (str_starts(path, S("/v1beta/models/")) || str_starts(path, S("/v1/models/"))) &&
                     str_find_char(path, ':', 0) != STR_NONE;
    if (!is_gemini)
        return NULL;
    static const char *const actions[] = {":generateContent", ":streamGenerateContent", ":countTokens",
                                          ":embedContent", ":batchEmbedContents"};
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (str_ends(path, str_c(actions[i])))
            return dialect_get(DIALECT_GEMINI);
    return NULL;
}
