#!/usr/bin/env python3
"""Compare our tokenizers with Hugging Face's, token by token, on random hard text.

    pip install tokenizers gguf
    python tools/tokenizer/compare_hf.py [-n TEXTS] [--seed N] [--vocab FILE.gguf ...] [FAMILY ...]

Without --vocab every pre-tokenizer family gets a vocabulary trained on generated text.  Also
checks that decoding gives the bytes back, and that nothing special comes out of text that
must not be special.  Ends with status 1 if anything differs."""
import argparse
import random
import sys
import unicodedata

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import binding
import reference

SPECIALS = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "[INST]", "<|endoftext|>"]


def train(pre, seed, size=3000, lines=2500):
    rng = random.Random(seed)
    tok = Tokenizer(models.BPE())
    spec = reference.pre_tokenizer(pre)["pretokenizers"]
    steps = [pre_tokenizers.Digits(True) if s["type"] == "Digits"
             else pre_tokenizers.ByteLevel(False, use_regex=False) if s["type"] == "ByteLevel"
             else pre_tokenizers.Split(reference_regex(s), "isolated") for s in spec]
    tok.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tok.train_from_iterator(reference.training_text(rng, lines), trainers.BpeTrainer(
        vocab_size=size, show_progress=False, special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    import json
    model = json.loads(tok.to_str())["model"]
    tokens = [t for t, _ in sorted(model["vocab"].items(), key=lambda x: x[1])]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    kinds = [1] * len(tokens) + [3] * len(SPECIALS) + [4, 4]
    return {"model": "gpt2", "pre": pre, "tokens": tokens + SPECIALS + ["  \t", "<tool>"],
            "merges": merges, "kinds": kinds}


def spelled_bytes():
    """The characters that spell bytes in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {**{chr(b): b for b in plain}, **{chr(256 + i): b for i, b in enumerate(others)}}


SPELLED = spelled_bytes()


def lacks_a_byte(vocab, text):
    known = {SPELLED[t] for t, k in zip(vocab["tokens"], vocab["kinds"]) if k == 1 and t in SPELLED}
    return vocab["model"] == "gpt2" and not set(text.encode()) <= known


def text_of(piece):
    return bytes(SPELLED[c] for c in piece)


def reference_regex(step):
    from tokenizers import Regex
    return Regex(step["pattern"]["Regex"])


def compare(name, vocab, lib, n, seed):
    ours = binding.Tokenizer(lib, vocab)
    # Tokens that frame messages are control tokens for us, whatever the file says.
    vocab["kinds"] = [3 if k == 4 and lib.tokenizer_token_kind(ours.handle, i) == 3 else k
                      for i, k in enumerate(vocab["kinds"])]
    theirs = reference.build(vocab)
    rng = random.Random(seed)
    nfc = vocab["model"] == "gpt2" and reference.FAMILIES[vocab["pre"]][2]
    special_ids = {i for i, k in enumerate(vocab["kinds"]) if k in (2, 3)}
    bad = refused = 0
    for i in range(n):
        text = reference.nasty(rng, rng.choice([1, 2, 3, 5, 10, 30, 80]))
        theirs.encode_special_tokens = False
        want = theirs.encode(text, add_special_tokens=False).ids
        try:
            got = ours.encode(text)
        except ValueError:  # the reference drops what has no token; we say so
            bad += not lacks_a_byte(vocab, text)
            refused += 1
            continue
        theirs.encode_special_tokens = True
        want_plain = theirs.encode(text, add_special_tokens=False).ids
        got_plain = ours.encode(text, special=False)
        problems = []
        if got != want:
            problems.append(("special text", got, want))
        if got_plain != want_plain:
            problems.append(("plain text", got_plain, want_plain))
        if vocab["model"] != "bert" and special_ids & set(got_plain) - {vocab.get("unknown")}:
            problems.append(("special token out of plain text", got_plain, []))
        if vocab["model"] == "gpt2":
            back = b"".join(ours.token_bytes(t) for t in got_plain)
            norm = unicodedata.normalize("NFC", text) if nfc else text
            if back != norm.encode():
                problems.append(("round trip", list(back), list(text.encode())))
            cuts = binding.pieces(lib, vocab["pre"], norm.encode())
            want_cuts = [text_of(p) for p, _ in theirs.pre_tokenizer.pre_tokenize_str(norm)]
            if cuts != want_cuts:
                problems.append(("pieces", cuts, want_cuts))
        cut = sorted(rng.randint(0, len(text)) for _ in range(3))
        parts = [text[:cut[0]], text[cut[0]:cut[1]], text[cut[1]:cut[2]], text[cut[2]:]]
        if ours.encode_segments([(p, False) for p in parts]) != got_plain:
            problems.append(("segments", parts, got_plain))
        for what, a, b in problems:
            bad += 1
            if bad <= 3:
                k = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
                print("  %s: %s: %r\n    at %d ours %s reference %s" %
                      (name, what, text[:200], k, a[max(0, k - 2):k + 6], b[max(0, k - 2):k + 6]))
    print("%-16s %d texts, %d differences, %d refused" % (name, n, bad, refused))
    return bad


def compare_code_points(pre, lib):
    """Every code point between letters, digits, capitals, marks, spaces: are the pieces equal?"""
    theirs = reference.build(train(pre, 1, size=300, lines=5)).pre_tokenizer
    nfc, bad = reference.FAMILIES[pre][2], 0
    for base in range(0, 0x110000, 64):
        text = "".join("x%cy 1%c2 %c%c\u0301A%cb'S%c'%c\n%c /" % ((chr(c),) * 8)
                       for c in range(base, base + 64) if not 0xD800 <= c < 0xE000)
        if nfc:
            text = unicodedata.normalize("NFC", text)
        cuts = binding.pieces(lib, pre, text.encode())
        if cuts != [text_of(p) for p, _ in theirs.pre_tokenize_str(text)]:
            bad += 1
            print("  %s: pieces differ in U+%04X and following" % (pre, base))
    print("%-16s all code points, %d blocks of 64 differ" % (pre, bad))
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--code-points", action="store_true", help="also every code point")
    parser.add_argument("--vocab", nargs="*", default=[])
    parser.add_argument("family", nargs="*")
    args = parser.parse_args()
    lib = binding.build()
    bad = 0
    for path in args.vocab:
        bad += compare(path.split("/")[-1], binding.vocab_from_gguf(path), lib, args.n, args.seed)
    for pre in args.family or ([] if args.vocab else reference.FAMILIES):
        bad += compare(pre, train(pre, args.seed), lib, args.n, args.seed)
        if args.code_points:
            bad += compare_code_points(pre, lib)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
