#!/usr/bin/env python3
"""Make tests/golden/quant_dequant.txt: random blocks of every type and the floats they stand for.

  golden_quant.py PATH_TO_GGUF_PY > tests/golden/quant_dequant.txt

The oracle is the numpy code of the `gguf` package (pip install gguf, or its source folder).  Each
line: type name, block bytes in hex, the values as f32 bits in hex.  Needs numpy.
"""
import sys
import numpy as np

sys.path.insert(0, sys.argv[1])
from gguf import quants                      # noqa: E402
from gguf.constants import GGMLQuantizationType as T, GGML_QUANT_SIZES  # noqa: E402

# type: byte offsets of its f16 scales, which get ordinary and extreme values instead of any bits
F16_AT = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
          "IQ4_XS": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208], "MXFP4": [], "NVFP4": [], "BF16": [], "F16": []}
ODD = [0x0001, 0x8001, 0x03ff, 0x0400, 0x7bff, 0xfbff, 0x0000, 0x8000]  # subnormals, limits, zeros


def main():
    rng = np.random.default_rng(20)
    for name, at in F16_AT.items():
        elems, size = GGML_QUANT_SIZES[T[name]]
        rows = 4 if elems == 256 else 12
        if elems == 1:
            elems, size = 16, 16 * size
        b = rng.integers(0, 256, (rows, size), dtype=np.uint8)
        for o in at:
            b[:, o:o + 2] = rng.normal(0, 0.05, rows).astype("<f2").view(np.uint8).reshape(rows, 2)
            odd = rng.integers(0, len(ODD), rows // 2)
            b[:rows // 2, o:o + 2] = np.array(ODD, "<u2")[odd].view(np.uint8).reshape(-1, 2)
        if name == "MXFP4":
            b[:6, 0] = [0, 1, 2, 127, 128, 250]
        if name in ("BF16", "F16"):  # NaNs differ in their bits between converters
            v = b.view("<u2")
            top = 0x7f80 if name == "BF16" else 0x7c00
            v[(v & top) == top] &= 0x00ff
        y = quants.dequantize(b, T[name]).astype("<f4").reshape(rows, -1)
        for r in range(rows):
            print(name, b[r].tobytes().hex(), " ".join("%08x" % u for u in y[r].view("<u4")))


main()
