"""From a conversation to tokens: the tokenizer, the chat template, and which tokens are learned.

`render` does in Python what TEMPLATE says in Jinja; evaluate.py --check-template proves that they agree.
"""
import json

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

# tokenizer.ggml.pre = "qwen2": every digit is a token of its own, which is what makes sums learnable.
PRE = "qwen2"
PRE_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
END, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [END, IM_START, IM_END]

TOOLS_HEAD = "# Tools\n\nYou can call these functions:\n<tools>\n"
TOOLS_TAIL = "\n</tools>\n\nTo call one, answer with:\n<tool_call>\n{\"name\": ..., \"arguments\": {...}}\n</tool_call>"

TEMPLATE = (
    "{%- set first = 0 -%}"
    "{%- if messages[0].role == 'system' -%}{%- set first = 1 -%}{%- endif -%}"
    "{%- if first == 1 or tools -%}"
    "{{- '<|im_start|>system\\n' -}}"
    "{%- if first == 1 -%}{{- messages[0].content -}}{%- if tools -%}{{- '\\n\\n' -}}{%- endif -%}{%- endif -%}"
    "{%- if tools -%}"
    "{{- '# Tools\\n\\nYou can call these functions:\\n<tools>' -}}"
    "{%- for tool in tools -%}{{- '\\n' -}}{{- tool | tojson -}}{%- endfor -%}"
    "{{- '\\n</tools>\\n\\nTo call one, answer with:\\n<tool_call>\\n{\"name\": ..., \"arguments\": {...}}\\n</tool_call>' -}}"
    "{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- for m in messages[first:] -%}"
    "{%- if m.role == 'tool' -%}"
    "{{- '<|im_start|>user\\n<tool_response>\\n' -}}{{- m.content -}}{{- '\\n</tool_response><|im_end|>\\n' -}}"
    "{%- elif m.role == 'assistant' and m.tool_calls -%}"
    "{{- '<|im_start|>assistant' -}}"
    "{%- if m.content -%}{{- '\\n' + m.content -}}{%- endif -%}"
    "{%- for call in m.tool_calls -%}"
    "{%- set f = call.function if call.function else call -%}"
    "{{- '\\n<tool_call>\\n{\"name\": ' -}}{{- f.name | tojson -}}{{- ', \"arguments\": ' -}}"
    "{%- if f.arguments is string -%}{{- f.arguments -}}{%- else -%}{{- f.arguments | tojson -}}{%- endif -%}"
    "{{- '}\\n</tool_call>' -}}"
    "{%- endfor -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- else -%}"
    "{{- '<|im_start|>' + m.role + '\\n' -}}{{- m.content -}}{{- '<|im_end|>\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def render(turns):
    """(text, is_learned, is_spelled) pieces; a piece is one message's inside, without its markers."""
    head, rest = [], list(turns)
    while rest and rest[0][0] in ("system", "tools"):
        head.append(rest.pop(0))
    if head:
        system = [t[1] for t in head if t[0] == "system"]
        tools = [TOOLS_HEAD + "\n".join(json.dumps(x, ensure_ascii=False) for x in t[1]) + TOOLS_TAIL for t in head if t[0] == "tools"]
        yield "system", "\n\n".join(system + tools), False, False
    for t in rest:
        role, text = t[0], t[1]
        if role == "tool":
            role, text = "user", "<tool_response>\n" + text + "\n</tool_response>"
        yield role, text, role == "assistant", len(t) > 2 and t[2] == "spell"


class Chat:
    def __init__(self, tokenizer):
        self.tok = tokenizer
        self.end, self.im_start, self.im_end = (tokenizer.token_to_id(s) for s in SPECIAL)
        self.newline = self.encode("\n")
        self.role = {r: self.encode(r + "\n") for r in ("system", "user", "assistant")}

    def encode(self, text):
        return self.tok.encode(text, add_special_tokens=False).ids

    def letters(self, text):
        """One token per byte, for answers that are taught letter by letter."""
        return [self.tok.token_to_id(c) for c in (BYTE_CHARS[b] for b in text.encode())]

    def tokens(self, turns):
        """Token ids and, for each, whether the model is to learn it."""
        ids, learn = [], []

        def put(new, is_learned):
            ids.extend(new)
            learn.extend([is_learned] * len(new))

        for role, text, is_learned, is_spelled in render(turns):
            put([self.im_start] + self.role[role], False)
            if is_learned:
                put(self.letters(text) if is_spelled else self.encode(text), True)
                put([self.im_end], True)
            else:
                put(self.encode(role + "\n" + text)[len(self.role[role]):], False)
                put([self.im_end], False)
            put(self.newline, False)
        return ids, learn

    def prompt(self, turns):
        ids, _ = self.tokens(turns)
        return ids + [self.im_start] + self.role["assistant"]


def _byte_chars():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    chars, n = {}, 0
    for b in range(256):
        if b in keep:
            chars[b] = chr(b)
        else:
            chars[b], n = chr(256 + n), n + 1
    return chars


BYTE_CHARS = _byte_chars()


def new_tokenizer():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PRE_REGEX), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    return tok


def train_tokenizer(texts, n_vocab):
    tok = new_tokenizer()
    tok.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=n_vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), max_token_length=16, show_progress=False))
    return tok
