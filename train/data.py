"""Training samples: latents from the files that render.py made, or fresh ones; captions made anew each time."""

import os
from dataclasses import dataclass

import numpy as np
import torch

import grammar
from common import fail
from render import EXACT, NONE, SIZE_NAMES, draw_scene, encode, from_row, is_loose, path_of
from scenes import LAYOUT_NAMES

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
    """Batches of (latents f32 [B,12,h,w], token ids [B,length]), drawn from one seed."""

    def __init__(self, work, tokenizer, seed, empty, sizes=("full", "half")):
        self.stores = {size: Store(work, size) for size in sizes}
        self.tokenizer, self.rng, self.empty = tokenizer, np.random.default_rng(seed), empty

    def batch(self, size, count, mix, length):
        latents, ids = [], []
        for _ in range(count):
            latent, scene = self.stores[size].draw(self.rng, mix)
            text = "" if self.rng.random() < self.empty else grammar.caption(scene, self.rng)
            latents.append(latent)
            ids.append(self.tokenizer(text, length))
        return torch.from_numpy(np.stack(latents)).float(), torch.tensor(ids)


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
