"""One optimizer step over 800 LoRA tensors with PyTorch (AdamW, foreach) or bitsandbytes: the peer of bench_optimizer_step.

    peer_optimizer_step.py --optimizer AdamW|AdamW8bit --steps N        last line: optimizer_step NAME SECONDS
"""
import argparse
import time

import torch

PAIRS, RANK = 400, 16
LAYERS = ((1536, 4608), (1536, 1536), (1536, 6144), (6144, 1536), (1536, 9216))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--optimizer", choices=("AdamW", "AdamW8bit"), default="AdamW")
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    torch.manual_seed(0)
    parameters = []
    for i in range(PAIRS):
        inputs, outputs = LAYERS[i % len(LAYERS)]
        for shape in ((RANK, inputs), (outputs, RANK)):
            parameter = torch.nn.Parameter(torch.randn(shape) * 0.02)
            parameter.grad = torch.randn(shape) * 1e-3
            parameters.append(parameter)
    if args.optimizer == "AdamW":
        optimizer = torch.optim.AdamW(parameters, lr=1e-4, foreach=True)
    else:
        import bitsandbytes
        optimizer = bitsandbytes.optim.AdamW8bit(parameters, lr=1e-4)
    times = []
    for i in range(-3, args.steps):  # three to warm up
        start = time.perf_counter()
        optimizer.step()
        if i >= 0:
            times.append(time.perf_counter() - start)
    print(f"{sum(p.numel() for p in parameters)} numbers in {len(parameters)} tensors")
    print(f"optimizer_step {args.optimizer} {sorted(times)[len(times) // 2]:.5f}")


if __name__ == "__main__":
    main()
