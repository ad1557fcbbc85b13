// Numbers as Python prints them: the metadata of LoRA files and their readers expect this form.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <string>

namespace loraptor {

/// repr() of a Python float: shortest form that reads back equal, "1.0", "1e-05", "nan", "inf".
inline std::string python_float(double value) {
  if (std::isnan(value)) return "nan";
  std::string text = fmt::format("{}", value);
  return text.find_first_of(".ein") == std::string::npos ? text + ".0" : text;
}

/// str() of a Python bool.
inline const char* python_bool(bool value) { return value ? "True" : "False"; }

}  // namespace loraptor
