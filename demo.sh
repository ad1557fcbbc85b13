#!/usr/bin/env bash
# From a fresh clone to a LoRA that has learned something: installs, builds, and trains.
#
#   ./demo.sh            teaches the small base model in demo/ a new word, "zorb", from the eight pictures in demo/zorb
#   ./demo.sh --photos   six photographs instead, on a model whose weights come from a formula (demo/photos.sh)
#
# Interrupt it (Ctrl-C) and start it again as you like: it goes on where it was.
set -euo pipefail
cd "$(dirname "$0")"
case "${1:-}" in
  ""|--photos) ;;
  *) echo "demo.sh: unknown option '$1'; it takes --photos or nothing" >&2; exit 2 ;;
esac
./setup.sh
cmake --preset release >/dev/null
cmake --build build/release --target loraptor make_checkpoint
[ "${1:-}" != --photos ] || exec demo/photos.sh

# The base model's text encoders are not stored: their weights come from a formula.
out=demo_output
[ -f "$out/encoders/t5xxl.safetensors" ] || build/release/make_checkpoint tools/base_model/base_model.json "$out/encoders"

# One thread: the model is so small that several would mostly wait for each other.
python3 sd3_train_network.py \
  --pretrained_model_name_or_path="demo/base_model.safetensors" \
  --clip_l="$out/encoders/clip_l.safetensors" \
  --clip_g="$out/encoders/clip_g.safetensors" \
  --t5xxl="$out/encoders/t5xxl.safetensors" \
  --t5xxl_max_token_length=24 \
  --dataset_config="demo/dataset.toml" \
  --output_dir="$out" \
  --output_name="zorb" \
  --save_model_as=safetensors \
  --network_module=networks.lora \
  --network_dim=16 \
  --network_alpha=16 \
  --network_train_unet_only \
  --learning_rate=1e-3 \
  --optimizer_type="AdamW" \
  --lr_scheduler="constant" \
  --max_train_epochs=8 \
  --cache_latents \
  --cache_text_encoder_outputs \
  --sample_prompts="demo/prompts.txt" --sample_at_first --sample_every_n_epochs=2 \
  --logging_dir="$out/logs" --log_json="$out/log.jsonl" --log_html="$out/report.html" \
  --auto_resume \
  --cpu_threads=1 \
  --seed=42

echo
echo "LoRA:          $PWD/$out/zorb.safetensors"
echo "Report:        $PWD/$out/report.html   (open it in a browser)"
echo "Sample images: $PWD/$out/sample/"
echo "Log:           $PWD/$out/log.jsonl   (TensorBoard: $PWD/$out/logs)"
