"""Run by kinds_test.py with a Python that has lycoris_lora.

    lycoris_merge.py MULTIPLIER BASE STEM...     BASE: a checkpoint; STEM.safetensors: a LoRA; STEM_merged.safetensors: the
                                                 checkpoint with it, as `loraptor merge` wrote it
Prints three numbers a LoRA: modules compared, the largest change of a weight relative to its norm, and the largest difference
between the weight that LyCORIS computes with in training and the merged one, relative to the change. (Its own merging counts
alpha / rank twice for LoHa and LoKr.)
"""
import sys

import torch
from lycoris.modules import get_module, make_module
from safetensors.torch import load_file

PREFIX = "model.diffusion_model."


def compare(base, merged, lora, multiplier):
    layers = {"lora_unet_" + name[len(PREFIX):-len(".weight")].replace(".", "_"): name for name in base
              if name.startswith(PREFIX) and name.endswith(".weight")}
    modules = sorted({key.split(".")[0] for key in lora})
    changes, errors = [], []
    for name in modules:
        weight = base[layers[name]]
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.copy_(weight)
        kind, parameters = get_module(lora, name)
        module = make_module(kind, parameters, name, linear).eval()
        module.multiplier = multiplier
        want = module(torch.eye(weight.shape[1])).T
        change = (want - weight).norm()
        changes.append((change / weight.norm()).item())
        errors.append(((merged[layers[name]] - want).norm() / change).item())
    print(len(modules), max(changes), max(errors))


@torch.no_grad()
def main():
    base = load_file(sys.argv[2])
    for stem in sys.argv[3:]:
        compare(base, load_file(stem + "_merged.safetensors"), load_file(stem + ".safetensors"), float(sys.argv[1]))


main()
