// From the settings to a Dataset: scanning, splitting, balancing, buckets.
#include "data/dataset_build.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>
#include <unordered_map>

#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"
#include "data/dataset_toml.h"
#include "data/image_listing.h"
#include "data/python_text.h"
#include "data/validation_split.h"

namespace loraptor::data {
namespace {

namespace fs = std::filesystem;

/// An image on its way into the group.
struct Candidate {
  const ScannedImage* image;
  int64_t subset;  // number in DatasetPart::subsets
  int64_t repeats;
};

/// What to say about a folder without images whose subfolders have some.
std::string images_below(const SubsetConfig& subset) {
  std::error_code ignored;
  if (!subset.metadata_file.empty() || !fs::is_directory(subset.image_dir, ignored)) return "";
  for (const auto& entry : fs::directory_iterator(subset.image_dir, ignored)) {
    const std::string folder = entry.path().string();
    if (!entry.is_directory(ignored) || list_images(folder).empty()) continue;
    return fmt::format("; those in folders below it, such as '{}', are not read. Hint: make that folder the image_dir",
                       folder);
  }
  return "";
}

const std::string& source_of(const SubsetConfig& subset) {
  return subset.metadata_file.empty() ? subset.image_dir : subset.metadata_file;
}

bool has_split(const DatasetConfig& config) { return config.validation_split > 0 && config.validation_split <= 1; }

/// The images of a subset that belong to the group, in the order in which they are registered.
std::vector<const ScannedImage*> select_images(const ScannedSubset& subset, const DatasetConfig& config, uint64_t seed,
                                               bool is_validation) {
  const auto count = static_cast<int64_t>(subset.images.size());
  // Regularisation images are all for training.
  const double fraction = subset.config.is_reg ? 0.0 : config.validation_split;
  const uint64_t split_seed = config.validation_seed ? static_cast<uint64_t>(*config.validation_seed) : seed;
  const SplitParts parts = split_for_validation(count, fraction, split_seed);
  std::vector<const ScannedImage*> images;
  for (const int64_t i : is_validation ? parts.validation : parts.training) {
    images.push_back(&subset.images[static_cast<size_t>(i)]);
  }
  return images;
}

/// Fills `part`'s subsets, counts and texts with tags; returns the images in registration order.
std::vector<Candidate> collect_candidates(DatasetPart& part, const std::vector<ScannedSubset>& subsets, uint64_t seed,
                                          bool is_validation) {
  std::vector<Candidate> training, regularisation;
  for (const ScannedSubset& subset : subsets) {
    if (is_validation && subset.config.is_reg) continue;
    auto& tags = part.tags[base_name(source_of(subset.config))];
    const auto images = select_images(subset, part.config, seed, is_validation);
    if (images.empty()) continue;
    const auto number = static_cast<int64_t>(part.subsets.size());
    const int64_t repeats = is_validation ? 1 : subset.config.num_repeats;
    part.subsets.push_back({subset.config, static_cast<int64_t>(images.size())});
    auto& candidates = subset.config.is_reg ? regularisation : training;
    candidates.reserve(candidates.size() + images.size());
    tags.reserve(tags.size() + images.size());
    for (const ScannedImage* image : images) {
      candidates.push_back({image, number, repeats});
      tags.push_back(image->tags);
    }
    (subset.config.is_reg ? part.num_reg_images : part.num_train_images) +=
        repeats * static_cast<int64_t>(images.size());
  }
  if (regularisation.empty()) return training;
  if (part.num_train_images < part.num_reg_images) {
    log::warn("there are more regularisation images ({}) than training images ({}); some are not used",
              part.num_reg_images, part.num_train_images);
  }
  std::vector<int64_t> repeats;
  for (const Candidate& candidate : regularisation) repeats.push_back(candidate.repeats);
  repeats = balance_regularisation(repeats, part.num_train_images);
  for (size_t i = 0; i < repeats.size(); ++i) {
    training.push_back({regularisation[i].image, regularisation[i].subset, repeats[i]});
  }
  return training;
}

std::string_view folder_of(std::string_view path) { return path.substr(0, path.rfind('/') + 1); }  // npos + 1 is 0

/// Absolute paths without `.` and `..`; what a folder is called in the end is found out once.
class NormalPaths {
 public:
  const std::string& folder(std::string_view folder) {
    if (last_ != nullptr && last_->first == folder) return last_->second;
    const auto [known, is_new] = folders_.try_emplace(std::string(folder));
    if (is_new) known->second = (fs::absolute(known->first) / "").lexically_normal().string();
    last_ = &*known;
    return known->second;
  }
  std::string of(std::string_view path) {
    const std::string_view folder_part = folder_of(path);
    return folder(folder_part) + std::string(path.substr(folder_part.size()));
  }

 private:
  std::unordered_map<std::string, std::string> folders_;
  const std::pair<const std::string, std::string>* last_ = nullptr;
};

/// Whether no file can occur twice: the images are of different folders, or listed in ascending order.
bool are_distinct(const std::vector<Candidate>& candidates, NormalPaths& paths) {
  std::set<std::string> folders;
  std::string_view last_folder, last_path;
  for (const Candidate& candidate : candidates) {
    const std::string_view path = candidate.image->path, folder = folder_of(path);
    const bool is_same = !last_path.empty() && folder == last_folder;
    if (is_same ? path <= last_path : !folders.insert(paths.folder(folder)).second) return false;
    last_folder = folder;
    last_path = path;
  }
  return true;
}

/// One image per file: a later candidate takes the place of an earlier one.
std::vector<Candidate> without_duplicates(std::vector<Candidate> candidates) {
  NormalPaths paths;
  if (are_distinct(candidates, paths)) return candidates;
  std::unordered_map<std::string, size_t> places;
  std::vector<Candidate> unique;
  for (const Candidate& candidate : candidates) {
    const auto [place, is_new] = places.emplace(paths.of(candidate.image->path), unique.size());
    if (is_new) {
      unique.push_back(candidate);
    } else {
      log::warn("'{}' is in two subsets of one data set; the later one counts", candidate.image->path);
      unique[place->second] = candidate;
    }
  }
  return unique;
}

/// Sorts images into buckets and numbers the occurrences of each.
void form_buckets(DatasetPart& part, std::span<const ImageEntry> images) {
  std::map<Size, size_t> sizes;  // with occurrences
  double errors = 0;
  for (const ImageEntry& image : images) {
    sizes[image.geometry.bucket] += static_cast<size_t>(image.repeats);
    errors += std::abs(ratio_error(image.geometry.bucket, {image.width, image.height}));
  }
  for (const auto& [size, occurrences] : sizes) {
    part.buckets.push_back(size);
    part.bucket_occurrences.emplace_back().reserve(occurrences);
  }
  if (part.config.enable_bucket && !images.empty()) {
    part.mean_ratio_error = errors / static_cast<double>(images.size());
  }
  for (const ImageEntry& image : images) {
    const auto bucket = std::lower_bound(part.buckets.begin(), part.buckets.end(), image.geometry.bucket);
    auto& occurrences = part.bucket_occurrences[static_cast<size_t>(bucket - part.buckets.begin())];
    for (int32_t i = 0; i < image.repeats; ++i)
      occurrences.push_back(image.first_occurrence + static_cast<uint64_t>(i));
  }
}

/// Chooses each size's bucket once.
class BucketChooser {
 public:
  explicit BucketChooser(const BucketConfig& config) : config_(config), table_(bucket_table(config)) {}

  const BucketChoice& choose(const ScannedImage& image) {
    const auto key = static_cast<uint64_t>(image.size.width) << 32 ^ static_cast<uint64_t>(image.size.height);
    const auto known = choices_.find(key);
    if (known != choices_.end()) return known->second;
    return choices_.emplace(key, choose_bucket(config_, table_, image.size, image.path)).first->second;
  }

 private:
  const BucketConfig& config_;
  const std::vector<Size> table_;
  std::unordered_map<uint64_t, BucketChoice> choices_;  // sides that are chosen for have less than 32 bits
};

ImageEntry make_entry(const Candidate& candidate, const DatasetPart& part, const BucketChoice& choice,
                      double prior_loss_weight) {
  const SubsetConfig& subset = part.subsets[static_cast<size_t>(candidate.subset)].config;
  const ScannedImage& image = *candidate.image;
  ImageEntry entry{image.path, image.caption, choice};
  entry.key_begin = image.key_begin;
  entry.width = static_cast<int32_t>(image.size.width);
  entry.height = static_cast<int32_t>(image.size.height);
  entry.repeats = static_cast<int32_t>(candidate.repeats);
  entry.is_regularisation = subset.is_reg;
  entry.loss_weight = static_cast<float>(subset.is_reg ? prior_loss_weight : 1.0);
  entry.subset = static_cast<int32_t>(candidate.subset);
  return entry;
}

std::string_view without_ending(std::string_view path) {
  return path.substr(0, path.size() - extension_of(path).size());
}

/// Whether no two images can share a name: in ascending order those that do would lie between `name.` and `name/`.
bool have_own_names(const std::vector<Candidate>& candidates) {
  for (size_t i = 1; i < candidates.size(); ++i) {
    const std::string_view last = candidates[i - 1].image->path, path = candidates[i].image->path;
    const std::string_view name = without_ending(last);
    if (path <= last) return false;
    if (path.size() > name.size() && path[name.size()] == '.' && path.starts_with(name)) return false;
  }
  return true;
}

void warn_about_shared_names(const std::vector<Candidate>& candidates) {
  if (have_own_names(candidates)) return;
  std::unordered_map<std::string_view, std::string_view> names;  // -> the first path that has it
  for (const Candidate& candidate : candidates) {
    const std::string_view path = candidate.image->path;
    const auto [first, is_new] = names.emplace(without_ending(path), path);
    if (!is_new) {
      log::warn("'{}' and '{}' differ only in their extension: they share a caption and cache files", first->second,
                path);
    }
  }
}

/// Adds the images of `part`, the next data set.
void add_images(DatasetContent& content, DatasetPart& part, const std::vector<Candidate>& candidates,
                double prior_loss_weight) {
  const std::shared_future<void> names_checked = in_background([&] { warn_about_shared_names(candidates); });
  BucketChooser chooser(part.bucket_config);
  const size_t first = content.images.size();
  content.images.reserve(first + candidates.size());
  for (const Candidate& candidate : candidates) {
    ImageEntry entry = make_entry(candidate, part, chooser.choose(*candidate.image), prior_loss_weight);
    entry.index = static_cast<int32_t>(content.images.size());
    entry.dataset = static_cast<int32_t>(content.parts.size());
    if (!candidate.image->mask_path.empty()) content.mask_paths.emplace(entry.index, candidate.image->mask_path);
    if (!content.images.empty()) {
      const ImageEntry& last = content.images.back();
      entry.first_occurrence = last.first_occurrence + static_cast<uint64_t>(last.repeats);
    }
    content.images.push_back(entry);
  }
  form_buckets(part, std::span(content.images).subspan(first));
  names_checked.get();
}

void add_dataset(DatasetContent& content, const DatasetConfig& config, const std::vector<ScannedSubset>& subsets,
                 double prior_loss_weight) {
  DatasetPart part;
  part.config = config;
  part.bucket_config = config.buckets();
  if (const auto problem = adjust_bucket_limits(part.bucket_config)) throw UsageError("[data set] " + *problem);
  add_images(content, part, without_duplicates(collect_candidates(part, subsets, content.seed, content.is_validation)),
             prior_loss_weight);
  content.parts.push_back(std::move(part));
  for (const ScannedSubset& subset : subsets) {
    content.texts.insert(content.texts.end(), subset.texts.begin(), subset.texts.end());
  }
}

void warn_about_dataset(const DatasetConfig& config) {
  BucketConfig adjusted = config.buckets();
  if (config.enable_bucket && !adjust_bucket_limits(adjusted)) {
    if (adjusted.min_side != config.min_bucket_reso) {
      log::warn("min_bucket_reso {} is rounded down to {}, a multiple of bucket_reso_steps", config.min_bucket_reso,
                adjusted.min_side);
    }
    if (adjusted.max_side != config.max_bucket_reso) {
      log::warn("max_bucket_reso {} is rounded up to {}, a multiple of bucket_reso_steps", config.max_bucket_reso,
                adjusted.max_side);
    }
  }
  if (config.validation_split != 0 && !has_split(config)) {
    log::warn("validation_split {} is not between 0 and 1: nothing is set aside", config.validation_split);
  }
}

/// The next subset may be of the same folder.
void wait_for_indexes(const std::vector<ScannedSubset>& subsets) {
  for (const ScannedSubset& subset : subsets) {
    if (subset.index_written.valid()) subset.index_written.wait();
  }
}

/// Says once how many images carry an EXIF orientation: the reference passes it over too, to many a user's surprise.
void tell_turned(std::vector<std::string> turned, ScanFindings* findings) {
  if (findings != nullptr) {
    findings->turned = std::move(turned);
  } else if (!turned.empty()) {
    log::warn(
        "{} images carry an EXIF orientation, which is ignored: they are trained as they are stored, turned or "
        "mirrored, such as '{}'. Hint: turn their pixels, for example by `mogrify -auto-orient`.",
        turned.size(), turned.front());
  }
}

}  // namespace

std::vector<std::string> sides_not_trainable(const DatasetsConfig& config) {
  static constexpr int64_t kCell = 16;
  std::vector<std::string> problems;
  for (size_t i = 0; i < config.datasets.size(); ++i) {
    const DatasetConfig& dataset = config.datasets[i];
    const Size& size = dataset.resolution.value();
    const bool fits = size.width > 0 && size.height > 0 && size.width % kCell == 0 && size.height % kCell == 0;
    if (dataset.enable_bucket || fits) continue;
    const auto nearest = [](int64_t side) { return std::max(kCell, (side + kCell / 2) / kCell * kCell); };
    problems.push_back(
        fmt::format("[datasets[{}]] resolution without enable_bucket: got {}, expected sides divisible by {}.\n"
                    "Hint: use {}, or set enable_bucket.",
                    i, to_string(size), kCell, to_string(Size{nearest(size.width), nearest(size.height)})));
  }
  return problems;
}

std::vector<int64_t> balance_regularisation(const std::vector<int64_t>& repeats, int64_t num_train_images) {
  std::vector<int64_t> used;
  int64_t total = 0;
  for (size_t i = 0; i < repeats.size() && total < num_train_images; ++i) {
    used.push_back(repeats[i]);
    total += repeats[i];
  }
  for (size_t i = 0; !used.empty() && total < num_train_images; i = (i + 1) % used.size(), ++total) ++used[i];
  return used;
}

std::vector<ScannedSubset> scan_subsets(const DatasetConfig& config, ScanFindings* findings) {
  std::vector<ScannedSubset> result;
  std::set<std::string> seen;
  for (const SubsetConfig& subset : config.subsets) {
    const std::string& source = source_of(subset);
    if (subset.num_repeats < 1) {
      log::warn("subset '{}' is left out: num_repeats is {}", source, subset.num_repeats);
      continue;
    }
    if (seen.contains(source)) {
      log::warn("subset '{}' is left out: an earlier subset of the data set has it already", source);
      continue;
    }
    wait_for_indexes(result);
    ScannedImages found = scan_subset(config.kind, subset, findings);
    if (found.images.empty()) {
      if (subset.metadata_file.empty() ? !fs::is_directory(source) : !fs::exists(source)) continue;
      log::warn("subset '{}' has no images{}", source, images_below(subset));
    }
    seen.insert(source);
    result.push_back({subset, std::move(found.images), std::move(found.texts), found.index_written});
  }
  return result;
}

ScannedDatasets scan_datasets(const DataConfig& flags, ScanFindings* findings) {
  ScannedDatasets scanned{load_datasets_config(flags), {}};
  std::vector<std::string> turned;
  for (const DatasetConfig& config : scanned.config.datasets) {
    warn_about_dataset(config);
    if (!scanned.subsets.empty()) wait_for_indexes(scanned.subsets.back());
    for (const ScannedSubset& subset : scanned.subsets.emplace_back(scan_subsets(config, findings))) {
      for (const ScannedImage& image : subset.images) {
        if (image.is_turned) turned.emplace_back(image.path);
      }
    }
  }
  tell_turned(std::move(turned), findings);
  return scanned;
}

DatasetContent build_content(const ScannedDatasets& scanned, const DataConfig& flags, uint64_t seed,
                             bool is_validation) {
  DatasetContent content;
  content.flags = flags;
  content.from_file = scanned.config.from_file;
  content.is_validation = is_validation;
  content.seed = seed;
  for (size_t i = 0; i < scanned.config.datasets.size(); ++i) {
    const DatasetConfig& config = scanned.config.datasets[i];
    if (is_validation && !has_split(config)) continue;
    add_dataset(content, config, scanned.subsets[i], scanned.config.prior_loss_weight);
  }
  return content;
}

}  // namespace loraptor::data
