// Compares lists of recorded JSON numbers; remembers and prints how many were compared and the worst error.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace loraptor::test {

/// A JSON number, or one of the texts "inf", "-inf", "nan".
inline double json_number(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  const std::string text = value.get<std::string>();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  return std::numeric_limits<double>::quiet_NaN();
}

inline std::vector<double> json_numbers(const nlohmann::json& values) {
  std::vector<double> numbers;
  for (const auto& value : values) numbers.push_back(json_number(value));
  return numbers;
}

/// float32 tensor of a flat JSON list.
inline at::Tensor json_tensor(const nlohmann::json& values, at::IntArrayRef shape) {
  auto numbers = json_numbers(values);
  return at::tensor(numbers, at::kDouble).to(at::kFloat).reshape(shape);
}

inline std::vector<double> tensor_numbers(const at::Tensor& tensor) {
  const auto flat = tensor.detach().to(at::kCPU, at::kDouble).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// Expects |got - want| <= absolute + relative * |want| for each number.
class NumberCheck {
 public:
  /// `required`: comparing nothing is a failure.
  explicit NumberCheck(std::string title, bool required = true) : title_(std::move(title)), required_(required) {}
  ~NumberCheck() {
    if (compared_ == 0 && !required_) return;
    if (compared_ == 0) ADD_FAILURE() << title_ << ": nothing was compared";
    std::printf("  %s: %ld numbers compared, worst error %.3g of the limit%s%s\n", title_.c_str(), compared_, worst_,
                worst_name_.empty() ? "" : " at ", worst_name_.c_str());
  }

  void expect(const std::string& what, double got, double want, double absolute, double relative) {
    ++compared_;
    if (got == want) return;
    const double limit = absolute + relative * std::fabs(want), error = std::fabs(got - want);
    const double share = limit > 0 ? error / limit : std::numeric_limits<double>::infinity();
    if (!(share <= worst_)) {
      worst_ = share;
      worst_name_ = what;
    }
    if (!(share <= 1)) ADD_FAILURE() << title_ << " " << what << ": got " << got << ", expected " << want;
  }

  void expect(const std::string& what, const std::vector<double>& got, const std::vector<double>& want, double absolute,
              double relative) {
    ASSERT_EQ(got.size(), want.size()) << title_ << " " << what;
    for (size_t i = 0; i < got.size(); ++i) {
      expect(what + "[" + std::to_string(i) + "]", got[i], want[i], absolute, relative);
    }
  }

 private:
  std::string title_;
  bool required_;
  long compared_ = 0;
  double worst_ = 0;
  std::string worst_name_;
};

}  // namespace loraptor::test
