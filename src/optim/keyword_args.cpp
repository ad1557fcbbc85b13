// Keyword arguments in Python notation.
#include "optim/keyword_args.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/suggest.h"

namespace loraptor::optim {
namespace {

std::optional<double> as_number(const PythonValue& value) {
  if (const auto* real = std::get_if<double>(&value.value)) return *real;
  if (const auto* integer = std::get_if<int64_t>(&value.value)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::optional<std::vector<double>> as_numbers(const PythonValue& value) {
  const std::vector<PythonValue>* items = nullptr;
  if (const auto* tuple = std::get_if<PythonValue::Tuple>(&value.value)) items = &tuple->items;
  if (const auto* list = std::get_if<PythonValue::List>(&value.value)) items = &list->items;
  if (items == nullptr) return std::nullopt;
  std::vector<double> result;
  for (const auto& item : *items) {
    const auto number = as_number(item);
    if (!number) return std::nullopt;
    result.push_back(*number);
  }
  return result;
}

}  // namespace

KeywordArgs::KeywordArgs(const std::vector<std::string>& items, std::string flag) : flag_(std::move(flag)) {
  for (const auto& item : items) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos || equals == 0 || item.find('=', equals + 1) != std::string::npos) {
      throw UsageError(fmt::format(
          "[{}] item is not key=value: got '{}', expected exactly one '=', as in weight_decay=0.1.", flag_, item));
    }
    const std::string key = item.substr(0, equals);
    set(key, parse_python_literal(std::string_view(item).substr(equals + 1), flag_ + " " + key));
  }
}

const PythonValue* KeywordArgs::find(const std::string& key) const {
  for (const auto& [name, value] : items_) {
    if (name == key) return &value;
  }
  return nullptr;
}

const PythonValue* KeywordArgs::ask(const std::string& key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
  return find(key);
}

void KeywordArgs::set(const std::string& key, PythonValue value) {
  for (auto& [name, old] : items_) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  items_.emplace_back(key, std::move(value));
}

void KeywordArgs::wrong_type(const std::string& key, std::string_view expected) const {
  throw UsageError(
      fmt::format("[{} {}] wrong kind of value: got {}, expected {}.", flag_, key, python_repr(*find(key)), expected));
}

double KeywordArgs::number(const std::string& key, double otherwise) {
  const auto* value = ask(key);
  if (value == nullptr) return otherwise;
  const auto number = as_number(*value);
  if (!number) wrong_type(key, "a number");
  return *number;
}

int64_t KeywordArgs::integer(const std::string& key, int64_t otherwise) {
  const auto* value = ask(key);
  if (value == nullptr) return otherwise;
  const auto* integer = std::get_if<int64_t>(&value->value);
  if (integer == nullptr) wrong_type(key, "an integer");
  return *integer;
}

bool KeywordArgs::flag(const std::string& key, bool otherwise) {
  const auto* value = ask(key);
  if (value == nullptr) return otherwise;
  const auto* flag = std::get_if<bool>(&value->value);
  if (flag == nullptr) wrong_type(key, "True or False");
  return *flag;
}

std::string KeywordArgs::text(const std::string& key, const std::string& otherwise) {
  const auto* value = ask(key);
  if (value == nullptr) return otherwise;
  const auto* text = std::get_if<std::string>(&value->value);
  if (text == nullptr) wrong_type(key, "a quoted text");
  return *text;
}

std::optional<double> KeywordArgs::optional_number(const std::string& key) {
  const auto* value = ask(key);
  if (value == nullptr || std::holds_alternative<PythonValue::None>(value->value)) return std::nullopt;
  return number(key, 0);
}

std::optional<int64_t> KeywordArgs::optional_integer(const std::string& key) {
  const auto* value = ask(key);
  if (value == nullptr || std::holds_alternative<PythonValue::None>(value->value)) return std::nullopt;
  return integer(key, 0);
}

std::vector<double> KeywordArgs::numbers(const std::string& key, const std::vector<double>& otherwise) {
  const auto* value = ask(key);
  if (value == nullptr) return otherwise;
  const auto result = as_numbers(*value);
  if (!result || result->size() != otherwise.size()) wrong_type(key, fmt::format("{} numbers", otherwise.size()));
  return *result;
}

std::vector<double> KeywordArgs::number_list(const std::string& key) {
  const auto* value = ask(key);
  LORAPTOR_ASSERT(value != nullptr);
  const auto result = as_numbers(*value);
  if (!result) wrong_type(key, "a list of numbers");
  return *result;
}

void KeywordArgs::require(const std::string& key, std::string_view class_name) const {
  if (has(key)) return;
  throw UsageError(fmt::format("[{}] argument is missing: {} needs {}=...", flag_, class_name, key));
}

void KeywordArgs::without_effect(const std::string& key, std::string_view reason) {
  if (ask(key) != nullptr) log::warn_once(fmt::format("[{} {}] no effect: {}.", flag_, key, reason));
}

void KeywordArgs::finish(std::string_view class_name) const {
  for (const auto& [key, value] : items_) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string nearest = did_you_mean(key, known_);
    throw UsageError(fmt::format("[{}] unknown argument of {}: got '{}', expected one of {}.{}{}", flag_, class_name,
                                 key, known_.empty() ? "none" : fmt::format("{}", fmt::join(known_, ", ")),
                                 nearest.empty() ? "" : "\nHint: ", nearest));
  }
}

std::string KeywordArgs::formatted() const {
  std::vector<std::string> texts;
  for (const auto& [key, value] : items_) texts.push_back(fmt::format("{}={}", key, python_repr(value)));
  return fmt::format("{}", fmt::join(texts, ","));
}

}  // namespace loraptor::optim
