#include "pipeline/cache_text.h"

#include <unordered_set>

#include "base/error.h"

namespace loraptor::pipeline {

void TextCache::fill(const std::vector<std::string>& captions, int64_t batch_size, const Encode& encode,
                     const Progress& progress) {
  std::vector<std::string> todo;
  std::unordered_set<std::string> seen;
  for (const auto& caption : captions) {
    if (rows_.count(caption) == 0 && seen.insert(caption).second) todo.push_back(caption);
  }
  for (size_t begin = 0; begin < todo.size();) {
    const size_t end = std::min(todo.size(), begin + static_cast<size_t>(batch_size));
    const std::vector<std::string> batch(todo.begin() + static_cast<int64_t>(begin),
                                         todo.begin() + static_cast<int64_t>(end));
    const auto outputs = encode(batch);
    const auto row = [&](const at::Tensor& all, size_t i) {
      return all[static_cast<int64_t>(i)].to(at::kCPU, dtype_, /*non_blocking=*/false, /*copy=*/true);
    };
    for (size_t i = 0; i < batch.size(); ++i) {
      rows_[batch[i]] = {row(outputs.lg_out, i), row(outputs.t5_out, i), row(outputs.lg_pooled, i)};
    }
    begin = end;
    progress(static_cast<int64_t>(end), static_cast<int64_t>(todo.size()));
  }
}

models::TextOutputs TextCache::get(const std::vector<std::string>& captions) const {
  std::vector<at::Tensor> lg, t5, pooled;
  for (const auto& caption : captions) {
    const auto found = rows_.find(caption);
    LORAPTOR_ASSERT(found != rows_.end());
    lg.push_back(found->second.lg_out);
    t5.push_back(found->second.t5_out);
    pooled.push_back(found->second.lg_pooled);
  }
  return {at::stack(lg).to(at::kFloat), at::stack(t5).to(at::kFloat), at::stack(pooled).to(at::kFloat)};
}

}  // namespace loraptor::pipeline
