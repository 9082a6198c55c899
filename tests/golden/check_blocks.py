#!/usr/bin/env python3
"""Compares the block decoders and the plain encoders with gguf-py, bit for bit, on millions of elements.

    check_blocks.py [--elements 4000000] [--compiler cc]

Builds blocks_peer.c with the sources it needs into a temporary folder; needs numpy and gguf."""
import argparse
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import gguf

import golden_blocks

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build(compiler, program):
    sources = ["tests/golden/blocks_peer.c", "base/dtype.c", "base/blocks.c", "base/text.c", "base/error.c",
               *sorted(glob.glob("quantize/encode*.c", root_dir=ROOT))]
    subprocess.run([compiler, "-std=c11", "-O3", "-ffp-contract=off", "-D_POSIX_C_SOURCE=200809L", "-I.", "-Iinclude",
                    *sources, "-o", program, "-lutf8proc", "-lm"], cwd=ROOT, check=True)


def through(program, folder, direction, name, data, dtype):
    given, taken = os.path.join(folder, "given"), os.path.join(folder, "taken")
    data.tofile(given)
    subprocess.run([program, direction, name, given, taken], check=True)
    return np.fromfile(taken, dtype)


def report(what, found, expected):
    different = int((found != expected).sum()) if found.shape == expected.shape else expected.size
    print(f"{what}: {expected.size} compared, {different} different", flush=True)
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--elements", type=int, default=4_000_000)
    parser.add_argument("--compiler", default="cc")
    options = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "blocks_peer")
        build(options.compiler, program)
        for name in golden_blocks.HALVES:
            block, _ = gguf.GGML_QUANT_SIZES[golden_blocks.kind(name)]
            raw = golden_blocks.random_blocks(name, -(-options.elements // block), "peer")
            expected = golden_blocks.decode(name, raw).ravel().view(np.uint32)
            different += report(f"decode {name}, elements", through(program, folder, "decode", name, raw, np.uint32),
                                expected)
        rows = np.concatenate([golden_blocks.edge_rows(), golden_blocks.random_rows(options.elements // 32, "peer")])
        for name in golden_blocks.WRITTEN:
            expected = golden_blocks.encode(name, rows).ravel()
            different += report(f"plain {name} of {rows.size} elements, bytes",
                                through(program, folder, "plain", name, rows, np.uint8), expected)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
