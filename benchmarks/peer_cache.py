"""What bench_cache does with numpy's npz.

    peer_cache.py write|read FOLDER [COUNT]       last line: KIND SECONDS
"""
import sys
import time

import numpy


def write(folder, count):
    latents, flipped = (numpy.random.randn(16, 64, 64).astype(numpy.float32) for _ in range(2))
    for i in range(count):
        numpy.savez(f"{folder}/peer_{i}_0512x0512_sd3.npz", latents_64x64=latents, latents_flipped_64x64=flipped,
                    original_size_64x64=numpy.array([512, 512]), crop_ltrb_64x64=numpy.array([0.0, 0, 512, 512]))


def read(folder, count):
    total = 0.0
    for i in range(count):
        with numpy.load(f"{folder}/peer_{i}_0512x0512_sd3.npz") as file:
            arrays = [file[name] for name in file.files]
        total += float(arrays[0].flat[0])
    print(f"sum {total:.3f}")


def main():
    kind, folder = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 500
    start = time.perf_counter()
    {"write": write, "read": read}[kind](folder, count)
    print(f"{kind} {time.perf_counter() - start:.4f}")


if __name__ == "__main__":
    main()
