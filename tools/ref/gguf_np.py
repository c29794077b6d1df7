"""Read GGUF files and dequantise their tensors with numpy.  The reference's own reader: it shares no
code with the engine, so that the two can disagree.

    f = Gguf("model.gguf"); f.meta["general.architecture"]; f.tensor("token_embd.weight")

Dequantisation is f32 arithmetic in the order of the formulas that define the types, so the values
are exactly those that the blocks stand for.
"""
import os
import re
import struct

import numpy as np

TYPES = {  # id: (name, elements of a block, bytes of a block)
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2),
    2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 20: ("IQ4_NL", 32, 18), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 23: ("IQ4_XS", 256, 136),
}
ID = {name: i for i, (name, _, _) in TYPES.items()}
IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
FP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)


def _half(b, at):
    """The f16 at byte `at` of each block, as a column."""
    return np.ascontiguousarray(b[:, at:at + 2]).view("<f2").astype(np.float32)


def _nibbles(q):
    return np.concatenate([q & 15, q >> 4], axis=-1)


def _bits(b, at, n_bytes):
    """[n, 8 * n_bytes] bits, lowest first."""
    return np.unpackbits(b[:, at:at + n_bytes], axis=1, bitorder="little")


def _crumbs(q):
    """64 bytes of 2-bit codes as Q2_K places them: [n, 256]."""
    q = q.reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    return (q & 3).reshape(-1, 256)


def _k4_scales(s):
    sc, m = np.empty((len(s), 8), np.uint8), np.empty((len(s), 8), np.uint8)
    sc[:, :4], m[:, :4] = s[:, 0:4] & 63, s[:, 4:8] & 63
    sc[:, 4:] = (s[:, 8:12] & 15) | (s[:, 0:4] >> 6 << 4)
    m[:, 4:] = (s[:, 8:12] >> 4) | (s[:, 4:8] >> 6 << 4)
    return sc, m


def _groups(d, sc, q, dmin=None, m=None):
    """d * sc * q - dmin * m, sc and m per group."""
    n = sc.shape[1]
    scale = (d * sc.astype(np.float32))[:, :, None]
    y = scale * q.astype(np.float32).reshape(len(q), n, -1)
    if dmin is not None:
        y = y - (dmin * m.astype(np.float32))[:, :, None]
    return y.reshape(len(q), 256)


def dequantize(name, b):
    """b: uint8 [n_blocks, block bytes] -> f32 [n_blocks, block elements]."""
    b = np.ascontiguousarray(b)
    if name == "F32":
        return b.view("<f4")
    if name == "F16":
        return b.view("<f2").astype(np.float32)
    if name == "BF16":
        return (b.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if name == "Q4_0":
        return (_nibbles(b[:, 2:]).astype(np.float32) - 8) * _half(b, 0)
    if name == "Q4_1":
        return _nibbles(b[:, 4:]).astype(np.float32) * _half(b, 0) + _half(b, 2)
    if name == "Q5_0":
        return ((_nibbles(b[:, 6:]) | _bits(b, 2, 4) << 4).astype(np.float32) - 16) * _half(b, 0)
    if name == "Q5_1":
        q = _nibbles(b[:, 8:]) | _bits(b, 4, 4) << 4
        return q.astype(np.float32) * _half(b, 0) + _half(b, 2)
    if name == "Q8_0":
        return b[:, 2:].view(np.int8).astype(np.float32) * _half(b, 0)
    if name == "Q8_1":
        return b[:, 4:].view(np.int8).astype(np.float32) * _half(b, 0)
    if name == "IQ4_NL":
        return IQ4[_nibbles(b[:, 2:])] * _half(b, 0)
    if name == "MXFP4":
        return (FP4[_nibbles(b[:, 1:])].astype(np.float64) * 2.0 ** (b[:, :1].astype(np.float64) - 128)).astype(np.float32)
    if name == "NVFP4":
        u = b[:, :4]
        e, m = (u >> 3 & 15).astype(np.float32), (u & 7).astype(np.float32)
        s = np.where(e == 0, m * np.float32(2.0 ** -9), (1 + m / 8) * np.float32(2) ** (e - 7))
        s = np.where((u == 0) | (u == 0x7f), 0, s / 2).astype(np.float32)
        return (FP4[_nibbles(b[:, 4:].reshape(-1, 4, 8))] * s[:, :, None]).reshape(-1, 64)
    if name == "Q2_K":
        return _groups(_half(b, 80), b[:, :16] & 15, _crumbs(b[:, 16:80]), _half(b, 82), b[:, :16] >> 4)
    if name == "Q3_K":
        s = b[:, 96:108]
        low = _nibbles(s[:, :8])
        high = (s[:, None, 8:] >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 4, 1) & 3).reshape(-1, 16)
        sc = (low | high << 4).astype(np.int32) - 32
        top = (b[:, None, :32] >> np.arange(8, dtype=np.uint8).reshape(1, 8, 1) & 1).reshape(-1, 256)
        return _groups(_half(b, 108), sc, _crumbs(b[:, 32:96]).astype(np.int32) + 4 * top.astype(np.int32) - 4)
    if name == "Q4_K":
        sc, m = _k4_scales(b[:, 4:16])
        return _groups(_half(b, 0), sc, _nibbles(b[:, 16:].reshape(-1, 4, 32)).reshape(-1, 256), _half(b, 2), m)
    if name == "Q5_K":
        sc, m = _k4_scales(b[:, 4:16])
        top = (b[:, None, 16:48] >> np.arange(8, dtype=np.uint8).reshape(1, 8, 1) & 1).reshape(-1, 256)
        q = _nibbles(b[:, 48:].reshape(-1, 4, 32)).reshape(-1, 256) | top << 4
        return _groups(_half(b, 0), sc, q, _half(b, 2), m)
    if name == "Q6_K":
        low = _nibbles(b[:, :128].reshape(-1, 2, 64)).reshape(-1, 256)
        high = (b[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3).reshape(-1, 256)
        return _groups(_half(b, 208), b[:, 192:208].view(np.int8), (low | high << 4).astype(np.int32) - 32)
    if name == "Q8_K":
        d = np.ascontiguousarray(b[:, :4]).view("<f4")
        return d * b[:, 4:260].view(np.int8).astype(np.float32)
    if name == "IQ4_XS":
        high = np.ascontiguousarray(b[:, 2:4]).view("<u2") >> (2 * np.arange(8, dtype=np.uint16)) & 3
        low = np.stack([b[:, 4:8] & 15, b[:, 4:8] >> 4], axis=2).reshape(-1, 8)
        return _groups(_half(b, 0), (low | high << 4).astype(np.int32) - 32,
                       IQ4[_nibbles(b[:, 8:].reshape(-1, 8, 16))].reshape(-1, 256))
    raise ValueError("cannot dequantise " + name)


SCALAR = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Gguf:
    """Metadata as Python values (arrays of numbers as numpy arrays), tensors on demand."""

    def __init__(self, path):
        self.meta, self.infos = {}, {}
        self._part(path, True)
        n = int(self.meta.get("split.count", 1))
        for i in range(2, n + 1):
            self._part(re.sub(r"-00001-of-", "-%05d-of-" % i, path), False)

    def _part(self, path, keep):
        f = open(path, "rb")
        take = lambda fmt: struct.unpack("<" + fmt, f.read(struct.calcsize("<" + fmt)))[0]
        text = lambda: f.read(take("Q"))

        def value(kind):
            if kind == 8:
                return text().decode("utf-8", "surrogateescape")
            if kind != 9:
                return take(SCALAR[kind])
            kind, n = take("I"), take("Q")
            if kind == 8:
                return [text().decode("utf-8", "surrogateescape") for _ in range(n)]
            dtype = np.dtype("<" + SCALAR[kind]) if kind != 7 else np.dtype(bool)
            return np.frombuffer(f.read(n * dtype.itemsize), dtype)

        assert f.read(4) == b"GGUF" and take("I") in (2, 3), path
        n_tensors, n_kvs = take("Q"), take("Q")
        meta = {}
        for _ in range(n_kvs):
            key = text().decode()
            meta[key] = value(take("I"))
        if keep:
            self.meta = meta
        infos = []
        for _ in range(n_tensors):
            name, n_dims = text().decode(), take("I")
            ne = [take("Q") for _ in range(n_dims)]
            infos.append((name, ne, take("I"), take("Q")))
        align = int(meta.get("general.alignment", 32))
        start = (f.tell() + align - 1) // align * align
        size = os.fstat(f.fileno()).st_size
        data = np.memmap(path, np.uint8, "r") if size else None
        for name, ne, kind, offset in infos:
            self.infos[name] = (data, start + offset, ne, kind)

    def __contains__(self, name):
        return name in self.infos

    def type_name(self, name):
        return TYPES[self.infos[name][3]][0]

    def tensor(self, name, rows=None):
        """f32 in numpy's order: the shape is ne reversed.  `rows`: only these rows of a matrix."""
        data, at, ne, kind = self.infos[name]
        type_name, elems, size = TYPES[kind]
        n = int(np.prod(ne)) if ne else 1
        b = data[at:at + n // elems * size].reshape(-1, size)
        if rows is not None:
            per = ne[0] // elems
            b = b.reshape(-1, per, size)[rows].reshape(-1, size)
            return dequantize(type_name, b).reshape(len(rows), ne[0])
        return dequantize(type_name, b).reshape(ne[::-1])
