// How deep JSON nests is told from its text.
#include "base/nesting.h"

#include <gtest/gtest.h>

#include <string>

namespace loraptor {
namespace {

TEST(Nesting, CountsOpenBrackets) {
  EXPECT_FALSE(nests_deeper("[[{}], [[]]]", 3));
  EXPECT_TRUE(nests_deeper("[[{}], [[]]]", 2));
  EXPECT_FALSE(nests_deeper(std::string(1000, '[').insert(0, "\""), 10)) << "within a text that never ends";
  EXPECT_TRUE(nests_deeper(std::string(101, '[')));
}

TEST(Nesting, PassesOverQuotedBrackets) {
  EXPECT_FALSE(nests_deeper(R"({"[[[[": "{{{\"{{{"})", 1));
  EXPECT_TRUE(nests_deeper(R"({"\\": [[]]})", 2));
}

}  // namespace
}  // namespace loraptor
