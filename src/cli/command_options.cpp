#include "cli/command_options.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cli/help.h"
#include "cli/option_parse.h"

namespace loraptor::cli {
namespace {

Kind kind_of(const bool&) { return Kind::flag; }
Kind kind_of(const int64_t&) { return Kind::integer; }
Kind kind_of(const std::optional<int64_t>&) { return Kind::integer; }
Kind kind_of(const double&) { return Kind::number; }
Kind kind_of(const std::optional<double>&) { return Kind::number; }
Kind kind_of(const std::string&) { return Kind::text; }
Kind kind_of(const std::optional<std::string>&) { return Kind::text; }
Kind kind_of(const std::vector<std::string>&) { return Kind::texts; }
Kind kind_of(const std::vector<double>&) { return Kind::numbers; }

template <class T>
Value default_of(const T& setting) {
  return setting;
}
template <class T>
Value default_of(const std::optional<T>& setting) {
  return setting ? Value(*setting) : Value();
}

template <class T>
void assign(T& setting, const Value& value) {
  setting = std::get<T>(value);
}
template <class T>
void assign(std::optional<T>& setting, const Value& value) {
  setting = std::get<T>(value);
}

}  // namespace

void CommandOptions::add(const std::string& flag, Setting setting, std::string help, std::vector<std::string> choices) {
  LORAPTOR_ASSERT(flag.starts_with("--"));
  Option row{.name = flag.substr(2), .help = std::move(help), .choices = std::move(choices)};
  std::visit(
      [&](auto* variable) {
        row.kind = kind_of(*variable);
        row.default_value = default_of(*variable);
      },
      setting);
  options_.push_back(std::move(row));
  settings_.push_back(setting);
}

bool CommandOptions::parse(const Words& words) {
  const ParsedWords parsed = parse_words(words, options_, words_ != nullptr);
  if (parsed.wants_help) {
    fmt::print("usage: loraptor {}\n\n{}\n{}", usage_, about_, options_help(options_));
    return false;
  }
  for (size_t i = 0; i < options_.size(); ++i) {
    const auto given = parsed.options.find(options_[i].name);
    if (given == parsed.options.end()) continue;
    std::visit([&](auto* variable) { assign(*variable, given->second.value); }, settings_[i]);
  }
  if (words_ != nullptr) *words_ = parsed.plain;
  return true;
}

const std::string& required(const std::optional<std::string>& value, const char* flag, const char* what) {
  if (value && !value->empty()) return *value;
  throw UsageError(fmt::format("[{}] got nothing, expected {}.", flag, what));
}

std::vector<std::string> precision_names() { return {"float", "fp16", "bf16"}; }

}  // namespace loraptor::cli
