#!/usr/bin/env bash
# ./demo.sh --photos: makes a small model in the shape of Stable Diffusion 3.5 Medium, fetches six photographs and trains
# a LoRA on them.
#
# The model's weights come from a formula: the run shows everything that a real one does, with photographs in several
# buckets, but its pictures are noise. For a real run give your own files: "Train on your own pictures" in README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
out=demo_output/photos
mkdir -p "$out"
[ -f "$out/model/mmdit_vae.safetensors" ] || build/release/make_checkpoint demo "$out/model"
.venv/bin/python tools/demo_photos.py "$out/images"

cat > "$out/dataset.toml" <<'TOML'
[general]
caption_extension = ".txt"
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 256
bucket_reso_steps = 32

[[datasets]]
resolution = 128
batch_size = 2

  [[datasets.subsets]]
  image_dir = "demo_output/photos/images"
  num_repeats = 2
TOML
cat > "$out/prompts.txt" <<'TXT'
photo of an astronaut --w 128 --h 128 --d 1 --s 12 --l 4.5
photo of a cat --w 128 --h 128 --d 2 --s 12 --l 4.5 --n blurry
TXT

python3 sd3_train_network.py \
  --pretrained_model_name_or_path="$out/model/mmdit_vae.safetensors" \
  --clip_l="$out/model/clip_l.safetensors" \
  --clip_g="$out/model/clip_g.safetensors" \
  --t5xxl="$out/model/t5xxl.safetensors" \
  --dataset_config="$out/dataset.toml" \
  --output_dir="$out" \
  --output_name="photos" \
  --save_model_as=safetensors \
  --network_module=networks.lora \
  --network_dim=16 \
  --network_alpha=1 \
  --network_train_unet_only \
  --learning_rate=1e-3 \
  --optimizer_type="AdamW8bit" \
  --lr_scheduler="constant" \
  --sdpa \
  --max_train_epochs=10 \
  --save_every_n_epochs=5 \
  --mixed_precision="bf16" \
  --gradient_checkpointing \
  --weighting_scheme="sigma_sqrt" \
  --cache_latents \
  --cache_text_encoder_outputs \
  --sample_prompts="$out/prompts.txt" --sample_at_first --sample_every_n_epochs=10 \
  --logging_dir="$out/logs" --log_json="$out/log.jsonl" --log_html="$out/report.html" \
  --seed=42

echo
echo "LoRA:          $PWD/$out/photos.safetensors"
echo "Report:        $PWD/$out/report.html"
echo "Sample images: $PWD/$out/sample/"
echo "Log:           $PWD/$out/log.jsonl   (TensorBoard: $PWD/$out/logs)"
