// The key=value items of --optimizer_args and --lr_scheduler_args, read like keyword arguments of a Python class.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "optim/python_literal.h"

namespace loraptor::optim {

/// Keyword arguments. Each reader below makes its key known; `finish` refuses the keys that nobody asked for.
class KeywordArgs {
 public:
  /// Parses `items`; each has exactly one `=`. A key given twice keeps its first place and its last value.
  ///   flag   where they come from, e.g. "--optimizer_args"
  /// Throws UsageError.
  KeywordArgs(const std::vector<std::string>& items, std::string flag);

  bool has(const std::string& key) const { return find(key) != nullptr; }
  /// Sets a value, at the end if the key is new: for values that are added automatically.
  void set(const std::string& key, PythonValue value);

  /// The value of `key`, or `otherwise`. Throw UsageError if the value has another type.
  double number(const std::string& key, double otherwise);
  int64_t integer(const std::string& key, int64_t otherwise);
  bool flag(const std::string& key, bool otherwise);
  std::string text(const std::string& key, const std::string& otherwise);
  /// None and an absent key give nullopt.
  std::optional<double> optional_number(const std::string& key);
  std::optional<int64_t> optional_integer(const std::string& key);
  /// A tuple or list of numbers, of exactly `otherwise.size()` of them.
  std::vector<double> numbers(const std::string& key, const std::vector<double>& otherwise);
  /// A list of any length. Throws UsageError if it is absent.
  std::vector<double> number_list(const std::string& key);
  /// Throws UsageError if the key is absent.
  void require(const std::string& key, std::string_view class_name) const;
  /// Accepts a key that changes nothing here, and says so once.
  void without_effect(const std::string& key, std::string_view reason);

  /// Throws UsageError naming the known keys (and the nearest one) for the first key that nobody asked for.
  void finish(std::string_view class_name) const;

  /// "weight_decay=0.1,betas=(0.9, 0.99)": keys in their order, values as Python prints them.
  std::string formatted() const;

 private:
  const PythonValue* find(const std::string& key) const;
  const PythonValue* ask(const std::string& key);
  [[noreturn]] void wrong_type(const std::string& key, std::string_view expected) const;

  std::vector<std::pair<std::string, PythonValue>> items_;
  std::vector<std::string> known_;
  std::string flag_;
};

}  // namespace loraptor::optim
