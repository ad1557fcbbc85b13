// What identifies a run, kept in its states: whoever resumes with other settings is told what differs.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "train/train_config.h"
#include "train/train_plan.h"

namespace loraptor::train {

/// Settings that numbers depend on, and facts about data and model: name -> text.
using RunIdentity = std::map<std::string, std::string>;

/// Of settings those that were given and that weights or losses depend on: not where files go or what is logged.
///   images   of the training set, without repeats
RunIdentity run_identity(const TrainConfig& config, const TrainPlan& plan, size_t images);

nlohmann::json to_json(const RunIdentity& identity);

/// One text for each difference, such as "learning_rate: was 0.0001, is 0.0002".
///   recorded   of the state; null: it has none, nothing is compared
std::vector<std::string> differences(const nlohmann::json& recorded, const RunIdentity& now);

}  // namespace loraptor::train
