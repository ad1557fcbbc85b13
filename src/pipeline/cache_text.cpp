#include "pipeline/cache_text.h"

#include <set>
#include <unordered_set>

#include "base/error.h"
#include "data/batch.h"
#include "data/cache_check.h"

namespace loraptor::pipeline {

std::vector<CachedCaption> cached_captions(const data::Dataset& dataset) {
  std::vector<CachedCaption> captions;
  std::set<std::filesystem::path> with_empty;  // folders that have the empty caption
  for (const auto& image : dataset.images()) {
    captions.push_back({std::string(image.caption), data::text_cache_path(image.path)});
    for (int64_t number = 1; number <= dataset.caption_variants(); ++number) {
      captions.push_back({data::caption_variant(dataset, image, number), data::text_cache_path(image.path, number)});
    }
    if (dataset.caption_variants() == 0 || !dataset.subset_of(image).caption.may_drop()) continue;
    const std::filesystem::path folder = std::filesystem::path(image.path).parent_path();
    if (with_empty.insert(folder).second) captions.push_back({"", data::empty_text_cache_path(folder)});
  }
  return captions;
}

void TextCache::fill(const std::vector<std::string>& captions, int64_t batch_size, const Encode& encode,
                     const Progress& progress) {
  std::vector<std::string> todo;
  std::unordered_set<std::string> seen;
  for (const auto& caption : captions) {
    if (!has(caption) && seen.insert(caption).second) todo.push_back(caption);
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

void TextCache::add_file(const std::string& caption, std::filesystem::path path, const data::TextRequest& request,
                         std::shared_ptr<data::CacheStore> store) {
  files_.emplace(caption, File{std::move(path), request, std::move(store)});
}

models::TextOutputs TextCache::row(const std::string& caption) const {
  if (const auto found = rows_.find(caption); found != rows_.end()) return found->second;
  const auto found = files_.find(caption);
  LORAPTOR_ASSERT(found != files_.end());
  const data::StoredText stored = data::load_text(*found->second.store, found->second.path, found->second.request);
  return {stored.lg_out, stored.t5_out, stored.lg_pooled};
}

models::TextOutputs TextCache::get(const std::vector<std::string>& captions) const {
  std::vector<at::Tensor> lg, t5, pooled;
  int64_t tokens = 0;
  for (const auto& caption : captions) {
    const models::TextOutputs outputs = row(caption);
    lg.push_back(outputs.lg_out.to(at::kFloat));
    t5.push_back(outputs.t5_out.to(at::kFloat));
    pooled.push_back(outputs.lg_pooled.to(at::kFloat));
    tokens = std::max(tokens, outputs.t5_out.size(0));
  }
  // [T,C] -> [longest T,C]
  for (auto& rows : t5) rows = at::constant_pad_nd(rows, {0, 0, 0, tokens - rows.size(0)});
  return {at::stack(lg), at::stack(t5), at::stack(pooled)};
}

}  // namespace loraptor::pipeline
