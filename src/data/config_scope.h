// Looks keys up in several tables of the data set description, the most specific one first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/bucket.h"
#include "data/dataset_keys.h"

namespace loraptor::data {

/// The tables in which a key is looked up, most specific first. A value of the wrong type counts as absent, since it
/// has been reported already.
class ConfigScope {
 public:
  explicit ConfigScope(std::vector<const nlohmann::json*> tables) : tables_(std::move(tables)) {}

  const nlohmann::json* find(const std::string& name) const {
    for (const nlohmann::json* table : tables_) {
      if (!table->is_object() || !table->contains(name)) continue;
      const nlohmann::json& value = table->at(name);
      return has_type_of(name, value) ? &value : nullptr;
    }
    return nullptr;
  }
  /// True if some table has the key, of whatever type.
  bool has(const std::string& name) const {
    return std::any_of(tables_.begin(), tables_.end(),
                       [&](const nlohmann::json* table) { return table->is_object() && table->contains(name); });
  }

  void read(const std::string& name, bool& value) const {
    if (const nlohmann::json* found = find(name)) value = found->get<bool>();
  }
  void read(const std::string& name, int64_t& value) const {
    if (const nlohmann::json* found = find(name)) value = whole(*found);
  }
  void read(const std::string& name, double& value) const {
    if (const nlohmann::json* found = find(name))
      value = found->is_boolean() ? found->get<bool>() : found->get<double>();
  }
  void read(const std::string& name, std::string& value) const {
    if (const nlohmann::json* found = find(name)) value = found->get<std::string>();
  }
  template <class T>
  void read(const std::string& name, std::optional<T>& value) const {
    if (find(name) == nullptr) return;
    T result{};
    read(name, result);
    value = result;
  }
  void read(const std::string& name, Size& value) const {
    if (const nlohmann::json* found = find(name)) {
      value = found->is_array() ? Size{whole((*found)[0]), whole((*found)[1])} : Size{whole(*found), whole(*found)};
    }
  }
  void read(const std::string& name, std::pair<double, double>& value) const {
    if (const nlohmann::json* found = find(name)) value = {(*found)[0].get<double>(), (*found)[1].get<double>()};
  }

 private:
  static int64_t whole(const nlohmann::json& value) {
    return value.is_boolean() ? static_cast<int64_t>(value.get<bool>()) : value.get<int64_t>();
  }

  std::vector<const nlohmann::json*> tables_;
};

}  // namespace loraptor::data
