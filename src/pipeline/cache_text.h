// Text-encoder outputs kept by caption, so that each caption is encoded once; in memory or in files beside the images.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/cache_store.h"
#include "data/dataset.h"
#include "data/text_cache.h"
#include "models/conditioning.h"
#include "pipeline/encode_text.h"

namespace loraptor::pipeline {

/// A caption whose outputs are cached, and its file.
struct CachedCaption {
  std::string text;
  std::filesystem::path path;
};

/// The captions that a run with a text cache meets: each as it is stored, with caption variants also the drawn ones,
/// and the empty one where captions are dropped.
std::vector<CachedCaption> cached_captions(const data::Dataset& dataset);

class TextCache {
 public:
  using Encode = std::function<models::TextOutputs(const std::vector<std::string>& captions)>;
  /// Called after each batch with the number done and the number of all.
  using Progress = std::function<void(int64_t done, int64_t total)>;

  /// dtype   of the tensors kept in memory: the dtype the encoders computed in loses nothing that matters
  explicit TextCache(at::ScalarType dtype) : dtype_(dtype) {}

  /// Encodes the captions that are not there yet, `batch_size` at a time, each once, and keeps them in memory.
  void fill(const std::vector<std::string>& captions, int64_t batch_size, const Encode& encode,
            const Progress& progress);

  /// The outputs of a caption lie in this cache, which is read whenever they are asked for.
  void add_file(const std::string& caption, std::filesystem::path path, const data::TextRequest& request,
                std::shared_ptr<data::CacheStore> store);

  bool has(const std::string& caption) const { return rows_.count(caption) + files_.count(caption) != 0; }

  /// Outputs of the captions, stacked, float32 on the CPU; shorter T5 outputs are filled up with zeros at the end.
  /// All captions must be there. Throws FileError as read_text_cache does.
  models::TextOutputs get(const std::vector<std::string>& captions) const;

  size_t size() const { return rows_.size() + files_.size(); }

 private:
  struct File {
    std::filesystem::path path;
    data::TextRequest request;
    std::shared_ptr<data::CacheStore> store;
  };
  models::TextOutputs row(const std::string& caption) const;

  at::ScalarType dtype_;
  std::unordered_map<std::string, models::TextOutputs> rows_;  // without the batch axis
  std::unordered_map<std::string, File> files_;
};

/// Text-encoder outputs of a data set's captions (cached_captions) in files beside the images.
struct TextFilesJob {
  const data::Dataset& dataset;
  data::TextRequest request;
  data::CacheFacts facts;   // about encoders and T5 length, to be recorded and compared
  at::ScalarType dtype;     // the encoders'
  bool skip_check = false;  // trust files that exist
  data::CacheFormat format = data::CacheFormat::npz;
  int64_t batch_size = 1;                         // captions per call
  std::function<const TextEncoding&()> encoding;  // all encoders; called only if something has to be encoded
  TextCache::Progress progress;
};

/// Makes the files that are missing, stale or damaged, as cache_latents does for latents, and enters all files in
/// `cache`. Throws FileError for a file that cannot be written.
/// Ref: sd-scripts@48d368f library/strategy_sd3.py:Sd3TextEncoderOutputsCachingStrategy.
void cache_text_files(const TextFilesJob& job, TextCache& cache);

}  // namespace loraptor::pipeline
