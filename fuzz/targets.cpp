#include "targets.h"

#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "data/cache_index.h"
#include "data/caption_file.h"
#include "data/caption_transform.h"
#include "data/dataset_toml.h"
#include "data/folder_index.h"
#include "data/latents_cache.h"
#include "data/metadata_file.h"
#include "data/subset_scan.h"
#include "data/text_cache.h"
#include "io/image.h"
#include "io/npz.h"
#include "io/safetensors.h"
#include "io/shard.h"
#include "pipeline/sample_prompt.h"
#include "text/text_fixes.h"
#include "text/tokenizer_files.h"
#include "text/unicode.h"

namespace loraptor::fuzz {
namespace {

namespace fs = std::filesystem;

fs::path& work_folder() {
  static fs::path folder = fs::temp_directory_path();
  return folder;
}

/// The bytes as a file of that name.
fs::path as_file(const std::string& name, std::string_view bytes) {
  const fs::path path = work_folder() / name;
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

/// Calls something that may refuse; what it refuses must not keep the next part from being run.
template <class Call>
void attempt(const Call& call) {
  try {
    call();
  } catch (const UsageError&) {
  } catch (const FileError&) {
  } catch (const RunError&) {
  }
}

void config(std::string_view bytes) {
  const bool is_json = bytes.starts_with('{');
  data::DataConfig flags;
  flags.dataset_config = as_file(is_json ? "set.json" : "set.toml", bytes).string();
  attempt([&] { data::load_datasets_config(flags); });
  flags.masked_loss = true;
  flags.resolution = "64";
  flags.min_bucket_reso = 32;
  attempt([&] { data::load_datasets_config(flags); });
}

void records(std::string_view bytes) {
  const std::string folder = work_folder().string();
  for (const bool every_line : {false, true}) {
    const data::MetadataRules rules{",", every_line};
    attempt([&] { data::read_metadata_file(as_file("list.json", bytes).string(), rules); });
    attempt([&] { data::read_metadata_file(as_file("list.jsonl", bytes).string(), rules); });
  }
  data::SubsetConfig subset;
  subset.image_dir = folder;
  subset.cache_info = true;
  as_file("metadata_cache.json", bytes);
  attempt([&] { data::scan_subset(data::DatasetKind::folder, subset); });
  fs::remove(work_folder() / "metadata_cache.json");
  as_file(".loraptor_scan", bytes);
  attempt([&] {
    const data::FolderIndex index = data::FolderIndex::read(folder);
    for (size_t i = 0; i < index.size(); ++i) index[i];
  });
  as_file("loraptor_cache.json", bytes);
  attempt([&] { data::CacheIndex{work_folder()}; });
}

/// A shard is fuzzed as a whole and as a record after a good head.
void shard(std::string_view bytes) {
  std::string with_head = "loraptor shard 1\n";
  with_head.resize(64, '\1');
  with_head += bytes;
  for (const std::string_view text : {bytes, std::string_view(with_head)}) {
    const fs::path path = as_file("a.shard", text);
    attempt([&] {
      const auto file = io::ShardFile::open(path);
      for (const io::ShardPlace& place : file->news()) {
        attempt([&] { file->record(place); });
      }
    });
  }
}

void npz(std::string_view bytes) {
  shard(bytes);
  const fs::path path = as_file("arrays.npz", bytes);
  attempt([&] {
    const io::NpzFile file(path);
    for (const std::string& name : file.names()) {
      attempt([&] { file.info(name); });
      attempt([&] { file.read(name); });
    }
  });
  const data::LatentsRequest request{.bucket = {64, 64}, .flipped = true, .mask = true};
  data::check_latents_cache(path, request);
  attempt([&] { data::read_latents_cache(path, request); });
  data::check_text_cache(path, {});
  attempt([&] { data::read_text_cache(path, {}); });
}

void image(std::string_view bytes) {
  constexpr int64_t kSmall = 1 << 16;
  const fs::path path = as_file("picture", bytes);
  std::pair<int64_t, int64_t> size;
  attempt([&] { size = io::read_image_size(path); });
  if (size.first * size.second > kSmall) return;
  for (const auto alpha : {io::AlphaMode::drop, io::AlphaMode::keep}) {
    attempt([&] {
      const io::Image decoded = io::read_image(path, alpha);
      LORAPTOR_ASSERT(std::pair(decoded.width, decoded.height) == size);
      LORAPTOR_ASSERT(decoded.pixels.size() == decoded.row_bytes() * static_cast<size_t>(decoded.height));
    });
  }
}

void safetensors(std::string_view bytes) {
  const fs::path path = as_file("tensors.safetensors", bytes);
  for (const bool memory_map : {true, false}) {
    attempt([&] {
      const auto file = io::SafetensorsFile::open(path, memory_map);
      for (const std::string& name : file->names()) {
        const at::Tensor tensor = file->tensor(name);
        LORAPTOR_ASSERT(tensor.nbytes() == file->info(name).size_bytes);
        if (tensor.nbytes() > 0) tensor.clone();  // touches every byte
      }
    });
  }
}

/// Settings that take every branch of the caption transforms; separators come from the input.
std::vector<data::CaptionConfig> caption_settings(const std::string& separator) {
  data::CaptionConfig shuffled;
  shuffled.shuffle_caption = true;
  shuffled.caption_separator = separator;
  shuffled.keep_tokens = 2;
  data::CaptionConfig marked = shuffled;
  marked.keep_tokens_separator = "|||";
  marked.secondary_separator = separator + separator;
  marked.caption_prefix = "before";
  data::CaptionConfig dropping = shuffled;
  dropping.caption_tag_dropout_rate = 0.5;
  dropping.caption_dropout_rate = 0.1;
  dropping.token_warmup_step = 0.5;
  dropping.token_warmup_min = -3;
  data::CaptionConfig wild;
  wild.enable_wildcard = true;
  wild.caption_suffix = "after";
  return {shuffled, marked, dropping, wild};
}

const text::Tokenizers* tokenizers() {
  static const auto loaded = []() -> std::unique_ptr<text::Tokenizers> {
    try {
      return std::make_unique<text::Tokenizers>(text::load_tokenizers(text::default_tokenizer_search()));
    } catch (const UsageError&) {  // not installed
      return nullptr;
    }
  }();
  return loaded.get();
}

void encode(std::string_view caption) {
  text::clean_clip_text(text::to_code_points(caption));
  if (tokenizers() == nullptr) return;
  for (const auto* tokenizer : {tokenizers()->clip_l.get(), tokenizers()->clip_g.get(), tokenizers()->t5.get()}) {
    const text::Tokens tokens = tokenizer->tokenize(caption, 77);
    LORAPTOR_ASSERT(tokens.ids.size() == 77 && tokens.mask.size() == 77);
  }
}

/// The first line is the separator between tags.
void caption(std::string_view bytes) {
  encode(bytes);
  const size_t end = std::min(bytes.find('\n'), bytes.size());
  const std::string separator(end == 0 ? "," : bytes.substr(0, end));
  const std::string text(bytes.substr(std::min(end + 1, bytes.size())));
  for (const bool all_lines : {false, true}) {
    std::string joined;
    attempt([&] { encode(data::parse_caption("caption.txt", text, all_lines, joined)); });
  }
  for (const data::CaptionConfig& settings : caption_settings(separator)) {
    for (const int64_t step : {0, 700, 5000}) {
      data::PythonRandom random(step + 1);
      encode(data::transform_caption(settings, text, {1, step, 1600}, random));
    }
  }
}

void prompt(std::string_view bytes) {
  for (const char* name : {"prompts.txt", "prompts.toml", "prompts.json"}) {
    attempt([&] { pipeline::read_prompt_file(as_file(name, bytes)); });
  }
}

}  // namespace

const std::vector<Target>& targets() {
  static const std::vector<Target> all{
      {"config", config}, {"records", records},        {"npz", npz}, {"image", image}, {"caption", caption},
      {"prompt", prompt}, {"safetensors", safetensors}};
  return all;
}

const Target* find_target(std::string_view name) {
  for (const Target& target : targets()) {
    if (name == target.name) return &target;
  }
  return nullptr;
}

void run_target(const Target& target, std::string_view bytes) {
  attempt([&] { target.run(bytes); });
}

void set_work_folder(fs::path folder) { work_folder() = std::move(folder); }

}  // namespace loraptor::fuzz
