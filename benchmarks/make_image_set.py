"""Writes a synthetic image set: pictures with captions, and the names of latent caches for a part of them.

    make_image_set.py FOLDER [--count N] [--side PX]

With --side up to 64 (default 16) the pictures repeat a few dozen encoded ones, so that 200,000 take a minute; larger
sides give one picture of its own each, smooth like a photograph. PNG, JPEG and WebP in turn. The same arguments give the
same set.
"""
import argparse
import io
import pathlib
import random

import numpy
from PIL import Image

FORMATS = (("jpg", "JPEG", {"quality": 90}), ("png", "PNG", {}), ("webp", "WEBP", {"quality": 90}))
TAGS = ["1girl", "solo", "long hair", "looking at viewer", "smile", "outdoors", "sky", "tree", "water", "night", "city",
        "blue eyes", "short hair", "sitting", "flower", "hat", "cat", "dog", "red dress", "white shirt"]


def picture(side, seed):
    """A smooth colour picture; landscape, portrait and square in turn."""
    rng = numpy.random.RandomState(seed)
    width, height = ((side, side), (side * 3 // 2, side), (side, side * 3 // 2))[seed % 3]
    coarse = rng.randint(0, 256, (max(2, height // 32), max(2, width // 32), 3)).astype(numpy.uint8)
    smooth = numpy.asarray(Image.fromarray(coarse).resize((width, height), Image.BICUBIC)).astype(numpy.int16)
    grain = rng.randint(-6, 7, smooth.shape)
    return Image.fromarray(numpy.clip(smooth + grain, 0, 255).astype(numpy.uint8))


def encoded(side, seed):
    """(extension, bytes, width, height)"""
    extension, name, options = FORMATS[seed // 3 % 3]
    image, out = picture(side, seed), io.BytesIO()
    image.save(out, name, **options)
    return extension, out.getvalue(), *image.size


def caption(rng):
    return ", ".join(rng.sample(TAGS, rng.randint(4, 12))) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--side", type=int, default=16)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    repeated = [encoded(args.side, seed) for seed in range(45)] if args.side <= 64 else None
    for number in range(args.count):
        extension, data, width, height = repeated[number % 45] if repeated else encoded(args.side, number)
        stem = args.folder / f"picture_{number:07d}"
        stem.with_suffix("." + extension).write_bytes(data)
        if number % 50:  # a few have none
            stem.with_suffix(".txt").write_text(caption(rng))
        if number % 4 == 0:
            pathlib.Path(f"{stem}_{width:04d}x{height:04d}_sd3.npz").touch()


if __name__ == "__main__":
    main()
