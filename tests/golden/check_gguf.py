"""GGUF files against the PyPI package `gguf`, an independent reader and writer: check_gguf.py GGUF-PEER

Files that the package writes must read as the very floats of its numpy code and as the same metadata, and files that
the engine writes must read the same in the package. GGUF-PEER is the program of gguf-peer.c.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

BLOCK_TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
# Where the half-precision scales stand in a block: the package cannot quantize to these types, so that their blocks are
# random bytes with scales that are finite.
SCALES = {"Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
SHAPES = [(3, 256), (2, 3, 512), (1024,), (2, 2, 2, 256)]

checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"check_gguf: {what}")


def random_blocks(rng, name, shape):
    """Bytes of blocks, [..., row bytes]."""
    block, n_bytes = gguf.GGML_QUANT_SIZES[Type[name]]
    n_blocks = int(np.prod(shape)) // block
    raw = rng.integers(0, 256, (n_blocks, n_bytes), dtype=np.uint8)
    for at in SCALES[name]:
        scales = rng.normal(0, 0.01, n_blocks).astype(np.float16)
        raw[:, at : at + 2] = scales.view(np.uint8).reshape(n_blocks, 2)
    return raw.reshape(*shape[:-1], shape[-1] // block * n_bytes)


def make_tensors(rng):
    """name -> (type, shape, array as the package stores it, floats)"""
    tensors = {}
    for i, name in enumerate(BLOCK_TYPES * len(SHAPES)):
        shape = SHAPES[i // len(BLOCK_TYPES)]
        if name in SCALES:
            raw = random_blocks(rng, name, shape)
        else:
            raw = gguf.quants.quantize(rng.normal(0, 1, shape).astype(np.float32), Type[name])
        tensors[f"blk.{i}.{name}"] = (Type[name], shape, raw, gguf.quants.dequantize(raw, Type[name]))
    values = rng.normal(0, 3, (5, 7, 3)).astype(np.float32)
    halves = values.astype(np.float16)
    bf16 = gguf.quants.quantize(values, Type.BF16)
    tensors["f32"] = (Type.F32, values.shape, values, values)
    tensors["f64"] = (Type.F64, values.shape, values.astype(np.float64), values)
    tensors["f16"] = (Type.F16, values.shape, halves, halves.astype(np.float32))
    tensors["bf16 \u00e9"] = (Type.BF16, values.shape, bf16, gguf.quants.dequantize(bf16, Type.BF16))
    for name, kind in (("I8", np.int8), ("I16", np.int16), ("I32", np.int32), ("I64", np.int64)):
        integers = rng.integers(-100, 100, (11, 2)).astype(kind)
        tensors[name.lower()] = (Type[name], integers.shape, integers, integers.astype(np.float32))
    return tensors


# key -> (the writer's method, value, text that the engine keeps; None: an array, which it skips)
METADATA = {
    "a.uint8": ("add_uint8", 255, "255"),
    "a.int8": ("add_int8", -128, "-128"),
    "a.uint16": ("add_uint16", 65535, "65535"),
    "a.int16": ("add_int16", -32768, "-32768"),
    "a.uint32": ("add_uint32", 2**32 - 1, "4294967295"),
    "a.int32": ("add_int32", -(2**31), "-2147483648"),
    "a.uint64": ("add_uint64", 2**64 - 1, "18446744073709551615"),
    "a.int64": ("add_int64", -(2**63), "-9223372036854775808"),
    "a.float32": ("add_float32", 0.5, "0.5"),
    "a.float64": ("add_float64", 0.1, "0.10000000000000001"),
    "a.true": ("add_bool", True, "true"),
    "a.false": ("add_bool", False, "false"),
    "a.text": ("add_string", 'two lines\n{"caf\u00e9": "\U0001f431"}', 'two lines\n{"caf\u00e9": "\U0001f431"}'),
    "a.numbers": ("add_array", [1, -2, 3], None),
    "a.floats": ("add_array", [0.5, 1.5], None),
    "a.texts": ("add_array", ["x", "", "\u00e9"], None),
    "a.bools": ("add_array", [True, False], None),
}


def write_with_package(path, tensors, alignment):
    writer = gguf.GGUFWriter(path, "sd")
    if alignment:
        writer.add_custom_alignment(alignment)
    for key, (method, value, _) in METADATA.items():
        getattr(writer, method)(key, value)
    for name, (kind, _, raw, _) in tensors.items():
        writer.add_tensor(name, raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run(program, mode, path, out, keys):
    done = subprocess.run([program, mode, path, out, *keys], capture_output=True, text=True)
    check(done.returncode == 0, f"gguf-peer {mode}: {done.stderr.strip()}")
    return dict(line.split("\t") for line in done.stdout.splitlines())


def check_read(program, path, tensors, folder):
    """What the engine reads of a file of the package."""
    out = folder / "values"
    metadata = run(program, "read", path, out, METADATA)
    for key, (_, _, text) in METADATA.items():
        got = None if metadata[key] == "-" else bytes.fromhex(metadata[key]).decode()
        check(got == text, f"metadata {key}: expected {text!r}, read {got!r}")
    raw = out.read_bytes()
    seen = 0
    while raw:
        line, raw = raw.split(b"\n", 1)
        name, kind, dims = line.decode().split("\t")
        wanted_kind, shape, _, floats = tensors[name]
        check(kind == wanted_kind.name, f"{name}: type {kind}")
        check(tuple(map(int, dims.split())) == tuple(shape), f"{name}: shape {dims}, expected {shape}")
        n_bytes = 4 * floats.size
        got = np.frombuffer(raw[:n_bytes], np.uint32)
        raw = raw[n_bytes:]
        check(np.array_equal(got, np.ascontiguousarray(floats).view(np.uint32).ravel()), f"{name}: other values")
        seen += 1
    check(seen == len(tensors), f"{seen} tensors read, {len(tensors)} written")


def check_written(program, path, tensors, folder):
    """What the package reads of a file of the engine."""
    out = folder / "copy.gguf"
    run(program, "copy", path, out, METADATA)
    reader = gguf.GGUFReader(out)
    check(reader.alignment == 32 and reader.data_offset % 32 == 0, "alignment of the written file")
    fields = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    wanted = {key: text for key, (_, _, text) in METADATA.items() if text is not None}
    check(fields == wanted | {"peer.number": 4000000000}, f"metadata of the written file: {fields}")
    check([t.name for t in reader.tensors] == sorted(tensors, key=str.encode), "names of the written file")
    for tensor in reader.tensors:
        kind, shape, raw, _ = tensors[tensor.name]
        check(tensor.tensor_type == kind, f"{tensor.name}: written as {tensor.tensor_type.name}")
        check(tuple(reversed(tensor.shape.tolist())) == tuple(shape), f"{tensor.name}: written as {tensor.shape}")
        check(tensor.data_offset % 32 == 0, f"{tensor.name}: begins at {tensor.data_offset}")
        check(tensor.data.tobytes() == np.ascontiguousarray(raw).tobytes(), f"{tensor.name}: other bytes written")


def main():
    program = sys.argv[1]
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for alignment in (None, 8, 64, 4096):
            tensors = make_tensors(rng)
            path = folder / "package.gguf"
            write_with_package(path, tensors, alignment)
            check_read(program, path, tensors, folder)
            check_written(program, path, tensors, folder)
    print(f"{checks} comparisons with the package gguf, all equal")


if __name__ == "__main__":
    main()
