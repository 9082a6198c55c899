"""Backgrounds of the scenes: plain colours with jitter and a slight gradient, painted places, and
places in another light or weather ("meadow at night", "city in the snow")."""

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
PLACES = ("meadow", "beach", "night", "snow", "desert", "sea", "sunset", "mountains", "forest", "city")

# style -> how it is joined to a place's name, and the places that have it
STYLES = {
    "night": ("at night", ("meadow", "beach", "desert", "sea", "mountains", "forest", "city")),
    "snow": ("in the snow", ("mountains", "forest", "city")),
    "sunset": ("at sunset", ("beach", "desert", "sea", "mountains", "city")),
}
STYLED = {f"{place} {words}": (place, style) for style, (words, places) in STYLES.items() for place in places}
NAMES = list(COLOURS) + list(PLACES) + list(STYLED)

# What a style's light does to red, green and blue of a place, and of the objects in it.
PLACE_LIGHT = {"night": (0.30, 0.36, 0.56), "sunset": (1.0, 0.74, 0.58)}
OBJECT_LIGHT = {"night": (0.66, 0.72, 0.90), "snow": (1.0, 1.0, 1.0), "sunset": (1.0, 0.88, 0.78)}


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
    """Draws into `image`, only where the disc is."""
    reach = radius + 2.0 / size
    top, bottom = (int(np.clip(v * size, 0, size)) for v in (cy - reach, cy + reach + 1.0 / size))
    left, right = (int(np.clip(v * size, 0, size)) for v in (cx - reach, cx + reach + 1.0 / size))
    distance = np.sqrt((x[:, left:right] - cx) ** 2 + (y[top:bottom] - cy) ** 2)
    part = image[top:bottom, left:right]
    part[...] = _over(part, colour, _soft((radius - distance) * size, 2.0))
    return image


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


def _stars(image, rng, size, depth=1.0):
    x, y = _grid(size)
    for _ in range(40):
        cx, cy, radius = rng.random(), rng.random() * depth, rng.uniform(0.002, 0.006)
        image = _disc(image, x, y, cx, cy, radius, (250, 250, 225), size)
    cx = rng.uniform(0.84, 0.9)
    return _disc(image, x, y, cx, rng.uniform(0.1, 0.16), 0.06, (245, 240, 200), size)


def _flakes(image, rng, size):
    x, y = _grid(size)
    for _ in range(45):
        cx, cy, radius = rng.random(), rng.random(), rng.uniform(0.004, 0.009)
        image = _disc(image, x, y, cx, cy, radius, (255, 255, 255), size)
    return image


# A place's painter returns its picture, where the ground is and where anything but sky is: [size,size,1] in 0..1.


def _meadow(size, rng):
    x, y = _grid(size)
    image = _ramp((120, 190, 245), (205, 232, 250), y) * np.ones((1, size, 1), np.float32)
    ground = _soft((y - _hills(x, rng, 0.55, 0.03, 2)) * size, 3.0)
    image = _over(image, (98, 178, 68), ground)
    return _over(image, (70, 150, 52), _soft((y - 0.77) * size, 40.0) * ground), ground, ground


def _beach(size, rng):
    x, y = _grid(size)
    image = _ramp((110, 190, 240), (200, 230, 245), y) * np.ones((1, size, 1), np.float32)
    water = _soft((y - 0.42) * size, 2.0) * np.ones((1, size, 1))
    image = _over(image, (40, 130, 190), water)
    line = _hills(x, rng, 0.62, 0.02, 2)
    image = _over(image, (235, 245, 245), _soft((y - line + 0.015) * size, 3.0))
    ground = _soft((y - line) * size, 3.0)
    return _over(image, (238, 214, 160), ground), ground, water


def _night(size, rng):
    _, y = _grid(size)
    image = _ramp((8, 12, 40), (32, 40, 92), y) * np.ones((1, size, 1), np.float32)
    return _stars(image, rng, size), None, None


def _snow(size, rng):
    x, y = _grid(size)
    image = _ramp((165, 195, 220), (215, 228, 240), y) * np.ones((1, size, 1), np.float32)
    ground = _soft((y - _hills(x, rng, 0.55, 0.04, 2)) * size, 3.0)
    return _flakes(_over(image, (240, 246, 252), ground), rng, size), ground, ground


def _desert(size, rng):
    x, y = _grid(size)
    image = _ramp((250, 205, 130), (253, 232, 185), y) * np.ones((1, size, 1), np.float32)
    ground = _soft((y - _hills(x, rng, 0.52, 0.05, 2)) * size, 3.0)
    image = _over(image, (222, 160, 85), ground)
    front = _hills(x, rng, 0.7, 0.05, 2)
    return _over(image, (205, 138, 62), _soft((y - front) * size, 3.0)), ground, ground


def _sea(size, rng):
    x, y = _grid(size)
    image = _ramp((150, 210, 250), (215, 238, 252), y)
    water = _ramp((40, 140, 200), (10, 70, 140), y)
    ground = _soft((y - 0.38) * size, 2.0) * np.ones((1, size, 1))
    image = image + (water - image) * ground
    for row in range(5):
        line = 0.46 + 0.11 * row + 0.012 * np.sin(2 * np.pi * (x * 5 + rng.random()))
        image = _over(image, (150, 205, 235), 0.6 * _soft((0.006 - np.abs(y - line)) * size, 2.0))
    return image, ground, ground


def _sunset(size, rng):
    x, y = _grid(size)
    image = _ramp((95, 50, 125), (255, 165, 80), np.minimum(y / 0.62, 1.0)) * np.ones(
        (1, size, 1), np.float32
    )
    image = _disc(image, x, y, rng.uniform(0.3, 0.7), 0.6, 0.12, (255, 225, 120), size)
    ground = _soft((y - 0.64) * size, 2.0) * np.ones((1, size, 1))
    return _over(image, (70, 40, 85), ground), ground, ground


def _ridge(x, rng, low, high, peaks):
    """A jagged horizon y(x): peaks at about `high`, passes at about `low`, [1,W]."""
    knots = np.linspace(-0.1, 1.1, 2 * peaks + 1) + rng.uniform(-0.03, 0.03, 2 * peaks + 1)
    heights = np.where(np.arange(2 * peaks + 1) % 2 == 1, high, low) + rng.uniform(-0.04, 0.04, 2 * peaks + 1)
    return np.interp(x[0], knots, heights).astype(np.float32)[None, :]


def _mountains(size, rng):
    x, y = _grid(size)
    image = _ramp((105, 170, 235), (200, 225, 245), y) * np.ones((1, size, 1), np.float32)
    line = _ridge(x, rng, 0.5, 0.2, 3)
    rock = _soft((y - line) * size, 2.0)
    image = _over(image, (112, 120, 140), rock)
    image = _over(image, (245, 248, 252), rock * _soft((0.3 - y) * size, 3.0))
    ground = _soft((y - _hills(x, rng, 0.62, 0.02, 2)) * size, 3.0)
    return _over(image, (80, 140, 70), ground), ground, np.maximum(rock, ground)


def _forest(size, rng):
    x, y = _grid(size)
    image = _ramp((150, 205, 225), (215, 235, 225), y) * np.ones((1, size, 1), np.float32)
    land = np.zeros((size, size, 1), np.float32)
    for row, colour in enumerate(((62, 125, 88), (34, 92, 60))):
        for tree in range(7):
            cx = (tree + 0.5 * row + rng.uniform(-0.15, 0.15)) / 6.5
            top, width = 0.16 + 0.1 * row + rng.uniform(-0.05, 0.05), rng.uniform(0.22, 0.3)
            tip = _soft((width * (y - top) - np.abs(x - cx)) * size, 2.0)
            image, land = _over(image, colour, tip), np.maximum(land, tip)
    ground = _soft((y - _hills(x, rng, 0.66, 0.015, 2)) * size, 3.0)
    return _over(image, (88, 120, 52), ground), ground, np.maximum(land, ground)


def _city(size, rng):
    x, y = _grid(size)
    image = _ramp((140, 195, 240), (220, 232, 242), y) * np.ones((1, size, 1), np.float32)
    land = np.zeros((size, size, 1), np.float32)
    left = -rng.uniform(0, 0.08)
    while left < 1.0:
        right, top = left + rng.uniform(0.12, 0.2), rng.uniform(0.14, 0.42)
        colour = np.float32((128, 120, 124)) + np.float32(rng.uniform(-28, 28) + rng.uniform(-14, 14, 3))
        house = _soft(np.minimum(np.minimum(x - left, right - x), y - top) * size, 2.0)
        image, land = _over(image, colour, house), np.maximum(land, house)
        pane = (np.mod((x - left) / 0.04, 1) > 0.5) & (np.mod((y - top) / 0.06, 1) > 0.5)
        inside = (x > left + 0.02) & (x < right - 0.02) & (y > top + 0.02)
        image = _over(image, (250, 225, 140), 0.75 * (pane & inside)[..., None])
        left = right + 0.004
    ground = _soft((y - 0.7) * size, 2.0) * np.ones((1, size, 1))
    return _over(image, (92, 94, 100), ground), ground, np.maximum(land, ground)


PAINTERS = {
    "meadow": _meadow,
    "beach": _beach,
    "night": _night,
    "snow": _snow,
    "desert": _desert,
    "sea": _sea,
    "sunset": _sunset,
    "mountains": _mountains,
    "forest": _forest,
    "city": _city,
}


def _styled(place, style, size, rng):
    """The place under the style's light, with what the style adds: stars, snow, a low sun."""
    image, ground, land = PAINTERS[place](size, rng)
    if style == "snow":
        hazy = _over(image, (196, 208, 222), 0.6 * (1 - ground))
        return _flakes(_over(hazy, (240, 246, 252), 0.9 * ground), rng, size)
    x, y = _grid(size)
    lit = image * np.float32(PLACE_LIGHT[style])
    if style == "night":
        sky = _stars(_ramp((10, 16, 48), (40, 56, 112), np.minimum(2 * y, 1)) + 0 * image, rng, size, 0.5)
    else:
        sky = _ramp((112, 60, 130), (255, 172, 92), np.minimum(y / 0.55, 1.0)) + 0 * image
        cx, cy = rng.choice((0.2, 0.8)) + rng.uniform(-0.06, 0.06), rng.uniform(0.14, 0.22)
        sky = _disc(sky, x, y, cx, cy, 0.08, (255, 226, 130), size)
    return sky + (lit - sky) * land


def object_light(name):
    """What the background `name` does to the colours of objects before it."""
    return OBJECT_LIGHT[STYLED[name][1]] if name in STYLED else (1.0, 1.0, 1.0)


def paint(name, size, rng):
    """One picture of the background `name`: uint8 [size,size,3]."""
    if name in COLOURS:
        image = _plain(name, size, rng)
    else:
        image = _styled(*STYLED[name], size, rng) if name in STYLED else PAINTERS[name](size, rng)[0]
        image = image + rng.uniform(-5, 5, 3).astype(np.float32)
    return np.clip(np.broadcast_to(image, (size, size, 3)) + 0.5, 0, 255).astype(np.uint8)
