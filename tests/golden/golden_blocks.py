#!/usr/bin/env python3
"""Quantized blocks: what gguf-py's numpy code decodes from given bytes and writes for given rows.

    golden_blocks.py [--output tests/golden/data]      writes blocks.safetensors; needs numpy, safetensors and gguf

Bytes and rows are pure functions of their names; check_blocks.py takes larger ones from here."""
import argparse
import hashlib
import os

import numpy as np
import gguf

from golden_inputs import noise, save_arrays

# where a block keeps its halves
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
WRITTEN = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]  # what gguf-py can quantize


def kind(name):
    return gguf.GGMLQuantizationType[name]


def random_blocks(name, n, seed):
    """n blocks of random bytes; their halves are finite numbers of all exponents and both signs, the first ones
    zeros, the smallest and largest subnormals, one, and the largest half."""
    _, n_bytes = gguf.GGML_QUANT_SIZES[kind(name)]
    stream = hashlib.shake_256(f"blocks/{seed}/{name}".encode()).digest(n * n_bytes + 8 * n)
    blocks = np.frombuffer(stream, np.uint8, n * n_bytes).reshape(n, n_bytes).copy()
    words = np.frombuffer(stream, np.uint16, 4 * n, n * n_bytes).reshape(4, n)
    for i, offset in enumerate(HALVES[name]):
        halves = (words[2 * i] % 0x7C00 | words[2 * i + 1] & 0x8000).astype("<u2")
        edges = np.array([0x0000, 0x8000, 0x0001, 0x83FF, 0x3C00, 0x7BFF], "<u2")[:n]
        halves[:len(edges)] = np.roll(edges, i)
        blocks[:, offset:offset + 2] = halves.view(np.uint8).reshape(n, 2)
    return blocks


def edge_rows():
    """Rows of 32 where rounding, signs or overflow are special."""
    ramp = np.arange(32, dtype=np.float32)
    one = np.zeros(32, np.float32)
    one[17] = -3.25
    far = noise("blocks.far", (32,), 1.0)
    far[5] = 1000
    return np.stack([
        np.zeros(32), -np.zeros(32), np.full(32, 0.7), np.full(32, -0.7), one, ramp - 16, (ramp - 16) / 2, ramp / 4,
        -ramp - 1, 2.5 + ramp / 31, far, np.where(ramp % 2 == 0, 0.5, -0.5), (ramp % 16 - 8) + 0.5, np.sign(ramp - 15.5),
        np.full(32, 1e-8), noise("blocks.tiny", (32,), 1e-7), noise("blocks.below_half", (32,), 1e-12),
        noise("blocks.denormal", (32,), 1e-41), noise("blocks.least", (32,), 2e-45), np.full(32, 1.4e-45),
        noise("blocks.large", (32,), 3e4), noise("blocks.over_half", (32,), 3e6), noise("blocks.huge", (32,), 1e30),
        noise("blocks.end", (32,), 1e37), np.abs(noise("blocks.positive", (32,), 1.0)) + 1e-3,
        -np.abs(noise("blocks.negative", (32,), 1.0)) - 1e-3, noise("blocks.offset", (32,), 1e-3, 5.0),
    ]).astype(np.float32)


def random_rows(n, seed):
    """n rows of 32: normal numbers of many sizes, a third of them heavy-tailed, a third on a grid that makes ties."""
    rows = noise(f"blocks.{seed}.rows", (n, 32)) * np.exp2(noise(f"blocks.{seed}.sizes", (n, 1), 4.0)).astype(np.float32)
    rows[1::3] = rows[1::3] ** 3
    rows[2::3] = np.round(rows[2::3] * 8) / np.float32(8)
    rows[rows == 0] = 0  # minus zero beside zero: numpy's minimum may be either
    return rows


def decode(name, blocks):
    with np.errstate(all="ignore"):
        return gguf.dequantize(blocks, kind(name))


def encode(name, rows):
    with np.errstate(all="ignore"):
        return gguf.quantize(rows, kind(name))


def write(folder):
    arrays = {}
    for name in HALVES:
        raw = random_blocks(name, 12 if name.endswith("_K") else 40, "golden")
        arrays[f"{name}.raw"] = raw
        arrays[f"{name}.values"] = decode(name, raw)
    rows = np.concatenate([edge_rows(), random_rows(45, "golden")])
    arrays["rows"] = rows
    for name in WRITTEN:
        arrays[f"{name}.plain"] = encode(name, rows)
    save_arrays(folder, "blocks", arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "data"))
    write(parser.parse_args().output)
