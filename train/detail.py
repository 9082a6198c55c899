"""Measures what the detail of a picture (tt_image_detail) tells of enlarging it: the rule of docs/cloud.md.

Photographs that the small network never saw (scikit-image's astronaut, chelsea, coffee and rocket, matplotlib's
grace_hopper) are halved at three sizes and made larger again by tintype with its own network and with a stronger one;
squares of 96 pixels of the small picture are compared.

    python train/detail.py --tintype build/release/tintype --stronger waifu2x_photo_scale2x.safetensors
"""

import argparse
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image

SIDE, HALF_DETAIL, SIZES = 96, 16.0, (1.0, 0.7, 0.5)


def photos():
    import matplotlib
    import skimage

    data = os.path.join(os.path.dirname(skimage.__file__), "data")
    for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"):
        yield os.path.join(data, name)
    yield os.path.join(os.path.dirname(matplotlib.__file__), "mpl-data", "sample_data", "grace_hopper.jpg")


def luma(image):
    return np.asarray(image.convert("RGB"), float) @ [0.299, 0.587, 0.114]


def detail(y):
    residual = y[1:-1, 1:-1] - 0.25 * (y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:])
    rms = np.sqrt((residual**2).mean())
    return rms / (rms + HALF_DETAIL)


def enlarge(tintype, small, network, folder):
    source, result = os.path.join(folder, "small.png"), os.path.join(folder, "large.png")
    small.save(source)
    command = [tintype, "upscale", source, "-o", result, "-q"]
    subprocess.run(command + (["--upscale-model", network] if network else []), check=True)
    return luma(Image.open(result))


def squares(args, folder):
    """(detail, squared error of the own network, of the stronger one) of each square."""
    for path in photos():
        for size in SIZES:
            large = Image.open(path).convert("RGB")
            large = large.resize((int(large.width * size), int(large.height * size)), Image.BICUBIC)
            large = large.crop((0, 0, large.width // 2 * 2, large.height // 2 * 2))
            small = large.resize((large.width // 2, large.height // 2), Image.BICUBIC)
            errors = [
                (enlarge(args.tintype, small, network, folder) - luma(large)) ** 2 for network in (None, args.stronger)
            ]
            y = luma(small)
            for top in range(0, small.height - SIDE + 1, SIDE // 2):
                for left in range(0, small.width - SIDE + 1, SIDE // 2):
                    at = slice(2 * top, 2 * (top + SIDE)), slice(2 * left, 2 * (left + SIDE))
                    square = y[top : top + SIDE, left : left + SIDE]
                    yield detail(square), errors[0][at].mean(), errors[1][at].mean()


def ranks(values):
    return np.argsort(np.argsort(values)).astype(float)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tintype", required=True)
    parser.add_argument("--stronger", required=True, help="network to compare with the one that comes along")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = np.array(list(squares(args, folder)))
    value, own, stronger = found.T
    gained = own - stronger
    print(f"{len(found)} squares; rank correlation of detail with")
    for name, other in (
        ("the own network's error", own),
        ("the squared error that the stronger one takes off", gained),
        ("its gain in dB", np.log(own / stronger)),
    ):
        print(f"  {name}: {np.corrcoef(ranks(value), ranks(other))[0, 1]:.2f}")
    for threshold in (0.0, 0.2, 0.25, 0.3, 0.35, 0.4):
        sent = value >= threshold
        print(
            f"threshold {threshold:.2f}: {100 * sent.mean():.0f}% sent, {100 * gained[sent].sum() / gained.sum():.0f}%"
            f" of the error taken off, rms error left at home {np.sqrt(own[~sent].mean()) if (~sent).any() else 0:.2f}"
            f" of 255, of what is sent {np.sqrt(own[sent].mean()):.2f}"
        )


if __name__ == "__main__":
    main()
