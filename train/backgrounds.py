"""Backgrounds of the scenes: plain colours with jitter and a slight gradient, and painted places."""

import numpy as np

COLOURS = {
    "red": (214, 40, 48),
    "orange": (245, 140, 30),
    "yellow": (250, 214, 50),
    "green": (60, 160, 70),
    "blue": (45, 105, 220),
    "purple": (130, 65, 180),
    "pink": (246, 150, 190),
    "brown": (125, 80, 48),
    "white": (247, 247, 247),
    "black": (16, 16, 18),
    "gray": (130, 132, 136),
}
PLACES = ("meadow", "beach", "night", "snow", "desert", "sea", "sunset")
NAMES = list(COLOURS) + list(PLACES)


def _grid(size):
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    return axis[None, :], axis[:, None]


def _ramp(top, bottom, y):
    """Vertical blend of two colours: [H,1,3]."""
    top, bottom = np.float32(top), np.float32(bottom)
    return top + (bottom - top) * y[..., None]


def _soft(edge, width):
    """0..1 step with a soft edge of `width` pixels at zero; `edge` in pixels."""
    return np.clip(edge / width + 0.5, 0.0, 1.0)[..., None]


def _over(image, colour, mask):
    return image + (np.float32(colour) - image) * mask


def _disc(image, x, y, cx, cy, radius, colour, size):
    distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2)
    return _over(image, colour, _soft((radius - distance) * size, 2.0))


def _hills(x, rng, base, height, waves):
    """A horizon line y(x) made of a few sines, [1,W]."""
    line = np.full_like(x, base)
    for k in range(1, waves + 1):
        line = line + height / k * np.sin(2 * np.pi * (k * x * rng.uniform(0.6, 1.2) + rng.random()))
    return line


def _plain(name, size, rng):
    x, y = _grid(size)
    chroma = 3 if name in ("white", "gray", "black") else 9
    jitter = rng.uniform(-7, 7) + rng.uniform(-chroma, chroma, 3)
    colour = np.float32(COLOURS[name]) + jitter.astype(np.float32)
    slope = rng.uniform(-14, 14, 2)
    shade = slope[0] * (x - 0.5) + slope[1] * (y - 0.5)
    return colour + shade[..., None].astype(np.float32)


def _meadow(size, rng):
    x, y = _grid(size)
    image = _ramp((120, 190, 245), (205, 232, 250), y) * np.ones((1, size, 1), np.float32)
    line = _hills(x, rng, 0.55, 0.03, 2)
    image = _over(image, (98, 178, 68), _soft((y - line) * size, 3.0))
    return _over(image, (70, 150, 52), _soft((y - line - 0.22) * size, 40.0))


def _beach(size, rng):
    x, y = _grid(size)
    image = _ramp((110, 190, 240), (200, 230, 245), y) * np.ones((1, size, 1), np.float32)
    image = _over(image, (40, 130, 190), _soft((y - 0.42) * size, 2.0) * np.ones((1, size, 1)))
    line = _hills(x, rng, 0.62, 0.02, 2)
    image = _over(image, (235, 245, 245), _soft((y - line + 0.015) * size, 3.0))
    return _over(image, (238, 214, 160), _soft((y - line) * size, 3.0))


def _night(size, rng):
    x, y = _grid(size)
    image = _ramp((8, 12, 40), (32, 40, 92), y) * np.ones((1, size, 1), np.float32)
    for _ in range(40):
        image = _disc(
            image, x, y, rng.random(), rng.random(), rng.uniform(0.002, 0.006), (250, 250, 225), size
        )
    cx = rng.uniform(0.84, 0.9)
    return _disc(image, x, y, cx, rng.uniform(0.1, 0.16), 0.06, (245, 240, 200), size)


def _snow(size, rng):
    x, y = _grid(size)
    image = _ramp((165, 195, 220), (215, 228, 240), y) * np.ones((1, size, 1), np.float32)
    line = _hills(x, rng, 0.55, 0.04, 2)
    image = _over(image, (240, 246, 252), _soft((y - line) * size, 3.0))
    for _ in range(45):
        image = _disc(
            image, x, y, rng.random(), rng.random(), rng.uniform(0.004, 0.009), (255, 255, 255), size
        )
    return image


def _desert(size, rng):
    x, y = _grid(size)
    image = _ramp((250, 205, 130), (253, 232, 185), y) * np.ones((1, size, 1), np.float32)
    back = _hills(x, rng, 0.52, 0.05, 2)
    image = _over(image, (222, 160, 85), _soft((y - back) * size, 3.0))
    front = _hills(x, rng, 0.7, 0.05, 2)
    return _over(image, (205, 138, 62), _soft((y - front) * size, 3.0))


def _sea(size, rng):
    x, y = _grid(size)
    image = _ramp((150, 210, 250), (215, 238, 252), y) * np.ones((1, size, 1), np.float32)
    water = _ramp((40, 140, 200), (10, 70, 140), y)
    image = image + (water - image) * _soft((y - 0.38) * size, 2.0)
    for row in range(5):
        line = 0.46 + 0.11 * row + 0.012 * np.sin(2 * np.pi * (x * 5 + rng.random()))
        image = _over(image, (150, 205, 235), 0.6 * _soft((0.006 - np.abs(y - line)) * size, 2.0))
    return image


def _sunset(size, rng):
    x, y = _grid(size)
    image = _ramp((95, 50, 125), (255, 165, 80), np.minimum(y / 0.62, 1.0)) * np.ones(
        (1, size, 1), np.float32
    )
    image = _disc(image, x, y, rng.uniform(0.3, 0.7), 0.6, 0.12, (255, 225, 120), size)
    ground = _soft((y - 0.64) * size, 2.0) * np.ones((1, size, 1))
    return _over(image, (70, 40, 85), ground)


def paint(name, size, rng):
    """One picture of the background `name`: uint8 [size,size,3]."""
    if name in COLOURS:
        image = _plain(name, size, rng)
    else:
        image = globals()["_" + name](size, rng) + rng.uniform(-5, 5, 3).astype(np.float32)
    return np.clip(np.broadcast_to(image, (size, size, 3)) + 0.5, 0, 255).astype(np.uint8)
