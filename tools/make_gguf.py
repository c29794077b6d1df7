#!/usr/bin/env python3
"""Write a GGUF model with random weights and a working tokenizer, for benchmarks and tests.

  make_gguf.py --preset llama-3.2-1b --type q4_0 out.gguf
  make_gguf.py --arch qwen3 --layers 2 --dim 256 --heads 4 --kv-heads 2 --ff 512 --vocab 1000 --type q4_k tiny.gguf
  make_gguf.py --arch qwen3moe --layers 2 --dim 256 --heads 4 --kv-heads 2 --experts 8 --experts-used 2 \\
               --expert-ff 256 --vocab 1000 --type q8_0 --wild moe.gguf
  make_gguf.py --arch llama ... --rope llama3          (rope_freqs tensor; also linear:4, yarn:4:4096)
  make_gguf.py --arch gemma2 ... --window 32 --softcaps 50:30 --no-tokenizer   (gemma, gemma2, gemma3)
  make_gguf.py --arch phi3 ... --rope longrope:64 --n-rot 12     (factors for contexts up to 64 and beyond)
  make_gguf.py --arch deepseek2 --layers 3 --dim 256 --heads 4 --q-lora 96 --kv-lora 128 --n-rot 32 --nope 32 --value 32 \\
               --ff 512 --dense-layers 1 --experts 8 --experts-used 3 --expert-ff 64 --shared-experts 2 --groups 4:2 \\
               --router sigmoid --rope yarn:4:64:0.7 ...   (V3; --old-kv-b: attn_kv_b instead of attn_k_b and attn_v_b)

--arch llama with --experts is Mixtral.  Types: f32 f16 bf16, every block type of gguf_np.py, and the
mixes q4_k_m and q5_k_m (q6_k for the output and for some of the v and ffn_down tensors).  Weights of
block types are random blocks whose scales are set so that the values have the wanted spread.  Without
--wild, large models reuse one random pool (speed does not depend on the values); with it every
tensor is fresh, and norms, biases and scales are random too.  Needs numpy.
"""
import argparse
import math
import os
import struct
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "ref"))
from gguf_np import ID, TYPES, dequantize  # noqa: E402

PRESETS = {  # arch layers dim heads kv_heads head_dim ff vocab tied rope_base ctx
    "qwen2.5-0.5b": ("qwen2", 24, 896, 14, 2, 64, 4864, 151936, True, 1e6, 32768),
    "qwen3-0.6b": ("qwen3", 28, 1024, 16, 8, 128, 3072, 151936, True, 1e6, 40960),
    "llama-3.2-1b": ("llama", 16, 2048, 32, 8, 64, 8192, 128256, True, 5e5, 131072),
    "llama-3.1-8b": ("llama", 32, 4096, 32, 8, 128, 14336, 128256, False, 5e5, 131072),
}
FILE_TYPE = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k": 12,
             "q4_k": 14, "q4_k_m": 15, "q5_k": 16, "q5_k_m": 17, "q6_k": 18, "iq4_nl": 25, "iq4_xs": 30,
             "bf16": 32, "mxfp4": 38, "nvfp4": 39}
MIX = {"q4_k_m": "Q4_K", "q5_k_m": "Q5_K"}
CHATML = ("{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
LLAMA3 = ("{{ bos_token }}{% for m in messages %}{{'<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] "
          "+ '<|eot_id|>'}}{% endfor %}{% if add_generation_prompt %}{{'<|start_header_id|>assistant<|end_header_id|>\n\n'}}{% endif %}")


# --- the container ---------------------------------------------------------------------------------

def text(b):
    b = b.encode() if isinstance(b, str) else b
    return struct.pack("<Q", len(b)) + b


def kv(key, kind, v):
    head = text(key)
    if kind == "u32": return head + struct.pack("<II", 4, v)
    if kind == "f32": return head + struct.pack("<If", 6, v)
    if kind == "bool": return head + struct.pack("<IB", 7, v)
    if kind == "str": return head + struct.pack("<I", 8) + text(v)
    if kind == "[str]": return head + struct.pack("<IIQ", 9, 8, len(v)) + b"".join(map(text, v))
    if kind == "[i32]": return head + struct.pack("<IIQ", 9, 5, len(v)) + np.asarray(v, "<i4").tobytes()
    raise ValueError(kind)


def up(n):
    return (n + 31) // 32 * 32


def write_file(path, keys, tensors, data_of):
    """tensors: [(name, dims, type id)]; data_of(f, name, dims, type id) writes the bytes."""
    infos, offset = [], 0
    for name, dims, t in tensors:
        infos.append(text(name) + struct.pack("<I", len(dims)) + struct.pack("<%dQ" % len(dims), *dims) + struct.pack("<IQ", t, offset))
        _, elems, size = TYPES[t]
        offset = up(offset + int(np.prod(dims)) // elems * size)
    with open(path, "wb", buffering=1 << 20) as f:
        f.write(struct.pack("<IIQQ", 0x46554747, 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(infos))
        f.write(b"\0" * (up(f.tell()) - f.tell()))
        for name, dims, t in tensors:
            data_of(f, name, dims, t)
            f.write(b"\0" * (up(f.tell()) - f.tell()))
        return f.tell()


# --- a tokenizer -----------------------------------------------------------------------------------

def byte_alphabet():
    """GPT-2's visible character for each byte: printable ones are themselves, the rest follow from U+0100."""
    keep = set(range(33, 127)) | set(range(161, 173)) | set(range(174, 256))
    out, n = [], 0
    for b in range(256):
        if b in keep:
            out.append(chr(b))
        else:
            out.append(chr(256 + n))
            n += 1
    return out


def tokenizer(vocab, special):
    """256 bytes, then merges (letter pairs, space+letter, longer ones), padding, special tokens last."""
    tokens, merges, room = byte_alphabet(), [], vocab - 256 - len(special)
    space, low = "\u0120", "abcdefghijklmnopqrstuvwxyz"
    have, pairs = set(tokens), [a + b for a in low for b in low]

    def add(a, b):
        if len(merges) < room and a + b not in have:
            have.add(a + b)
            tokens.append(a + b)
            merges.append(a + " " + b)
    for p in pairs: add(p[0], p[1])
    for a in low: add(space, a)
    for a in low.upper():
        for b in low: add(a, b)
    for a in low:
        for p in pairs[:: max(1, 17576 // max(1, room // 8))]: add(space + a, p)
    for i in np.random.default_rng(7).permutation(len(pairs) ** 2):
        if len(merges) >= room: break
        add(pairs[i // len(pairs)], pairs[i % len(pairs)])
    types = [1] * len(tokens)
    while len(tokens) < vocab - len(special):
        tokens.append("[PAD%d]" % len(tokens))
        types.append(5)
    ids = {t: len(tokens) + i for i, t in enumerate(special)}
    return tokens + special, types + [3] * len(special), merges, ids


# --- weights ---------------------------------------------------------------------------------------

# Where a block's scale is (f16), and where the factor of its minimums with what it is relative to it.
D_AT = {"Q4_0": 0, "Q4_1": 0, "Q5_0": 0, "Q5_1": 0, "Q8_0": 0, "IQ4_NL": 0, "IQ4_XS": 0, "Q2_K": 80,
        "Q3_K": 108, "Q4_K": 0, "Q5_K": 0, "Q6_K": 208}
MIN_AT = {"Q4_1": (2, -7.5), "Q5_1": (2, -15.5), "Q2_K": (82, 1.5), "Q4_K": (2, 7.5), "Q5_K": (2, 15.5)}


def put_half(b, at, v):
    b[:, at:at + 2] = v.astype("<f2").view(np.uint8).reshape(-1, 2)


def random_blocks(rng, name, n, std, wild):
    """n blocks whose values have mean about 0 and spread `std`."""
    _, elems, size = TYPES[ID[name]]
    if elems == 1:
        x = rng.standard_normal(n, dtype=np.float32) * np.float32(std)
        if name == "F32": return x.view(np.uint8).reshape(n, 4)
        if name == "F16": return x.astype("<f2").view(np.uint8).reshape(n, 2)
        return ((x.view(np.uint32) + 0x8000) >> 16).astype("<u2").view(np.uint8).reshape(n, 2)
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    if name == "MXFP4":     # values up to 6, spread 2.9 in units of 2^(e-127)
        b[:, 0] = round(127 + np.log2(std / 2.9)) + (rng.integers(-1, 2, n) if wild else 0)
        return b
    if name == "NVFP4":     # UE4M3 scales can only be 2^-6 and more when normal: near the wanted spread
        e = round(7 + np.log2(std / 2.9))
        b[:, :4] = np.clip(e * 8 + rng.integers(0, 8, (n, 4)), 1, 126)
        return b
    spread = 0.6 if wild else 0.3
    d = rng.uniform(1 - spread, 1 + spread, n).astype(np.float32)
    if name in ("Q4_K", "Q5_K") and not wild:                 # all 6-bit scales and minimums 32
        b[:, 4:12], b[:, 12:16] = 32 | 2 << 6, 0
    if name == "Q2_K": b[:, :16] = (b[:, :16] & 15) * 17      # minimums as the scales
    if name == "Q6_K": b[:, 192:208] = rng.integers(-110 if wild else 40, 110 if wild else 90, (n, 16)).astype(np.int8).view(np.uint8)
    unit = 1.0
    for _ in range(2):      # with scale 1 first, to see the spread
        put_half(b, D_AT[name], d * np.float32(unit))
        if name in MIN_AT: put_half(b, MIN_AT[name][0], d * np.float32(unit * MIN_AT[name][1]))
        if unit == 1.0:
            unit = std / float(np.std(dequantize(name, b[:4096]).astype(np.float64)))
    return b


class Weights:
    def __init__(self, seed, std, wild):
        self.rng, self.std, self.wild, self.pools = np.random.default_rng(seed), std, wild, {}

    def pool(self, name):
        if name not in self.pools:
            self.pools[name] = random_blocks(self.rng, name, (1 << 22) // TYPES[ID[name]][1], self.std, self.wild)
        return self.pools[name]

    def write(self, f, name, dims, t):
        type_name, elems, size = TYPES[t]
        n = int(np.prod(dims))
        if name == "rope_freqs.weight":
            return f.write(self.rope_freqs.astype("<f4").tobytes())
        if name.startswith("rope_factors"):
            return f.write((np.linspace(1, 1.5, n) if "short" in name else np.linspace(1, 8, n)).astype("<f4").tobytes())
        if len(dims) == 1 or name.endswith(".bias"):
            v = (np.ones(n) if "norm" in name else np.zeros(n)) + (self.rng.standard_normal(n) * 0.3 if self.wild else 0)
            return f.write(v.astype("<f4").tobytes())
        left = n // elems
        while left:
            if self.wild:
                part = random_blocks(self.rng, type_name, min(left, (1 << 22) // elems), self.std, True)
            else:
                p = self.pool(type_name)
                at = int(self.rng.integers(0, len(p) // 2))
                part = p[at:at + left]
            f.write(part.tobytes())
            left -= len(part)


# --- models ----------------------------------------------------------------------------------------

def llama3_factors(head_dim, base, factor=8.0, low=1.0, high=4.0, n_orig=8192):
    wave = 2 * np.pi * base ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = (n_orig / wave - low) / (high - low)
    mid = 1 / ((1 - smooth) / factor + smooth)
    return np.where(wave < n_orig / high, 1, np.where(wave > n_orig / low, factor, mid))


def rope_keys(arch, spec, ctx):
    kind, *numbers = spec.split(":")
    keys = []
    if kind in ("linear", "yarn"):
        keys = [kv(arch + ".rope.scaling.type", "str", kind), kv(arch + ".rope.scaling.factor", "f32", float(numbers[0]))]
    if kind == "longrope":
        n_orig = int(numbers[0])
        magnitude = math.sqrt(1 + math.log(ctx / n_orig) / math.log(n_orig)) if ctx > n_orig else 1.0
        return [kv(arch + ".rope.scaling.original_context_length", "u32", n_orig),
                kv(arch + ".rope.scaling.attn_factor", "f32", magnitude)]
    if kind == "yarn" and len(numbers) > 2:
        keys.append(kv(arch + ".rope.scaling.yarn_log_multiplier", "f32", 0.1 * float(numbers[2])))
    if kind == "yarn":
        keys.append(kv(arch + ".rope.scaling.original_context_length", "u32", int(numbers[1]) if len(numbers) > 1 else ctx))
    return keys


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out")
    a.add_argument("--preset", choices=PRESETS)
    a.add_argument("--type", default="f16", choices=FILE_TYPE)
    a.add_argument("--arch", default="llama", choices=("deepseek2", "gemma", "gemma2", "gemma3", "gpt-oss", "llama", "phi3", "qwen2", "qwen2moe", "qwen3", "qwen3moe"))
    for o in ("layers dim heads kv-heads head-dim n-rot ff vocab ctx experts experts-used expert-ff shared-ff "
              "q-lora kv-lora nope value dense-layers shared-experts").split():
        a.add_argument("--" + o, type=int, default=0)
    a.add_argument("--untied", action="store_true")
    a.add_argument("--rope", default="none", help="none, linear:FACTOR, yarn:FACTOR[:ORIGINAL_CONTEXT[:MSCALE]], longrope:ORIGINAL_CONTEXT, llama3")
    a.add_argument("--rope-base", type=float, default=0)
    a.add_argument("--window", type=int, default=0, help="attention.sliding_window")
    a.add_argument("--pattern", default="", help="the layers with a window: a period, or 1,0,... for each")
    a.add_argument("--softcaps", default="", help="ATTENTION:LOGITS, 0 for none")
    a.add_argument("--groups", default="", help="of experts: NUMBER:USED")
    a.add_argument("--router", default="", choices=("", "softmax", "sigmoid"), help="sigmoid: with a bias, weights divided by their sum")
    a.add_argument("--expert-scale", type=float, default=0)
    a.add_argument("--old-kv-b", action="store_true")
    a.add_argument("--std", type=float, default=0, help="spread of the weights (0.02; 0.07 with --wild)")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--wild", action="store_true", help="peaked distributions, random norms, biases and block scales, all tensors fresh")
    a.add_argument("--no-tokenizer", action="store_true")
    a.add_argument("--pooling", type=int, default=-1, help="pooling_type of an embedding model: 1 mean, 2 cls, 3 last; its texts end with the end token")
    o = a.parse_args()
    if o.preset:
        arch, L, D, H, HK, HD, FF, V, tied, base, ctx = PRESETS[o.preset]
        L = o.layers or L
    else:
        arch, L, D, H, HK, FF, V, tied, base, ctx = (o.arch, o.layers, o.dim, o.heads, o.kv_heads or o.heads,
                                                      o.ff, o.vocab, not o.untied, 1e4 if o.arch in ("gemma", "gemma2") else 1e6, o.ctx or 32768)
        HD = o.head_dim or D // H
    base = o.rope_base or base
    E, EFF, ROT, SFF = o.experts, o.expert_ff or FF, o.n_rot or HD, o.shared_ff or FF
    if arch == "deepseek2":
        HK, HD, HV = (H, o.nope + ROT, o.value) if o.old_kv_b else (1, o.kv_lora + ROT, o.kv_lora)
    else:
        HV = HD
    chatml = arch != "llama"
    special = (["<|endoftext|>", "<|im_start|>", "<|im_end|>"] if chatml else
               ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"])
    tokens, types, merges, ids = ([], [], [], {}) if o.no_tokenizer else tokenizer(V, special)
    keys = [kv("general.architecture", "str", arch), kv("general.name", "str", (o.preset or {"phi3": "phi"}.get(arch, arch)) + "-random"),   # "phi3": llama.cpp would look for its tokens
            kv("general.file_type", "u32", FILE_TYPE[o.type]), kv("general.quantization_version", "u32", 2)]
    for k, kind, v in (("block_count", "u32", L), ("context_length", "u32", ctx), ("embedding_length", "u32", D),
                       ("feed_forward_length", "u32", FF or EFF), ("attention.head_count", "u32", H),
                       ("attention.head_count_kv", "u32", HK),
                       ("attention.layer_norm_rms_epsilon", "f32", 1e-6 if chatml else 1e-5),
                       ("attention.key_length", "u32", HD), ("attention.value_length", "u32", HV),
                       ("rope.dimension_count", "u32", ROT), ("rope.freq_base", "f32", base), ("vocab_size", "u32", V)):
        keys.append(kv(arch + "." + k, kind, v))
    if E: keys += [kv(arch + ".expert_count", "u32", E), kv(arch + ".expert_used_count", "u32", o.experts_used or 2)]
    if E and arch != "llama" or arch == "deepseek2": keys.append(kv(arch + ".expert_feed_forward_length", "u32", EFF))
    if arch == "qwen2moe": keys.append(kv(arch + ".expert_shared_feed_forward_length", "u32", SFF))
    if arch == "deepseek2":
        numbers = [("attention.kv_lora_rank", o.kv_lora), ("leading_dense_block_count", o.dense_layers), ("expert_shared_count", o.shared_experts)]
        if o.q_lora: numbers.append(("attention.q_lora_rank", o.q_lora))
        if not o.old_kv_b: numbers += [("attention.key_length_mla", o.nope + ROT), ("attention.value_length_mla", o.value)]
        if o.groups: numbers += zip(("expert_group_count", "expert_group_used_count"), map(int, o.groups.split(":")))
        if o.router: numbers.append(("expert_gating_func", 2 if o.router == "sigmoid" else 1))
        keys += [kv(arch + "." + k, "u32", v) for k, v in numbers]
        if o.router == "sigmoid": keys.append(kv(arch + ".expert_weights_norm", "bool", True))
        if o.expert_scale: keys.append(kv(arch + ".expert_weights_scale", "f32", o.expert_scale))
    keys += rope_keys(arch, o.rope, ctx)
    if o.window: keys.append(kv(arch + ".attention.sliding_window", "u32", o.window))
    if o.pattern:
        key, p = arch + ".attention.sliding_window_pattern", [int(x) for x in o.pattern.split(",")]
        keys.append(kv(key, "[i32]", p) if len(p) > 1 else kv(key, "u32", p[0]))
    if o.pooling >= 0: keys.append(kv(arch + ".pooling_type", "u32", o.pooling))
    for k, v in zip(("attn", "final"), o.softcaps.split(":") if o.softcaps else ()):
        keys.append(kv(arch + ".%s_logit_softcapping" % k, "f32", float(v)))
    if not o.no_tokenizer: keys += [kv("tokenizer.ggml.model", "str", "gpt2"), kv("tokenizer.ggml.pre", "str", "qwen2" if chatml else "llama-bpe"),
             kv("tokenizer.ggml.tokens", "[str]", tokens), kv("tokenizer.ggml.token_type", "[i32]", types),
             kv("tokenizer.ggml.merges", "[str]", merges), kv("tokenizer.ggml.bos_token_id", "u32", ids[special[0]]),
             kv("tokenizer.ggml.eos_token_id", "u32", ids["<|im_end|>" if chatml else "<|eot_id|>"]),
             kv("tokenizer.ggml.add_bos_token", "bool", not chatml),
             *([kv("tokenizer.ggml.add_eos_token", "bool", True)] if o.pooling >= 0 else []),
             kv("tokenizer.chat_template", "str", CHATML if chatml else LLAMA3)]

    mixed = o.type in MIX
    flat = MIX.get(o.type, o.type.upper())
    more = lambda i: mixed and (i < L // 8 or i >= 7 * L // 8 or (i - L // 8) % 3 == 2)
    head = "Q6_K" if flat.endswith("_K") or flat == "Q4_0" else flat

    def fit(name, row):                 # rows that do not hold whole blocks fall back, as quantisers do
        for n in (name, "Q8_0", "F16"):
            if row % TYPES[ID[n]][1] == 0:
                return ID[n]
    norm = lambda name, n: (name, (n,), ID["F32"])
    mat = lambda name, t, *dims: (name, dims, fit(t, dims[0]))
    T = [mat("token_embd.weight", head if tied else flat, D, V)]
    if o.rope == "llama3": T.append(("rope_freqs.weight", (HD // 2,), ID["F32"]))
    if o.rope.startswith("longrope"): T += [("rope_factors_%s.weight" % w, (ROT // 2,), ID["F32"]) for w in ("long", "short")]
    for i in range(L):
        n, v = "blk.%d." % i, "Q6_K" if more(i) else flat
        T.append(norm(n + "attn_norm.weight", D))
        if arch == "phi3":
            T.append(mat(n + "attn_qkv.weight", v, D, (H + 2 * HK) * HD))
        elif arch == "deepseek2":
            q = (H * (o.nope + ROT),)
            T += ([mat(n + "attn_q_a.weight", flat, D, o.q_lora), norm(n + "attn_q_a_norm.weight", o.q_lora),
                   mat(n + "attn_q_b.weight", flat, o.q_lora, *q)] if o.q_lora else [mat(n + "attn_q.weight", flat, D, *q)])
            T += [mat(n + "attn_kv_a_mqa.weight", flat, D, o.kv_lora + ROT), norm(n + "attn_kv_a_norm.weight", o.kv_lora)]
            T += ([mat(n + "attn_kv_b.weight", flat, o.kv_lora, H * (o.nope + o.value))] if o.old_kv_b else
                  [mat(n + "attn_k_b.weight", flat, o.nope, o.kv_lora, H), mat(n + "attn_v_b.weight", v, o.kv_lora, o.value, H)])
        else:
            T += [mat(n + "attn_q.weight", flat, D, H * HD), mat(n + "attn_k.weight", flat, D, HK * HD), mat(n + "attn_v.weight", v, D, HK * HD)]
        T.append(mat(n + "attn_output.weight", flat, H * (o.value if arch == "deepseek2" else HD), D))
        if arch.startswith("qwen2"): T += [norm(n + "attn_%s.bias" % c, w) for c, w in (("q", H * HD), ("k", HK * HD), ("v", HK * HD))]
        if arch.startswith("qwen3") or arch == "gemma3": T += [norm(n + "attn_%s_norm.weight" % c, HD) for c in "qk"]
        T.append(norm(n + ("post_attention_norm.weight" if arch == "gpt-oss" else "ffn_norm.weight"), D))
        if arch == "gpt-oss":
            T += [norm(n + "attn_%s.bias" % c, w) for c, w in (("q", H * HD), ("k", HK * HD), ("v", HK * HD), ("output", D))]
            T += [(n + "attn_sinks.weight", (H,), ID["F32"]), (n + "ffn_gate_inp.bias", (E,), ID["F32"])]
            T += [(n + "ffn_%s_exps.bias" % c, (w, E), ID["F32"]) for c, w in (("gate", EFF), ("up", EFF), ("down", D))]
        if arch in ("gemma2", "gemma3"): T += [norm(n + "post_attention_norm.weight", D), norm(n + "post_ffw_norm.weight", D)]
        if E and i >= o.dense_layers:
            T += [(n + "ffn_gate_inp.weight", (D, E), ID["F32"]), mat(n + "ffn_gate_exps.weight", flat, D, EFF, E),
                  mat(n + "ffn_up_exps.weight", flat, D, EFF, E), mat(n + "ffn_down_exps.weight", v, EFF, D, E)]
            if arch == "qwen2moe":
                T += [(n + "ffn_gate_inp_shexp.weight", (D,), ID["F32"]), mat(n + "ffn_gate_shexp.weight", flat, D, SFF),
                      mat(n + "ffn_up_shexp.weight", flat, D, SFF), mat(n + "ffn_down_shexp.weight", v, SFF, D)]
            if arch == "deepseek2" and o.shared_experts:
                wide = EFF * o.shared_experts
                T += [mat(n + "ffn_gate_shexp.weight", flat, D, wide), mat(n + "ffn_up_shexp.weight", flat, D, wide),
                      mat(n + "ffn_down_shexp.weight", v, wide, D)]
            if o.router == "sigmoid": T.append((n + "exp_probs_b.bias", (E,), ID["F32"]))
        elif arch == "phi3":
            T += [mat(n + "ffn_up.weight", flat, D, 2 * FF), mat(n + "ffn_down.weight", v, FF, D)]
        else:
            T += [mat(n + "ffn_gate.weight", flat, D, FF), mat(n + "ffn_up.weight", flat, D, FF), mat(n + "ffn_down.weight", v, FF, D)]
    T.append(norm("output_norm.weight", D))
    if not tied: T.append(mat("output.weight", head, D, V))

    w = Weights(o.seed, o.std or (0.07 if o.wild else 0.02), o.wild)
    w.rope_freqs = llama3_factors(HD, base)
    size = write_file(o.out, keys, T, w.write)
    print("%s: %d tensors, %d tokens, %.1f MB" % (o.out, len(T), len(tokens), size / 1e6), file=sys.stderr)


if __name__ == "__main__":
    main()
