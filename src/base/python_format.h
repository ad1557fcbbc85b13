// Values as Python prints them: the metadata of LoRA files hold such texts, and other programs read them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace loraptor {

/// repr(float): shortest round-trip digits, "1.0", "0.0001", "1e-05", "inf", "nan".
std::string python_repr(double value);
inline std::string python_repr(bool value) { return value ? "True" : "False"; }
inline std::string python_repr(int64_t value) { return std::to_string(value); }
inline std::string python_repr(const std::string& value) { return value; }

/// "None" for an unset value.
template <class T>
std::string python_repr(const std::optional<T>& value) {
  return value ? python_repr(*value) : "None";
}

/// json.dumps with its default separators ", " and ": " and \uXXXX escapes for non-ASCII characters.
/// Members keep the order of `value` (pass an ordered_json for a given order).
std::string python_json(const nlohmann::ordered_json& value);

}  // namespace loraptor
