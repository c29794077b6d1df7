#!/usr/bin/env python3
"""Write trained weights as GGUF v3.

  export_gguf.py DIR OUT.gguf --name "..." [--type q8_0|f16]

Tensors are stored as GGUF wants them: rows of n_in numbers, one row for each output.  q and k rows stay in their
order, because model.py already rotates neighbours (2i, 2i+1), as `llama` files do.
"""
import argparse
import json
import os
import struct

import numpy as np

import weights
from chat import END, IM_END, PRE, SPECIAL, TEMPLATE

F32, F16, Q8_0 = 0, 1, 8
ALIGN = 32
NORMAL, CONTROL = 1, 3


def q8_0_blocks(w):
    """Blocks of 32 numbers: one f16 scale = max |w| / 127, then 32 signed bytes."""
    b = w.reshape(-1, 32).astype(np.float32)
    d = (np.abs(b).max(axis=1) / 127).astype(np.float32)
    inverse = np.where(d > 0, 1 / np.where(d > 0, d, 1), 0)
    q = b * inverse[:, None]
    q = (np.sign(q) * np.floor(np.abs(q) + 0.5)).astype(np.int8)       # half away from zero, as C's roundf
    return d.astype(np.float16), q


def q8_0_bytes(w):
    d, q = q8_0_blocks(w)
    out = np.empty((len(d), 34), np.uint8)
    out[:, :2], out[:, 2:] = d.view(np.uint8).reshape(-1, 2), q.view(np.uint8)
    return out.tobytes()


def q8_0_round_trip(params):
    """The weights as a reader of the file gets them."""
    def trip(rows):
        d, q = q8_0_blocks(rows)
        return (d.astype(np.float32)[:, None] * q).reshape(rows.shape)
    layers = [{k: (np.ascontiguousarray(trip(np.ascontiguousarray(v.T)).T) if v.ndim == 2 else v) for k, v in l.items()} for l in params["layers"]]
    return {"embd": trip(params["embd"]), "out_norm": params["out_norm"], "layers": layers}


def _str(b):
    b = b.encode() if isinstance(b, str) else b
    return struct.pack("<Q", len(b)) + b


def _kv(key, kind, v):
    head = _str(key)
    if kind == "u32":
        return head + struct.pack("<II", 4, v)
    if kind == "f32":
        return head + struct.pack("<If", 6, v)
    if kind == "bool":
        return head + struct.pack("<IB", 7, v)
    if kind == "str":
        return head + struct.pack("<I", 8) + _str(v)
    if kind == "[str]":
        return head + struct.pack("<IIQ", 9, 8, len(v)) + b"".join(map(_str, v))
    if kind == "[i32]":
        return head + struct.pack("<IIQ", 9, 5, len(v)) + np.asarray(v, "<i4").tobytes()
    raise ValueError(kind)


def tensors(params):
    """(name, array as rows)"""
    yield "token_embd.weight", params["embd"]
    names = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
    for i, l in enumerate(params["layers"]):
        yield f"blk.{i}.attn_norm.weight", l["attn_norm"]
        for k in ("q", "k", "v", "o"):
            yield f"blk.{i}.{names[k]}.weight", np.ascontiguousarray(l[k].T)
        yield f"blk.{i}.ffn_norm.weight", l["ffn_norm"]
        for k in ("gate", "up", "down"):
            yield f"blk.{i}.{names[k]}.weight", np.ascontiguousarray(l[k].T)
    yield "output_norm.weight", params["out_norm"]


def vocabulary(path):
    """Tokens by id, their types, and the merges, from a tokenizer.json."""
    with open(path) as f:
        t = json.load(f)
    tokens = [None] * len(t["model"]["vocab"])
    for text, i in t["model"]["vocab"].items():
        tokens[i] = text
    types = [CONTROL if text in SPECIAL else NORMAL for text in tokens]
    merges = [m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]]
    return tokens, types, merges


def write(path, cfg, params, vocab, kind, name, description):
    tokens, types, merges = vocab
    p = "llama."
    n = sum(int(np.prod(w.shape)) for _, w in tensors(params))
    meta = [
        _kv("general.architecture", "str", "llama"), _kv("general.name", "str", name), _kv("general.description", "str", description),
        _kv("general.license", "str", "apache-2.0"), _kv("general.size_label", "str", f"{n / 1e6:.1f}M"),
        _kv("general.file_type", "u32", {"q8_0": 7, "f16": 1}[kind]), _kv("general.quantization_version", "u32", 2),
        _kv(p + "vocab_size", "u32", cfg["n_vocab"]), _kv(p + "context_length", "u32", cfg["context"]), _kv(p + "embedding_length", "u32", cfg["n_embd"]),
        _kv(p + "block_count", "u32", cfg["n_layers"]), _kv(p + "feed_forward_length", "u32", cfg["n_ff"]),
        _kv(p + "attention.head_count", "u32", cfg["n_heads"]), _kv(p + "attention.head_count_kv", "u32", cfg["n_heads_kv"]),
        _kv(p + "attention.key_length", "u32", cfg["head_dim"]), _kv(p + "attention.value_length", "u32", cfg["head_dim"]),
        _kv(p + "attention.layer_norm_rms_epsilon", "f32", cfg["norm_eps"]), _kv(p + "rope.dimension_count", "u32", cfg["head_dim"]),
        _kv(p + "rope.freq_base", "f32", cfg["rope_base"]),
        _kv("tokenizer.ggml.model", "str", "gpt2"), _kv("tokenizer.ggml.pre", "str", PRE),
        _kv("tokenizer.ggml.tokens", "[str]", tokens), _kv("tokenizer.ggml.token_type", "[i32]", types), _kv("tokenizer.ggml.merges", "[str]", merges),
        _kv("tokenizer.ggml.bos_token_id", "u32", tokens.index(END)), _kv("tokenizer.ggml.eos_token_id", "u32", tokens.index(IM_END)),
        _kv("tokenizer.ggml.padding_token_id", "u32", tokens.index(END)), _kv("tokenizer.ggml.add_bos_token", "bool", False),
        _kv("tokenizer.chat_template", "str", TEMPLATE),
    ]
    up = lambda x: (x + ALIGN - 1) // ALIGN * ALIGN
    info, blobs, at = [], [], 0
    for tname, w in tensors(params):
        t = F32 if w.ndim == 1 else {"q8_0": Q8_0, "f16": F16}[kind]
        blob = {F32: lambda: w.astype("<f4").tobytes(), F16: lambda: w.astype("<f2").tobytes(), Q8_0: lambda: q8_0_bytes(w)}[t]()
        dims = w.shape[::-1]
        info.append(_str(tname) + struct.pack("<I", len(dims)) + struct.pack("<%dQ" % len(dims), *dims) + struct.pack("<IQ", t, at))
        blobs.append(blob + b"\0" * (up(len(blob)) - len(blob)))
        at += len(blobs[-1])
    head = struct.pack("<IIQQ", 0x46554747, 3, len(info), len(meta)) + b"".join(meta) + b"".join(info)
    with open(path + ".tmp", "wb") as f:
        f.write(head + b"\0" * (up(len(head)) - len(head)))
        for b in blobs:
            f.write(b)
        size = f.tell()
    os.replace(path + ".tmp", path)
    print(f"{path}: {n} parameters, {size} bytes")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("dir")
    a.add_argument("out")
    a.add_argument("--type", choices=("q8_0", "f16"), default="q8_0")
    a.add_argument("--name", default="Sluice demo")
    a.add_argument("--description", default="The demo model of Sluice: answers about Sluice and inference, and short text tasks.")
    a.add_argument("--which", choices=("average", "params"), default="average", help="the averaged or the last weights")
    o = a.parse_args()
    cfg, params, _ = weights.load(os.path.join(o.dir, "state.pkl"), o.which)
    write(o.out, cfg.to_dict(), params, vocabulary(os.path.join(o.dir, "tokenizer.json")), o.type, o.name, o.description)


if __name__ == "__main__":
    main()
