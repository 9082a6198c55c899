"""Captioned scenes, made on the fly: emoji objects on plain or painted backgrounds.

Everything a sample needs follows from one `numpy.random.Generator`, so a seed names a data set.
A scene is one object in one of five places, or two objects side by side or one above the other,
over one of 18 backgrounds; its caption comes from a small grammar with paraphrases (grammar.py).

Look at some:  python train/scenes.py --sheet scenes.png --seed 1
"""

import argparse
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import backgrounds
import grammar

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
FONT_SIZE = 109  # the one bitmap size of the font: 136 x 128 pixels
SIZE = 512
PATCH = 16  # side of a latent cell in pixels (latents.py)

# name -> character. The names are also the classes that the judge knows (judge.py).
OBJECTS = {
    "cat": "\U0001f431",
    "dog": "\U0001f436",
    "rabbit": "\U0001f430",
    "panda": "\U0001f43c",
    "pig": "\U0001f437",
    "frog": "\U0001f438",
    "lion": "\U0001f981",
    "elephant": "\U0001f418",
    "penguin": "\U0001f427",
    "fish": "\U0001f420",
    "butterfly": "\U0001f98b",
    "turtle": "\U0001f422",
    "apple": "\U0001f34e",
    "banana": "\U0001f34c",
    "strawberry": "\U0001f353",
    "pizza": "\U0001f355",
    "hamburger": "\U0001f354",
    "cake": "\U0001f382",
    "car": "\U0001f697",
    "boat": "\u26f5",
    "rocket": "\U0001f680",
    "house": "\U0001f3e0",
    "tree": "\U0001f333",
    "sunflower": "\U0001f33b",
    "ball": "\u26bd",
    "guitar": "\U0001f3b8",
}
OBJECT_NAMES = list(OBJECTS)
BACKGROUND_NAMES = backgrounds.NAMES

# layout -> centres of the objects on the 512 x 512 canvas
LAYOUTS = {
    "centre": [(256, 256)],
    "left": [(144, 256)],
    "right": [(368, 256)],
    "top": [(256, 144)],
    "bottom": [(256, 368)],
    "beside": [(136, 256), (376, 256)],  # first object on the left
    "above": [(256, 136), (256, 376)],  # first object above
}
LAYOUT_NAMES = list(LAYOUTS)


@dataclass(frozen=True)
class Scene:
    """What is on a picture; `objects` are in the order left to right or top to bottom."""

    objects: tuple
    layout: str
    background: str


@dataclass(frozen=True)
class Curriculum:
    """How hard the samples are: share of pairs and of centred singles, jitter in pixels and size."""

    pairs: float = 0.30
    centred: float = 0.35
    jitter: int = 3
    size_jitter: int = 12


def _hash_percent(*names):
    return zlib.crc32("/".join(names).encode()) % 1000 / 10.0


def held_out(scene):
    """True where the scene contains a combination that training never shows (a fixed ~10%)."""
    if any(_hash_percent("background", name, scene.background) < 10.0 for name in scene.objects):
        return True
    return len(scene.objects) == 2 and _hash_percent("pair", *scene.objects) < 10.0


def random_scene(rng, curriculum):
    """A scene drawn without regard to the held-out rule."""
    background = BACKGROUND_NAMES[rng.integers(len(BACKGROUND_NAMES))]
    if rng.random() < curriculum.pairs:
        first, second = rng.choice(len(OBJECT_NAMES), 2, replace=False)
        layout = "beside" if rng.random() < 0.6 else "above"
        return Scene((OBJECT_NAMES[first], OBJECT_NAMES[second]), layout, background)
    layout = "centre"
    if rng.random() >= curriculum.centred:
        layout = ("left", "right", "top", "bottom")[rng.integers(4)]
    return Scene((OBJECT_NAMES[rng.integers(len(OBJECT_NAMES))],), layout, background)


def training_scene(rng, curriculum):
    """A scene that the held-out rule leaves to training."""
    while True:
        scene = random_scene(rng, curriculum)
        if not held_out(scene):
            return scene


def load_sprite(character):
    """One glyph of the colour font, cropped to its ink: premultiplied RGBA, float32 in 0..1."""
    font = ImageFont.truetype(FONT, FONT_SIZE)
    tile = Image.new("RGBA", (192, 192), (0, 0, 0, 0))
    ImageDraw.Draw(tile).text((16, 16), character, font=font, embedded_color=True)
    tile = tile.crop(tile.getbbox())
    rgba = np.asarray(tile, np.float32) / 255.0
    rgba[..., :3] *= rgba[..., 3:]
    return rgba


def resize_sprite(rgba, extent):
    """Bicubic resize so that the longer side is `extent` pixels; stays premultiplied."""
    height, width = rgba.shape[:2]
    scale = extent / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(rgba[..., c])).resize(size, Image.BICUBIC))
        for c in range(4)
    ]
    out = np.clip(np.stack(planes, -1), 0.0, 1.0)
    out[..., :3] = np.minimum(out[..., :3], out[..., 3:])
    return out


class Painter:
    """Draws scenes. Keeps a bank of backgrounds and of resized sprites, so a scene takes ~1 ms."""

    def __init__(self, seed=0, variants=16):
        rng = np.random.default_rng([seed, 7001])
        self.banks = {
            name: [backgrounds.paint(name, SIZE, rng) for _ in range(variants)] for name in BACKGROUND_NAMES
        }
        self._glyphs = {name: load_sprite(text) for name, text in OBJECTS.items()}
        self._sized = {}

    def sprite(self, name, extent):
        """Premultiplied uint8-scale sprite, extent rounded to 4 pixels, from the cache."""
        key = (name, int(extent) // 4 * 4)
        if key not in self._sized:
            self._sized[key] = resize_sprite(self._glyphs[name], key[1]) * np.float32(255.0)
        return self._sized[key]

    def paint(self, scene, rng, curriculum):
        """Returns (background variant index, uint8 image [512,512,3], boxes of the sprites)."""
        bank = self.banks[scene.background]
        index = int(rng.integers(len(bank)))
        image = bank[index].copy()
        boxes = []
        base = 248 if len(scene.objects) == 1 and scene.layout == "centre" else 216
        for name, (x, y) in zip(scene.objects, LAYOUTS[scene.layout]):
            extent = base + int(rng.integers(-curriculum.size_jitter, curriculum.size_jitter + 1))
            dx, dy = rng.integers(-curriculum.jitter, curriculum.jitter + 1, 2)
            boxes.append(self._stamp(image, self.sprite(name, extent), x + int(dx), y + int(dy)))
        return index, image, boxes

    @staticmethod
    def _stamp(image, sprite, x, y):
        height, width = sprite.shape[:2]
        left = min(max(x - width // 2, 0), SIZE - width)
        top = min(max(y - height // 2, 0), SIZE - height)
        region = image[top : top + height, left : left + width]
        under = region * (np.float32(1.0) - sprite[..., 3:] * np.float32(1.0 / 255.0))
        region[...] = np.clip(under + sprite[..., :3] + np.float32(0.5), 0, 255).astype(np.uint8)
        return left, top, left + width, top + height


def sample(painter, rng, curriculum):
    """One training sample: (scene, caption, uint8 image)."""
    scene = training_scene(rng, curriculum)
    caption = grammar.caption(scene, rng)
    return scene, caption, painter.paint(scene, rng, curriculum)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheet", required=True, help="PNG to write")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    painter = Painter(args.seed, variants=2)
    sheet = Image.new("RGB", (6 * 200, 4 * 200))
    for i in range(24):
        scene, caption, image = sample(painter, rng, Curriculum())
        print(f"{i:2d} {scene.layout:7s} {caption}")
        sheet.paste(Image.fromarray(image).resize((200, 200)), (i % 6 * 200, i // 6 * 200))
    sheet.save(args.sheet)


if __name__ == "__main__":
    main()
