#include "pipeline/dataset_report_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "data/augment.h"
#include "data/image_listing.h"
#include "data/python_text.h"
#include "io/image.h"

namespace loraptor::pipeline {
namespace {

namespace fs = std::filesystem;
using data::FileFinding;
using data::ScannedImage;
using data::ScannedSubset;

/// A file and what was found when it was read.
struct ReadFile {
  std::string path;
  uint64_t hash = 0;      // of its bytes
  std::string problem{};  // empty: it was decoded
};

void read_file_whole(ReadFile& file) {
  try {
    file.hash = xxh3(loraptor::read_file(file.path));
    io::read_image(file.path);
  } catch (const FileError& error) {
    file.problem = error.what();
  }
}

/// Every file once, also if several data sets have it, in the order of their first use.
std::vector<ReadFile> distinct_files(const data::ScannedDatasets& scanned) {
  std::vector<ReadFile> files;
  std::set<std::string> seen;
  for (const auto& subsets : scanned.subsets) {
    for (const ScannedSubset& subset : subsets) {
      for (const ScannedImage& image : subset.images) {
        if (seen.insert(fs::absolute(image.path).lexically_normal().string()).second)
          files.push_back({std::string(image.path)});
      }
    }
  }
  return files;
}

/// Removes the images for which `judge` has something to say, which is returned.
template <class Judge>
std::vector<FileFinding> remove_images(data::ScannedDatasets& scanned, Judge judge) {
  std::vector<FileFinding> removed;
  for (size_t i = 0; i < scanned.subsets.size(); ++i) {
    for (ScannedSubset& subset : scanned.subsets[i]) {
      std::erase_if(subset.images, [&](const ScannedImage& image) {
        const std::string text = judge(scanned.config.datasets[i], subset.config, image);
        if (!text.empty()) removed.push_back({std::string(image.path), text});
        return !text.empty();
      });
    }
  }
  return removed;
}

std::vector<FileFinding> equal_files(const std::vector<ReadFile>& files) {
  std::unordered_map<uint64_t, const ReadFile*> first;
  std::vector<FileFinding> equal;
  for (const ReadFile& file : files) {
    if (!file.problem.empty()) continue;
    const auto [other, is_new] = first.emplace(file.hash, &file);
    if (!is_new) equal.push_back({file.path, fmt::format("the same bytes as '{}'", other->second->path)});
  }
  return equal;
}

/// Why a live image of this size cannot be cut at random; "" if it can.
std::string random_crop_problem(const data::DatasetConfig& dataset, const data::SubsetConfig& subset,
                                const ScannedImage& image) {
  if (dataset.enable_bucket || !subset.random_crop) return "";
  const data::Size& target = *dataset.resolution;
  if (image.size.width >= target.width && image.size.height >= target.height) return "";
  if (subset.face_crop_aug_range && data::face_in_name(data::without_extension(data::base_name(image.path)))) return "";
  return fmt::format("{} is smaller than the resolution {}, which random_crop cuts out", to_string(image.size),
                     to_string(target));
}

}  // namespace

void add_finding(std::vector<Finding>& findings, bool is_problem, const std::string& text,
                 std::vector<FileFinding> files) {
  if (files.empty()) return;
  findings.push_back({is_problem, fmt::format("{}: {}", text, files.size()), std::move(files)});
}

int64_t check_image_files(data::ScannedDatasets& scanned, std::vector<Finding>& findings,
                          const FileProgress& progress) {
  std::vector<ReadFile> files = distinct_files(scanned);
  const auto count = static_cast<int64_t>(files.size());
  run_in_threads(
      count, [&](int64_t i) { read_file_whole(files[static_cast<size_t>(i)]); },
      [&](int64_t done) { progress(done, count); });
  std::map<std::string, std::string> problems;
  for (const ReadFile& file : files) {
    if (!file.problem.empty()) problems.emplace(fs::absolute(file.path).lexically_normal().string(), file.problem);
  }
  const auto judge = [&](const data::DatasetConfig&, const data::SubsetConfig&, const ScannedImage& image) {
    const auto problem = problems.find(fs::absolute(image.path).lexically_normal().string());
    return problem == problems.end() ? std::string() : problem->second;
  };
  std::vector<FileFinding> unreadable = problems.empty() ? std::vector<FileFinding>() : remove_images(scanned, judge);
  add_finding(findings, true, "images that cannot be decoded (training stops at them)", std::move(unreadable));
  add_finding(findings, true, "image files with the same content as another", equal_files(files));
  return count;
}

void check_image_sizes(data::ScannedDatasets& scanned, std::vector<Finding>& findings) {
  std::vector<std::pair<data::BucketConfig, std::vector<data::Size>>> tables;
  for (const data::DatasetConfig& config : scanned.config.datasets) {
    data::BucketConfig buckets = config.buckets();
    // Wrong limits were refused when the description was read.
    LORAPTOR_ASSERT(!data::adjust_bucket_limits(buckets));
    tables.emplace_back(buckets, data::bucket_table(buckets));
  }
  const auto judge = [&](const data::DatasetConfig& dataset, const data::SubsetConfig& subset,
                         const ScannedImage& image) -> std::string {
    const auto& [config, table] = tables[static_cast<size_t>(&dataset - scanned.config.datasets.data())];
    try {
      data::choose_bucket(config, table, image.size, image.path);
    } catch (const UsageError& error) {
      return error.what();
    }
    return random_crop_problem(dataset, subset, image);
  };
  add_finding(findings, true, "images that fit no bucket (training stops at them)", remove_images(scanned, judge));
}

void check_mask_sizes(data::ScannedDatasets& scanned, std::vector<Finding>& findings) {
  const auto judge = [](const data::DatasetConfig&, const data::SubsetConfig&,
                        const ScannedImage& image) -> std::string {
    if (image.mask_path.empty()) return "";
    try {
      const auto [width, height] = io::read_image_size(image.mask_path);
      const data::Size size{width, height};
      if (size == image.size) return "";
      return fmt::format("{}, but its mask '{}' {}", to_string(image.size), image.mask_path, to_string(size));
    } catch (const FileError& error) {
      return error.what();
    }
  };
  add_finding(findings, true, "images with a mask of another size or one that cannot be read (training stops at them)",
              remove_images(scanned, judge));
}

void check_subsets(const data::ScannedDatasets& scanned, std::vector<Finding>& findings) {
  std::vector<FileFinding> missing;
  for (size_t i = 0; i < scanned.config.datasets.size(); ++i) {
    std::set<std::string> used;
    for (const data::SubsetConfig& subset : scanned.config.datasets[i].subsets) {
      const std::string& source = subset.metadata_file.empty() ? subset.image_dir : subset.metadata_file;
      const auto found = std::find_if(scanned.subsets[i].begin(), scanned.subsets[i].end(), [&](const auto& other) {
        return other.config.image_dir == subset.image_dir && other.config.metadata_file == subset.metadata_file;
      });
      if (subset.num_repeats < 1) {
        missing.push_back({source, fmt::format("num_repeats is {}", subset.num_repeats)});
      } else if (!fs::exists(source)) {
        missing.push_back({source, "does not exist"});
      } else if (!used.insert(source).second) {
        missing.push_back({source, "an earlier subset of the data set has it already"});
      } else if (found == scanned.subsets[i].end() || found->images.empty()) {
        missing.push_back({source, "has no images that can be read"});
      }
    }
  }
  add_finding(findings, true, "subsets that are left out", std::move(missing));
}

void check_unread_files(const data::ScannedDatasets& scanned, std::vector<Finding>& findings) {
  static const std::set<std::string> kImageEndings{".png", ".jpg", ".jpeg", ".jpe",  ".jfif", ".webp", ".bmp", ".avif",
                                                   ".jxl", ".gif", ".tif",  ".tiff", ".heic", ".heif", ".psd"};
  std::set<std::string> folders;
  for (const auto& dataset : scanned.config.datasets) {
    for (const data::SubsetConfig& subset : dataset.subsets) {
      if (subset.metadata_file.empty()) folders.insert(subset.image_dir);
    }
  }
  std::vector<FileFinding> unread;
  for (const std::string& folder : folders) {
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored)) continue;
    const std::vector<std::string> images = data::list_images(folder);
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      const std::string path = (fs::path(folder) / entry.path().filename()).string();
      std::string ending = entry.path().extension().string();
      std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
      if (kImageEndings.count(ending) == 0 || entry.path().filename().string().starts_with('.')) continue;
      if (!std::binary_search(images.begin(), images.end(), path)) unread.push_back({path, ""});
    }
  }
  std::sort(unread.begin(), unread.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  add_finding(
      findings, false,
      "files that are not read (names of images end with .png .jpg .jpeg .webp .bmp .avif .jxl, all in lower or "
      "all in upper case)",
      std::move(unread));
}

}  // namespace loraptor::pipeline
