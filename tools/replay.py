#!/usr/bin/env python3
"""Repeats a recorded training run and compares losses, learning rates, gradient norms and the final LoRA.

    replay.py FOLDER [--program PATH] [--keep DIR]

FOLDER holds run.json, dataset.toml, draws, initial LoRA and expected results (format: tests/golden/trajectories/README.md).
The checkpoint is made by make_checkpoint.py with models.json, two folders above FOLDER. Exit status 1 when out of tolerance.
Needs numpy.
"""
import argparse
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1"}


def read_safetensors(path):
    """name -> float64 array."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        raw = data[begin:end]
        if info["dtype"] == "BF16":
            array = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            array = np.frombuffer(raw, DTYPES[info["dtype"]])
        tensors[name] = array.astype(np.float64).reshape(info["shape"])
    return tensors


def find_tokenizers(program):
    """The vocabularies of the installation that `program` belongs to."""
    for folder in (program.parent / "../share/loraptor/tokenizers", ROOT / "data/tokenizers"):
        if folder.is_dir():
            return folder.resolve()
    sys.exit("no tokenizer vocabularies found; run ./setup.sh")


def make_checkpoint(golden, model, folder):
    script = golden / "make_checkpoint.py"
    subprocess.run([sys.executable, str(script), model, str(folder)], check=True)


def run_program(args, folder, run, work):
    golden = folder.parent.parent
    checkpoint, out = work / "checkpoint", work / "out"
    make_checkpoint(golden, run["model"], checkpoint)
    out.mkdir()
    places = {"{CKPT}": str(checkpoint), "{RUN}": str(folder), "{OUT}": str(out),
              "{TOKENIZERS}": str(find_tokenizers(args.program))}

    def fill(text):
        for key, value in places.items():
            text = text.replace(key, value)
        return text

    (out / "dataset.toml").write_text(fill((folder / "dataset.toml").read_text()))
    words = [fill(word) for word in run["args"] + run["replay_args"]]
    words += ["--log_json", str(out / "log.jsonl"), "--cpu_matmul", "highest"]
    if not run.get("attn2", "head size 64").startswith("head size 64"):  # recorded with the reference's own second attention
        words += ["--kohya_compat", "attn2"]
    result = subprocess.run([str(args.program), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        print(result.stdout)
        sys.exit(f"{folder.name}: the program ended with status {result.returncode}")
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return log, read_safetensors(out / run["final_file"])


class Comparison:
    """Collects the worst error of each quantity and whether all are within their limits."""

    def __init__(self, name):
        self.name, self.good = name, True

    def report(self, what, error, limit, where=""):
        good = bool(error <= limit)  # false for NaN
        self.good &= good
        print(f"{self.name}: {what:<28} {error:9.3g}  limit {limit:g}  {'ok' if good else 'OUT OF TOLERANCE'}{where}")

    def relative(self, what, got, want, limit):
        if len(got) != len(want):
            print(f"{self.name}: {what}: got {len(got)} values, expected {len(want)}")
            self.good = False
            return
        got, want = np.asarray(got, float), np.asarray(want, float)
        errors = np.where(got == want, 0.0, np.abs(got - want) / np.maximum(np.abs(want), 1e-30))
        worst = int(np.argmax(errors)) if errors.size else 0
        self.report(what, errors.max() if errors.size else 0.0, limit,
                    f"  (worst at {worst}: got {got.flat[worst]:.9g}, expected {want.flat[worst]:.9g})" if errors.size else "")


def compare(name, log, lora, folder, tolerance):
    expected = json.loads((folder / "expected.json").read_text())
    check = Comparison(name)
    steps, micro = expected["optimizer_steps"], expected["micro_steps"]
    want_losses, first = [], 0
    for step in steps:
        want_losses.append(np.mean([m["loss"] for m in micro[first:step["micro_step"] + 1]]))
        first = step["micro_step"] + 1
    check.relative("loss (worst relative)", [line["loss"] for line in log], want_losses, tolerance["loss_rel"])
    check.relative("learning rate", [rate for line in log for rate in line["lr"].values()],
                   [rate for step in steps for rate in step["lr"]], 1e-6)
    check.relative("gradient norm", [line["grad_norm"] for line in log], [step["grad_norm"] for step in steps],
                   tolerance["grad_norm_rel"])

    want, initial = read_safetensors(folder / "expected.safetensors"), read_safetensors(folder / "init.safetensors")
    if set(lora) != set(want):
        print(f"{name}: LoRA keys differ: missing {sorted(set(want) - set(lora))[:5]}, too many {sorted(set(lora) - set(want))[:5]}")
        return False
    difference = np.sqrt(sum(np.sum((lora[key] - want[key]) ** 2) for key in want))
    change = np.sqrt(sum(np.sum((want[key] - initial[key]) ** 2) for key in want))
    check.report("LoRA (2-norm over change)", difference / change, tolerance["weights_l2_over_change"])
    check.report("LoRA (largest element)", max(np.abs(lora[key] - want[key]).max() for key in want),
                 tolerance["weights_max_abs"])
    return check.good


def main():
    parser = argparse.ArgumentParser(description="Repeat a recorded training run and compare.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/loraptor")
    parser.add_argument("--keep", type=pathlib.Path, help="keep the work folder here")
    args = parser.parse_args()
    args.program = args.program.resolve()
    folder = args.folder.resolve()
    run = json.loads((folder / "run.json").read_text())
    work = pathlib.Path(tempfile.mkdtemp(prefix="loraptor-replay-"))
    try:
        log, lora = run_program(args, folder, run, work)
        good = compare(folder.name, log, lora, folder, run["tolerance"])
    finally:
        if args.keep:
            shutil.copytree(work, args.keep, dirs_exist_ok=True)
        shutil.rmtree(work)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
