#!/usr/bin/env python3
"""Joins the trained autoencoder and transformer into one 16-bit file in the layout of SD3's single files.

    export.py WORK_FOLDER OUT.safetensors [--unfinished]

--unfinished takes the averages of trainings that still run. The text encoders are not in the file: their weights come
from the formula (make_checkpoint tools/base_model/base_model.json).
"""
import pathlib
import sys

import torch
from safetensors.torch import save_file


def weights(folder, part, unfinished):
    path = folder / f"{part}.pt"
    if path.exists() or not unfinished:
        return torch.load(path, weights_only=True)
    state = torch.load(folder / f"{part}_state.pt", weights_only=True)
    print(f"{part}: average after step {state['step']}")
    return {**state["model"], **state["average"]}


def main():
    words = [word for word in sys.argv[1:] if word != "--unfinished"]
    if len(words) != 2:
        sys.exit(__doc__)
    folder, tensors = pathlib.Path(words[0]), {}
    for part, prefix in (("mmdit", "model.diffusion_model."), ("vae", "first_stage_model.")):
        for name, value in weights(folder, part, "--unfinished" in sys.argv).items():
            tensors[prefix + name] = value.half().contiguous()
    save_file(tensors, words[1], metadata={"format": "pt"})
    print(f"{words[1]}: {pathlib.Path(words[1]).stat().st_size / 1e6:.1f} MB, "
          f"{sum(value.numel() for value in tensors.values()) / 1e6:.2f} M values")


if __name__ == "__main__":
    main()
