"""How well the detail of a picture predicts what a service is worth for it (docs/cloud.md, --route).

    python train/measure_route.py build/release/tintype STRONGER.safetensors PHOTO.png...

Each photo is halved, enlarged again by tintype's own x2 network and by a stronger one, and cut into nine parts. Prints
a line for each part, the correlations, and what thresholds would send. Needs numpy and Pillow.
"""

import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image


def luma(rgb):
    return rgb.astype(float) @ [0.299, 0.587, 0.114]


def detail(rgb):
    """As tt_image_detail (pipeline/image-detail.c)."""
    y = luma(rgb)
    rest = y[1:-1, 1:-1] - 0.25 * (y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:])
    rms = np.sqrt(np.mean(rest * rest))
    return rms / (rms + 16)


def error(a, b):
    return np.mean((luma(a) - luma(b))[4:-4, 4:-4] ** 2)


def enlarge(tintype, small, *options):
    with tempfile.TemporaryDirectory() as folder:
        small.save(f"{folder}/in.png")
        subprocess.check_call([tintype, "upscale", f"{folder}/in.png", "-o", f"{folder}/out.png", "-q", *options])
        return np.asarray(Image.open(f"{folder}/out.png").convert("RGB"))


def parts(tintype, stronger, path, n=3):
    photo = Image.open(path).convert("RGB")
    width, height = photo.width // 2, photo.height // 2
    photo = photo.crop((0, 0, 2 * width, 2 * height))
    small = photo.resize((width, height), Image.BICUBIC)
    own, strong = enlarge(tintype, small), enlarge(tintype, small, "--upscale-model", stronger)
    small, photo = np.asarray(small), np.asarray(photo)
    for row in np.split(np.arange(height // n * n), n):
        for column in np.split(np.arange(width // n * n), n):
            few = np.s_[row[0] : row[-1] + 1, column[0] : column[-1] + 1]
            many = np.s_[2 * row[0] : 2 * row[-1] + 2, 2 * column[0] : 2 * column[-1] + 2]
            yield detail(small[few]), error(photo[many], own[many]), error(photo[many], strong[many])


def main():
    tintype, stronger, *photos = sys.argv[1:]
    rows = np.array(sorted(row for photo in photos for row in parts(tintype, stronger, photo)))
    fine, own, strong = rows.T
    decibel = 10 * np.log10(255**2 / own)
    gain = own - strong
    for row, db in zip(rows, decibel):
        print(f"detail {row[0]:.3f}  own {db:.2f} dB  stronger {10 * np.log10(255**2 / row[2]):.2f} dB")
    print(f"correlation of detail with own dB {np.corrcoef(fine, decibel)[0, 1]:.2f}, ", end="")
    print(f"with squared error taken off {np.corrcoef(fine, gain)[0, 1]:.2f}")
    for threshold in (0.1, 0.15, 0.2, 0.25, 0.3):
        stays = fine < threshold
        kept = f"{decibel[stays].mean():.1f} dB, least {decibel[stays].min():.1f}" if stays.any() else "nothing"
        print(f"{threshold}: {np.mean(~stays):.0%} sent, {gain[~stays].sum() / gain.sum():.0%} of the gain; kept: {kept}")


if __name__ == "__main__":
    main()
