// The keys of the data set description.
#include "data/dataset_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/suggest.h"
#include "data/python_text.h"

namespace loraptor::data {
namespace {

using nlohmann::json;

enum class Type {
  boolean,
  integer,  // booleans count as 0 and 1
  real,     // whole numbers too
  number,   // whole numbers and booleans too
  text,
  real_pair,
  resolution,  // one whole number, or two
  table,
};

constexpr unsigned kGeneral = 1, kDataset = 2, kSubset = 4, kAnywhere = 7;
constexpr unsigned kFolder = 1, kMetadata = 2, kMasked = 4, kAnyKind = 7;

struct Key {
  const char* name;
  Type type;
  unsigned levels;
  unsigned kinds = kAnyKind;  // at the levels dataset and subset
};

constexpr Key kKeys[] = {
    {"resolution", Type::resolution, kGeneral | kDataset},
    {"batch_size", Type::integer, kGeneral | kDataset},
    {"enable_bucket", Type::boolean, kGeneral | kDataset},
    {"min_bucket_reso", Type::integer, kGeneral | kDataset},
    {"max_bucket_reso", Type::integer, kGeneral | kDataset},
    {"bucket_reso_steps", Type::integer, kGeneral | kDataset},
    {"bucket_no_upscale", Type::boolean, kGeneral | kDataset},
    {"network_multiplier", Type::real, kGeneral | kDataset},
    {"validation_split", Type::real, kGeneral | kDataset},
    {"validation_seed", Type::integer, kGeneral | kDataset},
    {"resize_interpolation", Type::text, kAnywhere},
    {"num_repeats", Type::integer, kAnywhere},
    {"shuffle_caption", Type::boolean, kAnywhere},
    {"caption_separator", Type::text, kAnywhere},
    {"keep_tokens", Type::integer, kAnywhere},
    {"keep_tokens_separator", Type::text, kAnywhere},
    {"secondary_separator", Type::text, kAnywhere},
    {"enable_wildcard", Type::boolean, kAnywhere},
    {"caption_prefix", Type::text, kAnywhere},
    {"caption_suffix", Type::text, kAnywhere},
    {"caption_dropout_rate", Type::number, kAnywhere},
    {"caption_dropout_every_n_epochs", Type::integer, kAnywhere},
    {"caption_tag_dropout_rate", Type::number, kAnywhere},
    {"token_warmup_min", Type::integer, kAnywhere},
    {"token_warmup_step", Type::number, kAnywhere},
    {"color_aug", Type::boolean, kAnywhere},
    {"flip_aug", Type::boolean, kAnywhere},
    {"random_crop", Type::boolean, kAnywhere},
    {"face_crop_aug_range", Type::real_pair, kAnywhere},
    {"custom_attributes", Type::table, kAnywhere},
    {"caption_extension", Type::text, kAnywhere, kFolder | kMasked},
    {"cache_info", Type::boolean, kAnywhere, kFolder | kMasked},
    {"class_tokens", Type::text, kAnywhere, kFolder},
    {"image_dir", Type::text, kSubset},
    {"is_reg", Type::boolean, kSubset, kFolder},
    {"alpha_mask", Type::boolean, kSubset, kFolder | kMetadata},
    {"metadata_file", Type::text, kSubset, kMetadata},
    {"conditioning_data_dir", Type::text, kSubset, kMasked},
};

unsigned bit_of(ConfigLevel level) { return 1u << static_cast<unsigned>(level); }
unsigned bit_of(DatasetKind kind) { return 1u << static_cast<unsigned>(kind); }

const Key* find_key(const std::string& name) {
  const auto* key = std::find_if(std::begin(kKeys), std::end(kKeys), [&](const Key& k) { return name == k.name; });
  return key == std::end(kKeys) ? nullptr : key;
}

bool is_allowed(const Key& key, ConfigLevel level, DatasetKind kind) {
  return (key.levels & bit_of(level)) && (level == ConfigLevel::general || (key.kinds & bit_of(kind)));
}

bool is_integer(const json& value) { return value.is_number_integer() || value.is_boolean(); }

bool matches(Type type, const json& value) {
  const auto all_of_two = [&](auto predicate) {
    return value.is_array() && value.size() == 2 && std::all_of(value.begin(), value.end(), predicate);
  };
  switch (type) {
    case Type::boolean: return value.is_boolean();
    case Type::integer: return is_integer(value);
    case Type::real: return value.is_number();
    case Type::number: return value.is_number() || value.is_boolean();
    case Type::text: return value.is_string();
    case Type::real_pair: return all_of_two([](const json& item) { return item.is_number(); });
    case Type::resolution: return is_integer(value) || all_of_two(is_integer);
    case Type::table: return value.is_object();
  }
  return false;
}

const char* expectation(Type type) {
  switch (type) {
    case Type::boolean: return "true or false";
    case Type::integer: return "a whole number";
    case Type::real:
    case Type::number: return "a number";
    case Type::text: return "a text in quotes";
    case Type::real_pair: return "an array of two numbers";
    case Type::resolution: return "a whole number, or an array of two: [width, height]";
    case Type::table: return "a table";
  }
  return "";
}

const char* name_of(ConfigLevel level) {
  switch (level) {
    case ConfigLevel::general: return "[general]";
    case ConfigLevel::dataset: return "[[datasets]]";
    case ConfigLevel::subset: return "[[datasets.subsets]]";
  }
  return "";
}

const char* name_of(DatasetKind kind) {
  switch (kind) {
    case DatasetKind::folder: return "image folders";
    case DatasetKind::metadata: return "a metadata_file";
    case DatasetKind::masked: return "mask images";
  }
  return "";
}

std::string where_it_belongs(const Key& key, ConfigLevel level, DatasetKind kind) {
  if (std::string_view(key.name) == "conditioning_data_dir") {
    return "Hint: conditioning_data_dir needs --masked_loss, and every subset of the data set must have it.";
  }
  if (key.levels & bit_of(level)) {
    return fmt::format("Hint: '{}' has no meaning in a data set with {}.", key.name, name_of(kind));
  }
  std::vector<std::string> places;
  for (const auto other : {ConfigLevel::general, ConfigLevel::dataset, ConfigLevel::subset}) {
    if (key.levels & bit_of(other)) places.emplace_back(name_of(other));
  }
  return fmt::format("Hint: '{}' belongs in {}.", key.name, join(places, " or "));
}

std::string unknown_key(const std::string& name, ConfigLevel level, DatasetKind kind) {
  const std::string fact =
      fmt::format("unknown key: got '{}', expected a key that is known in {}.", name, name_of(level));
  if (const Key* key = find_key(name)) return fact + "\n" + where_it_belongs(*key, level, kind);
  if (name == "prior_loss_weight") return fact + "\nHint: give --prior_loss_weight on the command line.";
  std::vector<std::string> known;
  for (const Key& key : kKeys) {
    if (is_allowed(key, level, kind)) known.emplace_back(key.name);
  }
  const std::string suggestion = did_you_mean(name, known);
  return suggestion.empty() ? fact : fact + "\nHint: " + suggestion;
}

}  // namespace

void check_table(const json& table, const std::string& path, ConfigLevel level, DatasetKind kind,
                 ConfigProblems& problems) {
  for (const auto& [name, value] : table.items()) {
    if (level == ConfigLevel::dataset && name == "subsets") continue;
    const std::string place = path.empty() ? name : path + "." + name;
    const Key* key = find_key(name);
    if (key == nullptr || !is_allowed(*key, level, kind)) {
      problems.add(place, unknown_key(name, level, kind));
    } else if (!matches(key->type, value)) {
      problems.add(place, fmt::format("wrong type: got {}, expected {}.", describe(value), expectation(key->type)));
    }
  }
}

bool has_type_of(const std::string& name, const json& value) {
  const Key* key = find_key(name);
  return key != nullptr && matches(key->type, value);
}

const std::vector<std::string>& interpolation_names() {
  static const std::vector<std::string> names{"lanczos", "nearest", "bilinear", "linear",
                                              "bicubic", "cubic",   "area",     "box"};
  return names;
}

}  // namespace loraptor::data
