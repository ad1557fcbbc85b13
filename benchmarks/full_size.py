"""Two training steps at 512 px on a full-size SD3.5 Medium with all encoders, weights from a formula.

    full_size.py WORK_FOLDER [MODEL]        MODEL: sd3.5-medium (default), sd3-medium, sd3.5-large

Needs about 17 GB of disk in WORK_FOLDER and a machine with 24 GB of memory. Prints the program's log (with seconds per
phase), seconds per step and the peak memory. Not part of the tests.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"


def main():
    work = pathlib.Path(sys.argv[1]).resolve()
    model = sys.argv[2] if len(sys.argv) > 2 else "sd3.5-medium"
    folder = work / model
    if not (folder / "mmdit_vae.safetensors").exists():
        start = time.time()
        subprocess.run([str(BUILD / "make_checkpoint"), model, str(folder), "--dtype", "bf16"], check=True)
        print(f"checkpoint written in {time.time() - start:.0f} s")
    photos = work / "photos"
    subprocess.run([sys.executable, str(ROOT / "tools/demo_photos.py"), str(photos)], check=True)
    keep = sorted(path.stem for path in photos.glob("*.txt"))[:2]  # one for each step; T5-XXL is slow on small CPUs
    for path in photos.iterdir():
        if path.stem not in keep:
            path.unlink()
    (work / "dataset.toml").write_text(f"""
[general]
caption_extension = ".txt"
enable_bucket = true
[[datasets]]
resolution = 512
batch_size = 1
  [[datasets.subsets]]
  image_dir = "{photos}"
""")
    log = work / "log.jsonl"
    words = [str(BUILD / "loraptor"), "--pretrained_model_name_or_path", str(folder / "mmdit_vae.safetensors")]
    for name in ("clip_l", "clip_g", "t5xxl"):
        words += [f"--{name}", str(folder / f"{name}.safetensors")]
    words += ["--dataset_config", str(work / "dataset.toml"), "--output_dir", str(work / "out"), "--output_name", "lora",
              "--network_module", "networks.lora", "--network_dim", "16", "--network_train_unet_only",
              "--mixed_precision", "bf16", "--gradient_checkpointing", "--cache_text_encoder_outputs", "--cache_latents",
              "--max_train_steps", "2", "--seed", "1", "--log_json", str(log)]
    start = time.time()
    process = subprocess.Popen(words)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"the program ended with status {status}")
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    print(f"{model}: whole run {time.time() - start:.0f} s, steps {[round(s['seconds'], 1) for s in steps]} s, "
          f"losses {[round(s['loss'], 4) for s in steps]}, peak memory {usage.ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
