"""Run by commands_test.py with a Python that has peft.

    peft_adapter.py FOLDER JSON     JSON: further settings of the LoraConfig
Writes FOLDER/adapter_model.safetensors with its adapter_config.json, and FOLDER/deltas.safetensors: what PEFT itself adds
to the weight of each layer.
"""
import json
import pathlib
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

WIDTH = 16
LAYERS = ["attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "ff.net.2"]


def make_module(tree):
    """Nested modules of a tree of names whose leaves are layers."""
    if not tree:
        return torch.nn.Linear(WIDTH, WIDTH)
    module = torch.nn.Module()
    for name, below in tree.items():
        module.add_module(name, make_module(below))
    return module


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(1)
    tree = {}
    for layer in LAYERS:
        below = tree
        for name in f"transformer_blocks.0.{layer}".split("."):
            below = below.setdefault(name, {})
    config = LoraConfig(target_modules=LAYERS, r=4, lora_alpha=8, init_lora_weights=False, **json.loads(sys.argv[2]))
    model = get_peft_model(make_module(tree), config)
    model.save_pretrained(folder)
    save_file({layer: model.base_model.model.get_submodule(f"transformer_blocks.0.{layer}").get_delta_weight("default")
               .detach().contiguous() for layer in LAYERS}, folder / "deltas.safetensors")


main()
