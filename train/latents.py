"""What the latent space is drawn towards: a linear map from 16x16 pixel patches to 12 channels.

Channels 0..2 hold the patch's mean colour (rotated to its principal axes, unit variance); channels
3..11 hold the principal axes of what is left (edges and gradients), at 0.4 of unit variance, so that
the diffusion model spends its capacity on colour first. Nothing here is trained by gradient; the
trained encoder (autoencoder.py) starts from this map and stays near it.
"""

import numpy as np

from scenes import PATCH, SIZE, Curriculum, Painter, training_scene

CHANNELS = 12
CELLS = SIZE // PATCH
DETAIL_GAIN = 0.4
WIDE = Curriculum(pairs=0.4, centred=0.3, jitter=24, size_jitter=12)


def patches(image):
    """uint8 [H,W,3] -> float32 [H/16, W/16, 768] in -1..1, ordered row, column, colour."""
    rows, columns = image.shape[0] // PATCH, image.shape[1] // PATCH
    cells = image.reshape(rows, PATCH, columns, PATCH, 3).swapaxes(1, 2)
    return cells.reshape(rows, columns, -1).astype(np.float32) * np.float32(1 / 127.5) - 1


class LatentMap:
    """latent = (patch - mean) @ analysis; patch ~= latent @ synthesis + mean."""

    def __init__(self, mean, analysis, synthesis):
        self.mean, self.analysis, self.synthesis = mean, analysis, synthesis
        self.offset = mean @ analysis

    @classmethod
    def fit(cls, seed=11, pictures=500):
        """Principal axes over `pictures` scenes of the training distribution."""
        rng = np.random.default_rng(seed)
        painter = Painter(seed, variants=6)
        total, square, count = np.zeros(768), np.zeros((768, 768)), 0
        for _ in range(pictures):
            image = painter.paint(training_scene(rng, WIDE), rng, WIDE)[1]
            flat = patches(image).reshape(-1, 768)
            total += flat.sum(0)
            square += flat.T @ flat
            count += len(flat)
        mean = total / count
        covariance = square / count - np.outer(mean, mean)
        return cls._from_covariance(mean, covariance)

    @classmethod
    def _from_covariance(cls, mean, covariance):
        average = np.zeros((768, 3))
        for colour in range(3):
            average[colour::3, colour] = 1 / PATCH  # unit-length columns
        _, axes = np.linalg.eigh(average.T @ covariance @ average)
        colour_axes = average @ axes[:, ::-1]
        rest = np.eye(768) - average @ average.T
        _, axes = np.linalg.eigh(rest @ covariance @ rest)
        basis = np.concatenate([colour_axes, axes[:, ::-1][:, : CHANNELS - 3]], 1)
        basis *= np.sign(basis[np.abs(basis).argmax(0), np.arange(CHANNELS)])
        deviation = np.sqrt(np.einsum("ic,ij,jc->c", basis, covariance, basis))
        gain = np.where(np.arange(CHANNELS) < 3, 1.0, DETAIL_GAIN) / deviation
        return cls(*(a.astype(np.float32) for a in (mean, basis * gain, (basis / gain).T)))

    def encode(self, image):
        """uint8 [H,W,3] -> float32 [12, H/16, W/16]."""
        return np.moveaxis(patches(image) @ self.analysis - self.offset, -1, 0)

    def decode(self, latent):
        """float32 [12,h,w] -> uint8 [16h,16w,3]: the blocky linear picture, for a preview."""
        cells = np.moveaxis(latent, 0, -1) @ self.synthesis + self.mean
        rows, columns = cells.shape[:2]
        image = cells.reshape(rows, columns, PATCH, PATCH, 3).swapaxes(1, 2)
        image = image.reshape(rows * PATCH, columns * PATCH, 3)
        return np.clip((image + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)

    def save(self, path):
        np.savez(path, mean=self.mean, analysis=self.analysis, synthesis=self.synthesis)

    @classmethod
    def load(cls, path):
        with np.load(path) as data:
            return cls(data["mean"], data["analysis"], data["synthesis"])
