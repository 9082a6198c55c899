"""Training samples: latents from the files that render.py made, or fresh ones; captions made anew each time."""

import os
from dataclasses import dataclass

import numpy as np
import torch

import grammar
from common import fail
from render import EXACT, NONE, SIZE_NAMES, draw_scene, encode, from_row, is_loose, path_of
from scenes import EXTENTS, LAYOUT_NAMES, LAYOUTS, SIZE

CENTRE, NORMAL = LAYOUT_NAMES.index("centre"), SIZE_NAMES.index("normal")
KINDS = ("centred", "placed", "sized", "pairs", "sized pairs")


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of scenes, and whether less exactly placed ones are among them."""

    shares: tuple  # as KINDS
    loose: bool = False


def kind_of(scenes):
    """Index into KINDS for u8 rows [N,6] of render.py."""
    pair = scenes[:, 1] != NONE
    sized = (scenes[:, 2] != NORMAL) | (pair & (scenes[:, 3] != NORMAL))
    centred = scenes[:, 4] == CENTRE
    return np.where(pair, np.where(sized, 4, 3), np.where(sized, 2, np.where(centred, 0, 1)))


def object_weights(scene, cells, emphasis):
    """f32 [1,cells,cells] of mean 1: the objects' boxes weigh `emphasis` times as much as what is around them."""
    weights = np.ones((1, cells, cells), np.float32)
    scale = cells / SIZE
    for (x, y), size in zip(LAYOUTS[scene.layout], scene.sizes):
        reach = EXTENTS[size][scene.layout != "centre"] / 2
        x0, x1, y0, y1 = (
            min(max(round(edge * scale), 0), cells) for edge in (x - reach, x + reach, y - reach, y + reach)
        )
        weights[:, y0:y1, x0:x1] = emphasis
    return weights / weights.mean()


class Store:
    """All files of one size: "full", "half", or the held-out "held"."""

    def __init__(self, work, size):
        latents, scenes, loose = [], [], []
        number = 0
        while os.path.exists(path_of(work, size, number)):
            with np.load(path_of(work, size, number)) as file:
                latents.append(file["latents"])
                scenes.append(file["scenes"])
            loose.append(np.full(len(scenes[-1]), is_loose(number)))
            number += 1
        if not latents:
            fail(f"{path_of(work, size, 0)} is missing: run train/render.py first")
        self.latents, self.scenes = latents, np.concatenate(scenes)
        self.starts = np.cumsum([0] + [len(part) for part in latents])
        kinds, loose = kind_of(self.scenes), np.concatenate(loose)
        self.exact = [np.flatnonzero((kinds == k) & ~loose) for k in range(len(KINDS))]
        self.every = [np.flatnonzero(kinds == k) for k in range(len(KINDS))]

    def __len__(self):
        return len(self.scenes)

    def draw(self, rng, mix):
        """(latent f16 [12,h,w], Scene) of a random scene."""
        buckets = self.every if mix.loose else self.exact
        bucket = buckets[int(rng.choice(len(KINDS), p=mix.shares))]
        index = int(bucket[rng.integers(len(bucket))])
        part = int(np.searchsorted(self.starts, index, "right")) - 1
        return self.latents[part][index - self.starts[part]], from_row(self.scenes[index])


class Source:
    """Batches drawn from one seed."""

    def __init__(self, work, tokenizer, seed, empty, sizes=("full", "half")):
        self.stores = {size: Store(work, size) for size in sizes}
        self.tokenizer, self.rng, self.empty = tokenizer, np.random.default_rng(seed), empty

    def batch(self, size, count, mix, length, emphasis=1.0, words=grammar.caption):
        """Latents f32 [B,12,h,w], token ids [B,length], weights of the loss f32 [B,1,h,w] (object_weights)."""
        latents, ids, weights = [], [], []
        for _ in range(count):
            latent, scene = self.stores[size].draw(self.rng, mix)
            text = "" if self.rng.random() < self.empty else words(scene, self.rng)
            latents.append(latent)
            ids.append(self.tokenizer(text, length))
            weights.append(object_weights(scene, latent.shape[-1], emphasis))
        latents, weights = (torch.from_numpy(np.stack(arrays)).float() for arrays in (latents, weights))
        return latents, torch.tensor(ids), weights


class FreshSource:
    """Batches of 512x512 scenes painted and encoded at once: slower, but needs no files."""

    def __init__(self, autoencoder, painter, tokenizer, seed, held=False):
        self.autoencoder, self.painter, self.tokenizer = autoencoder, painter, tokenizer
        self.rng, self.kind = np.random.default_rng(seed), "held" if held else "full"

    def batch(self, count, length):
        scenes = [draw_scene(self.kind, self.rng, EXACT) for _ in range(count)]
        images = np.stack([self.painter.paint(scene, self.rng, EXACT)[1] for scene in scenes])
        ids = [self.tokenizer(grammar.caption(scene, self.rng), length) for scene in scenes]
        return torch.from_numpy(encode(self.autoencoder, images)).float(), torch.tensor(ids)
