#!/usr/bin/env python3
"""Train the demo model.  See README.md for the commands that made the models in the repository.

  demo_train.py tokenizer --out DIR            the vocabulary, from generated text
  demo_train.py train --out DIR [--steps N]    the weights; resumes from DIR/state.pkl
  demo_train.py train --out DIR --until 13:50  the same by the clock: the learning rate falls in the last minutes

The arithmetic is in demo_step.c, which is compiled on the first use (gcc, and a processor with AVX512_BF16).
Matrices are trained with Muon (momentum, orthogonalised by Newton-Schulz steps), the rest with Adam.  An average of
the weights over the last steps is kept beside them; it is what gets exported.
"""
import argparse
import csv
import ctypes
import datetime
import os
import pickle
import random
import signal
import subprocess
import time

import numpy as np
from tokenizers import Tokenizer

import data
import weights
from chat import Chat, render, train_tokenizer
from facts import CONCEPTS, FACTS

SEED = 20261121
HERE = os.path.dirname(os.path.abspath(__file__))
STEP_TOKENS = 4096          # about so many tokens in a step, in whole documents
DOC_TOKENS_MAX = 2304
LONG_SHARE = 0.005          # of documents; they are long, so it is a tenth of the tokens
PLAIN_SHARE = 0.015


# ---- text ----

def tokenizer_corpus(n):
    """Texts as the tokenizer will see them; letter-by-letter answers are left out, as they need no merges."""
    rng = random.Random(SEED)
    g = data.Gen(rng, "train")
    for _ in range(n):
        for _, text, _, is_spelled in render(data.conversation(g, data.pick_family(rng))):
            if not is_spelled:
                yield text


def lower_pieces(tok):
    return sorted({t.lstrip("\u0120") for t in tok.get_vocab() if t.lstrip("\u0120").isascii() and t.lstrip("\u0120").isalpha() and t.lstrip("\u0120").islower()})


def plain_text(chat, rng):
    """Facts without a chat around them, for the completions endpoint."""
    texts = [answer for answer, *_ in rng.sample(CONCEPTS, 2) + rng.sample(FACTS, 2)]
    ids = chat.encode(" ".join(texts)) + [chat.end]
    return ids, [False] + [True] * (len(ids) - 1)


class Stream:
    """Batches of whole documents."""

    def __init__(self, chat, seed):
        self.chat, self.rng = chat, random.Random(seed)
        self.gen = data.Gen(self.rng, "train")

    def document(self):
        dice = self.rng.random()
        if dice < LONG_SHARE:
            return self.chat.tokens(data.long_conversation(self.gen, self.rng.randint(4, 36)))
        if dice < LONG_SHARE + PLAIN_SHARE:
            return plain_text(self.chat, self.rng)
        return self.chat.tokens(data.conversation(self.gen, data.pick_family(self.rng)))

    def batch(self):
        """Tokens, borders of documents, and position, next token and weight of what is learned."""
        tokens, borders, at, targets = [], [0], [], []
        while len(tokens) < STEP_TOKENS - 32:
            ids, learn = self.document()
            if len(ids) > DOC_TOKENS_MAX:
                continue
            for i in range(1, len(ids)):
                if learn[i]:
                    at.append(len(tokens) + i - 1)
                    targets.append(ids[i])
            tokens += ids
            borders.append(len(tokens))
        fill = -len(tokens) % 16
        if fill:
            tokens += [self.chat.end] * fill
            borders.append(len(tokens))
        n, fill = len(at), -len(at) % 16
        weight = [1.0] * n + [0.0] * fill
        return [np.array(x, np.int32) for x in (tokens, borders, at + [0] * fill, targets + [0] * fill)] + [np.array(weight, np.float32)]


# ---- arithmetic ----

class Dims(ctypes.Structure):
    _fields_ = [(n, ctypes.c_int) for n in "n_vocab n_embd n_layers n_heads n_heads_kv head_dim n_ff".split()] + [("rope_base", ctypes.c_float), ("norm_eps", ctypes.c_float)]


class Rates(ctypes.Structure):
    _fields_ = [(n, ctypes.c_float) for n in "muon adam decay average".split()] + [("step", ctypes.c_int)]


def build(out):
    """Compiles demo_step.c beside the results."""
    lib = os.path.join(out, "demo_step.so")
    subprocess.run(["gcc", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC", "-o", lib, os.path.join(HERE, "demo_step.c"), "-lm"], check=True)
    return ctypes.CDLL(lib)


def pointer(a):
    return a.ctypes.data_as(ctypes.c_void_p)


class Trainer:
    def __init__(self, lib, cfg, saved=None):
        self.lib, self.cfg = lib, cfg
        self.dims = Dims(cfg.n_vocab, cfg.n_embd, cfg.n_layers, cfg.n_heads, cfg.n_heads_kv, cfg.head_dim, cfg.n_ff, cfg.rope_base, cfg.norm_eps)
        if saved:
            self.step, self.seconds, self.tokens = saved["step"], saved["seconds"], saved["tokens"]
            self.params, self.average, self.m, self.v = (saved[k].copy() for k in ("params", "average", "m", "v"))
        else:
            self.step, self.seconds, self.tokens = 0, 0.0, 0
            self.params = weights.flatten(weights.init(cfg, SEED))
            self.average, self.m, self.v = self.params.copy(), np.zeros_like(self.params), np.zeros_like(self.params)
        self.grads = np.zeros_like(self.params)

    def run(self, batch, a, lr_scale):
        tokens, borders, at, targets, weight = batch
        loss, right, n = ctypes.c_float(), ctypes.c_int(), ctypes.c_size_t(len(self.params))
        self.lib.demo_step(ctypes.byref(self.dims), pointer(self.params), pointer(self.grads), n, len(tokens), pointer(tokens), len(borders) - 1, pointer(borders),
                           len(at), pointer(at), pointer(targets), pointer(weight), ctypes.byref(loss), ctypes.byref(right))
        self.step += 1
        keep = min(a.average, (self.step + 1) / (self.step + 10))
        rates = Rates(a.muon_lr * lr_scale, a.adam_lr * lr_scale, a.decay, keep, self.step)
        self.lib.demo_update(ctypes.byref(self.dims), *(pointer(x) for x in (self.params, self.grads, self.m, self.v, self.average)), n, ctypes.byref(rates))
        self.tokens += len(tokens)
        return loss.value, right.value, float(weight.sum())

    def save(self, path):
        with open(path + ".tmp", "wb") as f:
            pickle.dump({"config": self.cfg.to_dict(), "step": self.step, "seconds": self.seconds, "tokens": self.tokens,
                         "params": self.params, "average": self.average, "m": self.m, "v": self.v}, f)
        os.replace(path + ".tmp", path)


# ---- the loop ----

def seconds_until(clock):
    now = datetime.datetime.now()
    h, m = map(int, clock.split(":"))
    return (now.replace(hour=h, minute=m, second=0, microsecond=0) - now).total_seconds()


def train(a):
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    tok = Tokenizer.from_file(a.tokenizer)
    data.PIECES.extend(lower_pieces(tok))
    cfg = weights.Config(n_vocab=tok.get_vocab_size(), n_embd=a.dim, n_layers=a.layers, n_ff=a.ff, n_heads=a.heads, n_heads_kv=a.heads_kv, head_dim=a.head_dim)
    path, saved = os.path.join(a.out, "state.pkl"), None
    if os.path.exists(path):
        with open(path, "rb") as f:
            saved = pickle.load(f)
        assert saved["config"] == cfg.to_dict(), (saved["config"], cfg.to_dict())
    t = Trainer(build(a.out), cfg, saved)
    stream = Stream(Chat(tok), SEED + t.step)
    print(f"{len(t.params)} parameters, vocabulary {cfg.n_vocab}, from step {t.step}", flush=True)
    log = open(os.path.join(a.out, "loss.csv"), "a", newline="")
    out = csv.writer(log)
    if t.step == 0:
        out.writerow(["step", "seconds", "tokens", "loss", "accuracy", "lr_scale"])
    last_save, sums, stop = time.time(), [], []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    while not stop:
        left = seconds_until(a.until) if a.until else None
        if (left is not None and left <= 0) or (left is None and t.step >= a.steps):
            break
        fall = left / (60 * a.fall_minutes) if left is not None else (a.steps - t.step) / max(1, a.fall_steps)
        lr_scale = a.lr_scale * min(1.0, (t.step + 1) / 60, max(0.02, fall))
        begin = time.time()
        sums.append(t.run(stream.batch(), a, lr_scale))
        t.seconds += time.time() - begin
        if t.step % 20 == 0:
            loss, acc = float(np.mean([s[0] for s in sums])), sum(s[1] for s in sums) / sum(s[2] for s in sums)
            out.writerow([t.step, round(t.seconds, 1), t.tokens, round(loss, 4), round(acc, 4), round(lr_scale, 3)])
            log.flush()
            if t.step % 100 == 0:
                print(f"step {t.step} loss {loss:.4f} accuracy {acc:.4f} lr {lr_scale:.3f} {t.tokens} tokens {t.seconds:.0f} s", flush=True)
            sums = []
        if time.time() - last_save > 90:
            t.save(path)
            last_save = time.time()
    t.save(path)
    print("done", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("tokenizer", "train"))
    p.add_argument("--out", required=True)
    p.add_argument("--tokenizer", help="tokenizer.json (default: in --out)")
    p.add_argument("--vocab", type=int, default=2048)
    p.add_argument("--texts", type=int, default=40000)
    p.add_argument("--steps", type=int, default=5000)
    p.add_argument("--fall-steps", type=int, default=1500)
    p.add_argument("--until", help="HH:MM")
    p.add_argument("--fall-minutes", type=float, default=25)
    p.add_argument("--dim", type=int, default=256)
    p.add_argument("--layers", type=int, default=5)
    p.add_argument("--ff", type=int, default=512)
    p.add_argument("--heads", type=int, default=4)
    p.add_argument("--heads-kv", type=int, default=2)
    p.add_argument("--head-dim", type=int, default=64)
    p.add_argument("--muon-lr", type=float, default=0.02)
    p.add_argument("--adam-lr", type=float, default=0.003)
    p.add_argument("--decay", type=float, default=0.05)
    p.add_argument("--average", type=float, default=0.995)
    p.add_argument("--lr-scale", type=float, default=1.0)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    a.tokenizer = a.tokenizer or os.path.join(a.out, "tokenizer.json")
    if a.what == "tokenizer":
        train_tokenizer(tokenizer_corpus(a.texts), a.vocab).save(a.tokenizer)
    else:
        train(a)


if __name__ == "__main__":
    main()
