#include "pipeline/cache_latents.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "data/batch.h"
#include "data/cache_check.h"
#include "data/cache_claim.h"
#include "pipeline/cache_writer.h"
#include "pipeline/encode_latents.h"

namespace loraptor::pipeline {
namespace {

namespace fs = std::filesystem;

/// Images of one shape that are encoded together, with the right to write their files.
struct Group {
  std::vector<int64_t> images;
  std::vector<std::shared_ptr<FileLock>> claims;  // empty: in memory
  std::future<std::vector<data::CacheInput>> inputs;
};

class LatentsFiles {
 public:
  explicit LatentsFiles(const LatentsJob& job)
      : job_(job), on_disk_(job.config.cache_latents_to_disk), writer_(indexes_), kept_(image_count()) {}

  LatentsSource run() {
    find_todo();
    total_ = static_cast<int64_t>(todo_.size());
    encode_all(todo_, false);
    // What other processes were making: by now most of it is there.
    encode_all(std::exchange(postponed_, {}), true);
    writer_.finish();
    if (on_disk_) {
      return [&dataset = job_.dataset](int64_t image) {
        const auto& entry = dataset.images()[static_cast<size_t>(image)];
        return data::read_latents_cache(path_of(entry), data::latents_request(dataset, entry));
      };
    }
    auto kept = std::make_shared<std::vector<data::StoredLatents>>(std::move(kept_));
    return [kept](int64_t image) { return (*kept)[static_cast<size_t>(image)]; };
  }

 private:
  /// The mirrored image has a posterior sample of its own.
  static constexpr uint64_t kFlippedDraw = uint64_t{1} << 63;

  const data::ImageEntry& image(int64_t number) const { return job_.dataset.images()[static_cast<size_t>(number)]; }
  size_t image_count() const { return on_disk_ ? 0 : job_.dataset.images().size(); }
  static fs::path path_of(const data::ImageEntry& entry) {
    return data::latents_cache_path(entry.path, {entry.width, entry.height});
  }
  data::CacheFacts facts_of(const data::ImageEntry& entry) const {
    data::CacheFacts facts = data::latents_facts(job_.dataset, entry);
    facts["vae"] = job_.vae_hash;
    return facts;
  }
  data::CacheFinding find(const data::ImageEntry& entry) {
    if (job_.config.skip_cache_check && fs::exists(path_of(entry))) {
      return {.state = data::CacheState::usable, .is_recorded = true};
    }
    return data::find_latents_cache(job_.dataset, entry, indexes_, facts_of(entry));
  }

  void find_todo();
  void encode_all(const std::vector<int64_t>& numbers, bool wait);
  Group next_group(const std::vector<int64_t>& numbers, size_t& at, bool wait);
  bool take(int64_t number, bool wait, Group& group);
  void encode(Group group);
  at::Tensor latents_of(const at::Tensor& pixels, const std::vector<int64_t>& numbers, uint64_t draw) const;
  void keep(int64_t number, data::StoredLatents latents, std::shared_ptr<FileLock> claim);

  const LatentsJob& job_;
  bool on_disk_;
  data::CacheIndexes indexes_;
  CacheWriter writer_;
  std::vector<data::StoredLatents> kept_;
  std::vector<int64_t> todo_, postponed_;
  int64_t done_ = 0, total_ = 0;
};

/// The images to encode, in the order of their bucket, so that neighbours can share a batch.
void LatentsFiles::find_todo() {
  CacheCounts counts;
  std::map<std::pair<fs::path, data::Size>, std::string> makers;  // cache file and bucket -> the image it is made from
  std::set<fs::path> folders;
  for (const auto& entry : job_.dataset.images()) {
    if (on_disk_) {
      const fs::path path = path_of(entry);
      const auto [maker, is_new] = makers.emplace(std::pair(path, entry.geometry.bucket), entry.path);
      if (!is_new && maker->second != entry.path) {
        log::warn("[{}] shares its cache file with '{}', whose latents are used for both; rename one of them.",
                  entry.path, maker->second);
        continue;
      }
      if (!counts.count(find(entry), path)) continue;
      folders.insert(path.has_parent_path() ? path.parent_path() : fs::path("."));
    }
    todo_.push_back(entry.index);
  }
  if (on_disk_ && !job_.dataset.images().empty()) counts.tell("latents");
  for (const auto& folder : folders) data::remove_abandoned_caches(folder);
  std::stable_sort(todo_.begin(), todo_.end(), [&](int64_t a, int64_t b) {
    return std::pair(image(a).dataset, image(a).geometry.bucket) <
           std::pair(image(b).dataset, image(b).geometry.bucket);
  });
}

/// Decodes ahead in threads, encodes here, writes in threads.
void LatentsFiles::encode_all(const std::vector<int64_t>& numbers, bool wait) {
  if (wait) writer_.finish();  // finished jobs still hold their claims, which others may wait for
  const size_t ahead = std::clamp<size_t>(std::thread::hardware_concurrency(), 2, 8);
  std::deque<Group> decoding;
  for (size_t at = 0; at < numbers.size() || !decoding.empty();) {
    // A process that waits for others holds no more than it works on, so that none waits for the other.
    while (at < numbers.size() && decoding.size() < (wait ? 1 : ahead)) {
      Group group = next_group(numbers, at, wait);
      if (!group.images.empty()) decoding.push_back(std::move(group));
    }
    if (decoding.empty()) continue;
    Group group = std::move(decoding.front());
    decoding.pop_front();
    encode(std::move(group));
    if (wait) writer_.finish();
  }
}

/// Takes the right to make an image's cache file; false if it is not needed any more or another process has it.
bool LatentsFiles::take(int64_t number, bool wait, Group& group) {
  if (!on_disk_) return true;
  auto claim = data::claim_cache(path_of(image(number)), wait);
  if (!claim) {
    postponed_.push_back(number);
    return false;
  }
  // Another process may have made it since this one looked.
  const auto finding = find(image(number));
  if (finding.state == data::CacheState::usable) {
    job_.progress(++done_, total_);
    return false;
  }
  group.claims.push_back(std::make_shared<FileLock>(std::move(*claim)));
  return true;
}

Group LatentsFiles::next_group(const std::vector<int64_t>& numbers, size_t& at, bool wait) {
  Group group;
  const size_t limit = wait ? 1 : static_cast<size_t>(job_.config.vae_batch_size);
  while (at < numbers.size() && group.images.size() < limit) {
    const auto& entry = image(numbers[at]);
    if (!group.images.empty()) {
      const auto& first = image(group.images.front());
      if (entry.dataset != first.dataset || entry.geometry.bucket != first.geometry.bucket) break;
    }
    if (take(numbers[at], wait, group)) group.images.push_back(numbers[at]);
    ++at;
  }
  if (group.images.empty()) return group;
  group.inputs = std::async(std::launch::async, [this, images = group.images] {
    std::vector<data::CacheInput> inputs;
    for (const int64_t number : images) inputs.push_back(data::load_cache_input(job_.dataset, image(number)));
    return inputs;
  });
  return group;
}

at::Tensor LatentsFiles::latents_of(const at::Tensor& pixels, const std::vector<int64_t>& numbers,
                                    uint64_t draw) const {
  const auto noise = [&](at::IntArrayRef shape) {
    std::vector<at::Tensor> rows;
    for (const int64_t number : numbers) {
      // A file on disk serves many runs, so its noise depends on the image alone.
      const std::string stem = image(number).stem();
      const uint64_t item = on_disk_ ? xxh3(stem) >> 1 : static_cast<uint64_t>(number);
      rows.push_back(job_.draws.cached_latent_noise(stem, item | draw, shape.slice(1)));
    }
    return at::stack(rows);
  };
  return encode_images(job_.vae(), pixels, pixels.size(0), noise).to(at::kCPU);
}

void LatentsFiles::encode(Group group) {
  const std::vector<data::CacheInput> inputs = group.inputs.get();
  std::vector<at::Tensor> pixels;
  bool any_flipped = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    pixels.push_back(inputs[i].pixels);
    any_flipped |= job_.dataset.subset_of(image(group.images[i])).flip_aug;
  }
  const auto batch = at::stack(pixels);  // B times [3,H,W] -> [B,3,H,W]
  const auto latents = latents_of(batch, group.images, 0);
  const auto flipped = any_flipped ? latents_of(batch.flip({3}), group.images, kFlippedDraw) : at::Tensor();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto& entry = image(group.images[i]);
    const auto row = static_cast<int64_t>(i);
    data::StoredLatents stored;
    stored.latents = latents[row].clone();
    if (job_.dataset.subset_of(entry).flip_aug) stored.flipped = flipped[row].clone();
    stored.mask = inputs[i].mask;
    stored.original = inputs[i].original;
    stored.crop_ltrb = data::stored_crop_box(entry.geometry.bucket, inputs[i].original);
    keep(entry.index, std::move(stored), on_disk_ ? group.claims[i] : nullptr);
  }
  done_ += static_cast<int64_t>(inputs.size());
  job_.progress(done_, total_);
}

void LatentsFiles::keep(int64_t number, data::StoredLatents latents, std::shared_ptr<FileLock> claim) {
  if (!on_disk_) {
    kept_[static_cast<size_t>(number)] = std::move(latents);
    return;
  }
  const auto& entry = image(number);
  writer_.add([path = path_of(entry), bucket = entry.geometry.bucket, source = entry.path, facts = facts_of(entry),
               latents = std::move(latents), claim = std::move(claim)]() -> WrittenCache {
    data::CacheFacts all = data::image_facts(source);
    all.insert(facts.begin(), facts.end());
    const std::string contents = data::write_latents_cache(path, bucket, latents);
    return {path, data::latents_part(bucket), contents, std::move(all)};
  });
}

}  // namespace

LatentsSource cache_latents(const LatentsJob& job) {
  const at::NoGradGuard no_grad;
  return LatentsFiles(job).run();
}

}  // namespace loraptor::pipeline
