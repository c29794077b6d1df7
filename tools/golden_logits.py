#!/usr/bin/env python3
"""Make tests/golden/models/NAME.gguf (tiny random models of every architecture) and NAME.logits.

  golden_logits.py tests/golden/models [NAME...]

NAME.logits: u32 n_tokens, u32 n_vocab, i32 tokens[n_tokens], f32 logits[n_tokens][n_vocab], little
endian, from ref/ref_forward.py (float64, rounded once at the end).  Of embedding models NAME.vector instead:
u32 n_tokens, u32 n_embd, i32 tokens[n_tokens], f32 vector[n_embd].  Weights are F16, or block types
where the name says so.  Needs numpy.
"""
import os
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "ref"))
from ref_forward import Model  # noqa: E402

N_TOKENS, VOCAB = 40, 288
TINY = "--layers 2 --dim 32 --heads 4 --kv-heads 2 --head-dim 16 --ff 64 --vocab 288 --std 0.2 --type f16"
LATENT = "--arch deepseek2 --kv-lora 32 --n-rot 16 --nope 16 --value 24 --expert-ff 32 "
MODELS = {
    "llama": "--arch llama --untied",
    "llama3-rope": "--arch llama --rope llama3",
    "llama-linear": "--arch llama --rope linear:4",
    "llama-yarn": "--arch llama --rope yarn:4:16 --ctx 64",     # the tokens go past the original context
    "mixtral": "--arch llama --experts 4 --experts-used 2 --untied",
    "qwen2": "--arch qwen2 --heads 2 --kv-heads 1",
    "qwen3": "--arch qwen3",
    "qwen3moe": "--arch qwen3moe --experts 6 --experts-used 3 --expert-ff 32",
    "llama-q8_0": "--arch llama --type q8_0",
    "qwen2-q4_0": "--arch qwen2 --heads 2 --kv-heads 1 --type q4_0",
    "qwen3-q4_k_m": "--arch qwen3 --dim 256 --ff 256 --layers 1 --head-dim 64 --std 0.07 --type q4_k_m",
    # no width is a multiple of 32
    "llama-odd": "--arch llama --dim 48 --heads 3 --kv-heads 1 --ff 80 --vocab 301 --untied",
    "mixtral-odd": "--arch llama --dim 48 --heads 3 --kv-heads 3 --ff 80 --vocab 301 --experts 5 --experts-used 2",
    "phi3": "--arch phi3 --untied",
    "phi3-longrope": "--arch phi3 --heads 2 --kv-heads 1 --rope longrope:48 --ctx 64 --n-rot 12",
    "phi3-q8_0": "--arch phi3 --type q8_0 --heads 2 --kv-heads 1 --vocab 301",
    "gemma": "--arch gemma --no-tokenizer",
    # windows that the 40 tokens exceed, caps that bend
    "gemma2": "--arch gemma2 --layers 3 --window 12 --softcaps 2:8",
    "gemma3": "--arch gemma3 --layers 7 --window 9 --rope linear:4",
    "gemma3-q8_0": "--arch gemma3 --heads 2 --kv-heads 1 --dim 64 --layers 2 --window 9 --pattern 0,1 --softcaps 0:20 --type q8_0 --no-tokenizer",
    "gemma2-wide": "--arch gemma2 --layers 46 --dim 16 --heads 2 --kv-heads 1 --ff 16 --window 5 --no-tokenizer",
    "qwen2moe": "--arch qwen2moe --heads 2 --kv-heads 1 --experts 6 --experts-used 3 --expert-ff 32 --shared-ff 48",
    # V2 Lite, also as older files have it; V2; V3
    "deepseek2-lite": LATENT + "--heads 2 --dense-layers 1 --experts 6 --experts-used 2 --shared-experts 2 --untied --rope yarn:4:16:0.707 --ctx 64",
    "deepseek2-old": LATENT + "--no-tokenizer --heads 2 --old-kv-b --dense-layers 1 --experts 4 --experts-used 2 --shared-experts 1",
    "deepseek2-v2": LATENT + "--no-tokenizer --heads 4 --q-lora 24 --experts 6 --experts-used 2 --shared-experts 1 --router softmax --groups 3:2 --expert-scale 3",
    "deepseek2": LATENT + "--no-tokenizer --heads 3 --q-lora 24 --dense-layers 1 --experts 8 --experts-used 3 --shared-experts 1 --router sigmoid --groups 4:2 "
                 "--expert-scale 2.5 --rope yarn:4:16:1 --ctx 64",
    "deepseek2-q8_0": LATENT + "--no-tokenizer --heads 2 --nope 32 --value 32 --experts 0 --rope yarn:4:16 --ctx 64 --type q8_0",
    "gpt-oss": "--arch gpt-oss --layers 3 --experts 5 --experts-used 3 --expert-ff 32 --window 9 --rope yarn:4:1024 --ctx 4096 --untied",
    "qwen3-embed": "--arch qwen3 --pooling 3",
    "llama-mean": "--arch llama --untied --pooling 1",
    "qwen2-cls": "--arch qwen2 --heads 2 --kv-heads 1 --pooling 2",
}
POOLED = {"qwen3-embed": 3, "llama-mean": 1, "qwen2-cls": 2}   # by the last token, the mean of all, the first token
SHORT = {"phi3-longrope": 48}   # also with this context: NAME.short.logits


def save(path, model, tokens):
    y = model.logits(list(tokens)).astype("<f4")
    with open(path, "wb") as f:
        f.write(np.array(y.shape, "<u4").tobytes() + tokens.tobytes() + y.tobytes())


def save_vector(path, model, tokens, pooling):
    y = model.vector(list(tokens), pooling).astype("<f4")
    with open(path, "wb") as f:
        f.write(np.array((len(tokens), len(y)), "<u4").tobytes() + tokens.tobytes() + y.tobytes())


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    for i, (name, options) in enumerate(MODELS.items()):
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        path = os.path.join(out, name + ".gguf")
        subprocess.run([sys.executable, os.path.join(HERE, "make_gguf.py"), "--wild", "--seed", str(100 + i)]
                       + TINY.split() + options.split() + [path], check=True)
        tokens = np.random.default_rng(i).integers(0, VOCAB, N_TOKENS).astype("<i4")
        if name in POOLED:
            save_vector(os.path.join(out, name + ".vector"), Model(path), tokens, POOLED[name])
            continue
        save(os.path.join(out, name + ".logits"), Model(path), tokens)
        if name in SHORT:
            save(os.path.join(out, name + ".short.logits"), Model(path, SHORT[name]), tokens)


main()
