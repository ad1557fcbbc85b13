// Python literals: what --optimizer_args and --lr_scheduler_args are written in, and how the metadata print them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace loraptor::optim {

/// A value that ast.literal_eval could return: None, bool, int, float, str, tuple, list or dict.
struct PythonValue {
  struct None {};
  struct Tuple {
    std::vector<PythonValue> items;
  };
  struct List {
    std::vector<PythonValue> items;
  };
  struct Item;
  struct Dict {
    std::vector<Item> items;
  };
  std::variant<None, bool, int64_t, double, std::string, Tuple, List, Dict> value;
};

struct PythonValue::Item {
  PythonValue key, value;
};

/// Reads a whole text as one literal: 1e-3, True, None, 'text', "text", (0.9, 0.99), 0.9,0.99, [1, 2], {'a': 1}.
///   where   shown in front of an error message, for example "--optimizer_args betas"
/// Throws UsageError, which says at which character the text stops being a literal.
PythonValue parse_python_literal(std::string_view text, std::string_view where);

/// The value as Python's repr() prints it: 1e-06, 0.001, 1.0, (0.9, 0.99), 'text', True.
std::string python_repr(const PythonValue& value);
std::string python_repr(double value);

}  // namespace loraptor::optim
