"""Greedy answers of the trained weights, many prompts at once, with a KV cache (numpy).

The arithmetic is that of GGUF's `llama` architecture: RMSNorm before each block, rotary positions that turn the
neighbours (2i, 2i+1), grouped-query attention, SwiGLU, output tied to the token embedding.
"""
import numpy as np


def rms_norm(x, w, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * w


def rope(x, position, base):
    """x [B, T, H, D], position [B, T]: pair i turns by position * base^(-2i / D)."""
    d = x.shape[-1]
    angle = position[..., None] * (base ** (-np.arange(0, d, 2) / d))
    cos, sin = np.cos(angle).astype(np.float32)[:, :, None], np.sin(angle).astype(np.float32)[:, :, None]
    out = np.empty_like(x)
    out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
    out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
    return out


def attention(q, k, v, mask):
    """q [B, T, H, D], k and v [B, S, HK, D], mask [B, T, S] -> [B, T, H * D]."""
    b, t, h, d = q.shape
    hk = k.shape[2]
    q = q.reshape(b, t, hk, h // hk, d).transpose(0, 2, 3, 1, 4).reshape(b, hk, -1, d)
    score = (q @ k.transpose(0, 2, 3, 1)) / np.sqrt(np.float32(d))
    score = np.where(np.tile(mask, (1, h // hk, 1))[:, None], score, np.float32(-1e9))
    p = np.exp(score - score.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    out = (p @ v.transpose(0, 2, 1, 3)).reshape(b, hk, h // hk, t, d)
    return out.transpose(0, 3, 1, 2, 4).reshape(b, t, h * d)


class Batch:
    """Sequences of different lengths that grow together by one token a step."""

    def __init__(self, cfg, params, n_rows, n_tokens):
        self.cfg, self.params = cfg, params
        self.cache = [tuple(np.zeros((n_rows, n_tokens, cfg.n_heads_kv, cfg.head_dim), np.float32) for _ in "kv") for _ in params["layers"]]

    def forward(self, tokens, position, last):
        """Most likely token after column last[row] of tokens [B, T] at position [B, T]."""
        c, (b, t) = self.cfg, tokens.shape
        rows, seen = np.arange(b)[:, None], int(position.max()) + 1
        mask = np.arange(seen)[None, None] <= position[:, :, None]
        x = self.params["embd"][tokens]
        for layer, (ck, cv) in zip(self.params["layers"], self.cache):
            h = rms_norm(x, layer["attn_norm"], c.norm_eps)
            q, k, v = ((h @ layer[m]).reshape(b, t, n, c.head_dim) for m, n in (("q", c.n_heads), ("k", c.n_heads_kv), ("v", c.n_heads_kv)))
            ck[rows, position], cv[rows, position] = rope(k, position, c.rope_base), v
            x = x + attention(rope(q, position, c.rope_base), ck[:, :seen], cv[:, :seen], mask) @ layer["o"]
            h = rms_norm(x, layer["ffn_norm"], c.norm_eps)
            gate = h @ layer["gate"]
            x = x + (gate / (1 + np.exp(-gate)) * (h @ layer["up"])) @ layer["down"]
        x = rms_norm(x[np.arange(b), last], self.params["out_norm"], c.norm_eps)
        return (x @ self.params["embd"].T).argmax(axis=-1)


def answers(cfg, params, prompts, stop, n_max=112, batch_tokens=3000):
    """The greedy continuation of each prompt (token ids, without the stop token)."""
    result, order = [None] * len(prompts), sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    while order:
        n = 1
        while n < len(order) and n < 64 and (n + 1) * len(prompts[order[n]]) <= batch_tokens:
            n += 1
        part, order = order[:n], order[n:]
        lengths = np.array([len(prompts[i]) for i in part])
        tokens = np.zeros((n, lengths.max()), np.int64)
        for r, i in enumerate(part):
            tokens[r, :lengths[r]] = prompts[i]
        batch, out, done = Batch(cfg, params, n, int(lengths.max()) + n_max), [[] for _ in part], np.zeros(n, bool)
        token = batch.forward(tokens, np.tile(np.arange(lengths.max()), (n, 1)), lengths - 1)
        for step in range(n_max):
            for r in range(n):
                done[r] |= token[r] == stop
                if not done[r]:
                    out[r].append(int(token[r]))
            if done.all():
                break
            token = batch.forward(token[:, None], (lengths + step)[:, None], np.zeros(n, int))
        for r, i in enumerate(part):
            result[i] = out[r]
    return result
