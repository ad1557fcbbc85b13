#include "data/latents_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kChannels = 16;
constexpr int64_t kFactor = 8;
const std::vector<at::ScalarType> kFloats{at::kFloat, at::kHalf, at::kBFloat16};

/// The keys of one bucket, or of one variant of the image there.
struct Keys {
  Keys(const Size& bucket, int64_t number)
      : part("_" + latents_part(bucket) + (number > 0 ? fmt::format("_v{}", number) : "")) {}
  std::string part;
  std::string latents = "latents" + part, flipped = "latents_flipped" + part, mask = "alpha_mask" + part;
  std::string moments = "moments" + part, flipped_moments = "moments_flipped" + part;
  std::string original = "original_size" + part, crop = "crop_ltrb" + part;
};

/// Names of the arrays of a part that are there; of variants all, whatever their number.
std::vector<std::string> present_keys(const io::ArrayFile& file, const Size& bucket, bool variants) {
  std::vector<std::string> names;
  for (int64_t number = variants ? 1 : 0;; ++number) {
    const Keys keys(bucket, number);
    if (!file.has(keys.latents)) break;
    for (const std::string& name :
         {keys.latents, keys.original, keys.crop, keys.flipped, keys.mask, keys.moments, keys.flipped_moments}) {
      if (file.has(name)) names.push_back(name);
    }
    if (!variants) break;
  }
  return names;
}

bool has_arrays(const io::ArrayFile& file, const Keys& keys, const LatentsRequest& request) {
  return file.has(keys.latents) && (!request.flipped || file.has(keys.flipped)) &&
         (!request.mask || file.has(keys.mask)) && (!request.moments || file.has(keys.moments)) &&
         (!request.moments || !request.flipped || file.has(keys.flipped_moments));
}

void check_arrays(const io::ArrayFile& file, const Keys& keys, const LatentsRequest& request) {
  const int64_t h = request.bucket.height / kFactor, w = request.bucket.width / kFactor;
  expect_array(file, keys.latents, kFloats, {kChannels, h, w});
  expect_array(file, keys.original, {at::kLong, at::kInt}, {2});
  expect_array(file, keys.crop, {at::kDouble, at::kFloat}, {4});
  if (request.flipped) expect_array(file, keys.flipped, kFloats, {kChannels, h, w});
  if (request.mask) expect_array(file, keys.mask, kFloats, {request.bucket.height, request.bucket.width});
  if (request.moments) expect_array(file, keys.moments, kFloats, {2 * kChannels, h, w});
  if (request.moments && request.flipped) expect_array(file, keys.flipped_moments, kFloats, {2 * kChannels, h, w});
}

void add_arrays(io::NamedTensors& tensors, const Keys& keys, const StoredLatents& stored) {
  const auto& crop = stored.crop_ltrb;
  tensors.emplace_back(keys.latents, stored.latents.to(at::kFloat));
  tensors.emplace_back(keys.original, at::tensor({stored.original.width, stored.original.height}, at::kLong));
  tensors.emplace_back(keys.crop, at::tensor({crop[0], crop[1], crop[2], crop[3]}, at::kDouble));
  const auto add = [&](const std::string& key, const at::Tensor& numbers) {
    if (numbers.defined()) tensors.emplace_back(key, numbers.to(at::kFloat));
  };
  add(keys.flipped, stored.flipped);
  add(keys.moments, stored.moments);
  add(keys.flipped_moments, stored.flipped_moments);
  add(keys.mask, stored.mask.value_or(at::Tensor()));
}

std::string write_part(const fs::path& path, const Size& bucket, const io::NamedTensors& tensors, bool variants) {
  const auto kept = open_to_keep(path);
  io::write_npz(path, tensors, kept ? &*kept : nullptr);
  return latents_contents(io::NpzFile(path), bucket, variants);
}

fs::path named(const fs::path& image, const Size& size) {
  fs::path path = image;
  path.replace_extension();
  path += fmt::format("_{:04}x{:04}_sd3.npz", size.width, size.height);
  return path;
}

}  // namespace

fs::path latents_cache_path(const fs::path& image, const Size& size) {
  const fs::path path = named(image, size);
  if (lower(image.extension().string()) != ".webp" || cache_exists(path)) return path;
  const fs::path misread = named(image, {size.width - 1, size.height - 1});
  return cache_exists(misread) ? misread : path;
}

std::string latents_part(const Size& bucket, bool variants) {
  return fmt::format("{}x{}{}", bucket.height / kFactor, bucket.width / kFactor, variants ? "_v" : "");
}

CacheFinding check_latents(const io::ArrayFile& file, const LatentsRequest& request) {
  try {
    const auto [first, last] = request.numbers();
    for (int64_t number = first; number <= last; ++number) {
      const Keys keys(request.bucket, number);
      if (!has_arrays(file, keys, request)) return {};
      check_arrays(file, keys, request);
    }
    return {.state = CacheState::usable, .contents = latents_contents(file, request.bucket, request.variants > 0)};
  } catch (const FileError& error) {
    return {.state = CacheState::unusable, .why = error.what()};
  }
}

CacheFinding check_latents_cache(const fs::path& path, const LatentsRequest& request) {
  if (!cache_exists(path)) return {};
  try {
    return check_latents(io::NpzFile(path), request);
  } catch (const FileError& error) {
    return {.state = CacheState::unusable, .why = error.what()};
  }
}

StoredLatents read_latents(const io::ArrayFile& file, const LatentsRequest& request, int64_t number) {
  const Keys keys(request.bucket, number);
  check_arrays(file, keys, request);
  StoredLatents stored;
  stored.latents = read_finite(file, keys.latents);
  if (request.flipped) stored.flipped = read_finite(file, keys.flipped);
  if (request.mask) stored.mask = read_finite(file, keys.mask);
  if (request.moments) stored.moments = read_finite(file, keys.moments);
  if (request.moments && request.flipped) stored.flipped_moments = read_finite(file, keys.flipped_moments);
  const at::Tensor size = file.read(keys.original).to(at::kLong), crop = file.read(keys.crop).to(at::kDouble);
  stored.original = {size[0].item<int64_t>(), size[1].item<int64_t>()};
  for (int64_t i = 0; i < 4; ++i) stored.crop_ltrb[static_cast<size_t>(i)] = crop[i].item<double>();
  return stored;
}

void read_latents_part(const io::ArrayFile& file, const Size& bucket, bool drawn) {
  for (const std::string& name : present_keys(file, bucket, drawn)) read_finite(file, name);
}

StoredLatents read_latents_cache(const fs::path& path, const LatentsRequest& request, int64_t number) {
  return read_latents(io::NpzFile(path), request, number);
}

io::NamedTensors latents_arrays(const Size& bucket, const std::vector<StoredLatents>& variants, bool drawn) {
  io::NamedTensors tensors;
  int64_t number = drawn ? 1 : 0;
  for (const StoredLatents& stored : variants) add_arrays(tensors, Keys(bucket, number++), stored);
  return tensors;
}

bool is_latents_array(const std::string& name, const std::string& part) {
  for (const std::string kind :
       {"latents", "latents_flipped", "alpha_mask", "moments", "moments_flipped", "original_size", "crop_ltrb"}) {
    const std::string start = kind + "_" + part;
    if (!name.starts_with(start)) continue;
    const std::string rest = name.substr(start.size());
    const bool is_number = !rest.empty() && rest.find_first_not_of("0123456789") == std::string::npos;
    if (part.ends_with("_v") ? is_number : rest.empty()) return true;
  }
  return false;
}

io::NamedTensors completed_arrays(const io::ArrayFile& file, const Size& bucket, bool drawn, io::NamedTensors arrays) {
  for (const std::string& name : present_keys(file, bucket, drawn)) {
    at::Tensor there;
    try {
      there = file.read(name);
    } catch (const FileError&) {
      continue;  // damaged: made again
    }
    if (!there.isfinite().all().item<bool>()) continue;
    const auto made =
        std::find_if(arrays.begin(), arrays.end(), [&](const auto& array) { return array.first == name; });
    if (made == arrays.end()) arrays.emplace_back(name, there);
    else if (made->second.sizes() == there.sizes()) made->second = there;
  }
  return arrays;
}

std::string latents_contents(const io::ArrayFile& file, const Size& bucket, bool drawn) {
  return contents_of(file, present_keys(file, bucket, drawn));
}

std::vector<std::string> wanted_arrays(const LatentsRequest& request) {
  std::vector<std::string> names;
  const auto [first, last] = request.numbers();
  for (int64_t number = first; number <= last; ++number) {
    const Keys keys(request.bucket, number);
    names.push_back(keys.latents);
    if (request.flipped) names.push_back(keys.flipped);
    if (request.mask) names.push_back(keys.mask);
    if (request.moments) names.push_back(keys.moments);
    if (request.moments && request.flipped) names.push_back(keys.flipped_moments);
  }
  return names;
}

std::string write_latents_cache(const fs::path& path, const Size& bucket, const StoredLatents& stored) {
  return write_part(path, bucket, latents_arrays(bucket, {stored}, false), false);
}

std::string write_latents_variants(const fs::path& path, const Size& bucket,
                                   const std::vector<StoredLatents>& variants) {
  return write_part(path, bucket, latents_arrays(bucket, variants, true), true);
}

}  // namespace loraptor::data
