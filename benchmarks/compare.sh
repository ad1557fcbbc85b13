#!/usr/bin/env bash
# Pairs Loraptor with its peer on this machine in one run and prints ours ÷ theirs.
#
#   benchmarks/compare.sh train_step     a LoRA training step against diffusers + PEFT (fp32 and bf16)
#   benchmarks/compare.sh start          trajectory_1 with 1 and with 121 steps (seconds and peak memory; no peer)
#   benchmarks/compare.sh merge          a LoRA into a 2 GB checkpoint, against a plain copy of it (and peak memory);
#                                        likewise extract, resize, convert
#
# The peers are installed from PyPI into .cache/benchmark-env on first use (about 5 GB). PAIRS=N sets the pairs (5).
set -euo pipefail
cd "$(dirname "$0")/.."
name="${1:-}"
pairs="${PAIRS:-5}"
build=build/release

peer_environment() {
  if [ ! -x .cache/benchmark-env/bin/python ] || ! .cache/benchmark-env/bin/python -c 'import diffusers, peft' 2>/dev/null; then
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
  start)
    exec .venv/bin/python benchmarks/start.py "$build/loraptor" "$pairs"
    ;;
  merge | extract | resize | convert)
    exec .venv/bin/python benchmarks/companions.py "$build/loraptor" "$name"
    ;;
  *)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
