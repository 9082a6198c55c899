#!/usr/bin/env python3
"""Small super-resolution networks of every kind and key naming, and what torch makes of a picture with them.

    golden_upscale.py [FOLDER]     rewrites FOLDER/models/upscale and FOLDER/upscale.safetensors, default: data

Weights are noise of their names, stored as halves; the goldens widen the same values to float32."""
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from golden_inputs import noise, save_arrays


class Network:
    """Weights that appear when a forward function asks for them, under canonical names."""

    def __init__(self, name):
        self.name, self.tensors = name, {}

    def tensor(self, key, shape, scale, shift=0.0):
        if key not in self.tensors:
            self.tensors[key] = noise(f"upscale/{self.name}/{key}", shape, scale, shift).astype(np.float16)
        return torch.from_numpy(self.tensors[key].astype(np.float32))

    def conv(self, x, key, n_out, side=3, padding=None, bias=True, gain=1.0):
        n_in = x.shape[1]
        weight = self.tensor(f"{key}.weight", (n_out, n_in, side, side), gain / (n_in * side * side) ** 0.5)
        padding = side // 2 if padding is None else padding
        return F.conv2d(x, weight, self.tensor(f"{key}.bias", (n_out,), 0.1) if bias else None, padding=padding)

    def prelu(self, x, key):
        return F.prelu(x, self.tensor(key, (x.shape[1],), 0.2, 0.2))


def srvgg(net, x, features, n_middle, scale):
    h = x
    for i in range(n_middle + 1):
        h = net.prelu(net.conv(h, f"conv{i}", features), f"prelu{i}.slope")
    h = net.conv(h, f"conv{n_middle + 1}", 3 * scale * scale)
    return F.pixel_shuffle(h, scale) + F.interpolate(x, scale_factor=scale, mode="nearest")


def leaky(x):
    return F.leaky_relu(x, 0.2)


def rrdb(net, x, features, growth, n_blocks, n_ups, unshuffle=1):
    first = net.conv(F.pixel_unshuffle(x, unshuffle), "conv_first", features)
    h = first
    for block in range(n_blocks):
        outer = h
        for part in range(1, 4):
            inner, seen = h, [h]
            for k in range(1, 5):
                name = f"body.{block}.rdb{part}.conv{k}"
                seen.append(leaky(net.conv(torch.cat(seen, 1), name, growth)))
            h = inner + 0.2 * net.conv(torch.cat(seen, 1), f"body.{block}.rdb{part}.conv5", features)
        h = outer + 0.2 * h
    h = first + net.conv(h, "conv_body", features)
    for i in range(1, n_ups + 1):
        h = leaky(net.conv(F.interpolate(h, scale_factor=2, mode="nearest"), f"conv_up{i}", features))
    return net.conv(leaky(net.conv(h, "conv_hr", features)), "conv_last", 3)


def upconv7(net, x, widths):
    h = F.pad(x, (7, 7, 7, 7), mode="replicate")
    for i, width in enumerate(widths):
        h = F.leaky_relu(net.conv(h, f"conv{i}", width, padding=0), 0.1)
    n_in = h.shape[1]
    weight = net.tensor("conv6.weight", (n_in, 3, 4, 4), 1 / (4 * n_in) ** 0.5)
    return F.conv_transpose2d(h, weight, net.tensor("conv6.bias", (3,), 0.1), stride=2, padding=3)


def fsrcnn(net, x, features, growth, n_mapping, scale):
    h = net.prelu(net.conv(x, "conv0", features, 5), "prelu0.slope")
    h = net.prelu(net.conv(h, "conv1", growth, 1), "prelu1.slope")
    for i in range(2, 2 + n_mapping):
        h = net.prelu(net.conv(h, f"conv{i}", growth), f"prelu{i}.slope")
    last = 2 + n_mapping
    h = net.prelu(net.conv(h, f"conv{last}", features, 1), f"prelu{last}.slope")
    h = net.conv(h, f"conv{last + 1}", scale * scale, 1, bias=False)
    return F.pixel_shuffle(h, scale) + net.tensor("out.bias", (1,), 0.2)


def espcn(net, x, features, middle, scale):
    h = F.relu(net.conv(x, "conv0", features, 5))
    h = F.relu(net.conv(h, "conv1", middle))
    return torch.tanh(F.pixel_shuffle(net.conv(h, "conv2", scale * scale), scale))


def basicsr_row(key):
    """convN and preluN as Real-ESRGAN numbers them."""
    layer, part = key.split(".")
    if layer.startswith("prelu"):
        return f"body.{2 * int(layer[5:]) + 1}.weight"
    return f"body.{2 * int(layer[4:])}.{part}"


def esrgan(key):
    for new, old in (("conv_body", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv"), ("body", "RRDB_trunk"),
                     ("rdb", "RDB")):
        key = key.replace(new, old)
    return key


def old_esrgan(n_blocks, n_ups):
    def rename(key):
        layer, part = key.rsplit(".", 1)
        if layer.startswith("body."):
            return f"model.1.sub.{layer[5:].replace('rdb', 'RDB')}.0.{part}"
        places = {"conv_first": "0", "conv_body": f"1.sub.{n_blocks}", "conv_up1": "3", "conv_up2": "6",
                  "conv_hr": str(3 * n_ups + 2), "conv_last": str(3 * n_ups + 4)}
        return f"model.{places[layer]}.{part}"
    return rename


def same(key):
    return key


# name, channels and size of the input, network, {file: names}
CASES = [
    ("srvgg_x2", (3, 9, 14), lambda n, x: srvgg(n, x, 12, 2, 2),
     {"srvgg_x2": basicsr_row, "srvgg_x2_params": lambda key: "params_ema." + basicsr_row(key)}),
    ("srvgg_x3", (3, 7, 5), lambda n, x: srvgg(n, x, 10, 1, 3), {"srvgg_x3": same}),
    ("rrdb_x4", (3, 7, 6), lambda n, x: rrdb(n, x, 8, 4, 2, 2),
     {"rrdb_x4": same, "rrdb_x4_esrgan": esrgan, "rrdb_x4_old": old_esrgan(2, 2)}),
    ("rrdb_x2", (3, 10, 8), lambda n, x: rrdb(n, x, 8, 4, 1, 2, 2), {"rrdb_x2": lambda key: "params_ema." + key}),
    ("rrdb_up2", (3, 6, 5), lambda n, x: rrdb(n, x, 4, 4, 1, 1),
     {"rrdb_up2_esrgan": esrgan, "rrdb_up2_old": old_esrgan(1, 1)}),
    ("upconv7_x2", (3, 6, 9), lambda n, x: upconv7(n, x, (4, 8, 8, 12, 12, 16)), {"upconv7_x2": same}),
    ("fsrcnn_x2", (1, 9, 11), lambda n, x: fsrcnn(n, x, 12, 6, 2, 2), {"fsrcnn_x2": same}),
    ("espcn_x3", (1, 8, 7), lambda n, x: espcn(n, x, 12, 8, 3), {"espcn_x3": same}),
]


def write(folder):
    models = os.path.join(folder, "models", "upscale")
    os.makedirs(models, exist_ok=True)
    arrays = {}
    for name, shape, network, files in CASES:
        net = Network(name)
        x = torch.from_numpy(np.clip(noise(f"upscale/{name}/in", (1, *shape), 0.25, 0.5), 0, 1))
        arrays[f"{name}.in"], arrays[f"{name}.out"] = x.numpy(), network(net, x).numpy()
        for file, rename in files.items():
            tensors = {rename(key): np.ascontiguousarray(value) for key, value in net.tensors.items()}
            path = os.path.join(models, file + ".safetensors")
            save_file(tensors, path)
            os.chmod(path, 0o644)
    save_arrays(folder, "upscale", arrays)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    write(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "data"))
