"""Reads the 8-bit states of an optimizer with bitsandbytes and holds them against the float32 states of the same step.

    bitsandbytes_codes.py PLAIN_STATE NARROW_STATE     optimizer.safetensors of AdamW and of AdamW8bit
Prints the number of values, of different values among them, and how much further the worst one lies from the float32 value
than the nearest entry of bitsandbytes' table would, in units of its block's greatest magnitude.
"""
import sys

import bitsandbytes.functional as bnb
import torch
from safetensors.torch import load_file

BLOCK = 256


def excess(values, codes, absmax, signed):
    """How much further than necessary the decoded values lie from `values`, over the blocks' magnitudes."""
    table = bnb.create_dynamic_map(signed=signed)
    decoded = bnb.dequantize_blockwise(codes.flatten(), absmax=absmax, code=table, blocksize=BLOCK)
    scale = absmax.repeat_interleave(BLOCK)[:values.numel()]
    wanted = values.flatten() / torch.where(scale > 0, scale, 1)
    order = torch.searchsorted(table, wanted).clamp(1, len(table) - 1)
    nearest = torch.minimum((wanted - table[order - 1]).abs(), (wanted - table[order]).abs())
    return (decoded / torch.where(scale > 0, scale, 1) - wanted).abs() - nearest


def main():
    plain, narrow = load_file(sys.argv[1]), load_file(sys.argv[2])
    count, different, worst = 0, set(), 0.0
    for key in narrow:
        for number, (state, signed) in enumerate((("exp_avg", True), ("exp_avg_sq", False)), 1):
            if not key.endswith(f".state{number}"):
                continue
            values = plain[key.removesuffix(f"state{number}") + state]
            absmax = narrow[key.removesuffix(f"state{number}") + f"absmax{number}"].flatten()
            worst = max(worst, excess(values, narrow[key], absmax, signed).max().item())
            count += values.numel()
            different |= set(narrow[key].unique().tolist())
    print(count, len(different), worst)


if __name__ == "__main__":
    main()
