// Values print as Python prints them.
#include "base/python_format.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace loraptor {
namespace {

TEST(PythonRepr, FloatsHaveTheShortestDigitsThatReadBackEqual) {
  EXPECT_EQ(python_repr(1.0), "1.0");
  EXPECT_EQ(python_repr(0.0001), "0.0001");
  EXPECT_EQ(python_repr(0.00001), "1e-05");
  EXPECT_EQ(python_repr(2e-6), "2e-06");
  EXPECT_EQ(python_repr(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(python_repr(1e15), "1000000000000000.0");
  EXPECT_EQ(python_repr(1e16), "1e+16");
  EXPECT_EQ(python_repr(-0.5), "-0.5");
  EXPECT_EQ(python_repr(std::numeric_limits<double>::infinity()), "inf");
}

TEST(PythonRepr, OptionalsAndBools) {
  EXPECT_EQ(python_repr(true), "True");
  EXPECT_EQ(python_repr(std::optional<double>()), "None");
  EXPECT_EQ(python_repr(std::optional<int64_t>(3)), "3");
  EXPECT_EQ(python_repr(std::optional<std::string>("x")), "x");
}

TEST(PythonJson, SeparatorsAndEscapesAreThoseOfJsonDumps) {
  const nlohmann::ordered_json value = {{"b", {1, 2.0, nullptr}}, {"a", "ü"}, {"c", true}};
  EXPECT_EQ(python_json(value), R"({"b": [1, 2.0, null], "a": "\u00fc", "c": true})");
}

}  // namespace
}  // namespace loraptor
