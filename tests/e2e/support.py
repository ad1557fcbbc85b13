"""Shared by the end-to-end tests: the program, a small checkpoint, a data set of photographs, file readers."""
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from replay import read_safetensors  # noqa: E402,F401

GOLDEN = pathlib.Path(os.environ.get("LORAPTOR_GOLDEN") or ROOT / "tests/golden").resolve()
PROGRAM = pathlib.Path(os.environ.get("LORAPTOR_PROGRAM") or ROOT / "build/release/loraptor").resolve()


def make_checkpoint(folder, model="tiny_sd35m"):
    """Checkpoint files of a golden model; returns the flags that name them."""
    if not (folder / "mmdit_vae.safetensors").exists():
        subprocess.run([sys.executable, str(ROOT / "tests/golden/make_checkpoint.py"), model, str(folder)], check=True)
    return ["--pretrained_model_name_or_path", str(folder / "mmdit_vae.safetensors")] + [
        word for name in ("clip_l", "clip_g", "t5xxl") for word in (f"--{name}", str(folder / f"{name}.safetensors"))]


IMAGES = ROOT / "tests/golden/trajectories/trajectory_1/images"


def photo_dataset(path, batch_size=2, repeats=1, extra="", images=IMAGES):
    """A data set file over a folder of images; by default the photographs of a recorded run (three buckets)."""
    path.write_text(f"""
[general]
caption_extension = ".txt"
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 256
bucket_reso_steps = 32
[[datasets]]
resolution = 128
batch_size = {batch_size}
  [[datasets.subsets]]
  image_dir = "{images}"
  num_repeats = {repeats}
  {extra}
""")
    return ["--dataset_config", str(path)]


def run(words, expect=0, cwd=None, env=None):
    """Runs the program; returns its output (both streams). Fails if it ends otherwise than expected."""
    result = subprocess.run([str(PROGRAM), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            cwd=cwd, env=env, timeout=600)
    assert result.returncode == expect, f"status {result.returncode}, expected {expect}:\n{result.stdout}"
    return result.stdout


PEERS = ROOT / ".cache/benchmark-env"  # the programs that ours is compared with


def require_peer(test, modules):
    """Skips the test if the peers' Python lacks one of the modules; call it before the work whose result they look at."""
    python = PEERS / "bin/python"
    probe = [str(python), "-c", f"import {modules}"]
    if not python.exists() or subprocess.run(probe, stderr=subprocess.DEVNULL).returncode != 0:
        test.skipTest(f"Python in {PEERS} has no {modules} (benchmarks/requirements.txt)")


def run_peer(script, *words):
    """Runs a script beside this file with the peers' Python and returns what it prints."""
    command = [str(PEERS / "bin/python"), str(pathlib.Path(__file__).with_name(script)), *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def read_log(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


MEASURED = ("seconds", "data_seconds", "seconds_left", "images_per_second", "peak_memory")


def read_computed(path):
    """The lines of a log without what two equal runs may differ in."""
    return [{key: value for key, value in line.items() if key not in MEASURED} for line in read_log(path)]


def read_metadata(path):
    data = pathlib.Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8:8 + length]).get("__metadata__", {})
