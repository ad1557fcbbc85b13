"""Times merge, extract, resize and convert on a synthetic checkpoint of about 2 GB, beside a plain copy of the file.

    companions.py PROGRAM NAME [FOLDER]      NAME: merge, extract, resize, convert or all
Last lines: `NAME seconds S, copy C, ratio S/C, peak memory M MB`. Needs 7 GB of disk in FOLDER (a temporary one by default).
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

WIDTH, DEPTH, RANK = 1536, 12, 32
PREFIX = "model.diffusion_model."


def layers():
    """(path, out, in) of the layers of a block list as wide as SD3 Medium."""
    for i in range(DEPTH):
        for side in ("context_block", "x_block"):
            path = f"joint_blocks.{i}.{side}."
            yield path + "attn.qkv", 3 * WIDTH, WIDTH
            yield path + "adaLN_modulation.1", (2 if side == "context_block" and i == DEPTH - 1 else 6) * WIDTH, WIDTH
            if side == "context_block" and i == DEPTH - 1:
                continue
            yield path + "attn.proj", WIDTH, WIDTH
            yield path + "mlp.fc1", 4 * WIDTH, WIDTH
            yield path + "mlp.fc2", WIDTH, 4 * WIDTH


def write_safetensors(path, tensors):
    """tensors: (name, dtype name, shape, function that returns the bytes)"""
    header, at = {}, 0
    sizes = {"F16": 2, "F32": 4}
    for name, dtype, shape, _ in tensors:
        end = at + sizes[dtype] * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for *_, make in tensors:
            file.write(make())


def zeros(name, *shape):
    return PREFIX + name, "F16", shape, lambda: np.zeros(shape, np.float16).tobytes()


def make_checkpoint(path):
    random = np.random.default_rng(1)
    tensors = [zeros("x_embedder.proj.weight", WIDTH, 16, 2, 2), zeros("pos_embed", 1, 192 * 192, WIDTH),
               zeros("y_embedder.mlp.0.weight", WIDTH, 2048), zeros("context_embedder.weight", WIDTH, 4096)]
    for name, rows, columns in layers():
        tensors.append((f"{PREFIX}{name}.weight", "F16", (rows, columns), lambda n=rows * columns:
                        (random.standard_normal(n, np.float32) * 0.02).astype(np.float16).tobytes()))
    write_safetensors(path, tensors)


def make_lora(path):
    random, tensors = np.random.default_rng(2), []
    for name, rows, columns in layers():
        module = "lora_unet_" + name.replace(".", "_")
        for key, shape in (("lora_down", (RANK, columns)), ("lora_up", (rows, RANK))):
            tensors.append((f"{module}.{key}.weight", "F32", shape, lambda s=shape:
                            (random.standard_normal(s, np.float32) * 0.02).tobytes()))
        tensors.append((f"{module}.alpha", "F32", (), lambda: np.float32(RANK).tobytes()))
    write_safetensors(path, tensors)


def measure(words):
    """Seconds and peak memory (MB) of a finished command."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([str(word) for word in words], stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            output.seek(0)
            sys.exit(f"the program failed: {' '.join(map(str, words))}\n{output.read()[-2000:]}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def copy_seconds(source, target):
    """A plain copy, flushed to the disk as ours is."""
    start = time.perf_counter()
    shutil.copyfile(source, target)
    with open(target, "rb+") as file:
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def main():
    program, wanted = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as scratch:
        work = pathlib.Path(scratch)
        base, lora, tuned = work / "base.safetensors", work / "lora.safetensors", work / "tuned.safetensors"
        make_checkpoint(base)
        make_lora(lora)
        print(f"checkpoint {base.stat().st_size / 1e9:.2f} GB, LoRA {lora.stat().st_size / 1e6:.0f} MB", flush=True)
        merge = [program, "merge", "--sd3_checkpoint", base, "--models", lora, "--save_to", tuned]
        commands = {
            "merge": (merge, base),
            "resize": ([program, "resize", "--model", lora, "--new_rank", "8", "--save_to", work / "small.safetensors"], lora),
            "convert": ([program, "convert", lora, work / "diffusers.safetensors"], lora),
            "extract": ([program, "extract", "--model_org", base, "--model_tuned", tuned, "--dim", RANK, "--save_to",
                         work / "extracted.safetensors"], base),
        }
        if wanted == "extract":
            measure(merge)
        for name, (words, source) in commands.items():
            if wanted in (name, "all"):
                copy = copy_seconds(source, work / "copy")
                seconds, memory = measure(words)
                print(f"{name} seconds {seconds:.2f}, copy {copy:.2f}, ratio {seconds / copy:.2f}, peak memory {memory:.0f} MB",
                      flush=True)


if __name__ == "__main__":
    main()
