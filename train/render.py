"""Renders scenes ahead of the training and keeps their latents: files of 1,024 scenes each.

    python train/render.py --work DIR --full 64 --half 16

Every file follows from the seed, its own number and the autoencoder alone, whichever were made
before, so more can be added at any time. `full-0007.npz` holds `latents` f16 [1024,12,32,32] of
512x512 pictures and `scenes` u8 [1024,6] (objects, sizes, layout, background); `half-0007.npz` the
same at 256x256, [1024,12,16,16]; `held-0000.npz` 512x512 pictures of combinations that training never
shows. Every third file has the objects placed less exactly. Captions are
not kept: they are made anew whenever a scene is used. `projection.json` is a linear map from latents
to colours, for previews, fitted to the first file.
"""

import argparse
import json
import os
import time
from dataclasses import replace

import numpy as np
import torch

import autoencoder
from common import fail, say, setup_threads
from latents import PATCH
from parallel import Orphan, launch
from scenes import (
    BACKGROUND_NAMES,
    EXTENTS,
    LAYOUT_NAMES,
    OBJECT_NAMES,
    Curriculum,
    Painter,
    Scene,
    half_size,
    held_out,
    random_scene,
    training_scene,
)

COUNT, HELD_COUNT, BATCH = 1024, 256, 8
KINDS = ("full", "half", "held")
EXACT = Curriculum(pairs=0.36, centred=0.30, sized=0.22, styled=0.28, jitter=3, size_jitter=8)
LOOSE = replace(EXACT, jitter=8, size_jitter=12)
SIZE_NAMES = list(EXTENTS)
NONE = 255  # where there is no second object
PROJECTION = "projection.json"


def to_row(scene):
    """A scene as six small numbers."""
    objects = [OBJECT_NAMES.index(name) for name in scene.objects] + [NONE]
    sizes = [SIZE_NAMES.index(name) for name in scene.sizes] + [NONE]
    layout, background = LAYOUT_NAMES.index(scene.layout), BACKGROUND_NAMES.index(scene.background)
    return [*objects[:2], *sizes[:2], layout, background]


def from_row(row):
    count = 1 if row[1] == NONE else 2
    return Scene(
        tuple(OBJECT_NAMES[k] for k in row[:count]),
        LAYOUT_NAMES[row[4]],
        BACKGROUND_NAMES[row[5]],
        tuple(SIZE_NAMES[k] for k in row[2 : 2 + count]),
    )


def is_loose(number):
    return number % 3 == 2


def path_of(work, kind, number):
    return os.path.join(work, "latents", f"{kind}-{number:04d}.npz")


@torch.no_grad()
def encode(model, images):
    """uint8 [B,H,W,3] -> f16 [B,12,H/16,W/16]."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.autocast("cpu", torch.bfloat16):
        latents = model.encoder(pixels.contiguous(memory_format=torch.channels_last))
    return latents.float().numpy().astype(np.float16)


def draw_scene(kind, rng, curriculum):
    while kind == "held":
        scene = random_scene(rng, curriculum)
        if held_out(scene):
            return scene
    return training_scene(rng, curriculum)


def paint(painter, kind, number, seed):
    """Batches of (rows, images) of one file."""
    rng = np.random.default_rng([seed, number, KINDS.index(kind)])
    curriculum = LOOSE if is_loose(number) else EXACT
    for _ in range((HELD_COUNT if kind == "held" else COUNT) // BATCH):
        rows, images = [], []
        for _ in range(BATCH):
            scene = draw_scene(kind, rng, curriculum)
            image = painter.paint(scene, rng, curriculum)[1]
            rows.append(to_row(scene))
            images.append(half_size(image) if kind == "half" else image)
        yield rows, np.stack(images)


def colours(images):
    """Mean colour of every latent's pixels in -1..1: [B,3,h,w]."""
    count, height, width = images.shape[:3]
    cells = images.reshape(count, height // PATCH, PATCH, width // PATCH, PATCH, 3)
    return np.moveaxis(cells.mean((2, 4), dtype=np.float32), -1, 1) / 127.5 - 1


def fit_projection(latents, wanted, path):
    """Least squares from latents and a constant to colours; written as three rows of coefficients."""
    inputs = np.moveaxis(latents.astype(np.float64), 1, -1).reshape(-1, latents.shape[1])
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], 1)
    outputs = np.moveaxis(wanted.astype(np.float64), 1, -1).reshape(-1, 3)
    solution = np.linalg.lstsq(inputs, outputs, rcond=None)[0]
    error = float(np.sqrt(np.mean((inputs @ solution - outputs) ** 2)))
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"rms_error": round(error, 5), "rows": np.round(solution.T, 6).tolist()}, file)
        file.write("\n")


def make(model, painter, work, kind, number, seed):
    """Writes one file, whole or not at all."""
    target = path_of(work, kind, number)
    rows, latents, wanted = [], [], []
    for some, images in paint(painter, kind, number, seed):
        rows += some
        latents.append(encode(model, images))
        if kind == "full" and number == 0 and len(wanted) < 32:
            wanted.append(colours(images))
    latents = np.concatenate(latents)
    if wanted:
        wanted = np.concatenate(wanted)
        fit_projection(latents[: len(wanted)], wanted, os.path.join(work, PROJECTION))
    with open(target + ".tmp", "wb") as file:
        np.savez(file, latents=latents, scenes=np.array(rows, np.uint8))
    os.replace(target + ".tmp", target)


def work_through(rank, args):
    wanted = [("held", 0)] + [("full", k) for k in range(args.full)] + [("half", k) for k in range(args.half)]
    wanted = [job for job in wanted if not os.path.exists(path_of(args.work, *job))]
    if not wanted:
        return
    model, painter, orphan = autoencoder.load_trained(args.work), Painter(args.seed, variants=16), Orphan()
    for kind, number in wanted[rank :: args.workers]:
        orphan.check()
        start = time.time()
        make(model, painter, args.work, kind, number, args.seed)
        say(f"render {kind} {number}: {time.time() - start:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, help="folder with autoencoder.pt")
    parser.add_argument("--full", type=int, default=64, help="files of 512x512 scenes")
    parser.add_argument("--half", type=int, default=16, help="files of 256x256 scenes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1234)
    args = parser.parse_args()
    args.work = os.path.abspath(args.work)
    setup_threads(1)
    if not os.path.exists(os.path.join(args.work, "autoencoder.pt")):
        fail(f"{args.work}/autoencoder.pt is missing: run train/autoencoder.py first")
    os.makedirs(os.path.join(args.work, "latents"), exist_ok=True)
    launch(work_through, args)


if __name__ == "__main__":
    main()
