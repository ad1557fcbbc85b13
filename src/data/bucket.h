// Aspect-ratio buckets: which sizes exist, which one an image belongs to, and how the image is resized and cropped to
// it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loraptor::data {

struct ResizeCrop;  // data/image_transform.h

/// Width and height, px.
struct Size {
  int64_t width = 0;
  int64_t height = 0;
  auto operator<=>(const Size&) const = default;
};

/// "512x768".
std::string to_string(const Size& size);

/// The settings of one data set that decide its buckets.
struct BucketConfig {
  Size resolution;
  bool enabled = false;     // off: a single bucket of the resolution's size
  int64_t min_side = 256;   // px
  int64_t max_side = 1024;  // px
  int64_t step = 64;        // px; sides of buckets are multiples of it
  bool no_upscale = false;  // buckets from each image's own size instead of the fixed table
};

/// Rounds min_side down and max_side up to multiples of the step (when buckets are on) and checks them.
/// Returns the problem as text ("min_bucket_reso: got 600, expected …"), or nullopt.
/// Source: sd-scripts@48d368f library/train_util.py:BaseDataset.adjust_min_max_bucket_reso_by_steps.
std::optional<std::string> adjust_bucket_limits(BucketConfig& config);

/// The fixed table for a resolution, ascending by (width, height); only the resolution when buckets are off; empty with
/// no_upscale (buckets then come from the images).
/// Source: sd-scripts@48d368f library/model_util.py:make_bucket_resolutions.
std::vector<Size> bucket_table(const BucketConfig& config);

/// What happens to an image on its way to its bucket.
struct BucketChoice {
  Size bucket;
  Size resized;  // covers the bucket; the rest is cropped
};

/// Width/height of the bucket minus that of the image.
double ratio_error(const Size& bucket, const Size& image);

/// Chooses the bucket of an image.
///   table   bucket_table(config)
/// Throws UsageError if the image is too small or too long for a bucket; `name` says which image it is.
/// Source: sd-scripts@48d368f library/train_util.py:BucketManager.select_bucket.
BucketChoice choose_bucket(const BucketConfig& config, const std::vector<Size>& table, const Size& image,
                           std::string_view name);

/// Resize, then cut the centre.
ResizeCrop centre_crop(const BucketChoice& choice);

/// The box the reference stores as crop_ltrb in latent caches (left, top, right, bottom). It is not the box that was
/// cut. Source: sd-scripts@48d368f library/train_util.py:BucketManager.get_crop_ltrb.
std::array<double, 4> stored_crop_box(const Size& bucket, const Size& image);

}  // namespace loraptor::data
