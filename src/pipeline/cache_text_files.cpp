// The job that fills text caches on disk.
#include <ATen/core/grad_mode.h>

#include <map>
#include <memory>
#include <set>

#include "base/log.h"
#include "data/cache_check.h"
#include "data/cache_claim.h"
#include "pipeline/cache_text.h"
#include "pipeline/cache_writer.h"

namespace loraptor::pipeline {
namespace {

namespace fs = std::filesystem;

class TextFiles {
 public:
  explicit TextFiles(const TextFilesJob& job) : job_(job), writer_(indexes_) {}

  void run(TextCache& cache) {
    find_todo(cache);
    total_ = static_cast<int64_t>(todo_.size());
    encode_all(todo_, false);
    // What other processes were making: by now most of it is there.
    encode_all(std::exchange(postponed_, {}), true);
    writer_.finish();
  }

 private:
  using Images = std::vector<const data::ImageEntry*>;
  using Claims = std::vector<std::shared_ptr<FileLock>>;

  data::CacheFacts facts_of(const data::ImageEntry& image) const {
    data::CacheFacts facts = data::text_facts(image);
    facts.insert(job_.facts.begin(), job_.facts.end());
    return facts;
  }
  data::CacheFinding find(const data::ImageEntry& image) {
    if (job_.skip_check && fs::exists(data::text_cache_path(image.path))) {
      return {.state = data::CacheState::usable, .is_recorded = true};
    }
    return data::find_text_cache(image, indexes_, job_.request, facts_of(image));
  }

  void find_todo(TextCache& cache);
  void encode_all(const Images& images, bool wait);
  void encode(const Images& images, Claims claims);

  const TextFilesJob& job_;
  data::CacheIndexes indexes_;
  CacheWriter writer_;
  Images todo_, postponed_;
  int64_t done_ = 0, total_ = 0;
};

void TextFiles::find_todo(TextCache& cache) {
  CacheCounts counts;
  std::map<fs::path, const data::ImageEntry*> makers;  // cache file -> the image whose caption it holds
  std::set<fs::path> folders;
  for (const auto& image : job_.dataset.images()) {
    const fs::path path = data::text_cache_path(image.path);
    cache.add_file(image.caption, path, job_.request);
    const auto [maker, is_new] = makers.emplace(path, &image);
    if (!is_new) {
      if (maker->second->caption != image.caption) {
        log::warn("[{}] shares its text cache with '{}', whose caption is used for both; rename one of them.",
                  image.path, maker->second->path);
      }
      continue;
    }
    if (!counts.count(find(image), path)) continue;
    folders.insert(path.has_parent_path() ? path.parent_path() : fs::path("."));
    todo_.push_back(&image);
  }
  if (!job_.dataset.images().empty()) counts.tell("text-encoder outputs");
  for (const auto& folder : folders) data::remove_abandoned_caches(folder);
}

void TextFiles::encode_all(const Images& images, bool wait) {
  if (wait) writer_.finish();  // finished jobs still hold their claims, which others may wait for
  const size_t limit = wait ? 1 : static_cast<size_t>(job_.batch_size);
  for (size_t at = 0; at < images.size();) {
    Images batch;
    Claims claims;
    while (at < images.size() && batch.size() < limit) {
      const data::ImageEntry& image = *images[at++];
      auto claim = data::claim_cache(data::text_cache_path(image.path), wait);
      if (!claim) {
        postponed_.push_back(&image);
        continue;
      }
      // Another process may have made it since this one looked.
      if (find(image).state == data::CacheState::usable) {
        job_.progress(++done_, total_);
        continue;
      }
      batch.push_back(&image);
      claims.push_back(std::make_shared<FileLock>(std::move(*claim)));
    }
    if (!batch.empty()) encode(batch, std::move(claims));
    if (wait) writer_.finish();
  }
}

void TextFiles::encode(const Images& images, Claims claims) {
  const TextEncoding& encoding = job_.encoding();
  std::vector<std::string> captions;
  for (const auto* image : images) captions.push_back(image->caption);
  const TokenBatch tokens = encoding.tokenize(captions);
  const models::TextOutputs outputs = encoding.encode(tokens, false);
  const auto dtype = job_.dtype == at::kHalf ? at::kHalf : at::kFloat;
  for (size_t i = 0; i < images.size(); ++i) {
    const auto row = [&](const at::Tensor& all) { return all[static_cast<int64_t>(i)].to(at::kCPU).clone(); };
    data::StoredText text{.lg_out = row(outputs.lg_out).to(dtype),
                          .t5_out = row(outputs.t5_out).to(dtype),
                          .lg_pooled = row(outputs.lg_pooled).to(dtype),
                          .l_mask = row(tokens.l_mask),
                          .g_mask = row(tokens.g_mask),
                          .t5_mask = row(tokens.t5_mask)};
    writer_.add([path = data::text_cache_path(images[i]->path), facts = facts_of(*images[i]), text = std::move(text),
                 request = job_.request, claim = claims[i]]() -> WrittenCache {
      const std::string contents = data::write_text_cache(path, request, text);
      return {path, data::kTextPart, contents, facts};
    });
  }
  done_ += static_cast<int64_t>(images.size());
  job_.progress(done_, total_);
}

}  // namespace

void cache_text_files(const TextFilesJob& job, TextCache& cache) {
  const at::NoGradGuard no_grad;
  TextFiles(job).run(cache);
}

}  // namespace loraptor::pipeline
