// One batch, loaded: pixels, masks, captions and weights.
#include "data/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "data/augment.h"
#include "data/image_transform.h"
#include "io/image.h"
#include "io/image_resize.h"
#include "tensor/rng.h"

namespace loraptor::data {
namespace {

/// A generator of its own for each (seed, purpose, epoch, occurrence).
PythonRandom sample_random(const Dataset& dataset, tensor::Purpose purpose, int64_t epoch, uint64_t occurrence) {
  const tensor::CounterRng rng(dataset.seed());
  const tensor::DrawKey key{purpose, static_cast<uint64_t>(epoch), occurrence};
  const uint64_t low = rng.bits(key, 0), high = rng.bits(key, 1);
  return PythonRandom(static_cast<int64_t>((high >> 1) << 32 | low));
}

io::Interpolation interpolation_of(const Dataset& dataset, const ImageEntry& image, bool of_subset) {
  const auto& name = of_subset ? dataset.subset_of(image).resize_interpolation
                               : dataset.parts()[static_cast<size_t>(image.dataset)].config.resize_interpolation;
  return name ? io::parse_interpolation(*name, "resize_interpolation") : io::Interpolation::automatic;
}

/// Reads the image, and says so if it is not of the size by which its bucket was chosen, but for rounding: it was
/// changed meanwhile, or a list of images or the name of a cache tells a wrong size.
io::Image read_entry(const Dataset& dataset, const ImageEntry& entry) {
  io::Image image =
      io::read_image(entry.path, dataset.subset_of(entry).alpha_mask ? io::AlphaMode::keep : io::AlphaMode::drop);
  const int64_t difference = std::abs(image.width * entry.height - image.height * entry.width);
  if (difference > std::max(image.width, image.height) + std::max<int64_t>(entry.width, entry.height)) {
    log::warn_once(
        fmt::format("[{}] is {}, its bucket was chosen for {}: it is squeezed. Hint: start again if it was "
                    "changed; correct or delete the list, or the cache, that tells its size.",
                    entry.path, to_string({image.width, image.height}), to_string({entry.width, entry.height})));
  }
  return image;
}

/// Once a run: the reference refuses such an image unless its latents are cached.
void warn_of_resizing(const ImageEntry& entry, const Size& decoded) {
  static std::once_flag told;
  std::call_once(told, [&] {
    log::warn(
        "[{}] is {} and there are no buckets: like all images of another size than the resolution it is resized to {} "
        "and cut to {}. Hint: set enable_bucket to keep more of the pictures.",
        entry.path, to_string(decoded), to_string(entry.geometry.resized), to_string(entry.geometry.bucket));
  });
}

/// How a live image gets to its bucket.
ResizeCrop choose_crop(const Dataset& dataset, const ImageEntry& entry, const Size& decoded, PythonRandom& random) {
  const SubsetConfig& subset = dataset.subset_of(entry);
  const Size& target = entry.geometry.bucket;
  const bool buckets = dataset.parts()[static_cast<size_t>(entry.dataset)].config.enable_bucket;
  if (buckets) return subset.random_crop ? random_crop(entry.geometry, random) : centre_crop(entry.geometry);
  if (subset.face_crop_aug_range) {
    if (const auto face = face_in_name(entry.stem())) {
      return crop_around_face(decoded, *face, target, {*subset.face_crop_aug_range, subset.random_crop}, random);
    }
  }
  if (!subset.random_crop) {
    if (decoded != target) warn_of_resizing(entry, decoded);
    return centre_crop(entry.geometry);
  }
  if (decoded.width < target.width || decoded.height < target.height) {
    throw UsageError(
        fmt::format("[{}] image size for random_crop: got {}, expected at least the resolution {}.\n"
                    "Hint: set enable_bucket, or leave random_crop out.",
                    entry.path, to_string(decoded), to_string(target)));
  }
  return random_crop_unresized(decoded, target, random);
}

/// The alpha channel as float32 [H,W] in 0..1.
at::Tensor alpha_of(const io::Image& image) {
  LORAPTOR_ASSERT(image.channels == 4);
  at::Tensor mask = at::empty({image.height, image.width}, at::kFloat);
  float* to = mask.mutable_data_ptr<float>();
  for (int64_t i = 0; i < image.height * image.width; ++i) {
    to[i] = static_cast<float>(image.pixels[static_cast<size_t>(i * 4 + 3)]) / 255.0f;
  }
  return mask;
}

/// The red channel of the mask image, cut like its image: float32 [H,W] in 0..1.
/// Differs from the reference, which squeezes mask images to the bucket instead of cutting them.
at::Tensor load_mask_image(const Dataset& dataset, const ImageEntry& entry, const ResizeCrop& crop,
                           const Size& decoded) {
  const std::string& path = *dataset.mask_path(entry);
  const io::Image mask = io::read_image(path);
  if (mask.width != decoded.width || mask.height != decoded.height) {
    throw FileError(path, fmt::format("mask image size: got {}, expected {}, the size of '{}'.",
                                      to_string({mask.width, mask.height}), to_string(decoded), entry.path));
  }
  const io::Image cut = resize_and_crop(mask, crop, interpolation_of(dataset, entry, false));
  return (image_to_tensor(cut).select(0, 0) / 2 + 0.5);  // [3,H,W] -> [H,W]
}

struct Sample {
  at::Tensor pixels;
  at::Tensor mask;
  ResizeCrop crop;
  bool flipped = false;
};

Sample load_sample(const Dataset& dataset, const ImageEntry& entry, PythonRandom& random, bool with_pixels) {
  const SubsetConfig& subset = dataset.subset_of(entry);
  Sample sample;
  sample.flipped = subset.flip_aug && random.random() < 0.5;
  ResizeCrop crop = centre_crop(entry.geometry);
  Size decoded{entry.width, entry.height};
  if (with_pixels) {
    io::Image image = read_entry(dataset, entry);
    decoded = {image.width, image.height};
    crop = choose_crop(dataset, entry, decoded, random);
    image = resize_and_crop(image, crop, interpolation_of(dataset, entry, true));
    if (subset.color_aug) change_colours(image, random);
    sample.pixels = image_to_tensor(image);
    if (subset.alpha_mask) sample.mask = alpha_of(image);
  }
  if (dataset.mask_path(entry) != nullptr) sample.mask = load_mask_image(dataset, entry, crop, decoded);
  sample.crop = crop;
  if (sample.flipped) {
    if (sample.pixels.defined()) sample.pixels = sample.pixels.flip(2);
    if (sample.mask.defined()) sample.mask = sample.mask.flip(1);
  }
  return sample;
}

std::string used_caption(const Dataset& dataset, const ImageEntry& entry, const CaptionMoment& moment,
                         PythonRandom& random) {
  const CaptionConfig& config = dataset.subset_of(entry).caption;
  const int64_t variants = dataset.caption_variants();
  if (variants == 0) return transform_caption(config, entry.caption, moment, random);
  if (drops_caption(config, moment, random)) return "";
  return caption_variant(dataset, entry, random.randint(1, variants));
}

/// The truth value that Python gives to a custom attribute.
bool is_truthy(const nlohmann::json& attributes, const std::string& name) {
  if (!attributes.is_object() || !attributes.contains(name)) return false;
  const nlohmann::json& value = attributes[name];
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

/// Stacks the masks; images without one count fully. nullopt if none has one.
std::optional<at::Tensor> stack_masks(const std::vector<Sample>& samples, const BatchPlan& plan) {
  std::vector<at::Tensor> masks;
  bool any = false;
  for (const Sample& sample : samples) {
    any = any || sample.mask.defined();
    masks.push_back(sample.mask.defined() ? sample.mask
                                          : at::ones({plan.bucket_height, plan.bucket_width}, at::kFloat));
  }
  if (!any) return std::nullopt;
  return at::stack(masks);  // B times [H,W] -> [B,H,W]
}

}  // namespace

Batch load_batch(const Dataset& dataset, const BatchPlan& plan, int64_t epoch, int64_t step, bool with_pixels) {
  LORAPTOR_ASSERT(!plan.images.empty() && plan.images.size() == plan.occurrences.size());
  // Validation images look the same each time.
  const int64_t draw_epoch = dataset.is_validation() ? 0 : epoch;
  const CaptionMoment moment{epoch, step, dataset.max_train_steps()};
  Batch batch;
  batch.plan = plan;
  std::vector<Sample> samples;
  std::vector<float> weights;
  for (size_t i = 0; i < plan.images.size(); ++i) {
    const ImageEntry& entry = dataset.images().at(static_cast<size_t>(plan.images[i]));
    const SubsetConfig& subset = dataset.subset_of(entry);
    const uint64_t occurrence = plan.occurrences[i];
    PythonRandom augmentation = sample_random(dataset, tensor::Purpose::augmentation, draw_epoch, occurrence);
    PythonRandom caption = sample_random(dataset, tensor::Purpose::caption, draw_epoch, occurrence);
    samples.push_back(load_sample(dataset, entry, augmentation, with_pixels));
    batch.captions.push_back(used_caption(dataset, entry, moment, caption));
    batch.stems.push_back(entry.stem());
    batch.flipped.push_back(samples.back().flipped);
    batch.crops.push_back(samples.back().crop);
    batch.preserve_output.push_back(is_truthy(subset.custom_attributes, "diff_output_preservation"));
    weights.push_back(entry.loss_weight);
  }
  batch.loss_weights = at::tensor(weights, at::kFloat);
  batch.masks = stack_masks(samples, plan);
  if (with_pixels) {
    std::vector<at::Tensor> pixels;
    for (const Sample& sample : samples) pixels.push_back(sample.pixels);
    batch.pixels = at::stack(pixels);  // B times [3,H,W] -> [B,3,H,W]
  }
  return batch;
}

std::string caption_variant(const Dataset& dataset, const ImageEntry& image, int64_t number) {
  CaptionConfig config = dataset.subset_of(image).caption;
  config.caption_dropout_rate = 0;
  config.caption_dropout_every_n_epochs = 0;
  PythonRandom random(static_cast<int64_t>(xxh3(fmt::format("{}/{}", number, image.stem())) >> 1));
  return transform_caption(config, image.caption, {}, random);
}

CacheInput load_cache_input(const Dataset& dataset, const ImageEntry& image, int64_t variant) {
  const SubsetConfig& subset = dataset.subset_of(image);
  const bool wants_mask = subset.alpha_mask;
  const io::Image decoded = read_entry(dataset, image);
  CacheInput input;
  input.original = {decoded.width, decoded.height};
  // A cache serves many runs, so nothing about it follows from a run's seed.
  PythonRandom random(static_cast<int64_t>(xxh3(fmt::format("{}/{}", variant, image.stem())) >> 1));
  const ResizeCrop crop =
      variant == 0 ? centre_crop(image.geometry) : choose_crop(dataset, image, input.original, random);
  io::Image cut = resize_and_crop(decoded, crop, interpolation_of(dataset, image, true));
  if (variant != 0 && subset.color_aug) change_colours(cut, random);
  input.pixels = image_to_tensor(cut);
  if (wants_mask) input.mask = alpha_of(cut);
  return input;
}

}  // namespace loraptor::data
