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
  explicit TextFiles(const TextFilesJob& job)
      : job_(job), store_(data::make_cache_store(job.format)), writer_(*store_) {}

  void run(TextCache& cache) {
    find_todo(cache);
    total_ = static_cast<int64_t>(todo_.size());
    encode_all(todo_, false);
    // What other processes were making: by now most of it is there.
    encode_all(std::exchange(postponed_, {}), true);
    writer_.finish();
  }

 private:
  using Captions = std::vector<CachedCaption>;
  using Claims = std::vector<std::shared_ptr<FileLock>>;

  data::CacheFacts facts_of(const CachedCaption& caption) const {
    data::CacheFacts facts = data::text_facts(caption.text);
    facts.insert(job_.facts.begin(), job_.facts.end());
    return facts;
  }
  data::CacheFinding find(const CachedCaption& caption) {
    if (job_.skip_check && store_->has(caption.path, data::kTextPart)) {
      return {.state = data::CacheState::usable, .is_recorded = true};
    }
    return data::find_text_cache(caption.path, *store_, job_.request, facts_of(caption));
  }

  void find_todo(TextCache& cache);
  void encode_all(const Captions& captions, bool wait);
  void encode(const Captions& captions, Claims claims);

  const TextFilesJob& job_;
  std::shared_ptr<data::CacheStore> store_;
  CacheWriter writer_;
  Captions todo_, postponed_;
  int64_t done_ = 0, total_ = 0;
};

void TextFiles::find_todo(TextCache& cache) {
  CacheCounts counts;
  std::map<fs::path, std::string> makers;  // cache file -> the caption that it holds
  std::set<fs::path> folders;
  const Captions all = cached_captions(job_.dataset);
  Captions without_file;  // another caption lies in theirs
  for (const CachedCaption& caption : all) {
    const auto [maker, is_new] = makers.emplace(caption.path, caption.text);
    if (is_new) cache.add_file(caption.text, caption.path, job_.request, store_);
    if (!is_new) {
      if (maker->second != caption.text) {
        without_file.push_back(caption);
        log::warn(
            "[{}] is the text cache of two images with different captions; the first one is used for both. "
            "Hint: rename one of the images.",
            caption.path.string());
      }
      continue;
    }
    if (!counts.count(find(caption), caption.path)) continue;
    folders.insert(data::cache_folder(caption.path));
    todo_.push_back(caption);
  }
  // Unless another image has the same caption and a file of its own.
  for (const CachedCaption& caption : without_file) cache.add_file(caption.text, caption.path, job_.request, store_);
  if (!all.empty()) counts.tell("text-encoder outputs");
  for (const auto& folder : folders) store_->clean(folder);
}

void TextFiles::encode_all(const Captions& captions, bool wait) {
  if (wait) writer_.finish();  // finished jobs still hold their claims, which others may wait for
  const size_t limit = wait ? 1 : static_cast<size_t>(job_.batch_size);
  for (size_t at = 0; at < captions.size();) {
    Captions batch;
    Claims claims;
    while (at < captions.size() && batch.size() < limit) {
      const CachedCaption& caption = captions[at++];
      auto claim = data::claim_cache(caption.path, wait);
      if (!claim) {
        postponed_.push_back(caption);
        continue;
      }
      // Another process may have made it since this one looked.
      store_->refresh(data::cache_folder(caption.path));
      if (find(caption).state == data::CacheState::usable) {
        job_.progress(++done_, total_);
        continue;
      }
      batch.push_back(caption);
      claims.push_back(std::make_shared<FileLock>(std::move(*claim)));
    }
    if (!batch.empty()) encode(batch, std::move(claims));
    if (wait) writer_.finish();
  }
}

void TextFiles::encode(const Captions& captions, Claims claims) {
  const TextEncoding& encoding = job_.encoding();
  std::vector<std::string> texts;
  for (const CachedCaption& caption : captions) texts.push_back(caption.text);
  const TokenBatch tokens = encoding.tokenize(texts);
  const models::TextOutputs outputs = encoding.encode(tokens, false);
  for (size_t i = 0; i < captions.size(); ++i) {
    const auto row = [&](const at::Tensor& all) { return all[static_cast<int64_t>(i)].to(at::kCPU).clone(); };
    // As a cache in memory keeps them; what holds no bfloat16 is given the same numbers in float32.
    data::StoredText text{.lg_out = row(outputs.lg_out).to(job_.dtype),
                          .t5_out = row(outputs.t5_out).to(job_.dtype),
                          .lg_pooled = row(outputs.lg_pooled).to(job_.dtype),
                          .l_mask = row(tokens.l_mask),
                          .g_mask = row(tokens.g_mask),
                          .t5_mask = row(tokens.t5_mask)};
    writer_.add([store = store_, path = captions[i].path, facts = facts_of(captions[i]), text = std::move(text),
                 request = job_.request, claim = claims[i]] {
      const auto written = store->write(path, data::kTextPart, data::text_arrays(request, text), facts);
      store->record(path, data::kTextPart, data::text_contents(*written), facts);
      store->rely_on(path, *written, data::text_output_arrays());
    });
  }
  done_ += static_cast<int64_t>(captions.size());
  job_.progress(done_, total_);
}

}  // namespace

void cache_text_files(const TextFilesJob& job, TextCache& cache) {
  const at::NoGradGuard no_grad;
  TextFiles(job).run(cache);
}

}  // namespace loraptor::pipeline
