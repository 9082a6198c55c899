"""Captioned scenes, made on the fly: emoji objects on plain or painted backgrounds.

Everything a sample needs follows from one `numpy.random.Generator`, so a seed names a data set.
A scene is one object in one of five places, or two objects side by side or one above the other,
small, of normal size or large, over one of 36 backgrounds; its caption comes from a small grammar
with paraphrases (grammar.py).

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
    "bear": "\U0001f43b",
    "fox": "\U0001f98a",
    "koala": "\U0001f428",
    "monkey": "\U0001f435",
    "cow": "\U0001f42e",
    "owl": "\U0001f989",
    "whale": "\U0001f433",
    "octopus": "\U0001f419",
    "crab": "\U0001f980",
    "snail": "\U0001f40c",
    "bee": "\U0001f41d",
    "unicorn": "\U0001f984",
    "apple": "\U0001f34e",
    "banana": "\U0001f34c",
    "strawberry": "\U0001f353",
    "pizza": "\U0001f355",
    "hamburger": "\U0001f354",
    "cake": "\U0001f382",
    "pineapple": "\U0001f34d",
    "watermelon": "\U0001f349",
    "grapes": "\U0001f347",
    "carrot": "\U0001f955",
    "mushroom": "\U0001f344",
    "ice cream": "\U0001f366",
    "donut": "\U0001f369",
    "cherries": "\U0001f352",
    "avocado": "\U0001f951",
    "corn": "\U0001f33d",
    "car": "\U0001f697",
    "boat": "\u26f5",
    "rocket": "\U0001f680",
    "house": "\U0001f3e0",
    "tree": "\U0001f333",
    "sunflower": "\U0001f33b",
    "ball": "\u26bd",
    "guitar": "\U0001f3b8",
    "bus": "\U0001f68c",
    "train": "\U0001f682",
    "bicycle": "\U0001f6b2",
    "airplane": "\u2708",
    "umbrella": "\u2602",
    "book": "\U0001f4d6",
    "clock": "\u23f0",
    "key": "\U0001f511",
    "bell": "\U0001f514",
    "crown": "\U0001f451",
    "gift": "\U0001f381",
    "balloon": "\U0001f388",
    "castle": "\U0001f3f0",
    "snowman": "\u26c4",
    "robot": "\U0001f916",
    "cactus": "\U0001f335",
}
OBJECT_NAMES = list(OBJECTS)
BACKGROUND_NAMES = backgrounds.NAMES
PLAIN_NAMES, PLACE_NAMES, STYLED_NAMES = (
    list(names) for names in (backgrounds.COLOURS, backgrounds.PLACES, backgrounds.STYLED)
)

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


# size -> the longer side of an object in pixels: in the centre alone, and elsewhere
EXTENTS = {"small": (132, 124), "normal": (248, 216), "large": (352, None)}


@dataclass(frozen=True)
class Scene:
    """What is on a picture; `objects` and their `sizes` are in the order left to right or top to bottom."""

    objects: tuple
    layout: str
    background: str
    sizes: tuple


@dataclass(frozen=True)
class Curriculum:
    """How hard the samples are: shares of pairs, of centred singles, of other than normal sizes, of styled
    places; jitter of the place in pixels and of the size."""

    pairs: float = 0.30
    centred: float = 0.35
    sized: float = 0.20
    styled: float = 0.25
    jitter: int = 3
    size_jitter: int = 12


def _hash_percent(*names):
    return zlib.crc32("/".join(names).encode()) % 1000 / 10.0


def held_out(scene):
    """True where the scene contains a combination that training never shows (a fixed ~10%)."""
    if any(_hash_percent("background", name, scene.background) < 10.0 for name in scene.objects):
        return True
    return len(scene.objects) == 2 and _hash_percent("pair", *scene.objects) < 10.0


def _pick(rng, items):
    return items[int(rng.integers(len(items)))]


def _background(rng, curriculum):
    """Half of the unstyled backgrounds are plain colours."""
    if rng.random() < curriculum.styled:
        return _pick(rng, STYLED_NAMES)
    return _pick(rng, PLAIN_NAMES if rng.random() < 0.5 else PLACE_NAMES)


def _sizes(rng, layout, curriculum):
    """Large objects stand alone in the centre; of a pair at most one is small."""
    sizes = ["normal"] * len(LAYOUTS[layout])
    if rng.random() < curriculum.sized:
        large = layout == "centre" and rng.random() < 0.6
        sizes[int(rng.integers(len(sizes)))] = "large" if large else "small"
    return tuple(sizes)


def random_scene(rng, curriculum):
    """A scene drawn without regard to the held-out rule."""
    background = _background(rng, curriculum)
    if rng.random() < curriculum.pairs:
        objects = tuple(OBJECT_NAMES[i] for i in rng.choice(len(OBJECT_NAMES), 2, replace=False))
        layout = "beside" if rng.random() < 0.6 else "above"
    else:
        objects = (_pick(rng, OBJECT_NAMES),)
        alone = rng.random() < curriculum.centred
        layout = "centre" if alone else _pick(rng, ("left", "right", "top", "bottom"))
    return Scene(objects, layout, background, _sizes(rng, layout, curriculum))


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


def _neighbours(image):
    """The image moved by one pixel down, up, right and left; edges repeat."""
    p = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
    return p[:-2, 1:-1], p[2:, 1:-1], p[1:-1, :-2], p[1:-1, 2:]


def _spread_colour(rgba):
    """Straight colours instead of premultiplied ones, carried outwards over the transparent pixels."""
    weight = (rgba[..., 3:] > 0.5).astype(np.float32)
    colour = rgba[..., :3] / np.maximum(rgba[..., 3:], 0.5) * weight
    for _ in range(6):
        around = sum(_neighbours(colour * weight)) + colour * weight
        count = sum(_neighbours(weight)) + weight
        colour = np.where(weight > 0, colour, around / np.maximum(count, 1))
        weight = np.maximum(weight, (count > 0).astype(np.float32))
    return np.concatenate([colour, rgba[..., 3:]], -1)


def sharpen_sprite(rgba, factor=3, rounds=7):
    """The glyph enlarged, with its soft edges pulled together (the shock filter of Osher and Rudin, 1990):
    values flow to where the surface bends away from them, so flat art gets outlines as a drawing has."""
    straight = _spread_colour(np.pad(rgba, ((4, 4), (4, 4), (0, 0))))
    size = (straight.shape[1] * factor, straight.shape[0] * factor)
    planes = [Image.fromarray(np.ascontiguousarray(straight[..., c])).resize(size, Image.BICUBIC) for c in range(4)]
    image = np.clip(np.stack([np.asarray(plane) for plane in planes], -1), 0, 1)
    for _ in range(rounds):
        smooth = image
        for _ in range(2):
            smooth = 0.2 * (smooth + sum(_neighbours(smooth)))
        bend = sum(_neighbours(smooth)) - 4 * smooth
        sides = _neighbours(image)
        step = np.where(bend < 0, np.maximum.reduce(sides) - image, np.minimum.reduce(sides) - image)
        step *= np.sign(step) == -np.sign(bend)
        image = image + 0.4 * step * np.minimum(np.abs(bend) * 100, 1)
    image[..., :3] *= image[..., 3:]
    return np.ascontiguousarray(image[4 * factor : -4 * factor, 4 * factor : -4 * factor], np.float32)


class Painter:
    """Draws scenes. Keeps a bank of backgrounds and of resized sprites, so a scene takes ~1 ms."""

    def __init__(self, seed=0, variants=16):
        rng = np.random.default_rng([seed, 7001])
        self.banks = {
            name: [backgrounds.paint(name, SIZE, rng) for _ in range(variants)] for name in BACKGROUND_NAMES
        }
        self._glyphs, self._sized = {}, {}

    def sprite(self, name, extent):
        """Premultiplied uint8 sprite, extent rounded to 4 pixels, from the cache."""
        key = (name, int(extent) // 4 * 4)
        if key not in self._sized:
            if name not in self._glyphs:
                self._glyphs[name] = sharpen_sprite(load_sprite(OBJECTS[name]))
            sized = resize_sprite(self._glyphs[name], key[1])
            self._sized[key] = (sized * 255 + 0.5).astype(np.uint8)
        return self._sized[key]

    def paint(self, scene, rng, curriculum):
        """Returns (background variant index, uint8 image [512,512,3], boxes of the sprites)."""
        bank = self.banks[scene.background]
        index = int(rng.integers(len(bank)))
        image = bank[index].copy()
        boxes = []
        light = backgrounds.object_light(scene.background)
        for name, size, (x, y) in zip(scene.objects, scene.sizes, LAYOUTS[scene.layout]):
            base = EXTENTS[size][0 if scene.layout == "centre" else 1]
            spread = curriculum.size_jitter if size == "normal" else curriculum.size_jitter // 2
            extent = base + int(rng.integers(-spread, spread + 1))
            dx, dy = rng.integers(-curriculum.jitter, curriculum.jitter + 1, 2)
            boxes.append(self._stamp(image, self.sprite(name, extent), x + int(dx), y + int(dy), light))
        return index, image, boxes

    @staticmethod
    def _stamp(image, sprite, x, y, light=(1.0, 1.0, 1.0)):
        height, width = sprite.shape[:2]
        left = min(max(x - width // 2, 0), SIZE - width)
        top = min(max(y - height // 2, 0), SIZE - height)
        region = image[top : top + height, left : left + width]
        under = region * (np.float32(1.0) - sprite[..., 3:] * np.float32(1.0 / 255.0))
        over = sprite[..., :3] * np.float32(light)
        region[...] = np.clip(under + over + np.float32(0.5), 0, 255).astype(np.uint8)
        return left, top, left + width, top + height


def half_size(image):
    """uint8 [512,512,3] -> [256,256,3], by averaging."""
    return np.asarray(Image.fromarray(image).reduce(2))


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
    sheet = Image.new("RGB", (8 * 200, 5 * 200))
    for i in range(40):
        scene, caption, image = sample(painter, rng, Curriculum())
        print(f"{i:2d} {scene.layout:7s} {caption}")
        sheet.paste(Image.fromarray(image).resize((200, 200)), (i % 8 * 200, i // 8 * 200))
    sheet.save(args.sheet)


if __name__ == "__main__":
    main()
