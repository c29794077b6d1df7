"""The model's sizes, and its weights as one flat array of numbers (the order of layout() in demo_step.c)."""
import pickle
from dataclasses import asdict, dataclass

import numpy as np

MATRICES = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Config:
    n_vocab: int = 2048
    n_embd: int = 256
    n_layers: int = 5
    n_heads: int = 4
    n_heads_kv: int = 2
    head_dim: int = 64
    n_ff: int = 512
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    context: int = 4096

    def to_dict(self):
        return asdict(self)

    def shapes(self):
        """(n_in, n_out) of a layer's matrices."""
        e, q, kv, ff = self.n_embd, self.n_heads * self.head_dim, self.n_heads_kv * self.head_dim, self.n_ff
        return {"q": (e, q), "k": (e, kv), "v": (e, kv), "o": (q, e), "gate": (e, ff), "up": (e, ff), "down": (ff, e)}


def init(cfg, seed):
    """Normal initialisation; the two matrices that write to the residual start smaller."""
    rng = np.random.default_rng(seed)
    normal = lambda n_in, n_out, gain: (rng.standard_normal((n_in, n_out)) * gain / np.sqrt(n_in)).astype(np.float32)
    ones = np.ones(cfg.n_embd, np.float32)
    embd = (rng.standard_normal((cfg.n_vocab, cfg.n_embd)) * 0.05).astype(np.float32)
    layers = []
    for _ in range(cfg.n_layers):
        small = 1 / np.sqrt(2 * cfg.n_layers)
        layers.append({"attn_norm": ones, "ffn_norm": ones, **{k: normal(*s, small if k in ("o", "down") else 1.0) for k, s in cfg.shapes().items()}})
    return {"embd": embd, "out_norm": ones, "layers": layers}


def flatten(params):
    parts = [params["embd"], params["out_norm"]]
    for l in params["layers"]:
        parts += [l["attn_norm"], l["ffn_norm"]] + [l[k] for k in MATRICES]
    return np.concatenate([np.asarray(p, np.float32).ravel() for p in parts])


def unflatten(cfg, flat):
    at = 0

    def take(*shape):
        nonlocal at
        n = int(np.prod(shape))
        at += n
        return flat[at - n:at].reshape(shape)

    params = {"embd": take(cfg.n_vocab, cfg.n_embd), "out_norm": take(cfg.n_embd), "layers": []}
    for _ in range(cfg.n_layers):
        params["layers"].append({"attn_norm": take(cfg.n_embd), "ffn_norm": take(cfg.n_embd), **{k: take(*s) for k, s in cfg.shapes().items()}})
    assert at == len(flat)
    return params


def load(path, which="average"):
    """(sizes, weights, the entire checkpoint); `average` is what gets exported."""
    with open(path, "rb") as f:
        saved = pickle.load(f)
    cfg = Config(**saved["config"])
    return cfg, unflatten(cfg, saved[which]), saved
