#!/usr/bin/env python3
"""Compare logits with the float64 reference, beside llama.cpp's: every architecture and tensor type.

  make MODE=release lib && tools/accuracy/accuracy.py --llama-cpp DIR [--only WORDS] [--tokens 192]

or for one real model and a text's token ids (a file with an id per line; llama-tokenize --ids makes them):

  tools/accuracy/accuracy.py --llama-cpp DIR --model models/demo.gguf --ids FILE

DIR is a built tree of llama.cpp (include/, ggml/include/, build/bin/*.so); without it only our own errors
are shown.  Prints a Markdown table: RMS error of all logits against the reference and its median
over positions (a mixture of experts has rare positions where rounding tips the choice of an expert, which
the RMS of few positions is dominated by), positions whose best token agrees, and perplexity of the token
sequence relative to the reference's.  Models are random (make_gguf.py --wild).  Needs numpy and cc.
"""
import argparse
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "ref"))
from ref_forward import Model  # noqa: E402

TINY = "--layers 2 --dim 256 --heads 4 --kv-heads 2 --ff 512 --vocab 1000"
CASES = [("llama " + t, "--arch llama --type " + t) for t in
         "f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k iq4_nl iq4_xs mxfp4 nvfp4".split()] + [
    ("llama q4_k_m untied, llama3 rope", "--arch llama --type q4_k_m --rope llama3 --untied"),
    ("llama q8_0, linear rope", "--arch llama --type q8_0 --rope linear:4"),
    ("llama q8_0, yarn beyond its original context", "--arch llama --type q8_0 --rope yarn:4:64 --ctx 256"),
    ("llama f16, head size 96", "--arch llama --type f16 --head-dim 96"),
    ("mixtral f16", "--arch llama --type f16 --experts 4"),
    ("mixtral q4_k_m", "--arch llama --type q4_k_m --experts 8"),
    ("qwen2 f16", "--arch qwen2 --type f16"), ("qwen2 q4_k_m", "--arch qwen2 --type q4_k_m"),
    ("qwen3 f16", "--arch qwen3 --type f16 --head-dim 128"), ("qwen3 q4_0", "--arch qwen3 --type q4_0 --head-dim 128"),
    ("qwen3moe f16", "--arch qwen3moe --type f16 --experts 8 --experts-used 3 --expert-ff 256"),
    ("qwen3moe q8_0", "--arch qwen3moe --type q8_0 --experts 8 --experts-used 3 --expert-ff 256"),
    ("phi3 f16", "--arch phi3 --type f16"), ("phi3 q4_k_m", "--arch phi3 --type q4_k_m"),
    ("phi3 q8_0, long rope beyond its original context, part of the head", "--arch phi3 --type q8_0 --rope longrope:64 --n-rot 48"),
    ("phi3 q8_0, long rope within its original context", "--arch phi3 --type q8_0 --rope longrope:4096"),
    ("gemma f16", "--arch gemma --type f16 --head-dim 256"), ("gemma q4_k_m", "--arch gemma --type q4_k_m"),
    ("gemma2 f16, caps that bend, windows of 32", "--arch gemma2 --type f16 --layers 4 --head-dim 256 --window 32 --softcaps 2:8"),
    ("gemma2 q8_0, caps 50 and 30, windows of 32", "--arch gemma2 --type q8_0 --layers 4 --window 32 --softcaps 50:30"),
    ("gemma2 f16, 46 layers", "--arch gemma2 --type f16 --layers 46 --dim 64 --heads 2 --head-dim 64 --ff 64 --window 32"),
    ("gemma3 f16, windows of 32", "--arch gemma3 --type f16 --layers 7 --head-dim 256 --window 32 --rope linear:8"),
    ("gemma3 q4_k_m, windows of 32", "--arch gemma3 --type q4_k_m --layers 7 --window 32"),
    ("gemma3 q8_0, no windows", "--arch gemma3 --type q8_0 --layers 7"),
    ("gpt-oss f16, windows of 32", "--arch gpt-oss --type f16 --layers 4 --head-dim 64 --experts 8 --experts-used 4 --expert-ff 256 --window 32 --untied"),
    ("gpt-oss mxfp4, windows of 32", "--arch gpt-oss --type mxfp4 --layers 4 --head-dim 64 --experts 8 --experts-used 4 --expert-ff 256 --window 32 --untied"),
    ("qwen2moe f16", "--arch qwen2moe --type f16 --experts 8 --experts-used 3 --expert-ff 256 --shared-ff 768 --untied"),
    ("qwen2moe q4_k_m", "--arch qwen2moe --type q4_k_m --experts 8 --experts-used 3 --expert-ff 256 --shared-ff 768 --untied"),
] + [("deepseek2 " + name, "--arch deepseek2 --dim 256 --ff 512 --kv-lora 128 --n-rot 32 --nope 64 --value 64 --dense-layers 1 --untied " + options)
     # llama.cpp tells V2 Lite, whose queries are made directly, by its 27 layers
     for name, options in (
         ("v2-lite f16", "--type f16 --layers 27 --experts 8 --experts-used 3 --expert-ff 64 --shared-experts 2 --rope yarn:4:64:0.707 --ctx 256"),
         ("v2-lite f16, attn_kv_b", "--type f16 --layers 27 --experts 8 --experts-used 3 --expert-ff 64 --shared-experts 2 --old-kv-b"),
         ("v2-lite q8_0, no experts", "--type q8_0 --layers 27 --dense-layers 27 --rope yarn:4:64:0.707 --ctx 256"),
         ("v3 f16", "--type f16 --layers 3 --q-lora 96 --experts 16 --experts-used 4 --expert-ff 64 --shared-experts 1 --router sigmoid --groups 4:2 "
          "--expert-scale 2.5 --rope yarn:4:64:1 --ctx 256"),
         ("v3 q4_k_m", "--type q4_k_m --layers 3 --q-lora 256 --kv-lora 256 --experts 16 --experts-used 4 --expert-ff 256 --shared-experts 1 --router sigmoid "
          "--groups 4:2 --expert-scale 2.5"),
     )]


def build(llama_cpp, folder):
    """The two programs that print logits."""
    ours = os.path.join(folder, "ours")
    subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-I" + ROOT + "/src", HERE + "/logits.c", ROOT + "/build/release/libsluice.a",
                    "-lpcre2-8", "-lutf8proc", "-lm", "-lpthread", "-o", ours], check=True)
    if not llama_cpp:
        return ours, None
    theirs, lib = os.path.join(folder, "theirs"), os.path.abspath(llama_cpp) + "/build/bin"
    subprocess.run(["cc", "-O1", "-I" + llama_cpp + "/include", "-I" + llama_cpp + "/ggml/include", HERE + "/logits_llama_cpp.c",
                    "-L" + lib, "-Wl,-rpath," + lib, "-lllama", "-lggml", "-lggml-base", "-o", theirs], check=True)
    return ours, theirs


def perplexity(y, tokens):
    m = y.max(1, keepdims=True)
    log_p = y - m - np.log(np.exp(y - m).sum(1, keepdims=True))
    return math.exp(-log_p[np.arange(len(tokens) - 1), tokens[1:]].mean())


def judge(program, path, folder, want, tokens):
    """(rms, median rms, agreeing positions, perplexity ratio)"""
    ids, out = os.path.join(folder, "ids"), os.path.join(folder, "logits")
    np.savetxt(ids, tokens, "%d")
    subprocess.run([program, path, ids, out], check=True)
    y = np.fromfile(out, "<f4").reshape(want.shape).astype(np.float64)
    e = ((y - want) ** 2).mean(1)
    return math.sqrt(e.mean()), math.sqrt(np.median(e)), int((y.argmax(1) == want.argmax(1)).sum()), perplexity(y, tokens) / perplexity(want, tokens)


def row(name, path, tokens, ours, theirs, folder):
    want = Model(path, len(tokens)).logits(list(tokens))
    x = judge(ours, path, folder, want, tokens)
    t = judge(theirs, path, folder, want, tokens) if theirs else (float("nan"),) * 4
    print("| %s | %.5f | %.5f | %.2f | %.2f | %s, %d of %d | %.5f, %.5f |" %
          (name, t[0], x[0], x[0] / t[0], x[1] / t[1], t[2], x[2], len(tokens), t[3], x[3]), flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--llama-cpp")
    a.add_argument("--only", default="")
    a.add_argument("--tokens", type=int, default=192)
    a.add_argument("--model")
    a.add_argument("--ids")
    o = a.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = build(o.llama_cpp, folder)
        print("| model | RMS: llama.cpp | ours | ratio | median ratio | best token: llama.cpp, ours | perplexity / reference's: llama.cpp, ours |")
        print("|---|---|---|---|---|---|---|")
        if o.model:
            return row(os.path.basename(o.model), o.model, np.loadtxt(o.ids, int), ours, theirs, folder)
        for i, (name, options) in enumerate(CASES):
            if o.only not in name:
                continue
            path = os.path.join(folder, "m.gguf")
            subprocess.run([sys.executable, HERE + "/../make_gguf.py", "--wild", "--seed", str(i + 1)] + TINY.split() + options.split() + [path],
                           check=True, stderr=subprocess.DEVNULL)
            row(name, path, np.random.default_rng(i).integers(0, 1000, o.tokens), ours, theirs, folder)


main()
