"""The judge: a small classifier, trained on renders, that says what a picture of 512x512 or 256x256 shows.

Five windows of 256 pixels (centre, left, right, top, bottom) go through one small network with two
answers each: an object's name or "nothing", and the object's size. The whole picture, shrunk, goes
through a second one that names the background. Training renders are blurred, blocky and noisy at
random, so that a model's picture is judged by what it shows and not by its crispness, and mangled
objects (two objects mixed or halved, shuffled pieces, blobs) count as "nothing", so that a lookalike
smear does not pass.

    python train/judge.py --out judge.pt        trains it and tests it on fresh renders; resumes by itself
"""

import argparse
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from common import load_checkpoint, save_checkpoint, say, setup_threads
from latents import LatentMap
from scenes import (
    BACKGROUND_NAMES,
    EXTENTS,
    LAYOUTS,
    OBJECT_NAMES,
    Curriculum,
    Painter,
    random_scene,
    resize_sprite,
)

NOTHING = len(OBJECT_NAMES)
SIZE_NAMES = list(EXTENTS)
NO_SIZE = -100  # cross entropy passes over it
SLOTS = {
    "centre": (256, 256),
    "left": (140, 256),
    "right": (372, 256),
    "top": (256, 140),
    "bottom": (256, 372),
}
SLOT_NAMES = list(SLOTS)
LAYOUT_SLOTS = {name: (name,) for name in SLOTS} | {"beside": ("left", "right"), "above": ("top", "bottom")}
VIEW, WINDOW = 128, 64  # the picture and a slot's window after shrinking by 4
EASY = Curriculum(pairs=0.35, centred=0.3, sized=0.3, styled=0.4, jitter=14, size_jitter=16)
BATCH, CHECKPOINT_SECONDS = 32, 120
# Iterations and highest learning rate of each round. Each paints backgrounds of its own, so that what a few of them
# have by chance is not learned by heart.
ROUNDS = ((2400, 3e-3), (1200, 1e-3))


def shrink(image):
    """uint8 [512,512,3] or [256,256,3] -> float32 [128,128,3] in -1..1, by averaging."""
    small = Image.fromarray(np.ascontiguousarray(image)).reduce(image.shape[0] // VIEW)
    return np.asarray(small, np.float32) / np.float32(127.5) - 1


def windows(view):
    """[...,3,128,128] -> [...,5,3,64,64]: the slots' windows."""
    out = []
    for x, y in SLOTS.values():
        left, top = (min(max(v // 4 - WINDOW // 2, 0), VIEW - WINDOW) for v in (x, y))
        out.append(view[..., top : top + WINDOW, left : left + WINDOW])
    return torch.stack(out, -4)


def _block(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.window = nn.Sequential(
            *_block(3, 32),
            *_block(32, 64),
            *_block(64, 128),
            *_block(128, 192),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.object, self.size = nn.Linear(3072, NOTHING + 1), nn.Linear(3072, len(SIZE_NAMES))
        self.background = nn.Sequential(
            *_block(3, 32),
            *_block(32, 64),
            *_block(64, 96),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(1536, len(BACKGROUND_NAMES)),
        )

    def forward(self, view):
        """[B,3,128,128] -> logits of the slots' objects [B,5,65], of their sizes [B,5,3], of the background."""
        slots = windows(view)
        features = self.window(slots.flatten(0, 1))
        objects, sizes = (head(features).unflatten(0, slots.shape[:2]) for head in (self.object, self.size))
        return objects, sizes, self.background(F.avg_pool2d(view, 4))

    @torch.no_grad()
    def verdict(self, images):
        """uint8 pictures -> list of ({slot: (object, size)}, background)."""
        self.eval()
        view = torch.from_numpy(np.stack([shrink(image) for image in images])).permute(0, 3, 1, 2)
        objects, sizes, backgrounds = (answer.argmax(-1).tolist() for answer in self(view))
        out = []
        for names, extents, background in zip(objects, sizes, backgrounds):
            seen = {
                SLOT_NAMES[i]: (OBJECT_NAMES[k], SIZE_NAMES[extents[i]])
                for i, k in enumerate(names)
                if k != NOTHING
            }
            out.append((seen, BACKGROUND_NAMES[background]))
        return out


class Renders:
    """Random renders with labels; `spoil` turns on blur, blocks and noise."""

    def __init__(self, latent_map, seed, spoil=True):
        self.map, self.rng, self.spoil = latent_map, np.random.default_rng([*seed, 31]), spoil
        self.painter = Painter(seed[0], variants=8)

    def _mangled(self, extent):
        """A sprite that is no object: two mixed or halved, pieces shuffled, or a blob."""
        a, b = (
            self.painter.sprite(OBJECT_NAMES[i], extent) for i in self.rng.choice(NOTHING, 2, replace=False)
        )
        box = np.zeros((2, extent, extent, 4), np.float32)
        for k, sprite in enumerate((a, b)):
            height, width = sprite.shape[:2]
            y, x = (extent - height) // 2, (extent - width) // 2
            box[k, y : y + height, x : x + width] = sprite
        kind = self.rng.integers(4)
        if kind == 0:
            return 0.5 * (box[0] + box[1])
        if kind == 1:
            half = extent // 2
            return np.concatenate([box[0][:, :half], box[1][:, half:]], 1)
        if kind == 2:
            tile = extent // 4
            cells = [
                box[0][r * tile : (r + 1) * tile, c * tile : (c + 1) * tile]
                for r in range(4)
                for c in range(4)
            ]
            cells = [cells[i] for i in self.rng.permutation(16)]
            return np.concatenate([np.concatenate(cells[r * 4 : r * 4 + 4], 1) for r in range(4)], 0)
        return resize_sprite(resize_sprite(box[0] / 255, 3), extent) * 255

    def _picture(self, mangle):
        """(image, classes of the slots' objects, and of their sizes, background class)."""
        scene = random_scene(self.rng, EASY)
        objects, sizes = dict.fromkeys(SLOTS, NOTHING), dict.fromkeys(SLOTS, NO_SIZE)
        if not mangle:
            image = self.painter.paint(scene, self.rng, EASY)[1]
            for slot, name, size in zip(LAYOUT_SLOTS[scene.layout], scene.objects, scene.sizes):
                objects[slot], sizes[slot] = OBJECT_NAMES.index(name), SIZE_NAMES.index(size)
        else:
            bank = self.painter.banks[scene.background]
            image = bank[int(self.rng.integers(len(bank)))].copy()
            for x, y in LAYOUTS[scene.layout]:
                self.painter._stamp(image, self._mangled(int(self.rng.integers(48, 60)) * 4), x, y)
        background = BACKGROUND_NAMES.index(scene.background)
        return image, list(objects.values()), list(sizes.values()), background

    def _spoiled(self, image):
        draw = self.rng.random()
        if draw < 0.3:  # what the latent space keeps, with errors of the kind a model makes
            latent = self.map.encode(image)
            latent += self.rng.normal(0, self.rng.uniform(0, 0.15), latent.shape).astype(np.float32)
            image = self.map.decode(latent)
        view = shrink(image)
        if draw > 0.6:
            height = int(self.rng.integers(40, 110))
            small = torch.from_numpy(view).permute(2, 0, 1)[None]
            small = F.interpolate(small, size=(height, height), mode="area")
            view = F.interpolate(small, size=(VIEW, VIEW), mode="bilinear")[0].permute(1, 2, 0).numpy()
        view = view * self.rng.uniform(0.9, 1.1) + self.rng.uniform(-0.06, 0.06)
        return (view + self.rng.normal(0, self.rng.uniform(0, 0.08), view.shape)).astype(np.float32)

    def batch(self, count, mangled=0.0):
        """(views, objects, sizes, backgrounds); `mangled` is the share of pictures with spoilt objects."""
        pictures = [self._picture(self.rng.random() < mangled) for _ in range(count)]
        views = [self._spoiled(p[0]) if self.spoil else shrink(p[0]) for p in pictures]
        views = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).contiguous()
        return views, *(torch.tensor([p[k] for p in pictures]) for k in (1, 2, 3))


def loss_of(model, views, objects, sizes, backgrounds):
    said = model(views)
    return (
        F.cross_entropy(said[0].flatten(0, 1), objects.flatten())
        + 0.3 * F.cross_entropy(said[1].flatten(0, 1), sizes.flatten(), ignore_index=NO_SIZE)
        + F.cross_entropy(said[2], backgrounds)
    )


def rate_at(progress, peak):
    """Learning rate of a round: up over its first tenth, down along a cosine."""
    return peak * min(1.0, progress / 0.1) * 0.5 * (1 + math.cos(math.pi * progress))


def train(path, latent_map, rounds, seed=41):
    """Trains the judge; a stopped training goes on from the checkpoint beside `path`."""
    torch.manual_seed(seed)
    model, state = Judge(), load_checkpoint(path + ".part")
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    done, first, saved = 0, 0, time.time()
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    model.train()
    for number, (length, peak) in enumerate(rounds):
        renders = Renders(latent_map, [seed + number, done]) if done < first + length else None
        while done < first + length:
            for group in optimizer.param_groups:
                group["lr"] = rate_at((done - first) / length, peak)
            loss = loss_of(model, *renders.batch(BATCH, mangled=0.2))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done % 100 == 0:
                say(f"judge {done}, loss {float(loss.detach()):.4f}")
            if time.time() - saved > CHECKPOINT_SECONDS:
                saved = time.time()
                parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}
                save_checkpoint(path + ".part", parts)
        first += length
    return model.eval()


@torch.no_grad()
def test(model, latent_map, count=1000, seed=4242):
    """Shares of fresh, unspoiled renders of which everything, and each part, is named right."""
    renders = Renders(latent_map, [seed], spoil=False)
    right, wrong = [], {}
    for _ in range(count // 50):
        views, *truth = renders.batch(50)
        said = [answer.argmax(-1) for answer in model(views)]
        slots = said[0] == truth[0]
        for row, column in (~slots).nonzero().tolist():
            name = (OBJECT_NAMES + ["nothing"])[truth[0][row, column]]
            wrong[name] = wrong.get(name, 0) + 1
        sizes = (said[1] == truth[1]) | (truth[1] == NO_SIZE)
        right.append(torch.stack([slots.all(-1), sizes.all(-1), said[2] == truth[2]], -1))
    right = torch.cat(right)
    mangled = model(renders.batch(200, mangled=1.0)[0])[0].argmax(-1)
    shares = right.float().mean(0).tolist()
    return {
        "renders": len(right),
        "objects_and_places": shares[0],
        "sizes": shares[1],
        "background": shares[2],
        "all_right": float(right.all(-1).float().mean()),
        "mangled_seen_as_nothing": float((mangled == NOTHING).all(-1).float().mean()),
        "slot_errors_by_object": dict(sorted(wrong.items())),
    }


def obtain(path, latent_map, rounds=ROUNDS):
    """Loads the judge from `path`, or trains it and writes it there."""
    if not os.path.exists(path):
        save_checkpoint(path, train(path, latent_map, rounds).state_dict())
    model = Judge()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    setup_threads(1)
    latent_map = LatentMap.fit()
    print(test(obtain(args.out, latent_map), latent_map))


if __name__ == "__main__":
    main()
