#!/usr/bin/env python3
"""Fills a folder with photographs and captions for the demo.

    demo_photos.py FOLDER

The photographs (CC0 or public domain) are taken from a pinned package, scikit-image's wheel, which is downloaded and not
installed; each is checked by its SHA-256.
"""
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "scikit-image==0.25.2"
PHOTOS = {  # name in the package -> (SHA-256, caption)
    "astronaut.png": ("88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "photo of an astronaut in an orange suit, smiling"),
    "chelsea.png": ("596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "photo of a tabby cat, close-up"),
    "coffee.png": ("cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "photo of a cup of coffee with a spoon on a wooden table"),
    "rocket.jpg": ("c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "photo of a rocket on its launch pad at night"),
    "camera.png": ("b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        "black and white photo of a man with a camera on a tripod"),
    "hubble_deep_field.jpg": ("3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "photo of galaxies in deep space"),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    if all((folder / name).exists() for name in PHOTOS):
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    print(f"fetching photographs from {PACKAGE}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                        "--dest", scratch, PACKAGE], check=True)
        wheel = next(pathlib.Path(scratch).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            for name, (digest, caption) in PHOTOS.items():
                data = archive.read(f"skimage/data/{name}")
                found = hashlib.sha256(data).hexdigest()
                if found != digest:
                    sys.exit(f"{name}: got SHA-256 {found}, expected {digest}")
                (folder / name).write_bytes(data)
                (folder / name).with_suffix(".txt").write_text(caption + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
