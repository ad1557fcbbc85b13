#!/usr/bin/env python3
"""Trains the autoencoder on drawn pictures. Stop it and start it again as you like.

    train_vae.py WORK_FOLDER [--steps N]      writes WORK_FOLDER/vae_state.pt, then vae.pt
"""
import argparse
import math
import pathlib

import numpy as np
import torch

import draw
from training import Log, Run, learning_rate, save_whole
from vae import Vae, scale_latents

SEED = 1
HELD_OUT = 1_000_000  # seed of pictures that no training uses
BATCH = 4
TOP_RATE = 6e-4
CROP, CROP_UNTIL = 32, 0.6  # most steps see quarters of pictures: four times as many for the time


def to_tensor(pictures):
    """uint8 [H,W,3] each -> [B,3,H,W] in -1..1."""
    stacked = np.stack(pictures).transpose(0, 3, 1, 2)
    return torch.from_numpy(stacked.astype(np.float32) / 127.5 - 1)


def picture(index, seed=SEED):
    """Half of them are of the demo's kind, half of them practice."""
    return draw.draw(draw.random_picture(seed, index)) if index % 2 == 0 else draw.draw_practice(seed, index)


def batch(step, steps):
    if step >= CROP_UNTIL * steps:
        return to_tensor([picture(step * 4 * BATCH + i) for i in range(BATCH)])
    rng = np.random.default_rng((SEED, step))
    parts = []
    for i in range(2 * BATCH):
        whole = picture(step * 4 * BATCH + i)
        y, x = rng.integers(0, draw.SIDE - CROP + 1, 2)
        parts.append(whole[y:y + CROP, x:x + CROP])
    return to_tensor(parts)


def loss_of(vae, pixels, noise):
    mean, logvar = vae.encode(pixels)
    logvar = logvar.clamp(-30, 20)
    error = vae.decode(mean + (logvar / 2).exp() * noise) - pixels
    l1, l2 = error.abs().mean(), error.square().mean()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return l1 + l2 + 1e-3 * kl, l2, kl


@torch.no_grad()
def measure(vae, pictures=64):
    """PSNR in dB of reconstructions (from the mean) of pictures that were never trained on: mean over the pictures."""
    pixels = to_tensor([draw.draw(draw.random_picture(HELD_OUT, i)) for i in range(pictures)])
    out = vae.decode(vae.encode(pixels)[0]).clamp(-1, 1)
    errors = (out - pixels).square().mean((1, 2, 3)) / 4  # of values in 0..1
    return float(-10 * errors.log10().mean())


@torch.no_grad()
def latent_deviation(vae, pictures=512):
    means = [vae.encode(to_tensor([draw.draw(draw.random_picture(SEED, i)) for i in range(at, at + 64)]))[0]
             for at in range(0, pictures, 64)]
    means = torch.cat(means)
    print(f"latent means: {means.mean((0, 2, 3)).abs().max():.3f} at most; deviations {means.std((0, 2, 3)).min():.3f} "
          f"to {means.std((0, 2, 3)).max():.3f}")
    return means.std((0, 2, 3))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    vae = Vae()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=TOP_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    run, log = Run(arguments.folder / "vae_state.pt", vae, optimizer, arguments.steps, 0.998), Log(20)
    for step in run:
        optimizer.param_groups[0]["lr"] = learning_rate(step, arguments.steps, TOP_RATE)
        pixels = batch(step, arguments.steps)
        noise = torch.randn(len(pixels), 16, pixels.shape[2] // 8, pixels.shape[3] // 8,
                            generator=torch.Generator().manual_seed(SEED + step))
        loss, l2, kl = loss_of(vae, pixels, noise)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        log.add(step, loss=loss.item(), psnr=-10 * math.log10(l2.item() / 4), kl=kl.item())
        if (step + 1) % 200 == 0:
            print(f"step {step + 1}  unseen pictures {measure(vae):.2f} dB", flush=True)
    if run.step == arguments.steps:
        vae.load_state_dict(run.average.weights)
        print(f"average: unseen pictures {measure(vae):.2f} dB")
        scale_latents(vae, latent_deviation(vae))
        print(f"latents scaled: unseen pictures {measure(vae):.2f} dB", flush=True)
        save_whole(arguments.folder / "vae.pt", vae.state_dict())


if __name__ == "__main__":
    main()
