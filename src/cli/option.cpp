// Building option rows and moving values between rows and settings.
#include "cli/option.h"

#include <type_traits>

#include "base/error.h"

namespace loraptor::cli {
namespace {

std::string without_dashes(const std::string& flag) {
  LORAPTOR_ASSERT(flag.rfind("--", 0) == 0);
  return flag.substr(2);
}

template <class T>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<T, bool>) return Kind::flag;
  if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, std::optional<int64_t>>) return Kind::integer;
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, std::optional<double>>) return Kind::number;
  if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::optional<std::string>>) return Kind::text;
  if constexpr (std::is_same_v<T, StepsOrFraction>) return Kind::steps_or_fraction;
  if constexpr (std::is_same_v<T, std::vector<std::string>>) return Kind::texts;
  if constexpr (std::is_same_v<T, std::vector<double>>) return Kind::numbers;
}

template <class T>
Value value_of(const T& setting) {
  return setting;
}
template <class T>
Value value_of(const std::optional<T>& setting) {
  return setting ? Value(*setting) : Value();
}

template <class T>
struct Unwrapped {
  using type = T;
};
template <class T>
struct Unwrapped<std::optional<T>> {
  using type = T;
};

}  // namespace

Option option(const std::string& flag, Field field, std::string help) {
  Option row{.name = without_dashes(flag), .field = field, .help = std::move(help)};
  row.kind = std::visit(
      [](auto accessor) {
        if constexpr (std::is_same_v<decltype(accessor), std::monostate>) return Kind::flag;
        else return kind_of<std::remove_reference_t<std::invoke_result_t<decltype(accessor), TrainConfig&>>>();
      },
      field);
  TrainConfig defaults;
  row.default_value = load(row, defaults);
  return row;
}

Option ignored(const std::string& flag, Kind kind, Value default_value, std::string reason) {
  Option row{.name = without_dashes(flag), .kind = kind, .default_value = std::move(default_value)};
  if (kind == Kind::flag) row.default_value = false;
  return std::move(row).no_effect(std::move(reason));
}

Option refused(const std::string& flag, Kind kind, std::string alternative) {
  Option row{.name = without_dashes(flag), .kind = kind};
  if (kind == Kind::flag) row.default_value = false;
  return std::move(row).with(Status::refused, std::move(alternative));
}

std::vector<Option> group(const std::string& heading, std::vector<Option> rows) {
  for (Option& row : rows) row.group = heading;
  return rows;
}

void store(const Option& option, const Value& value, TrainConfig& config) {
  std::visit(
      [&](auto accessor) {
        if constexpr (!std::is_same_v<decltype(accessor), std::monostate>) {
          auto& setting = accessor(config);
          using T = typename Unwrapped<std::remove_reference_t<decltype(setting)>>::type;
          if constexpr (std::is_same_v<T, double>) {
            setting = std::holds_alternative<int64_t>(value) ? static_cast<double>(std::get<int64_t>(value))
                                                             : std::get<double>(value);
          } else {
            setting = std::get<T>(value);
          }
        }
      },
      option.field);
}

Value load(const Option& option, TrainConfig& config) {
  return std::visit(
      [&](auto accessor) -> Value {
        if constexpr (std::is_same_v<decltype(accessor), std::monostate>) return {};
        else return value_of(accessor(config));
      },
      option.field);
}

}  // namespace loraptor::cli
