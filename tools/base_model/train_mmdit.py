#!/usr/bin/env python3
"""Trains the transformer on drawn pictures. Stop it and start it again as you like.

    train_mmdit.py WORK_FOLDER captions       writes WORK_FOLDER/captions.txt
    train_mmdit.py WORK_FOLDER [--steps N]    needs vae.pt (train_vae.py) and captions.safetensors (encode_captions);
                                              writes mmdit_state.pt, then mmdit.pt
"""
import argparse
import json
import pathlib

import numpy as np
import torch
from safetensors.torch import load_file

import draw
from mmdit import MMDiT
from training import Log, Run, learning_rate, save_whole
from train_vae import to_tensor
from vae import SCALE, SHIFT, Vae

SEED = 2
PICTURES = 8000
WORDINGS = 2      # captions of each picture
BATCH = 32
TOP_RATE = 8e-4
CAPTION_DROPOUT = 0.1  # the empty caption instead: guidance needs to know it
SIZES = json.loads((pathlib.Path(__file__).parent / "base_model.json").read_text())


def picture(index):
    return draw.random_picture(SEED, index)


def captions_of(index):
    wordings = draw.captions(picture(index))
    return [wordings[(index + 3 * i) % len(wordings)] for i in range(WORDINGS)]


def caption_list():
    """The empty one first, then every caption once, in order of appearance."""
    return list(dict.fromkeys([""] + [text for index in range(PICTURES) for text in captions_of(index)]))


@torch.no_grad()
def encode_pictures(folder):
    """Latents as the transformer sees them, float32 [PICTURES,16,8,8]; kept in WORK_FOLDER/latents.pt."""
    path = folder / "latents.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    vae = Vae()
    vae.load_state_dict(torch.load(folder / "vae.pt", weights_only=True))
    parts = [(vae.encode(to_tensor([draw.draw(picture(i)) for i in range(at, at + 50)]))[0] - SHIFT) * SCALE
             for at in range(0, PICTURES, 50)]
    latents = torch.cat(parts)
    print(f"latents: mean {latents.mean():.3f}, deviation {latents.std():.3f}", flush=True)
    save_whole(path, latents)
    return latents


class Examples:
    """Batches as a pure function of the step."""

    def __init__(self, folder):
        rows = {text: row for row, text in enumerate(caption_list())}
        self.rows = torch.tensor([[rows[text] for text in captions_of(i)] for i in range(PICTURES)])
        self.text = load_file(folder / "captions.safetensors")
        if len(self.text["context"]) != len(rows):
            raise SystemExit(f"captions.safetensors: got {len(self.text['context'])} captions, expected {len(rows)}: "
                             "encode captions.txt again")
        self.latents = encode_pictures(folder)

    def batch(self, step):
        """Noisy latents, timesteps, context, pooled, and the velocity to predict."""
        rng = torch.Generator().manual_seed((SEED << 32) + step)
        chosen = torch.randint(PICTURES, (BATCH,), generator=rng)
        rows = self.rows[chosen, torch.randint(WORDINGS, (BATCH,), generator=rng)]
        rows = torch.where(torch.rand(BATCH, generator=rng) < CAPTION_DROPOUT, 0, rows)  # row 0: the empty caption
        clean = self.latents[chosen]
        noise = torch.randn(clean.shape, generator=rng)
        sigma = torch.sigmoid(torch.randn(BATCH, generator=rng))  # logit-normal
        level = sigma.view(-1, 1, 1, 1)
        return (level * noise + (1 - level) * clean, 1000 * sigma, self.text["context"][rows].float(),
                self.text["pooled"][rows].float(), noise - clean)


def new_model():
    torch.manual_seed(SEED)
    return MMDiT(SIZES)


def train(folder, steps):
    examples, model = Examples(folder), new_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=TOP_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    run, log = Run(folder / "mmdit_state.pt", model, optimizer, steps, 0.999), Log(50)
    for step in run:
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps, TOP_RATE, warm_up=200)
        noisy, timesteps, context, pooled, velocity = examples.batch(step)
        loss = (model(noisy, timesteps, context, pooled) - velocity).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        log.add(step, loss=loss.item())
    if run.step == steps:
        model.load_state_dict(run.average.weights, strict=False)  # the position table is no weight
        save_whole(folder / "mmdit.pt", model.state_dict())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("what", nargs="?", choices=("captions",))
    parser.add_argument("--steps", type=int, default=6500)
    arguments = parser.parse_args()
    if arguments.what == "captions":
        (arguments.folder / "captions.txt").write_text("".join(text + "\n" for text in caption_list()), encoding="utf-8")
    else:
        train(arguments.folder, arguments.steps)


if __name__ == "__main__":
    main()
