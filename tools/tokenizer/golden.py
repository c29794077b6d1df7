#!/usr/bin/env python3
"""Write tests/golden/tokenizer_*.json: small vocabularies, and what Hugging Face tokenizers makes of
hard texts with them.

    pip install tokenizers
    python tools/tokenizer/golden.py tests/golden
"""
import json
import os
import random
import sys
import unicodedata

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

import compare_hf
import reference

BYTE_LEVEL = ["llama-bpe", "qwen2", "qwen35", "gpt-4o", "tekken", "deepseek-v3", "deepseek-llm",
              "deepseek-coder", "gpt-2", "starcoder", "falcon", "default", "youtu", "bloom"]
PHRASES = ["", " ", "Hello world", "I'VE don't he'LL we'Re it'ſ", "ÉCOLE École éCOLE CamelCaseXMLHttp",
           "e\u0301 E\u0301A a\u0301\u0327b", "12345 1.5 ٣٤٥٦٧ Ⅷ²½", "a  b   c    \n  d\n\n\n e \r\n\r\n f\t\tg  ",
           "नमस्ते दुनिया ไทยแลนด์ ကမ္ဘာ", "中文テスト한국어 漢字かな", "👩‍👩‍👧 👍🏽🇩🇪 ☕️", "if (x != y) { return a/b; } // z\n",
           "<|im_start|>user\n<s>hi</s> <tool>x</tool> [INST]", "\u0000\u001b\u0085\u2028\u200b\ufeff", "ſs ǅ ʰ ﬁ ﷺ",
           "x" * 70, " " * 37 + "y", "!?" * 20, "\n" * 9]


def cases(vocab, seed, n):
    theirs = reference.build(vocab)
    rng = random.Random(seed)
    nfc = vocab["model"] == "gpt2" and reference.FAMILIES[vocab["pre"]][2]
    for text in PHRASES + [reference.nasty(rng, rng.choice([3, 8, 15])) for _ in range(n)]:
        case = {"text": text}
        for key, off in (("ids", False), ("plain", True)):
            theirs.encode_special_tokens = off
            case[key] = theirs.encode(text, add_special_tokens=False).ids
        if vocab["model"] == "gpt2":
            norm = unicodedata.normalize("NFC", text) if nfc else text
            case["pieces"] = [len(p) for p, _ in theirs.pre_tokenizer.pre_tokenize_str(norm)]
        yield case


def spm_vocab(model, seed):
    """Tokens as SentencePiece orders them: bytes, merged pieces best first, single characters last."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.Replace(" ", "▁")
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("▁", "merged_with_next"),
        pre_tokenizers.Split(tokenizers.Regex("\n+"), "isolated")])
    tok.train_from_iterator(reference.training_text(random.Random(seed), 800), trainers.BpeTrainer(
        vocab_size=650, limit_alphabet=150, show_progress=False))
    trained = json.loads(tok.to_str())["model"]
    by_id = [t for t, _ in sorted(trained["vocab"].items(), key=lambda x: x[1])]
    pieces = [t for t in by_id if len(t) > 1] + [t for t in by_id if len(t) == 1]
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)] + pieces + ["<tool>"]
    vocab = {"model": model, "tokens": tokens, "unknown": 0, "bos": 1, "eos": 2,
             "kinds": [2, 3, 3] + [6] * 256 + [1] * len(pieces) + [4]}
    if model == "llama":
        vocab["scores"] = [0.0] * 259 + [-float(i) for i in range(len(pieces))] + [0.0]
    else:
        vocab["merges"] = [" ".join(m) for m in trained["merges"]]
    return vocab


def bert_vocab(seed):
    rng = random.Random(seed)
    words = sorted({w.lower() for line in reference.training_text(rng, 300) for w in line.split()
                    if w.isalpha() and unicodedata.normalize("NFD", w.lower()) == w.lower()})
    chars = sorted({c for w in words for c in w} | set("abcdefghijklmnopqrstuvwxyz0123456789"))
    parts = ["▁" + w for w in words[::3]] + ["▁" + c for c in chars] + chars + \
            ["▁" + c for c in "!?.,;:()中文漢" if c not in chars]
    parts = list(dict.fromkeys(parts))
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + parts
    return {"model": "bert", "tokens": tokens, "kinds": [3] * 5 + [1] * len(parts), "unknown": 1,
            "cls": 2, "seperator": 3, "mask": 4, "padding": 0}


def main():
    folder = sys.argv[1]
    vocabs = {pre: compare_hf.train(pre, 11, size=560, lines=500) for pre in BYTE_LEVEL}
    vocabs.update({"llama": spm_vocab("llama", 12), "gemma4": spm_vocab("gemma4", 13),
                   "bert": bert_vocab(14)})
    for name, vocab in vocabs.items():
        data = {"made_by": "tools/tokenizer/golden.py, tokenizers " + tokenizers.__version__,
                "vocab": vocab, "cases": list(cases(vocab, 15, 25))}
        path = os.path.join(folder, "tokenizer_" + name.replace("-", "_") + ".json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(data, f, ensure_ascii=True, separators=(",", ":"))
            f.write("\n")


if __name__ == "__main__":
    main()
