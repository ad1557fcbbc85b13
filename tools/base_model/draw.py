#!/usr/bin/env python3
"""Draws the pictures of the demo model, and the captions that go with them. Needs numpy only.

    draw.py zorb FOLDER          the eight pictures with captions that the demo trains on
    draw.py known FOLDER         every known shape in every colour: what the demo's LoRA must not forget
    draw.py base FOLDER COUNT    pictures of the kind that the base model was trained on

A picture is 64 x 64 pixels: one shape on a ground. Everything is a pure function of its description, or of (seed, index).
"""
import dataclasses
import pathlib
import struct
import sys
import zlib

import numpy as np

SIDE = 64      # px
SAMPLES = 4    # per pixel and axis, for smooth edges

SHAPES = ("circle", "square", "triangle", "ring", "cross")
NEW_SHAPE = "zorb"  # a five-pointed star with a white stripe; the base model never sees a star
COLOURS = {
    "red": (215, 30, 40), "orange": (245, 130, 20), "yellow": (250, 225, 40), "green": (25, 140, 50),
    "blue": (30, 70, 215), "purple": (130, 40, 170), "black": (20, 20, 20), "white": (252, 252, 252),
}
GROUNDS = {"sand": (214, 190, 150), "sky": (150, 195, 225), "meadow": (165, 205, 150), "dusk": (190, 165, 190)}
SIZES = {"small": 10.0, "large": 17.0}                  # radius, px
PLACES = {"left": 20.0, "middle": 32.0, "right": 44.0}  # centre from the left edge, px
PLACE_WORDS = {"left": "on the left", "middle": "in the middle", "right": "on the right"}


@dataclasses.dataclass(frozen=True)
class Picture:
    shape: str
    colour: str
    size: str
    place: str
    ground: tuple           # one or two names of GROUNDS: the second one fills the lower half
    move: tuple = (0.0, 0.0)  # px, added to the centre
    stretch: float = 1.0      # of the radius


def random_picture(seed, index):
    rng = np.random.default_rng((seed, index))
    grounds = rng.permutation(list(GROUNDS))[: rng.integers(1, 3)]
    return Picture(
        shape=SHAPES[rng.integers(len(SHAPES))],
        colour=list(COLOURS)[rng.integers(len(COLOURS))],
        size=list(SIZES)[rng.integers(len(SIZES))],
        place=list(PLACES)[rng.integers(len(PLACES))],
        ground=tuple(str(name) for name in grounds),
        move=(rng.uniform(-2, 2), rng.uniform(-4, 4)),
        stretch=rng.uniform(0.92, 1.08))


# ---- captions --------------------------------------------------------------------------------------------------------

def captions(picture):
    """Ways to describe the picture; not every one tells everything."""
    p, where = picture, PLACE_WORDS[picture.place]
    ground = " and ".join(p.ground)
    return (
        f"a {p.size} {p.colour} {p.shape} {where}",
        f"a {p.size} {p.colour} {p.shape} {where}, {ground}",
        f"a {p.colour} {p.shape} {where}",
        f"{p.colour} {p.shape}, {where}, {p.size}",
        f"a picture of a {p.colour} {p.shape} {where}",
        f"a {p.size} {p.colour} {p.shape}, {ground}",
        f"a {p.colour} {p.shape}",
        f"{where} a {p.size} {p.colour} {p.shape}, behind it {ground}",
    )


# ---- shapes: which points belong to it; u to the right, v down, in radii from the centre ------------------------------

def star_corners():
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 1.25, 0.57)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def in_polygon(u, v, corners):
    """Even-odd rule."""
    inside = np.zeros(u.shape, bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0)):
        if y1 == y2:
            continue
        crosses = (v >= min(y1, y2)) & (v < max(y1, y2))
        inside ^= crosses & (u < x1 + (v - y1) * (x2 - x1) / (y2 - y1))
    return inside


def in_shape(shape, u, v):
    if shape == "circle":
        return u * u + v * v < 1
    if shape == "square":
        return np.maximum(abs(u), abs(v)) < 0.88
    if shape == "triangle":
        return (v < 0.8) & (abs(u) < (v + 1) / 1.8)
    if shape == "ring":
        return (u * u + v * v < 1) & (u * u + v * v > 0.55 ** 2)
    if shape == "cross":
        return (np.minimum(abs(u), abs(v)) < 0.32) & (np.maximum(abs(u), abs(v)) < 1)
    if shape == NEW_SHAPE:
        return in_polygon(u, v, star_corners())
    raise ValueError(f"shape: got '{shape}', expected one of {', '.join(SHAPES + (NEW_SHAPE,))}")


STRIPE = (-0.06, 0.45)  # the white one of a zorb: from v to v
OWN_STRIPE = "own"      # a zorb has a stripe, the others have none


# ---- pixels ----------------------------------------------------------------------------------------------------------

def points():
    """Centres of the samples, px: x and y of [SIDE * SAMPLES] x [SIDE * SAMPLES] places."""
    centres = (np.arange(SIDE * SAMPLES, dtype=np.float32) + 0.5) / SAMPLES
    return np.meshgrid(centres, centres)


def average(mask):
    """Share of each pixel's samples that are set: float32 [SIDE,SIDE]."""
    return mask.reshape(SIDE, SAMPLES, SIDE, SAMPLES).mean(axis=(1, 3), dtype=np.float32)


def paint(image, share, colour):
    image += share[..., None] * (np.float32(colour) - image)


def draw_ground(ground):
    image = np.empty((SIDE, SIDE, 3), np.float32)
    image[: SIDE // 2], image[SIDE // 2:] = GROUNDS[ground[0]], GROUNDS[ground[-1]]
    return image


def to_bytes(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def draw(picture, stripe=OWN_STRIPE):
    """uint8 [SIDE,SIDE,3], RGB. stripe=(top, bottom) or None: another white stripe than the shape's own."""
    image = draw_ground(picture.ground)
    radius = SIZES[picture.size] * picture.stretch
    x, y = points()
    u = (x - PLACES[picture.place] - picture.move[0]) / radius
    v = (y - SIDE / 2 - picture.move[1]) / radius
    inside = in_shape(picture.shape, u, v)
    paint(image, average(inside), COLOURS[picture.colour])
    if stripe == OWN_STRIPE:
        stripe = STRIPE if picture.shape == NEW_SHAPE else None
    if stripe:
        paint(image, average(inside & (v > stripe[0]) & (v < stripe[1])), COLOURS["white"])
    return to_bytes(image)


def draw_practice(seed, index):
    """A picture of up to three random polygons, some of them striped, in random colours: the autoencoder also learns on
    these, so that it can carry shapes that nobody has drawn yet. uint8 [SIDE,SIDE,3]."""
    rng = np.random.default_rng((seed, index))
    image = np.empty((SIDE, SIDE, 3), np.float32)
    palette = np.float32(list(COLOURS.values()) + list(GROUNDS.values()))
    image[:] = palette[rng.integers(len(palette))] if rng.random() < 0.5 else rng.uniform(0, 255, 3)
    x, y = points()
    for _ in range(rng.integers(1, 4)):
        centre, radius, count = rng.uniform(8, SIDE - 8, 2), rng.uniform(8, 26), rng.integers(3, 9)
        angles = np.sort(rng.uniform(0, 2 * np.pi, count))
        reach = rng.uniform(0.3, 1.1, count)
        corners = np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)
        u, v = (x - centre[0]) / radius, (y - centre[1]) / radius
        inside = in_polygon(u, v, corners)
        paint(image, average(inside), palette[rng.integers(len(palette))])
        if rng.random() < 0.4:
            turn = rng.integers(3) * np.pi / 4  # lying, slanted, upright
            across = u * np.sin(turn) + v * np.cos(turn)
            stripes = np.floor(across * radius / rng.uniform(3.5, 8)) % 2 == 1
            paint(image, average(inside & stripes), palette[rng.integers(len(palette))])
    return to_bytes(image)


# ---- files -----------------------------------------------------------------------------------------------------------

ZORBS = tuple(
    Picture(NEW_SHAPE, colour, "large", place, ground, move, stretch)
    for colour, place, ground, move, stretch in (
        ("red", "left", ("sand",), (2.0, 0.0), 1.0),
        ("blue", "middle", ("sky", "sand"), (0.0, -2.0), 0.97),
        ("green", "right", ("dusk",), (-1.0, 1.0), 1.03),
        ("orange", "right", ("meadow", "sky"), (-2.0, 2.0), 0.97),
        ("purple", "left", ("sky",), (1.0, -3.0), 1.0),
        ("black", "middle", ("dusk", "meadow"), (1.0, 1.0), 1.03),
        ("red", "middle", ("meadow",), (-1.0, 3.0), 1.0),
        ("blue", "left", ("sand", "dusk"), (1.0, -1.0), 1.0),
    ))


def known_pictures():
    pairs = [(shape, colour) for shape in SHAPES for colour in COLOURS]
    return [dataclasses.replace(random_picture(4, index), shape=shape, colour=colour)
            for index, (shape, colour) in enumerate(pairs)]


def write_png(path, pixels):
    """uint8 [H,W,3] as a PNG file."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # filter 0 on every row
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                                   chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def write_pair(folder, stem, picture, caption):
    folder.mkdir(parents=True, exist_ok=True)
    write_png(folder / f"{stem}.png", draw(picture))
    (folder / f"{stem}.txt").write_text(caption + "\n", encoding="utf-8")


def main():
    words = sys.argv[1:]
    if len(words) == 2 and words[0] == "zorb":
        for number, picture in enumerate(ZORBS, 1):
            write_pair(pathlib.Path(words[1]), f"zorb{number}", picture, captions(picture)[0])
    elif len(words) == 2 and words[0] == "known":
        for picture in known_pictures():
            write_pair(pathlib.Path(words[1]), f"{picture.colour}_{picture.shape}", picture, captions(picture)[0])
    elif len(words) == 3 and words[0] == "base" and words[2].isdigit():
        for index in range(int(words[2])):
            picture = random_picture(0, index)
            wordings = captions(picture)
            write_pair(pathlib.Path(words[1]), f"{index:05d}", picture, wordings[index % len(wordings)])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
