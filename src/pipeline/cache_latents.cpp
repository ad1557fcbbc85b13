#include "pipeline/cache_latents.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <future>
#include <memory>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/parallel.h"
#include "data/batch.h"
#include "data/cache_check.h"
#include "data/cache_claim.h"
#include "data/cache_index.h"
#include "pipeline/cache_writer.h"
#include "pipeline/encode_latents.h"

namespace loraptor::pipeline {
namespace {

namespace fs = std::filesystem;

/// Images of one shape that are encoded together, with the right to write their files.
struct Group {
  std::vector<int64_t> images;
  std::vector<std::shared_ptr<FileLock>> claims;      // empty: in memory
  std::future<std::vector<data::CacheInput>> inputs;  // of the first image, all its variants, then of the next
};

/// One of the numbers of a request.
int64_t chosen(const data::LatentsRequest& request, double choice) {
  const auto [first, last] = request.numbers();
  return std::min(last, first + static_cast<int64_t>(choice * static_cast<double>(last - first + 1)));
}

/// Moments [32,h,w] that a cache may hold. Of a VAE that gave NaN: mean 0 with hardly any variance, since samples that
/// are NaN count as 0 (sample_moments).
at::Tensor finite_moments(const at::Tensor& moments) {
  constexpr double kLeastLogVariance = -30;
  const auto halves = moments.to(at::kFloat).chunk(2);
  return at::cat(
      {halves[0].masked_fill(halves[0].isnan(), 0), halves[1].masked_fill(halves[1].isnan(), kLeastLogVariance)});
}

class LatentsFiles {
 public:
  explicit LatentsFiles(const LatentsJob& job)
      : job_(job),
        on_disk_(job.config.cache_latents_to_disk),
        extras_{job.config.cache_latents_posterior, job.config.latents_variants},
        store_(data::make_cache_store(job.config.format())),
        writer_(*store_),
        kept_(image_count()) {}

  LatentsSource run() {
    find_todo();
    total_ = static_cast<int64_t>(todo_.size());
    encode_all(todo_, false);
    // What other processes were making: by now most of it is there.
    encode_all(std::exchange(postponed_, {}), true);
    writer_.finish();
    const auto request_of = [&dataset = job_.dataset, extras = extras_](int64_t image) {
      return data::latents_request(dataset, dataset.images()[static_cast<size_t>(image)], extras);
    };
    if (on_disk_) {
      return [&dataset = job_.dataset, store = store_, request_of](int64_t image, double choice) {
        const auto request = request_of(image);
        return data::load_latents(*store, path_of(dataset.images()[static_cast<size_t>(image)]), request,
                                  chosen(request, choice));
      };
    }
    auto kept = std::make_shared<std::vector<Variants>>(std::move(kept_));
    return [kept, request_of](int64_t image, double choice) {
      const auto request = request_of(image);
      return (*kept)[static_cast<size_t>(image)].at(
          static_cast<size_t>(chosen(request, choice) - request.numbers().first));
    };
  }

 private:
  using Variants = std::vector<data::StoredLatents>;  // one, unless the image has drawn variants
  /// One variant of an image.
  struct Picture {
    int64_t image;
    int64_t number;
  };

  /// The mirrored image has a posterior sample of its own.
  static constexpr uint64_t kFlippedDraw = uint64_t{1} << 63;

  const data::ImageEntry& image(int64_t number) const { return job_.dataset.images()[static_cast<size_t>(number)]; }
  size_t image_count() const { return on_disk_ ? 0 : job_.dataset.images().size(); }
  static fs::path path_of(const data::ImageEntry& entry) {
    return data::latents_cache_path(entry.path, {entry.width, entry.height});
  }
  bool is_drawn(const data::ImageEntry& entry) const {
    return data::latents_request(job_.dataset, entry, extras_).variants > 0;
  }
  std::string part_of(const data::ImageEntry& entry) const {
    return data::latents_part(entry.geometry.bucket, is_drawn(entry));
  }
  data::CacheFacts facts_of(const data::ImageEntry& entry) const {
    data::CacheFacts facts = data::latents_facts(job_.dataset, entry);
    facts["vae"] = job_.vae_hash;
    return facts;
  }
  data::CacheFinding find(const data::ImageEntry& entry) {
    if (job_.config.skip_cache_check && store_->has(path_of(entry), part_of(entry))) {
      return {.state = data::CacheState::usable, .is_recorded = true};
    }
    return data::find_latents_cache(job_.dataset, entry, *store_, facts_of(entry), extras_);
  }

  void warn_of_shared_file(const data::ImageEntry& entry, const data::ImageEntry& maker) const;
  void find_todo();
  void encode_all(const std::vector<int64_t>& numbers, bool wait);
  Group next_group(const std::vector<int64_t>& numbers, size_t& at, bool wait);
  bool take(int64_t number, bool wait, Group& group);
  void encode(Group group);
  at::Tensor posterior_noise(const std::vector<Picture>& pictures, uint64_t draw, at::IntArrayRef shape) const;
  std::vector<Picture> pictures_of(const std::vector<int64_t>& images) const;
  void keep(int64_t number, Variants variants, std::shared_ptr<FileLock> claim);

  const LatentsJob& job_;
  bool on_disk_;
  data::LatentsExtras extras_;
  std::shared_ptr<data::CacheStore> store_;
  CacheWriter writer_;
  std::vector<Variants> kept_;
  std::vector<int64_t> todo_, postponed_;
  int64_t done_ = 0, total_ = 0;
};

void LatentsFiles::warn_of_shared_file(const data::ImageEntry& entry, const data::ImageEntry& maker) const {
  if (entry.path != maker.path) {
    log::warn("[{}] shares its cache file with '{}', whose latents are used for both; rename one of them.", entry.path,
              maker.path);
    return;
  }
  const auto difference =
      data::first_difference(data::latents_facts(job_.dataset, maker), data::latents_facts(job_.dataset, entry));
  log::warn(
      "[{}] is used twice at this size, but differently ({}); the latents of the first use are cached, and used for "
      "both. Hint: give both uses the same settings, or one of them a copy of the folder.",
      entry.path, difference.value_or(""));
}

/// The images to encode, in the order of their bucket, so that neighbours can share a batch.
void LatentsFiles::find_todo() {
  CacheCounts counts;
  const auto makers = on_disk_ ? data::latents_makers(job_.dataset, extras_) : std::vector<int64_t>();
  std::set<fs::path> folders;
  for (const auto& entry : job_.dataset.images()) {
    if (on_disk_) {
      const fs::path path = path_of(entry);
      const int64_t maker = makers[static_cast<size_t>(entry.index)];
      if (maker != entry.index) {
        warn_of_shared_file(entry, image(maker));
        continue;
      }
      if (!counts.count(find(entry), path)) continue;
      folders.insert(data::cache_folder(path));
    }
    todo_.push_back(entry.index);
  }
  if (on_disk_ && !job_.dataset.images().empty()) counts.tell("latents");
  for (const auto& folder : folders) store_->clean(folder);
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
  store_->refresh(data::cache_folder(path_of(image(number))));
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
  group.inputs = in_background([this, pictures = pictures_of(group.images)] {
    std::vector<data::CacheInput> inputs;
    for (const Picture& picture : pictures) {
      inputs.push_back(data::load_cache_input(job_.dataset, image(picture.image), picture.number));
    }
    return inputs;
  });
  return group;
}

std::vector<LatentsFiles::Picture> LatentsFiles::pictures_of(const std::vector<int64_t>& images) const {
  std::vector<Picture> pictures;
  for (const int64_t number : images) {
    const auto [first, last] = data::latents_request(job_.dataset, image(number), extras_).numbers();
    for (int64_t variant = first; variant <= last; ++variant) pictures.push_back({number, variant});
  }
  return pictures;
}

/// Noise of each picture's own: [B,16,h,w].
at::Tensor LatentsFiles::posterior_noise(const std::vector<Picture>& pictures, uint64_t draw,
                                         at::IntArrayRef shape) const {
  std::vector<at::Tensor> rows;
  for (const auto& [number, variant] : pictures) {
    const std::string stem = image(number).stem();
    const std::string name = variant == 0 ? stem : fmt::format("{}/{}", variant, stem);
    // A file on disk serves many runs, so its noise depends on the image alone.
    const uint64_t item = on_disk_ || variant != 0 ? xxh3(name) >> 1 : static_cast<uint64_t>(number);
    rows.push_back(job_.draws.cached_latent_noise(stem, item | draw, shape.slice(1)));
  }
  return at::stack(rows);
}

void LatentsFiles::encode(Group group) {
  const std::vector<data::CacheInput> inputs = group.inputs.get();
  const std::vector<Picture> pictures = pictures_of(group.images);
  std::vector<at::Tensor> pixels;
  bool any_flipped = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    pixels.push_back(inputs[i].pixels);
    any_flipped |= job_.dataset.subset_of(image(pictures[i].image)).flip_aug;
  }
  const auto batch = at::stack(pixels);  // B times [3,H,W] -> [B,3,H,W]
  const auto moments_of = [&](const at::Tensor& images) {
    return encode_moments(job_.vae(), images, job_.config.vae_batch_size);
  };
  const auto sampled = [&](const at::Tensor& moments, uint64_t draw) {
    return sample_moments(moments, [&](at::IntArrayRef shape) { return posterior_noise(pictures, draw, shape); })
        .to(at::kCPU);
  };
  const auto moments = moments_of(batch);
  const auto flipped_moments = any_flipped ? moments_of(batch.flip({3})) : at::Tensor();
  const auto latents = sampled(moments, 0);
  const auto flipped = any_flipped ? sampled(flipped_moments, kFlippedDraw) : at::Tensor();
  for (size_t i = 0; i < inputs.size();) {
    const auto& entry = image(pictures[i].image);
    const bool is_flipped = job_.dataset.subset_of(entry).flip_aug;
    Variants variants;
    for (; i < inputs.size() && pictures[i].image == entry.index; ++i) {
      const auto row = [&](const at::Tensor& all) { return all[static_cast<int64_t>(i)].to(at::kCPU).clone(); };
      data::StoredLatents& stored = variants.emplace_back();
      stored.latents = row(latents);
      if (is_flipped) stored.flipped = row(flipped);
      if (extras_.moments) stored.moments = finite_moments(row(moments));
      if (extras_.moments && is_flipped) stored.flipped_moments = finite_moments(row(flipped_moments));
      stored.mask = inputs[i].mask;
      stored.original = inputs[i].original;
      stored.crop_ltrb = data::stored_crop_box(entry.geometry.bucket, inputs[i].original);
    }
    const auto place = std::find(group.images.begin(), group.images.end(), entry.index) - group.images.begin();
    keep(entry.index, std::move(variants), on_disk_ ? group.claims[static_cast<size_t>(place)] : nullptr);
  }
  done_ += static_cast<int64_t>(group.images.size());
  job_.progress(done_, total_);
}

void LatentsFiles::keep(int64_t number, Variants variants, std::shared_ptr<FileLock> claim) {
  if (!on_disk_) {
    kept_[static_cast<size_t>(number)] = std::move(variants);
    return;
  }
  const auto& entry = image(number);
  writer_.add([store = store_, path = path_of(entry), bucket = entry.geometry.bucket, source = std::string(entry.path),
               facts = facts_of(entry), part = part_of(entry), drawn = is_drawn(entry), variants = std::move(variants),
               request = data::latents_request(job_.dataset, entry, extras_), claim = std::move(claim)] {
    auto arrays = data::latents_arrays(bucket, variants, drawn);
    const auto earlier = data::latents_of_same_sources(*store, path, source, bucket, drawn, facts);
    if (earlier) arrays = data::completed_arrays(*earlier, bucket, drawn, std::move(arrays));
    data::CacheFacts all = data::image_facts(source);
    all.insert(facts.begin(), facts.end());
    const auto written = store->write(path, part, arrays, all);
    store->record(path, part, data::latents_contents(*written, bucket, drawn), all);
    store->rely_on(path, *written, data::wanted_arrays(request));
  });
}

}  // namespace

LatentsSource cache_latents(const LatentsJob& job) {
  const at::NoGradGuard no_grad;
  return LatentsFiles(job).run();
}

}  // namespace loraptor::pipeline
