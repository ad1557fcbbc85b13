// Text-encoder outputs kept by caption, so that each caption is encoded once.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/conditioning.h"

namespace loraptor::pipeline {

class TextCache {
 public:
  using Encode = std::function<models::TextOutputs(const std::vector<std::string>& captions)>;
  /// Called after each batch with the number done and the number of all.
  using Progress = std::function<void(int64_t done, int64_t total)>;

  /// dtype   of the kept tensors: the dtype the encoders computed in loses nothing that matters
  explicit TextCache(at::ScalarType dtype) : dtype_(dtype) {}

  /// Encodes the captions that are not there yet, `batch_size` at a time, each once.
  void fill(const std::vector<std::string>& captions, int64_t batch_size, const Encode& encode,
            const Progress& progress);

  /// Outputs of the captions, stacked, float32 on the CPU. All must have been filled in.
  models::TextOutputs get(const std::vector<std::string>& captions) const;

  size_t size() const { return rows_.size(); }

 private:
  at::ScalarType dtype_;
  std::unordered_map<std::string, models::TextOutputs> rows_;  // without the batch axis
};

}  // namespace loraptor::pipeline
