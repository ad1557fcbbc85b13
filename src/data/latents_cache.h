// The file `<stem>_<width>x<height>_sd3.npz` beside an image: its latents, for any number of bucket sizes.
//
// Exchangeable with the reference in both directions. Format: docs/formats.md.
#pragma once

#include <ATen/ATen.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/bucket.h"
#include "data/cache_state.h"

namespace loraptor::data {

/// What is kept of one image at one bucket size: raw latents (before shift and scale), one drawn posterior sample.
struct StoredLatents {
  at::Tensor latents;              // float32 [16,h,w], CPU
  at::Tensor flipped;              // the mirrored image's; else undefined
  at::Tensor moments;              // float32 [32,h,w]: the posterior's means and log-variances; else undefined
  at::Tensor flipped_moments;      // the mirrored image's
  std::optional<at::Tensor> mask;  // float32 [8h,8w] in 0..1, unmirrored: the alpha channel
  Size original;                   // px, as decoded
  std::array<double, 4> crop_ltrb{};
};

/// What a run wants of a cache file.
struct LatentsRequest {
  Size bucket;  // px
  bool flipped = false;
  bool mask = false;
  bool moments = false;
  int64_t variants = 0;  // drawn crops and colours, numbered from 1; 0: the image as it is, number 0

  std::pair<int64_t, int64_t> numbers() const {
    return variants > 0 ? std::pair(int64_t{1}, variants) : std::pair(int64_t{0}, int64_t{0});
  }
};

/// The cache file of an image of this size (px, as the data set knows it). For a WebP image also one that names it a
/// pixel smaller in both directions, if only that exists: the reference misreads some.
std::filesystem::path latents_cache_path(const std::filesystem::path& image, const Size& size);

/// The part of the file for a bucket: "48x80", latent height x width; with variants "48x80_v".
std::string latents_part(const Size& bucket, bool variants = false);

/// Looks at names, dtypes and shapes, not at the numbers: absent (no file, or nothing for this bucket), usable or
/// unusable. With `contents` where usable.
CacheFinding check_latents_cache(const std::filesystem::path& path, const LatentsRequest& request);
CacheFinding check_latents(const io::ArrayFile& file, const LatentsRequest& request);

/// Reads what `request` wants; a stored mask that it does not want is left alone.
///   number   of the variant, one of request.numbers()
/// Throws FileError: no file, an array that is missing, of wrong dtype or shape, damaged, or not finite.
StoredLatents read_latents_cache(const std::filesystem::path& path, const LatentsRequest& request, int64_t number = 0);
StoredLatents read_latents(const io::ArrayFile& file, const LatentsRequest& request, int64_t number = 0);

/// Reads all that the file has of a part, whoever may want it. Throws FileError: damaged, or not finite.
///   drawn   whether that is the variants, or the image as it is
void read_latents_part(const io::ArrayFile& file, const Size& bucket, bool drawn);

/// The arrays of a part of the file.
///   drawn   whether they are variants, numbered from 1, or the image as it is
io::NamedTensors latents_arrays(const Size& bucket, const std::vector<StoredLatents>& variants, bool drawn);

/// Whether an array belongs to a part of latents; unknown ones belong to none.
bool is_latents_array(const std::string& name, const std::string& part);

/// `arrays` of a part with those that `file` has of it already, for a part that is written anew from the same sources
/// because some are missing: what is there and whole stays as it is, so that other runs that use it go on.
io::NamedTensors completed_arrays(const io::ArrayFile& file, const Size& bucket, bool drawn, io::NamedTensors arrays);

/// The checksum of a part's arrays.
std::string latents_contents(const io::ArrayFile& file, const Size& bucket, bool drawn);

/// Names of the arrays that read_latents gets its pixels and masks from.
std::vector<std::string> wanted_arrays(const LatentsRequest& request);

/// Writes the latents of one bucket, atomically; arrays of other buckets and unknown ones are kept. A file that cannot
/// be read is replaced, with a warning. Returns the checksum of the part's arrays. Throws FileError.
std::string write_latents_cache(const std::filesystem::path& path, const Size& bucket, const StoredLatents& latents);

/// The same with all variants of an image, from number 1.
std::string write_latents_variants(const std::filesystem::path& path, const Size& bucket,
                                   const std::vector<StoredLatents>& variants);

}  // namespace loraptor::data
