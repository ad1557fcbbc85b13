#!/usr/bin/env bash
# Pairs Loraptor with its peer on this machine in one run and prints ours ÷ theirs.
#
#   benchmarks/compare.sh train_step     a LoRA training step against diffusers + PEFT (fp32 and bf16)
#   benchmarks/compare.sh optimizer_step AdamW and AdamW8bit over 800 LoRA tensors against torch.optim.AdamW(foreach=True)
#                                        and bitsandbytes, on the CPU
#   benchmarks/compare.sh start          trajectory_1 with 1 and with 121 steps (seconds and peak memory; no peer)
#   benchmarks/compare.sh merge          a LoRA into a 2 GB checkpoint, against a plain copy of it (and peak memory);
#                                        likewise extract, resize, convert
#   benchmarks/compare.sh scan           the start on 200,000 small images against glob + imagesize + reading captions
#   benchmarks/compare.sh decode         decode, resize, crop on all cores against Pillow + OpenCV in one process
#   benchmarks/compare.sh cache          cache files of latents written and read, against numpy's npz
#
# The peers are installed from PyPI into .cache/benchmark-env on first use (about 5 GB). PAIRS=N sets the pairs (5).
set -euo pipefail
cd "$(dirname "$0")/.."
name="${1:-}"
pairs="${PAIRS:-5}"
build=build/release

peer_environment() {
  if [ ! -x .cache/benchmark-env/bin/python ] || ! .cache/benchmark-env/bin/python -c 'import diffusers, peft, imagesize, cv2' 2>/dev/null; then
    echo "installing the peers into .cache/benchmark-env ..." >&2
    python3 -m venv .cache/benchmark-env
    .cache/benchmark-env/bin/pip install --quiet -r benchmarks/requirements.txt
  fi
}

case "$name" in
  train_step)
    peer_environment
    exec .cache/benchmark-env/bin/python benchmarks/pair.py train_step "$pairs" \
      "$build/bench_train_step --precision {variant} --steps 10" \
      ".cache/benchmark-env/bin/python benchmarks/peer_train_step.py --precision {variant} --steps 10" fp32 bf16
    ;;
  optimizer_step)
    peer_environment
    exec .cache/benchmark-env/bin/python benchmarks/pair.py optimizer_step "$pairs" \
      "$build/bench_optimizer_step --optimizer {variant} --steps 20" \
      ".cache/benchmark-env/bin/python benchmarks/peer_optimizer_step.py --optimizer {variant} --steps 20" AdamW AdamW8bit
    ;;
  start)
    exec .venv/bin/python benchmarks/start.py "$build/loraptor" "$pairs"
    ;;
  scan | decode | cache)
    peer_environment
    exec .cache/benchmark-env/bin/python "benchmarks/$name.py" "$build" "$pairs"
    ;;
  merge | extract | resize | convert)
    exec .venv/bin/python benchmarks/companions.py "$build/loraptor" "$name"
    ;;
  *)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
