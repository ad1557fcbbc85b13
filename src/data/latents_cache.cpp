#include "data/latents_cache.h"

#include <fmt/format.h>

#include "base/error.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kChannels = 16;
constexpr int64_t kFactor = 8;
const std::vector<at::ScalarType> kFloats{at::kFloat, at::kHalf};

/// The keys of one bucket.
struct Keys {
  explicit Keys(const Size& bucket) : part("_" + latents_part(bucket)) {}
  std::string part;
  std::string latents = "latents" + part, flipped = "latents_flipped" + part, mask = "alpha_mask" + part;
  std::string original = "original_size" + part, crop = "crop_ltrb" + part;
};

std::vector<std::string> present_keys(const io::NpzFile& file, const Keys& keys) {
  std::vector<std::string> names;
  for (const std::string& name : {keys.latents, keys.original, keys.crop, keys.flipped, keys.mask}) {
    if (file.has(name)) names.push_back(name);
  }
  return names;
}

void check_arrays(const io::NpzFile& file, const Keys& keys, const LatentsRequest& request) {
  const int64_t h = request.bucket.height / kFactor, w = request.bucket.width / kFactor;
  expect_array(file, keys.latents, kFloats, {kChannels, h, w});
  expect_array(file, keys.original, {at::kLong, at::kInt}, {2});
  expect_array(file, keys.crop, {at::kDouble, at::kFloat}, {4});
  if (request.flipped) expect_array(file, keys.flipped, kFloats, {kChannels, h, w});
  if (request.mask) expect_array(file, keys.mask, kFloats, {request.bucket.height, request.bucket.width});
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
  if (lower(image.extension().string()) != ".webp" || fs::exists(path)) return path;
  const fs::path misread = named(image, {size.width - 1, size.height - 1});
  return fs::exists(misread) ? misread : path;
}

std::string latents_part(const Size& bucket) {
  return fmt::format("{}x{}", bucket.height / kFactor, bucket.width / kFactor);
}

CacheFinding check_latents_cache(const fs::path& path, const LatentsRequest& request) {
  if (!fs::exists(path)) return {};
  try {
    const io::NpzFile file(path);
    const Keys keys(request.bucket);
    const bool is_there = file.has(keys.latents) && (!request.flipped || file.has(keys.flipped)) &&
                          (!request.mask || file.has(keys.mask));
    if (!is_there) return {};
    check_arrays(file, keys, request);
    return {.state = CacheState::usable, .contents = contents_of(file, present_keys(file, keys))};
  } catch (const FileError& error) {
    return {.state = CacheState::unusable, .why = error.what()};
  }
}

StoredLatents read_latents_cache(const fs::path& path, const LatentsRequest& request) {
  const io::NpzFile file(path);
  const Keys keys(request.bucket);
  check_arrays(file, keys, request);
  StoredLatents stored;
  stored.latents = read_finite(file, keys.latents);
  if (request.flipped) stored.flipped = read_finite(file, keys.flipped);
  if (request.mask) stored.mask = read_finite(file, keys.mask);
  const at::Tensor size = file.read(keys.original).to(at::kLong), crop = file.read(keys.crop).to(at::kDouble);
  stored.original = {size[0].item<int64_t>(), size[1].item<int64_t>()};
  for (int64_t i = 0; i < 4; ++i) stored.crop_ltrb[static_cast<size_t>(i)] = crop[i].item<double>();
  return stored;
}

std::string write_latents_cache(const fs::path& path, const Size& bucket, const StoredLatents& stored) {
  const Keys keys(bucket);
  const auto& crop = stored.crop_ltrb;
  io::NamedTensors tensors{{keys.latents, stored.latents.to(at::kFloat)},
                           {keys.original, at::tensor({stored.original.width, stored.original.height}, at::kLong)},
                           {keys.crop, at::tensor({crop[0], crop[1], crop[2], crop[3]}, at::kDouble)}};
  if (stored.flipped.defined()) tensors.emplace_back(keys.flipped, stored.flipped.to(at::kFloat));
  if (stored.mask) tensors.emplace_back(keys.mask, stored.mask->to(at::kFloat));
  const auto kept = open_to_keep(path);
  io::write_npz(path, tensors, kept ? &*kept : nullptr);
  const io::NpzFile written(path);
  return contents_of(written, present_keys(written, keys));
}

}  // namespace loraptor::data
