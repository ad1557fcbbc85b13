#!/usr/bin/env python3
"""Measures what the demo's base model draws, and what a LoRA of the word "zorb" changes: pictures of fixed prompts and
seeds are made by `loraptor generate` and judged by recognise.py. Needs a build, numpy and OpenCV.

    evaluate.py [--lora LORA.safetensors] [--base BASE.safetensors] [--samples N] [--keep FOLDER]

Printed are rows of the table in docs/demo_model.md. --keep also writes a sheet of each kind of pictures.
"""
import argparse
import pathlib
import subprocess
import tempfile

import cv2
import numpy as np

import draw
from recognise import read_picture, recognise

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "demo/base_model.safetensors"
BUILD = ROOT / "build/release"
SAMPLES = 64
STEPS, GUIDANCE = 20, 2.0
T5_TOKENS = 24  # of the captions that the base was trained on
UNSEEN = 777    # seed of pictures that no training uses


# ---- what is asked for -----------------------------------------------------------------------------------------------

def known_pictures(count):
    """Of the shapes that the base model knows."""
    return [draw.random_picture(UNSEEN, index) for index in range(count)]


def new_pictures(count):
    """Zorbs of every colour at every place, but none that is among the eight pictures. White has no visible stripe."""
    taken = {(picture.colour, picture.place) for picture in draw.ZORBS}
    free = [(colour, place) for colour in draw.COLOURS for place in draw.PLACES
            if colour != "white" and (colour, place) not in taken]
    return [draw.Picture(draw.NEW_SHAPE, colour, "large", place, ground=())
            for colour, place in (free[index % len(free)] for index in range(count))]


# ---- pictures --------------------------------------------------------------------------------------------------------

def make_encoders(folder, build=BUILD):
    """The text encoders are not stored: their weights come from a formula."""
    if not (folder / "t5xxl.safetensors").exists():
        sizes = ROOT / "tools/base_model/base_model.json"
        subprocess.run([build / "make_checkpoint", sizes, folder], check=True)
    return [f"--{name}={folder / name}.safetensors" for name in ("clip_l", "clip_g", "t5xxl")]


def generate(model, asked, loras=(), program=BUILD / "loraptor"):
    """The model's pictures of what is asked, with seeds 0, 1, ...: list of uint8 [SIDE,SIDE,3], RGB.
    model: flags that name the checkpoint and its encoders."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = pathlib.Path(folder) / "prompts.txt"
        prompts.write_text("".join(f"{draw.captions(picture)[0]} --d {seed}\n" for seed, picture in enumerate(asked)))
        words = [program, "generate", *model, "--t5xxl_max_token_length", T5_TOKENS, "--from_file", prompts, "--outdir", folder,
                 "--width", draw.SIDE, "--height", draw.SIDE, "--steps", STEPS, "--scale", GUIDANCE, "--cpu_threads", 1]
        if loras:
            words += ["--network_weights", *loras]
        done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        paths = sorted(pathlib.Path(folder).glob("im_*.png"), key=lambda path: int(path.stem.split("_")[-1]))
        return [read_picture(path) for path in paths]


def sheet(images, columns=16):
    """All pictures on one, with a thin line between them."""
    framed = [np.pad(image, ((0, 2), (0, 2), (0, 0)), constant_values=255) for image in images]
    framed += [np.full_like(framed[0], 255)] * (-len(framed) % columns)
    rows = [np.concatenate(framed[at:at + columns], axis=1) for at in range(0, len(framed), columns)]
    return np.concatenate(rows)


# ---- figures ---------------------------------------------------------------------------------------------------------

def shares(asked, images):
    """In which share of the pictures shape, colour, place and size are what was asked for."""
    found = [recognise(image) for image in images]
    return {what: float(np.mean([finding is not None and getattr(finding, what) == getattr(picture, what)
                                 for picture, finding in zip(asked, found)]))
            for what in ("shape", "colour", "place", "size")}


def measure(model, lora=None, samples=SAMPLES, program=BUILD / "loraptor", keep=None):
    """Yields what was measured and its shares, one after the other."""
    kinds = [("base", known_pictures(samples), ()), ("zorb before", new_pictures(samples), ())]
    if lora:
        kinds += [("zorb after", new_pictures(samples), (lora,)), ("base with LoRA", known_pictures(samples), (lora,))]
    for name, asked, loras in kinds:
        images = generate(model, asked, loras, program)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(keep / f"{name.replace(' ', '_')}.png"), cv2.cvtColor(sheet(images), cv2.COLOR_RGB2BGR))
        yield name, shares(asked, images)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=pathlib.Path, default=BASE)
    parser.add_argument("--lora", type=pathlib.Path)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--encoders", type=pathlib.Path, default=ROOT / "demo_output/encoders")
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    model = [f"--pretrained_model_name_or_path={arguments.base}", *make_encoders(arguments.encoders)]
    print("| pictures | " + " | ".join(("shape", "colour", "place", "size")) + " |")
    for name, result in measure(model, arguments.lora, arguments.samples, keep=arguments.keep):
        print(f"| {name} | " + " | ".join(f"{100 * share:.0f} %" for share in result.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
