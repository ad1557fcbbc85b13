#!/usr/bin/env bash
# Trains the demo's base model from nothing: docs/demo_model.md says how long it takes. Stop it (Ctrl-C) and start it
# again as you like: each stage goes on where it was, a finished stage is skipped.
#
#   tools/base_model/train.sh [WORK_FOLDER]        default: .cache/base_model
#
# Needs a build (./setup.sh, cmake --preset release) and Python with requirements.txt: the first run makes that in
# WORK_FOLDER/env. The environment may give VAE_STEPS and MMDIT_STEPS; then the result is not the stored file.
set -euo pipefail
cd "$(dirname "$0")/../.."
work="${1:-.cache/base_model}"
tool=tools/base_model
python="$work/env/bin/python"
mkdir -p "$work"

if [ ! -x "$python" ]; then
  python3 -m venv "$work/env"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$tool/requirements.txt"
fi
if [ ! -x build/release/encode_captions ]; then
  cmake --build build/release --target make_checkpoint encode_captions
fi
if [ ! -f "$work/captions.safetensors" ]; then
  build/release/make_checkpoint "$tool/base_model.json" "$work/encoders"
  "$python" "$tool/train_mmdit.py" "$work" captions
  build/release/encode_captions "$work/encoders" "$work/captions.txt" 24 "$work/captions.safetensors"
fi
if [ ! -f "$work/vae.pt" ]; then
  "$python" -u "$tool/train_vae.py" "$work" ${VAE_STEPS:+--steps "$VAE_STEPS"} | tee -a "$work/vae.log"
fi
if [ -f "$work/vae.pt" ] && [ ! -f "$work/mmdit.pt" ]; then
  "$python" -u "$tool/train_mmdit.py" "$work" ${MMDIT_STEPS:+--steps "$MMDIT_STEPS"} | tee -a "$work/mmdit.log"
fi
[ ! -f "$work/mmdit.pt" ] || "$python" "$tool/export.py" "$work" "$work/base_model.safetensors"
