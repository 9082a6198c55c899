"""Numbers that depend on their name alone, and the writer of golden files."""
import hashlib
import json
import os

import numpy as np
from safetensors.numpy import save_file

SEED = "tintype-golden-1"
# The sum of four 16-bit uniforms has variance 4 * (65536^2 - 1) / 12.
UNIT = float(np.sqrt(4 * (65536.0**2 - 1) / 12))


def unit_noise(name, shape):
    """Float64 numbers of mean 0 and variance 1, nearly normal: sums of four 16-bit words of SHAKE-256(seed, name)."""
    n = int(np.prod(shape))
    stream = hashlib.shake_256(f"{SEED}/{name}".encode()).digest(8 * n)
    words = np.frombuffer(stream, dtype="<u2").reshape(n, 4).astype(np.int64)
    return ((words.sum(axis=1) - 131070) / UNIT).reshape(shape)


def noise(name, shape, scale=1.0, shift=0.0):
    """The same as float32, scaled and shifted in float64."""
    return (unit_noise(name, shape) * scale + shift).astype(np.float32)


def save_arrays(folder, name, arrays):
    path = os.path.join(folder, name + ".safetensors")
    save_file({key: np.ascontiguousarray(np.asarray(value)) for key, value in arrays.items()}, path)
    os.chmod(path, 0o644)
    print(f"{name}: {len(arrays)} arrays, {os.path.getsize(path)} bytes")


def save_json(folder, name, value):
    with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in value) + "\n]\n")
