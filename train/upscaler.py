"""Trains the small x2 upscaler: SRVGGNetCompact (Real-ESRGAN's compact network) with 48 features.

Learns from photographs that come in the PyPI packages scikit-image and scikit-learn, and from pictures
of the built-in model. Four photographs are never trained on (astronaut, chelsea, coffee, rocket): they
measure the result, as PSNR of the luma against the same picture halved and enlarged again.

    python train/upscaler.py --work DIR --pictures FOLDER --iterations 3000   resumes by itself
    python train/upscaler.py --work DIR --export models/tintype-x2.safetensors
"""

import argparse
import csv
import glob
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from common import fail, load_checkpoint, save_checkpoint, say, setup_threads

FEATURES, LAYERS, SCALE = 48, 8, 2
CROP = 48  # side of a small crop
BATCH = 24
LEARNING_RATE, FLOOR, WARMUP, EMA = 8e-4, 0.01, 100, 0.999
PICTURE_SHARE = 0.3  # of the crops come from the model's pictures
TEST = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
PHOTOS = (
    "skimage/brick.png skimage/camera.png skimage/cell.png skimage/coins.png skimage/grass.png skimage/gravel.png"
    " skimage/hubble_deep_field.jpg skimage/ihc.png skimage/moon.png skimage/motorcycle_left.png skimage/retina.jpg"
    " sklearn/china.jpg sklearn/flower.jpg"
).split()
CHECKPOINT_SECONDS = 120


def build(seed=5):
    """Names as Real-ESRGAN gives them: body.0, body.1 (PReLU), ..., the last one makes the pixels."""
    torch.manual_seed(seed)
    layers = [torch.nn.Conv2d(3, FEATURES, 3, padding=1), torch.nn.PReLU(FEATURES)]
    for _ in range(LAYERS):
        layers += [torch.nn.Conv2d(FEATURES, FEATURES, 3, padding=1), torch.nn.PReLU(FEATURES)]
    layers.append(torch.nn.Conv2d(FEATURES, 3 * SCALE * SCALE, 3, padding=1))
    net = torch.nn.Module()
    net.body = torch.nn.ModuleList(layers)
    for layer in layers:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, a=0.25)
            torch.nn.init.zeros_(layer.bias)
    layers[-1].weight.data *= 0.1  # begin as nearest neighbours
    return net


def enlarge(net, small):
    value = small
    for layer in net.body:
        value = layer(value)
    return F.pixel_shuffle(value, SCALE) + F.interpolate(small, scale_factor=SCALE, mode="nearest")


def photo_path(name):
    package, file = name.split("/")
    if package == "skimage":
        import skimage

        return os.path.join(os.path.dirname(skimage.__file__), "data", file)
    import sklearn.datasets

    return os.path.join(os.path.dirname(sklearn.datasets.__file__), "images", file)


def read(path):
    return np.asarray(Image.open(path).convert("RGB"))


def halve(large, how=Image.BICUBIC):
    return large.resize((large.width // 2, large.height // 2), how)


class Crops:
    """Pairs of a large crop and its half, at random sizes, turned and mirrored; sometimes with a little noise."""

    def __init__(self, pictures, seed):
        self.photos = [read(photo_path(name)) for name in PHOTOS]
        self.weights = np.array([photo.shape[0] * photo.shape[1] for photo in self.photos], float) ** 0.5
        self.weights /= self.weights.sum()
        self.pictures = sorted(glob.glob(os.path.join(pictures, "*.png"))) if pictures else []
        if pictures and not self.pictures:
            fail(f"{pictures} has no PNG: make some with tintype, or leave --pictures out")
        self.seed = seed

    def pair(self, rng):
        if self.pictures and rng.random() < PICTURE_SHARE:
            large = read(self.pictures[rng.integers(len(self.pictures))])
        else:
            large = self.photos[rng.choice(len(self.photos), p=self.weights)]
        factor = rng.choice([1.0, rng.uniform(0.45, 1.0)])  # smaller pictures have sharper detail
        side = int(2 * CROP / factor) + 1
        if min(large.shape[:2]) < side:
            side = min(large.shape[:2])
        top, left = rng.integers(large.shape[0] - side + 1), rng.integers(large.shape[1] - side + 1)
        cut = Image.fromarray(large[top : top + side, left : left + side])
        cut = cut.resize((2 * CROP, 2 * CROP), Image.BICUBIC if factor < 1 else Image.NEAREST)
        if factor == 1:
            cut = Image.fromarray(large[top : top + 2 * CROP, left : left + 2 * CROP])
        small = np.asarray(halve(cut, Image.BICUBIC if rng.random() < 0.8 else Image.BOX), np.float32)
        if rng.random() < 0.1:
            small = np.clip(small + rng.normal(0, rng.uniform(0.5, 3), small.shape), 0, 255).astype(np.float32)
        cut = np.asarray(cut, np.float32)
        turn, mirror = rng.integers(4), rng.integers(2)
        small, cut = np.rot90(small, turn), np.rot90(cut, turn)
        if mirror:
            small, cut = small[:, ::-1], cut[:, ::-1]
        return small.transpose(2, 0, 1) / 255, cut.transpose(2, 0, 1) / 255

    def batch(self, iteration):
        rng = np.random.default_rng([self.seed, iteration])
        pairs = [self.pair(rng) for _ in range(BATCH)]
        return [torch.from_numpy(np.ascontiguousarray(np.stack(side)).astype(np.float32)) for side in zip(*pairs)]


def luma(rgb):
    return (65.481 * rgb[0] + 128.553 * rgb[1] + 24.966 * rgb[2] + 16) / 255


def psnr(a, b, border=4):
    difference = (luma(a) - luma(b))[border:-border, border:-border]
    return float(-10 * torch.log10((difference**2).mean()))


@torch.no_grad()
def measure(net):
    """(network, bicubic) PSNR of the held-out photographs."""
    rows = []
    for name in TEST:
        large = read(photo_path("skimage/" + name))
        large = Image.fromarray(large[: large.shape[0] // 2 * 2, : large.shape[1] // 2 * 2])
        half = halve(large)
        tensor = lambda image: torch.from_numpy(np.asarray(image).astype(np.float32).transpose(2, 0, 1) / 255)
        result = enlarge(net, tensor(half)[None])[0].clamp(0, 1)
        result = torch.round(result * 255) / 255
        rows.append((name, psnr(result, tensor(large)), psnr(tensor(half.resize(large.size, Image.BICUBIC)), tensor(large))))
    return rows


def rate(iteration, total):
    if iteration < WARMUP:
        return LEARNING_RATE * (iteration + 1) / WARMUP
    share = (iteration - WARMUP) / max(1, total - WARMUP)
    return LEARNING_RATE * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * share)))


def train(args):
    net, ema = build(), build()
    optimizer = torch.optim.Adam(net.parameters(), betas=(0.9, 0.99))
    path = os.path.join(args.work, "upscaler.pt")
    state = load_checkpoint(path)
    first = 0
    if state:
        net.load_state_dict(state["net"]), ema.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["iteration"]
    crops = Crops(args.pictures, args.seed)
    saved, mean = time.time(), None
    for iteration in range(first, args.iterations):
        for group in optimizer.param_groups:
            group["lr"] = rate(iteration, args.iterations)
        small, large = crops.batch(iteration)
        loss = (enlarge(net, small) - large).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        with torch.no_grad():
            decay = min(EMA, (iteration + 1) / (iteration + 10))
            for kept, new in zip(ema.parameters(), net.parameters()):
                kept.lerp_(new, 1 - decay)
        value = loss.item()
        mean = value if mean is None else 0.99 * mean + 0.01 * value
        last = iteration + 1 == args.iterations
        if (iteration + 1) % 250 == 0 or last:
            rows = measure(ema)
            gain = np.mean([ours - bicubic for _, ours, bicubic in rows])
            say("upscaler", iteration + 1, f"loss {mean:.5f}", f"gain {gain:.2f} dB")
            with open(os.path.join(args.work, "upscaler.csv"), "a", newline="") as file:
                csv.writer(file).writerow([iteration + 1, f"{mean:.6f}"] + [f"{ours:.3f}" for _, ours, _ in rows])
        if time.time() - saved > CHECKPOINT_SECONDS or last:
            saved = time.time()
            save_checkpoint(
                path,
                {
                    "net": net.state_dict(),
                    "ema": ema.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "iteration": iteration + 1,
                },
            )
    for name, ours, bicubic in measure(ema):
        say(f"{name}: {ours:.2f} dB, bicubic {bicubic:.2f} dB")


def export(args):
    """Halves, in the names that Real-ESRGAN's files have."""
    from safetensors.torch import save_file

    state = load_checkpoint(os.path.join(args.work, "upscaler.pt"))
    if not state:
        fail(f"{args.work} has no upscaler.pt: train first")
    tensors = {name: value.to(torch.float16).contiguous() for name, value in state["ema"].items()}
    about = {
        "architecture": "SRVGGNetCompact 48x8 PReLU, x2",
        "license": "MIT",
        "training": f"{state['iteration']} iterations on photographs of scikit-image and scikit-learn and own pictures",
    }
    save_file(tensors, args.export, metadata=about)
    say(f"{args.export}: {os.path.getsize(args.export)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, help="folder of the checkpoint")
    parser.add_argument("--pictures", help="folder with pictures of the built-in model")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export", help="write the network instead of training it")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    setup_threads(args.threads)
    export(args) if args.export else train(args)


if __name__ == "__main__":
    main()
