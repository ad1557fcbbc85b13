// The file `<stem>_sd3_te.npz` beside an image: what the text encoders say about its caption.
//
// Exchangeable with the reference in both directions. Format: docs/formats.md.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/cache_state.h"

namespace loraptor::data {

/// Outputs for one caption, without batch axis.
struct StoredText {
  at::Tensor lg_out;                   // [77,L+G], float
  at::Tensor t5_out;                   // [T,C]
  at::Tensor lg_pooled;                // [L+G]
  at::Tensor l_mask, g_mask, t5_mask;  // int64 [77], [77], [T]: 1 for real tokens
};

/// What the file must say about the masks, and the widths of the encoders.
struct TextRequest {
  bool apply_lg_mask = false;  // padding was masked inside CLIP
  bool apply_t5_mask = false;  // the same inside T5
  int64_t lg_width = 0;        // 0: any
  int64_t t5_width = 0;
};

/// The cache file of an image's caption.
///   number   0: the caption as stored, `<stem>_sd3_te.npz`; from 1: a drawn one, `<stem>_sd3_te_v<number>.npz`
std::filesystem::path text_cache_path(const std::filesystem::path& image, int64_t number = 0);

/// The cache file of the empty caption in a folder.
std::filesystem::path empty_text_cache_path(const std::filesystem::path& folder);

/// Looks at names, dtypes, shapes and the two mask flags, not at the numbers: absent (no file), stale (other flags),
/// usable or unusable. With `contents` where usable.
CacheFinding check_text_cache(const std::filesystem::path& path, const TextRequest& request);
CacheFinding check_text(const io::ArrayFile& file, const TextRequest& request);

/// A request for what the file has: whichever masks. Throws FileError where it does not tell.
TextRequest stored_request(const io::ArrayFile& file);

/// Reads the outputs, float32. Throws FileError: no file, an array that is missing, of wrong dtype or shape, damaged,
/// or not finite.
StoredText read_text_cache(const std::filesystem::path& path, const TextRequest& request);
StoredText read_text(const io::ArrayFile& file, const TextRequest& request);

/// The arrays of the file: float16 outputs stay float16, all others become float32.
io::NamedTensors text_arrays(const TextRequest& request, const StoredText& text);

/// Names of the arrays with the encoders' outputs.
const std::vector<std::string>& text_output_arrays();

/// The checksum of the arrays.
std::string text_contents(const io::ArrayFile& file);

/// Writes the file, atomically. Returns the checksum of its arrays. Throws FileError.
std::string write_text_cache(const std::filesystem::path& path, const TextRequest& request, const StoredText& text);

}  // namespace loraptor::data
