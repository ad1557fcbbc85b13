#!/usr/bin/env python3
"""Puts the demo's training pictures and its samples before and after the training on one picture, for README.md.

    before_after.py [DEMO_OUTPUT] [PICTURE.png]      default: demo_output docs/images/demo.png, after ./demo.sh

Needs numpy and OpenCV.
"""
import pathlib
import re
import sys
import textwrap

import cv2
import numpy as np

from recognise import read_picture

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDE, GAP, MARGIN = 132, 8, 12  # px: a sample, between two, at the edge
LABEL = 76                      # px, of the column of words at the left
LINE = 17                       # px, of text
INK, PAPER = (32, 32, 38), (255, 255, 255)


def prompts():
    """The words of each line of the prompt file."""
    lines = (ROOT / "demo/prompts.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" --")[0] for line in lines if line and not line.startswith("#")]


def samples(folder, moment):
    """Of each prompt in order; file names: zorb_e000000_00_20260101120000_1.png."""
    return [read_picture(path) for path in sorted(folder.glob(f"*_{moment}_[0-9][0-9]_*.png"))]


def write(image, text, x, y):
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)


def row(label, pictures, side):
    """Pictures side by side, with a word before them."""
    width = MARGIN + LABEL + len(pictures) * (side + GAP) - GAP + MARGIN
    strip = np.full((side + GAP, width, 3), PAPER, np.uint8)
    write(strip, label, MARGIN, side // 2 + 4)
    for number, picture in enumerate(pictures):
        x = MARGIN + LABEL + number * (side + GAP)
        strip[:side, x:x + side] = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
    return strip


def legend(texts, width):
    wrapped = [textwrap.wrap(text, 18) for text in texts]
    strip = np.full((LINE * max(map(len, wrapped)) + MARGIN, width, 3), PAPER, np.uint8)
    for number, lines in enumerate(wrapped):
        for line, text in enumerate(lines):
            write(strip, text, MARGIN + LABEL + number * (SIDE + GAP), LINE * (line + 1) - 4)
    return strip


def compose(output):
    taught = [read_picture(path) for path in sorted((ROOT / "demo/zorb").glob("*.png"))]
    moments = sorted({re.search(r"_(e\d+)_", path.name)[1] for path in (output / "sample").glob("*.png")})
    before, after = (row(word, samples(output / "sample", moment), SIDE)
                     for word, moment in (("before", moments[0]), ("after", moments[-1])))
    width = before.shape[1]
    top = np.full((MARGIN, width, 3), PAPER, np.uint8)
    return np.concatenate([top, row("taught", taught, (SIDE - GAP) // 2), before, after, legend(prompts(), width)])


def main():
    words = sys.argv[1:]
    if len(words) > 2 or any(word.startswith("-") for word in words):
        sys.exit(__doc__)
    output = pathlib.Path(words[0] if words else ROOT / "demo_output")
    picture = pathlib.Path(words[1] if len(words) > 1 else ROOT / "docs/images/demo.png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(picture), cv2.cvtColor(compose(output), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
