"""Hugging Face tokenizers built from a vocabulary dict (see binding.py), in the form in which each
family publishes its tokenizer.json; and text that is hard to tokenize."""
import json
import random

from tokenizers import Tokenizer

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACE
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
CASED = (LEAD + UPPER + "*" + LOWER + "+%s|" + LEAD + UPPER + "+" + LOWER + r"*%s|\p{N}%s"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACE)
GPT4O = CASED % (CONTRACTIONS + "?", CONTRACTIONS + "?", "{1,3}")
TEKKEN = CASED % ("", "", "")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
             r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + SPACE)
DEEPSEEK_LETTERS = "\\s?[" + "".join(chr(a) if a == b else chr(a) + "-" + chr(b) for a, b in [
    (0x41, 0x5A), (0x61, 0x7A), (0xB5, 0xB5), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x1BA),
    (0x1BC, 0x1BF), (0x1C4, 0x293), (0x295, 0x2AF), (0x370, 0x373), (0x376, 0x376),
    (0x377, 0x377), (0x37B, 0x37D), (0x37F, 0x37F), (0x386, 0x386), (0x388, 0x38A),
    (0x38C, 0x38C), (0x38E, 0x3A1), (0x3A3, 0x3F5), (0x3F7, 0x481), (0x48A, 0x52F),
    (0x531, 0x556), (0x10A0, 0x10C5), (0x13A0, 0x13F5), (0x13F8, 0x13FD), (0x1C90, 0x1CBA),
    (0x1CBD, 0x1CBF), (0x1D00, 0x1D2B), (0x1D6B, 0x1D77), (0x1D79, 0x1D9A), (0x1E00, 0x1F15),
    (0x1F18, 0x1F1D), (0x1F20, 0x1F45), (0x1F48, 0x1F4D), (0x1F50, 0x1F57), (0x1F59, 0x1F59),
    (0x1F5B, 0x1F5B), (0x1F5D, 0x1F5D), (0x1F5F, 0x1F7D), (0x1F80, 0x1FB4), (0x1FB6, 0x1FBC),
    (0x1FBE, 0x1FBE), (0x1FC2, 0x1FC4), (0x1FC6, 0x1FCC), (0x1FD0, 0x1FD3), (0x1FD6, 0x1FDB),
    (0x1FE0, 0x1FEC), (0x1FF2, 0x1FF4), (0x1FF6, 0x1FFC), (0x2102, 0x2102), (0x2107, 0x2107),
    (0x210A, 0x2113), (0x2115, 0x2115), (0x2119, 0x211D), (0x2124, 0x2124), (0x2126, 0x2126),
    (0x2128, 0x2128), (0x212A, 0x212D), (0x212F, 0x2134), (0x2139, 0x2139), (0x213C, 0x213F),
    (0x2145, 0x2149), (0x214E, 0x214E), (0x2183, 0x2183), (0x2184, 0x2184), (0x2C00, 0x2C7B),
    (0x2C7E, 0x2CE4), (0x2CEB, 0x2CEE), (0x2CF2, 0x2CF2), (0x2CF3, 0x2CF3), (0xA640, 0xA66D),
    (0xA680, 0xA69B), (0xA722, 0xA76F), (0xA771, 0xA787), (0xA78B, 0xA78E), (0xAB70, 0xABBF),
    (0xFB00, 0xFB06), (0xFB13, 0xFB17), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), (0x10400, 0x1044F),
    (0x104B0, 0x104D3), (0x104D8, 0x104FB), (0x10C80, 0x10CB2), (0x10CC0, 0x10CF2),
    (0x118A0, 0x118DF), (0x1E900, 0x1E943)]) + "]+"
CJK = "[一-龥ࠀ-一가-\ud7ff]+"
YOUTU = "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+"
BLOOM = " ?[^(\\s|.,!?…。，、।۔،)]+"

REGEX, GPT2, DIGITS, PUNCT = "regex", "gpt2", "digits", "punct"

# pre -> (steps, ignore_merges, nfc); a step is a regular expression or one of the names above.
FAMILIES = {
    "llama-bpe": ([WORDS % "{1,3}"], True, False),
    "dbrx": ([WORDS % "{1,3}"], False, False),
    "qwen2": ([WORDS % ""], False, True),
    "hunyuan": ([WORDS % ""], False, False),
    "qwen35": ([CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
                r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACE], False, False),
    "gpt-4o": ([GPT4O], False, False),
    "tekken": ([TEKKEN], True, False),
    "deepseek-v3": ([r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK3], False, False),
    "deepseek-llm": (["[\r\n]", DEEPSEEK_LETTERS, "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", CJK,
                      r"\p{N}+"], False, False),
    "deepseek-coder": (["[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, r"\p{N}"], False, False),
    "gpt-2": ([GPT2], False, False),
    "mpt": ([GPT2], False, True),
    "starcoder": ([DIGITS, GPT2], False, False),
    "refact": ([DIGITS, GPT2], False, False),
    "command-r": ([DIGITS, GPT2], False, True),
    "falcon": ([r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"], False, False),
    "youtu": ([YOUTU, TEKKEN], True, False),
    "seed-coder": ([CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|" +
                    SPACE], False, False),
    "bailingmoe": ([r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++"
                    r"[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"], False, False),
    "minicpm5": ([r"\p{N}{1,3}", WORDS % "+"], True, False),
    "laguna": (["[^\\n]+|[\\n]+", WORDS % ""], False, False),
    "bloom": ([BLOOM], False, False),
    "viking": ([BLOOM, r"\p{N}"], False, False),
    "default": ([r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], False, False),
}

GPT2_REGEX = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
            "invert": False}


def pre_tokenizer(pre):
    """All cutting first, bytes last: cutting after the bytes are spelled would see the spelling."""
    steps = [{"type": "Digits", "individual_digits": True} if s == DIGITS
             else split(GPT2_REGEX if s == GPT2 else s) for s in FAMILIES[pre][0]]
    steps.append({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": False})
    return {"type": "Sequence", "pretokenizers": steps}


def added_tokens(vocab):
    rstrip = "phi3" in (vocab.get("name") or "").lower()
    for i, (text, kind) in enumerate(zip(vocab["tokens"], vocab.get("kinds") or [])):
        if kind in (2, 3, 4):
            yield {"id": i, "content": text, "single_word": False, "lstrip": False,
                   "rstrip": rstrip and text not in ("<unk>", "<s>", "<|endoftext|>"),
                   "normalized": False, "special": kind != 4}


def spm_merges(vocab):
    """As the conversion from SentencePiece writes them (transformers, convert_slow_tokenizer)."""
    ids = {t: i for i, (t, k) in enumerate(zip(vocab["tokens"], vocab["kinds"])) if k in (1, 4)}
    merges = []
    for text, i in ids.items():
        local = [(text[:k], text[k:], vocab["scores"][i]) for k in range(1, len(text))
                 if text[:k] in ids and text[k:] in ids]
        merges.extend(sorted(local, key=lambda m: (ids[m[0]], ids[m[1]])))
    merges.sort(key=lambda m: m[2], reverse=True)
    return [[a, b] for a, b, _ in merges]


def build(vocab):
    model = vocab["model"]
    ids = {t: i for i, t in reversed(list(enumerate(vocab["tokens"])))}
    spec = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None,
            "added_tokens": list(added_tokens(vocab))}
    if model == "gpt2":
        steps, ignore_merges, nfc = FAMILIES[vocab["pre"]]
        spec["model"] = {"type": "BPE", "vocab": ids, "ignore_merges": ignore_merges,
                         "merges": vocab["merges"]}
        spec["pre_tokenizer"] = pre_tokenizer(vocab["pre"])
        spec["normalizer"] = {"type": "NFC"} if nfc else None
    elif model == "llama":
        spec["model"] = {"type": "BPE", "vocab": ids, "merges": spm_merges(vocab), "unk_token": "<unk>",
                         "fuse_unk": True, "byte_fallback": True}
        replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        prefix = [{"type": "Prepend", "prepend": "▁"}] if vocab.get("add_space_prefix", 1) != 0 else []
        spec["normalizer"] = {"type": "Sequence", "normalizers": prefix + [replace]}
    elif model == "gemma4":
        spec["model"] = {"type": "BPE", "vocab": ids, "merges": vocab["merges"], "unk_token": "<unk>",
                         "fuse_unk": True, "byte_fallback": True}
        spec["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    elif model == "bert":
        plain = {(t[1:] if t.startswith("▁") else t if k == 3 else "##" + t): i
                 for i, (t, k) in enumerate(zip(vocab["tokens"], vocab["kinds"]))}
        spec["model"] = {"type": "WordPiece", "vocab": plain, "unk_token": "[UNK]",
                         "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
        spec["normalizer"] = {"type": "BertNormalizer", "clean_text": True, "strip_accents": None,
                              "handle_chinese_chars": True, "lowercase": vocab.get("lowercase", True)}
        spec["pre_tokenizer"] = {"type": "BertPreTokenizer"}
    return Tokenizer.from_str(json.dumps(spec))


# ---- text ----

RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF),
          (0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF),
          (0xB80, 0xBFF), (0xE00, 0xE7F), (0xF00, 0xFFF), (0x1000, 0x109F), (0x1100, 0x11FF),
          (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1C80, 0x1CBF), (0x1E00, 0x1EFF), (0x2000, 0x206F),
          (0x2070, 0x218F), (0x2190, 0x2BFF), (0x2C60, 0x2DFF), (0x3000, 0x30FF), (0x3100, 0x318F),
          (0x4E00, 0x9FFF), (0xA640, 0xA7FF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFB00, 0xFE4F),
          (0xFF00, 0xFFEF), (0x10400, 0x104FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF),
          (0x20000, 0x2A6DF), (0x1E900, 0x1E95F), (0, 0x1F), (0xE000, 0xE010), (0x0, 0x10FFFF)]
SNIPPETS = ("'s 't 're 've 'm 'll 'd 'S 'RE 'Ll 'ſ ' '' don't I'VE he'll CamelCase XMLHttp ÉCOLE École "
            "iPhone ǅungla ß ſ ﬁ é é n\u0303 한국 각 각 ⅓ ½ ² Ⅷ ١٢٣ १२३ 1 12 123 1234 1234567 3.14 1e-9 "
            "a_b __init__ != == >= -> // /* */ ... …。 、 „“ «» — 👩‍👩‍👧 👍🏽 🇩🇪 ☕️ ＡＢ ａｂ 　 \u00a0 \u200b \u200d "
            "\ufeff \u2028 \u0085 \x00 \x1b क्षि नमस्ते ไทย ကို កាន់ العربية עִבְרִית 日本語 カタカナ 中文 ﷺ <s> </s> "
            "<|im_start|> <|endoftext|> [INST] <unk> <0x0A> ▁ ▁▁ http://a.b/c?d=e&f="
            ).split(" ") + [" ", "  ", "   ", "        ", "\n", "\n\n", "\r\n", "\r", "\t", " \n ",
                            "\n \n", "\t\t", " \r\n\r\n  ", "a" * 70, " " * 40, "\n" * 20, "!" * 33]


def nasty(rng, length):
    """A text of about `length` parts: characters of one script or of all, and hard snippets."""
    out = []
    while len(out) < length:
        kind = rng.random()
        if kind < 0.35:
            out.append(rng.choice(SNIPPETS))
        elif kind < 0.5:
            out.append(rng.choice([" ", " ", "\n", ""]) + rng.choice("abcdefgh") * rng.randint(1, 3))
        else:
            low, high = rng.choice(RANGES)
            for _ in range(rng.randint(1, 8)):
                c = rng.randint(low, high)
                if not 0xD800 <= c <= 0xDFFF:
                    out.append(chr(c))
    return "".join(out)


WORD_RANGES = [(0x61, 0x7A), (0x41, 0x5A), (0xC0, 0x17F), (0x3B1, 0x3C9), (0x430, 0x44F),
               (0x905, 0x94D), (0x5D0, 0x5EA), (0x621, 0x64A), (0xE01, 0xE4E), (0x4E00, 0x4E80),
               (0x3042, 0x3093), (0xAC00, 0xAC40), (0x1F600, 0x1F640)]


def training_text(rng, n_lines):
    """Lines of words from small random lexicons, one per script, so that merges have something to
    find; with numbers, code-like marks, capitals and odd spacing between them."""
    lexicon = [["".join(chr(rng.randint(low, min(high, low + 30))) for _ in range(rng.randint(1, 7)))
                for _ in range(60)] for low, high in WORD_RANGES]
    for _ in range(n_lines):
        words = []
        for _ in range(rng.randint(3, 14)):
            word = rng.choice(lexicon[min(int(rng.expovariate(0.35)), len(lexicon) - 1)])
            word = rng.choice([word, word, word.capitalize(), word + "'s", word + rng.choice(".,!?;:)")])
            words.append(word)
            words.append(rng.choice([" "] * 8 + ["  ", "\n", "_", "-", " = ", "(", " 12", "345 ", "\r\n"]))
        yield "".join(words)
