#!/usr/bin/env python3
"""Write src/text/unicode_data.c: the character classes that pre-tokenizers ask for.

The classes are read out of the regular-expression engine inside Hugging Face `tokenizers`
(pip install tokenizers), so that our classes are the reference's own, code point by code
point, whatever Unicode version the host's libraries have.

    python tools/tokenizer/unicode_tables.py > src/text/unicode_data.c
"""
import sys

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

# The bits of text/unicode.h.
BITS = [
    (r"\p{Lu}", 1), (r"\p{Lt}", 1), (r"\p{Ll}", 2), (r"\p{Lm}", 4), (r"\p{Lo}", 4),
    (r"\p{M}", 8), (r"\p{N}", 16), (r"\p{P}", 32), (r"\p{S}", 64), (r"\s", 128),
    (r"\p{Han}", 256),
]
BERT_PUNCT, BERT_ACCENT, BERT_DROPPED = 1024, 2048, 4096
LAST = 0x10FFFF


def members(pattern):
    """All code points that `pattern` matches: what a Split with 'removed' takes away."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for base in range(0, LAST + 1, 4096):
        text = "".join(chr(c) for c in range(base, base + 4096) if not 0xD800 <= c < 0xE000)
        kept = set("".join(piece for piece, _ in split.pre_tokenize_str(text)))
        found.update(set(text) - kept)
    return found


def bert_classes(classes):
    """BERT's own steps know an older Unicode than the expressions do: ask them one by one."""
    words = pre_tokenizers.BertPreTokenizer()
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    clean = normalizers.BertNormalizer(**{**off, "clean_text": True})
    strip = normalizers.BertNormalizer(**{**off, "strip_accents": True})
    for c in range(LAST + 1):
        if 0xD800 <= c < 0xE000:
            continue
        text = "a" + chr(c) + "b"
        if len(words.pre_tokenize_str(text)) == 3:
            classes[c] |= BERT_PUNCT
        if clean.normalize_str(text) == "ab":
            classes[c] |= BERT_DROPPED
        if strip.normalize_str(text) == "ab":
            classes[c] |= BERT_ACCENT


def main():
    classes = [0] * (LAST + 2)
    for pattern, bit in BITS:
        for char in members(pattern):
            classes[ord(char)] |= bit
    bert_classes(classes)
    runs = [(c, classes[c]) for c in range(LAST + 1) if c == 0 or classes[c] != classes[c - 1]]
    out = sys.stdout
    out.write("/* unicode_data.c - Character classes as runs of equal class (made by\n"
              " * tools/tokenizer/unicode_tables.py from Hugging Face tokenizers %s; do not edit).\n"
              " *\n"
              " * Each run begins at `first` and ends before the next one. */\n"
              '#include "text/unicode_int.h"\n\n'
              "/* clang-format off */\n"
              "const struct unicode_run unicode_runs[] = {\n" % tokenizers.__version__)
    line = "   "
    for first, bits in runs:
        item = " {%d,%d}," % (first, bits)
        if len(line) + len(item) > 116:
            out.write(line + "\n")
            line = "   "
        line += item
    out.write(line + "\n};\n/* clang-format on */\n\n"
              "const int unicode_runs_n = %d;\n" % len(runs))


if __name__ == "__main__":
    main()
