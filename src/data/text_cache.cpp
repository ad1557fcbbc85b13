#include "data/text_cache.h"

#include <fmt/format.h>

#include "base/error.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kClipLength = 77;
const std::vector<at::ScalarType> kTextFloats{at::kFloat, at::kHalf, at::kBFloat16}, kIntegers{at::kLong, at::kInt};
const std::vector<std::string> kKeys{"lg_out",
                                     "lg_pooled",
                                     "t5_out",
                                     "clip_l_attn_mask",
                                     "clip_g_attn_mask",
                                     "t5_attn_mask",
                                     "apply_lg_attn_mask",
                                     "apply_t5_attn_mask"};

void expect_all(const io::ArrayFile& file) {
  for (const std::string& key : kKeys) {
    if (!file.has(key)) throw FileError(file.path(), fmt::format("array '{}' is missing.", key));
  }
}

void check_arrays(const io::ArrayFile& file, const TextRequest& request) {
  const auto any = [](int64_t width) { return width == 0 ? int64_t{-1} : width; };
  expect_array(file, "lg_pooled", kTextFloats, {any(request.lg_width)});
  const int64_t lg_width = file.info("lg_pooled").shape[0];
  expect_array(file, "lg_out", kTextFloats, {kClipLength, lg_width});
  expect_array(file, "t5_out", kTextFloats, {-1, any(request.t5_width)});
  for (const char* key : {"clip_l_attn_mask", "clip_g_attn_mask"}) expect_array(file, key, kIntegers, {kClipLength});
  expect_array(file, "t5_attn_mask", kIntegers, {file.info("t5_out").shape[0]});
  for (const char* key : {"apply_lg_attn_mask", "apply_t5_attn_mask"}) expect_array(file, key, {at::kBool}, {});
}

/// How the masks of the file differ from the request; "" if they do not.
std::string flag_difference(const io::ArrayFile& file, const TextRequest& request) {
  for (const auto& [key, wanted] : {std::pair("apply_lg_attn_mask", request.apply_lg_mask),
                                    std::pair("apply_t5_attn_mask", request.apply_t5_mask)}) {
    if (file.read(key).item<bool>() != wanted) return fmt::format("{}: was {}, is now {}", key, !wanted, wanted);
  }
  return "";
}

}  // namespace

fs::path text_cache_path(const fs::path& image, int64_t number) {
  fs::path path = image;
  path.replace_extension();
  path += number == 0 ? "_sd3_te.npz" : fmt::format("_sd3_te_v{}.npz", number);
  return path;
}

fs::path empty_text_cache_path(const fs::path& folder) { return folder / "loraptor_empty_sd3_te.npz"; }

CacheFinding check_text(const io::ArrayFile& file, const TextRequest& request) {
  try {
    expect_all(file);
    check_arrays(file, request);
    if (auto difference = flag_difference(file, request); !difference.empty()) {
      return {.state = CacheState::stale, .why = std::move(difference)};
    }
    return {.state = CacheState::usable, .contents = text_contents(file)};
  } catch (const FileError& error) {
    return {.state = CacheState::unusable, .why = error.what()};
  }
}

CacheFinding check_text_cache(const fs::path& path, const TextRequest& request) {
  if (!cache_exists(path)) return {};
  try {
    return check_text(io::NpzFile(path), request);
  } catch (const FileError& error) {
    return {.state = CacheState::unusable, .why = error.what()};
  }
}

TextRequest stored_request(const io::ArrayFile& file) {
  expect_all(file);
  check_arrays(file, {});
  return {.apply_lg_mask = file.read("apply_lg_attn_mask").item<bool>(),
          .apply_t5_mask = file.read("apply_t5_attn_mask").item<bool>()};
}

StoredText read_text(const io::ArrayFile& file, const TextRequest& request) {
  check_arrays(file, request);
  return {.lg_out = read_finite(file, "lg_out"),
          .t5_out = read_finite(file, "t5_out"),
          .lg_pooled = read_finite(file, "lg_pooled"),
          .l_mask = file.read("clip_l_attn_mask").to(at::kLong),
          .g_mask = file.read("clip_g_attn_mask").to(at::kLong),
          .t5_mask = file.read("t5_attn_mask").to(at::kLong)};
}

StoredText read_text_cache(const fs::path& path, const TextRequest& request) {
  return read_text(io::NpzFile(path), request);
}

io::NamedTensors text_arrays(const TextRequest& request, const StoredText& text) {
  const auto wide = [](const at::Tensor& numbers) {
    return numbers.scalar_type() == at::kHalf ? numbers : numbers.to(at::kFloat);
  };
  return {{"lg_out", wide(text.lg_out)},
          {"lg_pooled", wide(text.lg_pooled)},
          {"t5_out", wide(text.t5_out)},
          {"clip_l_attn_mask", text.l_mask},
          {"clip_g_attn_mask", text.g_mask},
          {"t5_attn_mask", text.t5_mask},
          {"apply_lg_attn_mask", at::scalar_tensor(request.apply_lg_mask, at::kBool)},
          {"apply_t5_attn_mask", at::scalar_tensor(request.apply_t5_mask, at::kBool)}};
}

const std::vector<std::string>& text_output_arrays() {
  static const std::vector<std::string> names{"lg_out", "lg_pooled", "t5_out"};
  return names;
}

std::string text_contents(const io::ArrayFile& file) { return contents_of(file, kKeys); }

std::string write_text_cache(const fs::path& path, const TextRequest& request, const StoredText& text) {
  io::write_npz(path, text_arrays(request, text));
  return text_contents(io::NpzFile(path));
}

}  // namespace loraptor::data
