#!/usr/bin/env python3
"""The reference forward pass: logits in float64 on the dequantised weights of a GGUF file.

  ref_forward.py MODEL.gguf --tokens 1,15,27            one JSON line per position: top tokens
  ref_forward.py MODEL.gguf --tokens 1,15,27 --out x.f64    all logits, float64 [positions, vocab]
  ref_forward.py MODEL.gguf --tokens 1,15 --greedy 20   also continues greedily

Architectures: deepseek2, gemma, gemma2, gemma3, gpt-oss, llama (Llama, Mistral, Mixtral), phi3, qwen2, qwen2moe, qwen3, qwen3moe.  Written for clarity, from the
papers' formulas; weights stay f32 on the disk's grid, activations and sums are float64, nothing is
rounded on the way.  Needs numpy.
"""
import argparse
import json
import math
import sys

import numpy as np

from gguf_np import Gguf

NEOX = {"deepseek2": False, "gemma": True, "gemma2": True, "gemma3": True, "gpt-oss": True, "llama": False, "phi3": True, "qwen2": True, "qwen2moe": True, "qwen3": True,
        "qwen3moe": True}


def rms_norm(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def capped(x, cap):
    return cap * np.tanh(x / cap) if cap else x


def oai(gate, up):
    g = np.minimum(gate, 7)
    return g / (1 + np.exp(-1.702 * g)) * (np.clip(up, -7, 7) + 1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Model:
    def __init__(self, path, n_ctx=0):
        """n_ctx: the context that the model is used with, where that decides (0: the trained one)."""
        self.f = Gguf(path)
        self.arch = self.f.meta["general.architecture"]
        if self.arch not in NEOX:
            sys.exit("architecture %s is not one of %s" % (self.arch, ", ".join(NEOX)))
        key = lambda k, default=None: self.f.meta.get(self.arch + "." + k, default)
        self.n_layers, self.dim = int(key("block_count")), int(key("embedding_length"))
        per_layer = lambda v: [int(v[i]) if np.ndim(v) else int(v) for i in range(self.n_layers)]
        self.heads = per_layer(key("attention.head_count"))
        self.kv_heads = per_layer(key("attention.head_count_kv", key("attention.head_count")))
        self.head_dim = int(key("attention.key_length", self.dim // self.heads[0]))
        self.value_dim = int(key("attention.value_length", self.head_dim))
        self.eps = float(key("attention.layer_norm_rms_epsilon", 1e-5))
        self.experts_used = int(key("expert_used_count", 0))
        self.expert_scale = float(key("expert_weights_scale", 0) or 1)
        self.expert_norm = bool(key("expert_weights_norm", self.arch in ("llama", "qwen3moe")))
        self.n_rot = int(key("rope.dimension_count", self.head_dim))
        self.rope_base = float(key("rope.freq_base", 10000.0))
        kind = key("rope.scaling.type", "linear")
        factor = float(key("rope.scaling.factor", key("rope.scale_linear", 1.0)) or 1)
        self.freq_scale = 1 / factor if kind in ("linear", "yarn") else 1.0
        self.yarn = None
        if kind == "yarn":
            self.yarn = dict(n_orig=float(key("rope.scaling.original_context_length", key("context_length"))),
                             fast=float(key("rope.scaling.yarn_beta_fast", 32)),
                             slow=float(key("rope.scaling.yarn_beta_slow", 1)),
                             ext=float(key("rope.scaling.yarn_ext_factor", 1)))
        self.rope_scale = float(key("rope.scaling.attn_factor", 1) or 1)
        log_multiplier = float(key("rope.scaling.yarn_log_multiplier", 0))
        if self.yarn and not log_multiplier:
            self.rope_scale *= 1 + 0.1 * math.log(factor)
        self.is_gemma = self.arch.startswith("gemma")
        self.gate = gelu if self.is_gemma else silu
        caps = {"gemma2": (50, 30)}.get(self.arch, (0, 0))
        self.attn_cap, self.logit_cap = (float(key(k + "_logit_softcapping", c)) for k, c in zip(("attn", "final"), caps))
        wide = {"gemma2": 46, "gemma3": 62}.get(self.arch) == self.n_layers
        self.score_scale = float(key("attention.scale", 0)) or 1 / math.sqrt(self.dim // self.heads[0] if wide else self.head_dim)
        self.kv_lora = int(key("attention.kv_lora_rank", 0))
        if self.kv_lora:
            self.key_mla = int(key("attention.key_length_mla", self.head_dim))
            self.value_mla = int(key("attention.value_length_mla", self.value_dim))
            self.score_scale = (1 + log_multiplier * math.log(factor) if self.yarn else 1) ** 2 / math.sqrt(self.key_mla)
        self.sigmoid_router = int(key("expert_gating_func", 1)) == 2
        self.groups, self.groups_used = int(key("expert_group_count", 1) or 1), int(key("expert_group_used_count", 1) or 1)
        self.windows = self.read_windows(key)
        self.theta = self.angles((n_ctx or key("context_length")) > key("rope.scaling.original_context_length", key("context_length")))

    def read_windows(self, key):
        """For each layer how many keys a position sees, 0: all."""
        if self.arch not in ("gemma2", "gemma3", "gpt-oss"):
            return [0] * self.n_layers
        window = int(key("attention.sliding_window", {"gemma2": 4096, "gpt-oss": 128}.get(self.arch, 0)))
        period = key("attention.sliding_window_pattern", 6 if self.arch == "gemma3" else 2)
        if np.ndim(period):
            return [window if has else 0 for has in period]
        return [window if i % period < period - 1 else 0 for i in range(self.n_layers)]

    def angles(self, is_long):
        """Radians per position for each rotated pair."""
        n = self.n_rot
        plain = self.rope_base ** (-np.arange(0, n, 2, dtype=np.float64) / n)
        if "rope_freqs.weight" in self.f:
            plain = plain / self.f.tensor("rope_freqs.weight").astype(np.float64)
        if "rope_factors_long.weight" in self.f:
            plain = plain / self.f.tensor("rope_factors_%s.weight" % ("long" if is_long else "short")).astype(np.float64)
        if not self.yarn:
            return plain * self.freq_scale
        dim_of = lambda beta: n * math.log(self.yarn["n_orig"] / (2 * math.pi * beta)) / (2 * math.log(self.rope_base))
        low, high = dim_of(self.yarn["fast"]), dim_of(self.yarn["slow"])
        if self.arch != "gpt-oss":      # its range is not rounded to whole pairs
            low, high = math.floor(low), math.ceil(high)
        low, high = max(0.0, low), min(n - 1.0, high)
        ramp = 1 - np.clip((np.arange(n // 2) - low) / max(0.001, high - low), 0, 1)
        mix = self.yarn["ext"] * ramp
        return plain * self.freq_scale * (1 - mix) + plain * mix

    def rope(self, x, positions, i):
        """x [T, heads, head_dim]: the first n_rot of each head are rotated."""
        theta = self.theta
        if self.arch == "gemma3" and self.windows[i]:
            theta = 10000.0 ** (-np.arange(0, self.n_rot, 2, dtype=np.float64) / self.n_rot)
        angle = positions[:, None] * theta[None]
        c, s = (np.cos(angle) * self.rope_scale)[:, None], (np.sin(angle) * self.rope_scale)[:, None]
        y, half = x.copy(), self.n_rot // 2
        if NEOX[self.arch]:
            a, b = x[..., :half], x[..., half:self.n_rot]
            y[..., :half], y[..., half:self.n_rot] = a * c - b * s, a * s + b * c
        else:
            a, b = x[..., 0:self.n_rot:2], x[..., 1:self.n_rot:2]
            y[..., 0:self.n_rot:2], y[..., 1:self.n_rot:2] = a * c - b * s, a * s + b * c
        return y

    def w(self, name):
        return self.f.tensor(name).astype(np.float64)

    def linear(self, x, name):
        y = x @ self.w(name + ".weight").T
        return y + self.w(name + ".bias") if name + ".bias" in self.f else y

    def attention(self, x, i, positions):
        b, T, h, hk, d, dv = "blk.%d." % i, len(x), self.heads[i], self.kv_heads[i], self.head_dim, self.value_dim
        if b + "attn_qkv.weight" in self.f:
            q, k, v = np.split(self.linear(x, b + "attn_qkv"), [h * d, (h + hk) * d], axis=1)
        else:
            q, k, v = (self.linear(x, b + "attn_" + c) for c in "qkv")
        q, k, v = q.reshape(T, h, d), k.reshape(T, hk, d), v.reshape(T, hk, dv)
        if b + "attn_q_norm.weight" in self.f:
            q = rms_norm(q, self.w(b + "attn_q_norm.weight"), self.eps)
            k = rms_norm(k, self.w(b + "attn_k_norm.weight"), self.eps)
        q, k = self.rope(q, positions, i), self.rope(k, positions, i)
        out = np.empty((T, h, dv))
        hidden = np.triu(np.ones((T, T), bool), 1)
        if self.windows[i]:
            hidden |= np.tril(np.ones((T, T), bool), -self.windows[i])
        for j in range(h):
            s = capped(q[:, j] @ k[:, j // (h // hk)].T * self.score_scale, self.attn_cap)
            s[hidden] = -np.inf
            if b + "attn_sinks.weight" in self.f:       # one more logit, to which no value belongs
                sink = np.full((T, 1), float(self.f.tensor(b + "attn_sinks.weight")[j]))
                out[:, j] = softmax(np.concatenate([s, sink], axis=1))[:, :T] @ v[:, j // (h // hk)]
                continue
            out[:, j] = softmax(s) @ v[:, j // (h // hk)]
        return self.linear(out.reshape(T, h * dv), b + "attn_output")

    def latent_attention(self, x, i, positions):
        """As DeepSeek's paper writes it: keys and values of every head are made from the compressed vector."""
        b, T, h, lora, rot = "blk.%d." % i, len(x), self.heads[i], self.kv_lora, self.n_rot
        nope = self.key_mla - rot
        if b + "attn_q_a.weight" in self.f:
            q = self.linear(rms_norm(self.linear(x, b + "attn_q_a"), self.w(b + "attn_q_a_norm.weight"), self.eps), b + "attn_q_b")
        else:
            q = self.linear(x, b + "attn_q")
        q = q.reshape(T, h, self.key_mla)
        c = self.linear(x, b + "attn_kv_a_mqa")
        c, k_rope = rms_norm(c[:, :lora], self.w(b + "attn_kv_a_norm.weight"), self.eps), c[:, None, lora:]
        if b + "attn_kv_b.weight" in self.f:
            kv_b = self.w(b + "attn_kv_b.weight").reshape(h, nope + self.value_mla, lora)
            k_b, v_b = kv_b[:, :nope], kv_b[:, nope:]                       # rows make dimensions
        else:
            k_b, v_b = self.w(b + "attn_k_b.weight").swapaxes(1, 2), self.w(b + "attn_v_b.weight")
        q_rope, k_rope = self.rope(q[:, :, nope:], positions, i), self.rope(k_rope, positions, i)
        out = np.empty((T, h, self.value_mla))
        for j in range(h):
            k, v = np.concatenate([c @ k_b[j].T, k_rope[:, 0]], axis=1), c @ v_b[j].T
            s = np.concatenate([q[:, j, :nope], q_rope[:, j]], axis=1) @ k.T * self.score_scale
            s[np.triu(np.ones((T, T), bool), 1)] = -np.inf
            out[:, j] = softmax(s) @ v
        return self.linear(out.reshape(T, -1), b + "attn_output")

    def choose(self, p, bias):
        """The experts of one position, best first: p and the bias decide, and the groups that they are in."""
        score = p + bias
        if self.groups > 1:
            of = score.reshape(self.groups, -1)
            value = np.sort(of, axis=1)[:, -2:].sum(1) if self.sigmoid_router else of.max(1)
            kept = np.lexsort((np.arange(self.groups), -value))[:self.groups_used]
            score = np.where(np.isin(np.arange(len(p)) // of.shape[1], kept), score, -np.inf)
        return np.lexsort((np.arange(len(p)), -score))[:self.experts_used]

    def moe(self, x, b):
        logits = self.linear(x, b + "ffn_gate_inp")
        p = 1 / (1 + np.exp(-logits)) if self.sigmoid_router else logits if self.arch == "gpt-oss" else softmax(logits)
        bias = self.w(b + "exp_probs_b.bias") if b + "exp_probs_b.bias" in self.f else 0
        gate, up, down = (self.f.tensor(b + "ffn_%s_exps.weight" % n) for n in ("gate", "up", "down"))
        y = np.zeros_like(x)
        for t in range(len(x)):
            chosen = self.choose(p[t], bias)
            weight = p[t][chosen]
            if self.arch == "gpt-oss":
                y[t] = self.biased_experts(x[t], b, chosen, softmax(weight) * self.expert_scale, (gate, up, down))
                continue
            if self.expert_norm:
                weight = weight / max(weight.sum(), 6.103515625e-5)
            for e, a in zip(chosen, weight * self.expert_scale):
                h = silu(gate[e].astype(np.float64) @ x[t]) * (up[e].astype(np.float64) @ x[t])
                y[t] += a * (down[e].astype(np.float64) @ h)
        if b + "ffn_up_shexp.weight" in self.f:
            shared = self.linear(silu(self.linear(x, b + "ffn_gate_shexp")) * self.linear(x, b + "ffn_up_shexp"), b + "ffn_down_shexp")
            if b + "ffn_gate_inp_shexp.weight" in self.f:
                shared = shared / (1 + np.exp(-(x @ self.w(b + "ffn_gate_inp_shexp.weight").reshape(-1))))[:, None]
            y = y + shared
        return y

    def biased_experts(self, x, b, chosen, weights, matrices):
        bias = [self.w(b + "ffn_%s_exps.bias" % n) for n in ("gate", "up", "down")]
        y = 0
        for e, a in zip(chosen, weights):
            gate, up, down = (m[e].astype(np.float64) for m in matrices)
            y = y + a * (down @ oai(gate @ x + bias[0][e], up @ x + bias[1][e]) + bias[2][e])
        return y

    def ffn(self, x, i):
        b = "blk.%d." % i
        if b + "ffn_gate_inp.weight" in self.f:
            return self.moe(x, b)
        if self.arch == "phi3":
            gate, up = np.split(self.linear(x, b + "ffn_up"), 2, axis=1)
            return self.linear(silu(gate) * up, b + "ffn_down")
        return self.linear(self.gate(self.linear(x, b + "ffn_gate")) * self.linear(x, b + "ffn_up"), b + "ffn_down")

    def post(self, y, name):
        return rms_norm(y, self.w(name + ".weight"), self.eps) if name + ".weight" in self.f else y

    def hidden(self, tokens):
        """[len(tokens), width], after the last norm"""
        x = self.f.tensor("token_embd.weight", rows=list(tokens)).astype(np.float64)
        if self.is_gemma:
            x = x * math.sqrt(self.dim)
        positions = np.arange(len(tokens), dtype=np.float64)
        for i in range(self.n_layers):
            b = "blk.%d." % i
            attention = self.latent_attention if self.kv_lora else self.attention
            x = x + self.post(attention(rms_norm(x, self.w(b + "attn_norm.weight"), self.eps), i, positions), b + ("" if self.arch == "gpt-oss" else "post_attention_norm"))
            x = x + self.post(self.ffn(rms_norm(x, self.w(b + ("post_attention_norm" if self.arch == "gpt-oss" else "ffn_norm") + ".weight"), self.eps), i), b + "post_ffw_norm")
        return rms_norm(x, self.w("output_norm.weight"), self.eps)

    def vector(self, tokens, pooling):
        """[width], of length one: of the mean of all (1), the first (2) or the last token (3)"""
        x = self.hidden(tokens)
        v = x.mean(axis=0) if pooling == 1 else x[0 if pooling == 2 else -1]
        return v / np.sqrt((v * v).sum())

    def logits(self, tokens):
        """[len(tokens), vocabulary]"""
        x = self.hidden(tokens)
        return capped(self.linear(x, "output" if "output.weight" in self.f else "token_embd"), self.logit_cap)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model")
    a.add_argument("--tokens", required=True, help="ids with commas between")
    a.add_argument("--greedy", type=int, default=0, help="continue with this many tokens")
    a.add_argument("--top", type=int, default=5)
    a.add_argument("--out", help="write all logits as little-endian float64")
    o = a.parse_args()
    m, tokens = Model(o.model), [int(t) for t in o.tokens.split(",")]
    n_prompt = len(tokens)
    for _ in range(o.greedy):
        tokens.append(int(m.logits(tokens)[-1].argmax()))
    y = m.logits(tokens)
    if o.out:
        y.astype("<f8").tofile(o.out)
    for t in range(len(tokens)):
        best = np.argsort(-y[t], kind="stable")[:o.top]
        print(json.dumps({"position": t, "token": tokens[t], "top": [[int(b), float(y[t][b])] for b in best]}))
    if o.greedy:
        print(json.dumps({"greedy": tokens[n_prompt:]}))


if __name__ == "__main__":
    main()
