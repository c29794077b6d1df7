/* template_builtin.c - Chat templates for models that bring none. */
#include "text/template.h"

struct builtin {
    const char *family;
    const char *token; /* a special token that gives the family away */
    const char *source;
};

static const struct builtin builtins[] = {
    {"llama3", "<|start_header_id|>",
     "{{ bos_token }}{% for message in messages %}"
     "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + (message.content or '') | trim + "
     "'<|eot_id|>' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"},
    {"gemma", "<start_of_turn>",
     "{{ bos_token }}{% set ns = namespace(prefix='') %}"
     "{% for message in messages %}"
     "{% if message.role == 'system' %}{% set ns.prefix = ns.prefix + message.content | trim + '\n\n' %}"
     "{% else %}"
     "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') + '\n' }}"
     "{% if message.role != 'assistant' %}{{ ns.prefix }}{% set ns.prefix = '' %}{% endif %}"
     "{{ (message.content or '') | trim + '<end_of_turn>\n' }}"
     "{% endif %}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"},
    {"phi4", "<|im_sep|>",
     "{% for message in messages %}"
     "{{ '<|im_start|>' + message.role + '<|im_sep|>' + (message.content or '') + '<|im_end|>' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"},
    {"chatml", "<|im_start|>",
     "{% for message in messages %}"
     "{{ '<|im_start|>' + message.role + '\n' + (message.content or '') + '<|im_end|>\n' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"},
    {"phi3", "<|assistant|>",
     "{% for message in messages %}"
     "{{ '<|' + message.role + '|>\n' + (message.content or '') + '<|end|>\n' }}"
     "{% endfor %}"
     "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"},
    {"deepseek", "<｜User｜>",
     "{{ bos_token }}{% for message in messages %}"
     "{% if message.role == 'assistant' %}{{ '<｜Assistant｜>' + (message.content or '') + "
     "'<｜end▁of▁sentence｜>' }}"
     "{% elif message.role == 'system' %}{{ message.content }}"
     "{% else %}{{ '<｜User｜>' + (message.content or '') }}{% endif %}{% endfor %}"
     "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"},
    {"mistral", "[INST]",
     "{{ bos_token }}{% set ns = namespace(prefix='') %}"
     "{% for message in messages %}"
     "{% if message.role == 'system' %}{% set ns.prefix = message.content + '\n\n' %}"
     "{% elif message.role == 'assistant' %}{{ ' ' + (message.content or '') + eos_token }}"
     "{% else %}{{ '[INST] ' + ns.prefix + (message.content or '') + ' [/INST]' }}{% set ns.prefix = '' %}"
     "{% endif %}{% endfor %}"}};

#define BUILTINS (sizeof builtins / sizeof *builtins)

struct str template_builtin(const char *family)
{
    for (size_t i = 0; i < BUILTINS; i++)
        if (str_eq(str_c(family), str_c(builtins[i].family)))
            return str_c(builtins[i].source);
    return S("");
}

const char *template_builtin_for(bool (*has_token)(void *ctx, struct str text), void *ctx)
{
    for (size_t i = 0; i < BUILTINS; i++)
        if (has_token(ctx, str_c(builtins[i].token)))
            return builtins[i].family;
    return "chatml";
}
