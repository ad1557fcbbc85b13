"""What bench_scan does, the plain Python way: glob, imagesize, reading captions; one process.

    peer_scan.py FOLDER         last line: scan SECONDS
"""
import glob
import os
import re
import sys
import time

import imagesize

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
CACHE = re.compile(r"(.*)_(\d+)x(\d+)_sd3\.npz")


def main():
    folder = sys.argv[1]
    start = time.perf_counter()
    images = sorted(path for path in glob.glob(os.path.join(folder, "*")) if path.endswith(EXTENSIONS))
    sizes = {}
    for path in glob.glob(os.path.join(folder, "*_sd3.npz")):
        match = CACHE.fullmatch(path)
        if match:
            sizes[match[1]] = (int(match[2]), int(match[3]))
    found = []
    for path in images:
        stem = os.path.splitext(path)[0]
        size = sizes.get(stem) or imagesize.get(path)
        caption = ""
        if os.path.exists(stem + ".txt"):
            with open(stem + ".txt", encoding="utf-8") as file:
                caption = file.readline().strip()
        found.append((path, size, caption))
    seconds = time.perf_counter() - start
    print(f"found images {len(found)} captions {sum(1 for f in found if f[2])} pixels {sum(w * h for _, (w, h), _ in found)}")
    print(f"scan {seconds:.4f}")


if __name__ == "__main__":
    main()
