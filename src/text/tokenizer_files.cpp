// A vocabulary is looked for place by place, and in each place subfolder by subfolder, file form by file form.
#include "text/tokenizer_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "text/clip_bpe.h"
#include "text/t5_unigram.h"

namespace loraptor::text {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<fs::path>;

/// What one vocabulary may be called.
struct Spelling {
  const char* name;                             // for messages
  const char* expected;                         // likewise
  std::vector<const char*> subfolders;          // of a place; "" is the place itself
  std::vector<std::vector<const char*>> files;  // file sets, the best first
  const char* json_model;                       // model type that a tokenizer.json must name
};

const Spelling kClip = {"CLIP",
                        "vocab.json and merges.txt, or tokenizer.json",
                        {"", "openai_clip-vit-large-patch14", "tokenizer", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k",
                         "tokenizer_2", "comfy/sd1_tokenizer"},
                        {{"clip_vocab.json", "clip_merges.txt"}, {"vocab.json", "merges.txt"}, {"tokenizer.json"}},
                        "\"BPE\""};

const Spelling kT5 = {"T5",
                      "spiece.model or tokenizer.json",
                      {"", "google_t5-v1_1-xxl", "tokenizer_3", "comfy/text_encoders/t5_tokenizer"},
                      {{"t5_spiece.model"}, {"spiece.model"}, {"tokenizer.json"}},
                      "\"Unigram\""};

/// Repositories that hold the vocabularies, in a Hugging Face cache.
constexpr const char* kRepositories[] = {"models--openai--clip-vit-large-patch14",
                                         "models--laion--CLIP-ViT-bigG-14-laion2B-39B-b160k",
                                         "models--google--t5-v1_1-xxl",
                                         "models--stabilityai--stable-diffusion-3-medium-diffusers",
                                         "models--stabilityai--stable-diffusion-3.5-medium",
                                         "models--stabilityai--stable-diffusion-3.5-large"};

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

Paths subfolders_of(const fs::path& folder) {
  Paths found;
  std::error_code error;
  for (fs::directory_iterator i(folder, error), end; !error && i != end; i.increment(error)) found.push_back(i->path());
  std::sort(found.begin(), found.end());
  return found;
}

/// The files of `spelling` in exactly this folder; empty if they are not there.
Paths files_in(const fs::path& folder, const Spelling& spelling) {
  for (const auto& names : spelling.files) {
    Paths paths;
    for (const char* name : names) paths.push_back(folder / name);
    if (!std::all_of(paths.begin(), paths.end(), is_file)) continue;
    // Every tokenizer's file is called tokenizer.json: only the content tells whose it is.
    const bool is_other = paths.size() == 1 && paths[0].extension() == ".json" &&
                          read_file(paths[0]).find(spelling.json_model) == std::string::npos;
    if (!is_other) return paths;
  }
  return {};
}

Paths files_under(const fs::path& place, const Spelling& spelling) {
  for (const char* subfolder : spelling.subfolders) {
    Paths found = files_in(*subfolder ? place / subfolder : place, spelling);
    if (!found.empty()) return found;
  }
  return {};
}

/// All places in their order.
Paths places_of(const TokenizerSearch& search) {
  Paths places = {search.folder, search.cache_dir};
  places.insert(places.end(), search.installed.begin(), search.installed.end());
  for (const fs::path& hub : search.hugging_face) {
    for (const char* repository : kRepositories) {
      for (const fs::path& snapshot : subfolders_of(hub / repository / "snapshots")) places.push_back(snapshot);
    }
  }
  places.insert(places.end(), search.comfyui.begin(), search.comfyui.end());
  std::erase_if(places, [](const fs::path& place) { return place.empty(); });
  return places;
}

[[noreturn]] void fail_missing(const TokenizerSearch& search, const Spelling& spelling) {
  Paths searched = {search.folder, search.cache_dir};
  for (const Paths* more : {&search.installed, &search.hugging_face, &search.comfyui}) {
    searched.insert(searched.end(), more->begin(), more->end());
  }
  std::string list;
  for (const fs::path& place : searched) {
    if (!place.empty()) list += "\n  " + place.string();
  }
  throw UsageError(fmt::format(
      "[tokenizers] {} vocabulary: got none, expected {} in one of these folders:{}\n"
      "Hint: ./setup.sh in the repository fetches the vocabularies. Or give --tokenizer_cache_dir a folder that has "
      "them: "
      "a diffusers folder of Stable Diffusion 3 (tokenizer/vocab.json, tokenizer/merges.txt, tokenizer_3/spiece.model) "
      "or a ComfyUI folder (comfy/sd1_tokenizer, comfy/text_encoders/t5_tokenizer).",
      spelling.name, spelling.expected, list));
}

Paths find_vocabulary(const TokenizerSearch& search, const Spelling& spelling) {
  Paths passed_over;  // folders that the user named and that do not hold it
  for (const fs::path& place : places_of(search)) {
    const Paths found = files_under(place, spelling);
    if (found.empty()) {
      if (place == search.folder || place == search.cache_dir) passed_over.push_back(place);
      continue;
    }
    for (const fs::path& folder : passed_over) {
      log::info("[{}] holds no {} vocabulary ({}); using {} instead.", folder.string(), spelling.name,
                spelling.expected, found[0].string());
    }
    log::debug("{} vocabulary: {}", spelling.name, found[0].string());
    return found;
  }
  fail_missing(search, spelling);
}

fs::path environment_path(const char* name) {
  const char* value = std::getenv(name);
  return value ? fs::path(value) : fs::path();
}

}  // namespace

TokenizerSearch default_tokenizer_search(fs::path folder, fs::path cache_dir) {
  TokenizerSearch search;
  search.folder = std::move(folder);
  search.cache_dir = std::move(cache_dir);
  search.installed.push_back(environment_path("LORAPTOR_DATA"));
  std::error_code no_link;
  const fs::path program = fs::read_symlink("/proc/self/exe", no_link);
  if (!no_link) {
    const fs::path folder_of_program = program.parent_path();
    search.installed.push_back((folder_of_program / "../share/loraptor/tokenizers").lexically_normal());
    search.installed.push_back((folder_of_program / "../../data/tokenizers").lexically_normal());
  }
  search.installed.push_back("data/tokenizers");

  const fs::path home = environment_path("HOME");
  const fs::path hugging_face = environment_path("HF_HOME");
  if (!hugging_face.empty()) search.hugging_face.push_back(hugging_face / "hub");
  search.comfyui.push_back(environment_path("COMFYUI_PATH"));
  if (!home.empty()) {
    search.hugging_face.push_back(home / ".cache/huggingface/hub");
    search.comfyui.push_back(home / "ComfyUI");
  }
  return search;
}

Tokenizers load_tokenizers(const TokenizerSearch& search) {
  const Paths clip = find_vocabulary(search, kClip);
  const Paths t5 = find_vocabulary(search, kT5);
  Tokenizers tokenizers;
  // Each takes about 50 ms, which a user would feel at the start of a short run.
  auto t5_tokenizer = in_background([&t5] { return make_t5_tokenizer(t5[0]); });
  const auto vocabulary = clip.size() == 2 ? read_clip_vocabulary(clip[0], clip[1]) : read_clip_vocabulary(clip[0]);
  tokenizers.clip_l = make_clip_tokenizer(vocabulary, ClipPadding::end_token);
  tokenizers.clip_g = make_clip_tokenizer(vocabulary, ClipPadding::zero);
  tokenizers.t5 = t5_tokenizer.get();
  return tokenizers;
}

}  // namespace loraptor::text
