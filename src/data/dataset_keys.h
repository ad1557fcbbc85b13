// The keys of the data set description: where each may stand, and of which type its value is.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/config_document.h"
#include "data/dataset_config.h"

namespace loraptor::data {

/// Where a key stands.
enum class ConfigLevel { general, dataset, subset };

/// Checks one table: every key known at this level for this kind of data set, every value of the key's type.
///   table  a JSON object
///   path   its place, "datasets[0]"
///   kind   ignored for ConfigLevel::general
void check_table(const nlohmann::json& table, const std::string& path, ConfigLevel level, DatasetKind kind,
                 ConfigProblems& problems);

/// True if `value` has the type of key `name`. Unknown names: false.
bool has_type_of(const std::string& name, const nlohmann::json& value);

/// The names of resize_interpolation.
const std::vector<std::string>& interpolation_names();

}  // namespace loraptor::data
