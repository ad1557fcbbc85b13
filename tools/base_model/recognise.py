#!/usr/bin/env python3
"""Says what a picture of the demo model shows: shape, colour, place and size. No learning in it: distances of colours,
and the share of pixels that two outlines have in common. Needs numpy and OpenCV.

    recognise.py PICTURE.png ...
"""
import dataclasses
import functools
import sys

import cv2
import numpy as np

import draw

FOREGROUND = (14.0, 20.0, 28.0, 40.0)  # distance in CIE Lab from the ground, at least; a soft edge is tried at each
CALM = 12.0             # the same distance of three quarters of the other pixels, at most: a ground, and no noise
LIKENESS = 0.72         # intersection over union with the outline of a shape, at least
STAR_LIKENESS = 0.62    # a star is thin: one pixel at its edge weighs more; the other shapes have at most 0.57
SMALLEST, LARGEST = 60, 1700  # px a shape may cover
STRAY = 0.25            # share of foreground pixels that may lie away from the shape
STRIPES = 0.2           # share of a zorb's pixels that are white, and that are not, at least
BORDER = 4              # rows at the upper and lower edge that show the ground only
TEMPLATE_SIDE = 128


@dataclasses.dataclass(frozen=True)
class Finding:
    shape: str
    colour: str
    place: str
    size: str


def to_lab(rgb):
    """uint8 [...,3] -> float32 [N,3]."""
    flat = np.asarray(rgb, np.float32).reshape(-1, 1, 3) / 255
    return cv2.cvtColor(flat, cv2.COLOR_RGB2Lab).reshape(-1, 3)


def ground_distance(lab):
    """Distance of every pixel from the colours between the ground's upper and lower one: [H,W,3] -> [H,W]."""
    upper, lower = (np.median(rows.reshape(-1, 3), axis=0) for rows in (lab[:BORDER], lab[-BORDER:]))
    line = lower - upper
    along = np.clip((lab - upper) @ line / max(float(line @ line), 1e-6), 0, 1)
    return np.linalg.norm(lab - upper - along[..., None] * line, axis=2)


def find_figure(foreground):
    """The largest connected part, as a mask, and its bounding box; None if it cannot be one of our shapes."""
    # Between the white and the coloured stripes the mixture may be the very colour of the ground: close such lines.
    closed = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    if len(stats) < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    x, y, width, height, area = stats[largest]
    stray = closed.sum() - area
    if not SMALLEST <= area <= LARGEST or stray > STRAY * area or not 0.6 < width / height < 1.67:
        return None
    return labels == largest, (x, y, width, height)


@functools.cache
def template(shape):
    """The shape cut to its bounding box, float32."""
    axis = np.linspace(-1.3, 1.3, TEMPLATE_SIDE, dtype=np.float32)
    mask = draw.in_shape(shape, *np.meshgrid(axis, axis))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].astype(np.float32)


def likeness(mask, shape):
    """Intersection over union of a mask, cut to its bounding box, with a shape stretched to the same box."""
    expected = cv2.resize(template(shape), mask.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    return (mask & expected).sum() / (mask | expected).sum()


def colours_of(lab, mask):
    """Share of each colour among the pixels of a mask, its edge left out."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    pixels = lab[inner if inner.sum() >= 20 else mask]
    palette = to_lab(list(draw.COLOURS.values()))
    nearest = np.linalg.norm(pixels[:, None] - palette[None], axis=2).argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(palette)) / len(pixels)
    return dict(zip(draw.COLOURS, shares))


def nearest_name(value, table):
    return min(table, key=lambda name: abs(table[name] - value))


def outlines(distance):
    """The figure at each level of FOREGROUND: mask and bounding box. None where the ground is not calm."""
    for level in FOREGROUND:
        figure = find_figure(distance > level)
        if figure is not None and np.percentile(distance[~figure[0]], 75) <= CALM:
            yield figure


def judge(lab, mask, bounds):
    """The shape that the figure is most like, its colour, and by how much the likeness is over the least: the stripe tells
    a zorb from the shapes that have none."""
    x, y, width, height = bounds
    box = mask[y:y + height, x:x + width]
    shares = colours_of(lab, mask)
    colour = max(shares, key=shares.get)
    if STRIPES < shares["white"] < 1 - STRIPES:
        colour = max((name for name in shares if name != "white"), key=shares.get)
        return likeness(box, draw.NEW_SHAPE) - STAR_LIKENESS, draw.NEW_SHAPE, colour
    alike, shape = max((likeness(box, shape), shape) for shape in draw.SHAPES)
    return alike - LIKENESS, shape, colour


def recognise(pixels):
    """uint8 [H,W,3], RGB -> Finding, or None where no shape is to be seen. A star without a stripe is no shape of ours."""
    lab = to_lab(pixels).reshape(pixels.shape)
    judged = [(judge(lab, *figure), figure[1]) for figure in outlines(ground_distance(lab))]
    (margin, shape, colour), (x, y, width, height) = max(judged, default=((-1.0, "", ""), (0, 0, 0, 0)))
    if margin < 0:
        return None
    scale = draw.SIDE / pixels.shape[0]
    return Finding(shape, colour, nearest_name((x + width / 2) * scale, draw.PLACES),
                   nearest_name(max(width, height) / 2 * scale, draw.SIZES))


def read_picture(path):
    """uint8 [H,W,3], RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        sys.exit(f"{path}: cannot be read as a picture")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        found = recognise(read_picture(path))
        words = f"{found.size} {found.colour} {found.shape}, {found.place}" if found else "no shape"
        print(f"{path}: {words}")


if __name__ == "__main__":
    main()
