"""Contact sheets for docs/gallery: what the models draw, what types and steps cost, changing a picture (gallery.py)."""

import os

import numpy as np
from PIL import Image, ImageDraw

import evaluate

TILE = 160
SHOWN = 40  # pictures of the first sheet: every fifth of the 200
COMPARED = (3, 16, 41, 68, 97, 140)  # prompts of the sheet of types and steps
ROWS = (  # its variants
    "full-f16 full-q8_0 full-q5_0 full-mixed full-q4_0 full-f16-4-steps full-f16-8-steps full-f16-256 "
    "fast-f16-1-steps fast-f16-2-steps fast-f16 fast-q4_0 tiny-f16 tiny-mixed"
).split()
WHOLE = ("full-f16", "fast-f16", "tiny-mixed")  # have a sheet of their own
CHANGES = (  # start, seed, prompt of the change
    ("a cat on a blue background", 1, "a fox on a blue background"),
    ("an apple on the left in a meadow", 2, "a pineapple on the left in a meadow"),
    ("a house in the mountains", 3, "a castle in the mountains"),
    ("a dog at the beach", 4, "a lion at the beach"),
    ("a panda on a yellow background", 5, "a bear on a yellow background"),
    ("a boat on the sea", 6, "a boat on the sea at night"),
)
INSIDE = (  # start, seed, prompt of the new part, masked box in 512ths
    (
        "a rabbit and a carrot on a green background",
        7,
        "a rabbit and a cake on a green background",
        (250, 90, 500, 420),
    ),
    ("a tree in the snow", 8, "a snowman in the snow", (120, 120, 392, 392)),
)


def grid(rows, labels=(), tile=TILE):
    """Rows of pictures, each with a line of text on its left where labels are given."""
    left = 110 if labels else 0
    sheet = Image.new("RGB", (left + tile * max(len(row) for row in rows), tile * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(image.convert("RGB").resize((tile, tile), Image.LANCZOS), (left + x * tile, y * tile))
        if labels:
            ImageDraw.Draw(sheet).text((6, y * tile + tile // 2 - 6), labels[y], fill="black")
    return sheet


def _save(sheet, out, name):
    sheet.save(os.path.join(out, name), optimize=True)


def _overview(bench, variant, out):
    folder = bench.path("pictures", variant.name, "")
    every = max(1, len(bench.items) // SHOWN)
    images = [Image.fromarray(i) for i in evaluate.folder_pictures(folder, bench.items[::every], variant.side)]
    _save(grid([images[i : i + 8] for i in range(0, len(images), 8)]), out, f"{variant.model}.png")


def _differences(bench, variants, out):
    """A row for each variant, a column for each of a few prompts."""
    items = [item for item in bench.items if item["index"] in COMPARED]
    rows = []
    variants = [variant for variant in variants if variant.name in ROWS]
    for variant in variants:
        folder = bench.path("pictures", variant.name, "")
        rows.append([Image.fromarray(i) for i in evaluate.folder_pictures(folder, items, variant.side)])
    labels = [v.name.replace("-", " ") for v in variants]
    _save(grid(rows, labels, 128), out, "types-and-steps.png")


def _mask(path, box):
    array = np.zeros((512, 512), np.uint8)
    array[box[1] : box[3], box[0] : box[2]] = 255
    Image.fromarray(array).save(path)


def _changes(bench, out):
    """Starts above, what became of them below."""
    starts, ends = [], []
    for k, (first, seed, then, *box) in enumerate(CHANGES + INSIDE):
        start, end = (bench.path("changes", f"{k}-{name}.png") for name in ("start", "end"))
        model = ["-q", "-m", bench.args.full, "-s", str(seed)]
        bench.run("generate", *model, "-p", first, "-o", start)
        change = ["-i", start, "-p", then, "--strength", "0.5" if not box else "0.95"]
        if box:
            mask = bench.path("changes", f"{k}-mask.png")
            _mask(mask, box[0])
            change += ["--mask", mask]
        bench.run("generate", *model, *change, "-o", end)
        starts.append(Image.open(start))
        ends.append(Image.open(end))
    _save(grid([starts, ends], tile=160), out, "changes.png")


def draw(bench, variants, out):
    for variant in variants:
        if variant.name in WHOLE:
            _overview(bench, variant, out)
    _differences(bench, variants, out)
    _changes(bench, out)
