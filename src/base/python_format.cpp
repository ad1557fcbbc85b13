#include "base/python_format.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace loraptor {

std::string python_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[64];
  // Python switches to the exponent form below 1e-4 and from 1e16.
  const double size = std::fabs(value);
  const bool scientific = value != 0 && (size < 1e-4 || size >= 1e16);
  const auto end = std::to_chars(digits, digits + sizeof digits, value,
                                 scientific ? std::chars_format::scientific : std::chars_format::fixed);
  std::string text(digits, end.ptr);
  if (!scientific && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string python_json(const nlohmann::ordered_json& value) {
  std::string text;
  switch (value.type()) {
    case nlohmann::ordered_json::value_t::object: {
      for (const auto& [key, member] : value.items()) {
        text +=
            (text.empty() ? "" : ", ") + nlohmann::ordered_json(key).dump(-1, ' ', true) + ": " + python_json(member);
      }
      return "{" + text + "}";
    }
    case nlohmann::ordered_json::value_t::array: {
      for (const auto& member : value) text += (text.empty() ? "" : ", ") + python_json(member);
      return "[" + text + "]";
    }
    case nlohmann::ordered_json::value_t::number_float: return python_repr(value.get<double>());
    default: return value.dump(-1, ' ', /*ensure_ascii=*/true);
  }
}

}  // namespace loraptor
