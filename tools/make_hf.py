#!/usr/bin/env python3
"""Turn a golden GGUF model back into a small Hugging Face folder, for the tests of `sluice convert`.

  make_hf.py tests/golden/models/llama3-rope.gguf tests/golden/hf/llama [--shards 2] [--spm] [--bf16]

Shares no code with the converter: names, the order of q and k rows and the tokenizer's form follow the
Hugging Face conventions.  --spm writes a SentencePiece-like tokenizer instead of the model's own;
--bf16 rounds the weights to bf16.  Needs numpy.
"""
import argparse
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "ref"))
from gguf_np import Gguf  # noqa: E402

LLAMA3 = ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
          "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+")
LAYER = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
         "attn_k_norm": "self_attn.k_norm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
FUSED = {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"}
POST = {"post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm"}
SHARED = {"ffn_gate_inp_shexp": "mlp.shared_expert_gate", "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
          "ffn_up_shexp": "mlp.shared_expert.up_proj", "ffn_down_shexp": "mlp.shared_expert.down_proj"}
GLOBAL = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
EXPERT = {"llama": ("block_sparse_moe.gate", "block_sparse_moe.experts.%d.", {"gate": "w1", "up": "w3", "down": "w2"}),
          "qwen3moe": ("mlp.gate", "mlp.experts.%d.", {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"})}
EXPERT["qwen2moe"] = EXPERT["qwen3moe"]


def hf_tensors(f, arch, heads, kv_heads):
    for name in f.infos:
        if name.startswith("rope_f"):
            continue
        x, stem, end = f.tensor(name), name.rsplit(".", 1)[0], name.rsplit(".", 1)[1]
        if stem in GLOBAL:
            yield GLOBAL[stem] + "." + end, x
            continue
        _, layer, part = stem.split(".")
        prefix = "model.layers.%s." % layer
        if part in POST and arch in ("gemma2", "gemma3"):
            yield prefix + POST[part] + "." + end, x
            continue
        if part in ("attn_q", "attn_k") and arch == "llama":      # neighbours back to halves
            h = heads if part == "attn_q" else kv_heads
            x = x.reshape(h, x.shape[0] // h // 2, 2, -1).swapaxes(1, 2).reshape(x.shape)
        if part == "ffn_gate_inp":
            yield prefix + EXPERT[arch][0] + "." + end, x
        elif part.endswith("_exps"):
            for e in range(len(x)):
                yield prefix + EXPERT[arch][1] % e + EXPERT[arch][2][part[4:-5]] + "." + end, x[e]
        elif part in SHARED:
            yield prefix + SHARED[part] + "." + end, x.reshape(1, -1) if part == "ffn_gate_inp_shexp" else x
        else:
            yield prefix + (FUSED if arch == "phi3" and part in FUSED else LAYER)[part] + "." + end, x


def encode(x, bf16):
    if bf16:
        u = np.ascontiguousarray(x, "<f4").view("<u4")
        return "BF16", ((u + 0x7fff + (u >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return ("F32", x.astype("<f4").tobytes()) if x.ndim == 1 else ("F16", x.astype("<f2").tobytes())


def save(path, tensors, bf16):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, x in tensors:
        dtype, b = encode(x, bf16)
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    h = json.dumps(header).encode()
    h += b" " * (-len(h) % 8)
    with open(path, "wb") as out:
        out.write(len(h).to_bytes(8, "little") + h + data)


def byte_level(m):
    tokens, types = m["tokenizer.ggml.tokens"], m["tokenizer.ggml.token_type"]
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, t in enumerate(tokens) if types[i] == 3]
    llama = m["tokenizer.ggml.pre"] == "llama-bpe"
    regex = LLAMA3 if llama else LLAMA3.replace("{1,3}", "")
    bos = tokens[m["tokenizer.ggml.bos_token_id"]]
    post = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    if m["tokenizer.ggml.add_bos_token"]:
        template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [], "special_tokens": {bos: {"id": bos, "ids": [m["tokenizer.ggml.bos_token_id"]], "tokens": [bos]}}}
        post = {"type": "Sequence", "processors": [post, template]}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": None if llama else {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
            "post_processor": post, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": llama,
                      "vocab": {t: i for i, t in enumerate(tokens) if types[i] in (1, 5)},
                      "merges": [s.split(" ") for s in m["tokenizer.ggml.merges"]]}}


def gemma_hf(m, get, config, tensors, sees):
    """The config and tensors as Gemma has them; `sees`: as a part of a model that also sees."""
    config.pop("hidden_act")
    config.update({"hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "query_pre_attn_scalar": get("attention.key_length")})
    window, pattern = get("attention.sliding_window"), get("attention.sliding_window_pattern")
    if window: config["sliding_window"] = window
    if pattern is not None: config["layer_types"] = ["sliding_attention" if x else "full_attention" for x in pattern]
    for k in ("attn", "final"): config[k + "_logit_softcapping"] = get(k + "_logit_softcapping", 0) or None
    if m["general.architecture"] == "gemma3": config["rope_local_base_freq"] = 10000.0
    tensors = [(n, x - np.float32(1) if n.endswith("norm.weight") else x) for n, x in tensors]
    if sees:
        config["model_type"] = "gemma3_text"
        config = {"model_type": "gemma3", "text_config": config, "vision_config": {"model_type": "siglip_vision_model"}, "eos_token_id": [1, 106]}
        tensors = [("language_model." + n, x) for n, x in tensors] + [("vision_tower.head.weight", np.ones((2, 2), np.float32))]
    return config, tensors


def spm(n, is_gemma):
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    merges = [["t", "h"], ["th", "e"], ["\u2581", "the"], ["\u2581", "a"], ["i", "n"]]
    tokens += [a + b for a, b in merges] + ["\u2581", "t", "h", "e", "a", "i", "n", "o", "s", "r"]
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, t in enumerate(tokens[:3])]
    if is_gemma:        # no space before the text
        more = ["<start_of_turn>", "<end_of_turn>", "\u2581\u2581"]
        added += [dict(added[0], id=len(tokens) + i, content=t, special=t[0] == "<") for i, t in enumerate(more)]
        tokens += more
        merges.insert(0, ["\u2581", "\u2581"])
    assert len(tokens) <= n
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": replace if is_gemma else {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace]},
            "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False} if is_gemma else None,
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                               "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
            "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
                                                         {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                      "vocab": {t: i for i, t in enumerate(tokens)}, "merges": [a + " " + b for a, b in merges]}}


def main():
    a = argparse.ArgumentParser()
    a.add_argument("gguf")
    a.add_argument("out")
    a.add_argument("--shards", type=int, default=1)
    a.add_argument("--spm", action="store_true")
    a.add_argument("--bf16", action="store_true")
    a.add_argument("--sees", action="store_true", help="the text part of a model that also sees (Gemma 3)")
    o = a.parse_args()
    f = Gguf(o.gguf)
    m, arch = f.meta, f.meta["general.architecture"]
    get = lambda k, d=None: m.get(arch + "." + k, d)
    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    os.makedirs(o.out, exist_ok=True)
    put = lambda name, v: open(os.path.join(o.out, name), "w").write(json.dumps(v, indent=1, ensure_ascii=False) + "\n")
    experts = get("expert_count")
    model_type = {"llama": "mixtral" if experts else "llama", "qwen3moe": "qwen3_moe", "qwen2moe": "qwen2_moe"}.get(arch, arch)
    config = {"model_type": model_type, "hidden_act": "silu", "hidden_size": get("embedding_length"), "intermediate_size": get("feed_forward_length"),
              "num_hidden_layers": get("block_count"), "num_attention_heads": heads, "num_key_value_heads": kv_heads,
              "head_dim": get("attention.key_length"), "rms_norm_eps": float("%.6g" % get("attention.layer_norm_rms_epsilon")),
              "rope_theta": get("rope.freq_base"), "max_position_embeddings": get("context_length"), "vocab_size": get("vocab_size"),
              "tie_word_embeddings": "output.weight" not in f, "bos_token_id": 1, "eos_token_id": 2}
    if experts:
        config.update({"num_local_experts" if model_type == "mixtral" else "num_experts": experts, "num_experts_per_tok": get("expert_used_count")})
    if model_type == "qwen3_moe":
        config.update({"moe_intermediate_size": get("expert_feed_forward_length"), "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []})
    if model_type == "qwen2_moe":
        config.update({"moe_intermediate_size": get("expert_feed_forward_length"), "norm_topk_prob": False, "decoder_sparse_step": 1,
                       "mlp_only_layers": [], "shared_expert_intermediate_size": get("expert_shared_feed_forward_length"),
                       "sliding_window": 16, "use_sliding_window": False})
    if arch == "phi3":
        del config["head_dim"]
        config.update({"partial_rotary_factor": get("rope.dimension_count") / get("attention.key_length"), "sliding_window": 262144, "pad_token_id": 0})
    if "rope_factors_long.weight" in f:
        config["original_max_position_embeddings"] = get("rope.scaling.original_context_length")
        config["rope_scaling"] = {"type": "longrope"}
        config["rope_scaling"].update({w + "_factor": [float(x) for x in f.tensor("rope_factors_%s.weight" % w)] for w in ("long", "short")})
    if "rope_freqs.weight" in f:
        config["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    all_tensors = list(hf_tensors(f, arch, heads, kv_heads))
    if arch.startswith("gemma"): config, all_tensors = gemma_hf(m, get, config, all_tensors, o.sees)
    put("config.json", config)
    put("tokenizer.json", spm(get("vocab_size"), arch.startswith("gemma")) if o.spm else byte_level(m))
    tokens = m.get("tokenizer.ggml.tokens")
    put("tokenizer_config.json", {"bos_token": "<s>", "eos_token": {"content": "</s>"}} if o.spm else
        {"bos_token": tokens[m["tokenizer.ggml.bos_token_id"]], "eos_token": tokens[m["tokenizer.ggml.eos_token_id"]],
         "chat_template": m["tokenizer.chat_template"]})
    if o.spm and "tokenizer.chat_template" in m:
        open(os.path.join(o.out, "chat_template.jinja"), "w").write(m["tokenizer.chat_template"])
    if o.shards == 1:
        return save(os.path.join(o.out, "model.safetensors"), all_tensors, o.bf16)
    names = ["model-%05d-of-%05d.safetensors" % (i + 1, o.shards) for i in range(o.shards)]
    for i, name in enumerate(names):
        save(os.path.join(o.out, name), all_tensors[i::o.shards], o.bf16)
    put("model.safetensors.index.json", {"metadata": {}, "weight_map": {n: names[i % o.shards] for i, (n, _) in enumerate(all_tensors)}})


main()
