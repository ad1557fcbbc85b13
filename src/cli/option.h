// One command-line option: its flag, the setting it fills, its help, and whether it has an effect.
//
// A table row reads `option("--learning_rate", FIELD(optimizer.learning_rate), "Base learning rate.")`; the default is
// the one of the struct.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "train/train_config.h"

namespace loraptor::cli {

using optim::StepsOrFraction;
using train::TrainConfig;

/// What an option takes.
enum class Kind { flag, text, integer, number, steps_or_fraction, texts, numbers };

/// A value given for an option, or its default; monostate: unset. An int64_t stands for a `number` that a
/// configuration file gave as an integer.
using Value = std::variant<std::monostate, bool, int64_t, double, std::string, StepsOrFraction,
                           std::vector<std::string>, std::vector<double>>;

template <class T>
using FieldOf = T& (*)(TrainConfig&);

/// The setting an option fills; monostate: none, the value goes at most to the metadata.
using Field =
    std::variant<std::monostate, FieldOf<bool>, FieldOf<int64_t>, FieldOf<std::optional<int64_t>>, FieldOf<double>,
                 FieldOf<std::optional<double>>, FieldOf<std::string>, FieldOf<std::optional<std::string>>,
                 FieldOf<StepsOrFraction>, FieldOf<std::vector<std::string>>, FieldOf<std::vector<double>>>;

enum class Status {
  works,
  no_effect,  // accepted with one warning
  refused     // an error that names the alternative
};

struct Option {
  std::string name{};  // without dashes
  Kind kind = Kind::flag;
  Field field{};
  Value default_value{};
  std::string help{};
  std::vector<std::string> choices{};  // empty: free
  std::string group{};
  Status status = Status::works;
  std::string note{};           // reason or alternative, for the statuses other than `works`
  std::string metadata_name{};  // of an option without effect whose value the metadata record; empty: not recorded
  bool is_addition = false;     // not an option of the reference
  bool is_silent = false;       // no warning: what it asks for is what happens anyway
  bool is_secret = false;       // its value is never shown nor written

  /// Whether its value can be anything, as nothing reads it; at most the metadata record it.
  bool takes_anything() const { return status == Status::no_effect && std::holds_alternative<std::monostate>(field); }

  Option one_of(std::vector<std::string> allowed) && {
    choices = std::move(allowed);
    return std::move(*this);
  }
  Option no_effect(std::string reason) && { return std::move(*this).with(Status::no_effect, std::move(reason)); }
  Option recorded() && {
    metadata_name = name;
    return std::move(*this);
  }
  Option recorded_as(std::string other_name) && {
    metadata_name = std::move(other_name);
    return std::move(*this);
  }
  Option addition() && {
    is_addition = true;
    return std::move(*this);
  }
  Option silent() && {
    is_silent = true;
    return std::move(*this);
  }
  Option secret() && {
    is_secret = true;
    return std::move(*this);
  }
  Option with(Status new_status, std::string new_note) && {
    status = new_status;
    note = std::move(new_note);
    return std::move(*this);
  }
};

/// A row: kind and default are those of the field.
Option option(const std::string& flag, Field field, std::string help);

/// A row for an option that changes nothing: accepted with one warning. With `.recorded()` its value goes to
/// `TrainConfig::recorded`.
Option ignored(const std::string& flag, Kind kind, Value default_value, std::string reason);

/// A row for an option that stops the program with the alternative.
Option refused(const std::string& flag, Kind kind, std::string alternative);

/// Puts `rows` under one heading of the help.
std::vector<Option> group(const std::string& heading, std::vector<Option> rows);

/// Stores `value` (of the option's kind, not monostate) in its field; nothing for options without one.
void store(const Option& option, const Value& value, TrainConfig& config);

/// The value `config` holds for an option with a field.
Value load(const Option& option, TrainConfig& config);

}  // namespace loraptor::cli

/// The setting of TrainConfig that a row fills, as `FIELD(optimizer.learning_rate)`.
#define FIELD(path) \
  ::loraptor::cli::Field(+[](::loraptor::train::TrainConfig & config) -> auto& { return config.path; })
