// Finds the vocabularies of the three text encoders on this machine and makes their tokenizers.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "text/tokenizer.h"

namespace loraptor::text {

/// The tokenizers of Stable Diffusion 3. CLIP-L and CLIP-G share one vocabulary and differ in their padding.
struct Tokenizers {
  std::unique_ptr<Tokenizer> clip_l;
  std::unique_ptr<Tokenizer> clip_g;
  std::unique_ptr<Tokenizer> t5;
};

/// Where to look, in this order. Empty paths and folders that do not exist are passed over.
///
/// A folder may hold the files themselves (`clip_vocab.json` + `clip_merges.txt` or `vocab.json` + `merges.txt`,
/// `t5_spiece.model` or `spiece.model`, `tokenizer.json` for either) or the subfolders of a diffusers model
/// (`tokenizer`, `tokenizer_2`, `tokenizer_3`) or of the reference's tokenizer cache (`openai_clip-vit-large-patch14`,
/// `laion_CLIP-ViT-bigG-14-laion2B-39B-b160k`, `google_t5-v1_1-xxl`).
struct TokenizerSearch {
  std::filesystem::path folder;     // what the user named
  std::filesystem::path cache_dir;  // --tokenizer_cache_dir
  std::vector<std::filesystem::path> installed;
  std::vector<std::filesystem::path> hugging_face;  // caches: folders with `models--*/snapshots/*`
  std::vector<std::filesystem::path> comfyui;       // ComfyUI folders, with `comfy` inside
};

/// The places of this machine: $LORAPTOR_DATA, share/loraptor/tokenizers of the installation, data/tokenizers of the
/// repository and of the current folder; $HF_HOME/hub and ~/.cache/huggingface/hub; $COMFYUI_PATH and ~/ComfyUI.
TokenizerSearch default_tokenizer_search(std::filesystem::path folder = {}, std::filesystem::path cache_dir = {});

/// Makes the tokenizers from the first place that holds each vocabulary; says so in the log where `folder` or
/// `cache_dir` is set and does not hold one. Throws UsageError, with the list of places, if a vocabulary is nowhere;
/// FileError if one is there and is wrong.
Tokenizers load_tokenizers(const TokenizerSearch& search);

}  // namespace loraptor::text
