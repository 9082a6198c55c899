#!/usr/bin/env python3
"""Writes similarity.json: PSNR and SSIM of synthetic pictures as scikit-image computes them.

    golden_similarity.py [--output tests/golden]

Needs numpy and scikit-image. A picture is a pure function of its numbers (picture() here, make_picture() in
tests/unit/test_fidelity.c), so only the results are kept."""
import argparse
import json
import os

import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

# width, height, channels, seed, noise: the second picture differs from the first by up to +- noise.
CASES = [
    (64, 48, 3, 1, 1),
    (64, 48, 3, 1, 8),
    (61, 37, 3, 2, 20),
    (11, 11, 3, 3, 12),
    (12, 29, 1, 4, 30),
    (128, 96, 3, 5, 60),
    (40, 40, 1, 6, 120),
    (33, 50, 4, 7, 5),
]


def picture(width, height, channels, seed, noise):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    first = 128 + ((x * 5 + seed * 17) % 96) - ((y * 3 + c * 29) % 80) + (x * y + seed) % 31
    offset = (x * x + 3 * y * y + 5 * c + x * y * seed) % (2 * noise + 1) - noise
    return (np.clip(v, 0, 255).astype(np.uint8) for v in (first, first + offset))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", default=here)
    folder = parser.parse_args().output
    cases = []
    for case in CASES:
        a, b = picture(*case)
        ssim = structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                     data_range=255, channel_axis=2)
        psnr = peak_signal_noise_ratio(a, b, data_range=255)
        cases.append(dict(zip(("width", "height", "channels", "seed", "noise"), case)) |
                     {"ssim": float(ssim), "psnr": float(psnr)})
    with open(os.path.join(folder, "similarity.json"), "w", encoding="utf-8") as file:
        json.dump({"made_by": f"scikit-image {skimage.__version__}", "cases": cases}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
