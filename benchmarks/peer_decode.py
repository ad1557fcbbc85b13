"""What bench_decode does with Pillow and OpenCV, in one process.

    peer_decode.py FOLDER       last line: decode SECONDS
"""
import pathlib
import sys
import time

import cv2
import numpy
from PIL import Image

STEP, AREA, MIN_SIDE, MAX_SIDE = 64, 512 * 512, 256, 1024


def bucket_sizes():
    sizes = {(512, 512)}
    for width in range(MIN_SIDE, MAX_SIDE + 1, STEP):
        height = min(MAX_SIDE, AREA // width // STEP * STEP)
        if height >= MIN_SIDE:
            sizes |= {(width, height), (height, width)}
    return sorted(sizes)


def prepared(path, sizes):
    """float32 [3,H,W] in -1..1, cut to the bucket."""
    image = numpy.array(Image.open(path).convert("RGB"), numpy.uint8)
    height, width = image.shape[:2]
    ratio = width / height
    bucket = min(sizes, key=lambda size: abs(size[0] / size[1] - ratio))
    scale = bucket[1] / height if ratio > bucket[0] / bucket[1] else bucket[0] / width
    resized = int(width * scale + 0.5), int(height * scale + 0.5)
    image = cv2.resize(image, resized, interpolation=cv2.INTER_AREA)
    left, top = (resized[0] - bucket[0]) // 2, (resized[1] - bucket[1]) // 2
    cut = image[top:top + bucket[1], left:left + bucket[0]]
    return (numpy.ascontiguousarray(cut.transpose(2, 0, 1), dtype=numpy.float32) / 255 - 0.5) / 0.5


def main():
    paths = sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.suffix in (".png", ".jpg", ".webp"))
    cv2.setNumThreads(1)
    sizes = bucket_sizes()
    start = time.perf_counter()
    numbers = sum(prepared(path, sizes).size for path in paths)
    print(f"images {len(paths)} numbers {numbers}\ndecode {time.perf_counter() - start:.4f}")


if __name__ == "__main__":
    main()
