// Python literals and keyword arguments.
#include "optim/python_literal.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "optim/keyword_args.h"

namespace loraptor {
namespace {

std::string reprinted(const std::string& text) { return optim::python_repr(optim::parse_python_literal(text, "test")); }

TEST(PythonLiteral, IsPrintedAsPythonWould) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"1e-6", "1e-06"},
      {"0.0001", "0.0001"},
      {"1.", "1.0"},
      {".5", "0.5"},
      {"-3", "-3"},
      {"1_000", "1000"},
      {"1e3", "1000.0"},
      {"1e16", "1e+16"},
      {"1e15", "1000000000000000.0"},
      {"123456789012345678", "123456789012345678"},
      {"True", "True"},
      {"None", "None"},
      {" 'it' ", "'it'"},
      {"\"it's\"", "\"it's\""},
      {"0.9,0.99", "(0.9, 0.99)"},
      {"(0.9,0.99)", "(0.9, 0.99)"},
      {"(1)", "1"},
      {"1,", "(1,)"},
      {"()", "()"},
      {"[1, 2.5, 'a']", "[1, 2.5, 'a']"},
      {"{'a': (1, 2), 'b': None}", "{'a': (1, 2), 'b': None}"},
      {"[[1],[ ]]", "[[1], []]"},
      {"1e999", "inf"},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(reprinted(text), want) << text;
}

TEST(PythonLiteral, OtherTextIsRefused) {
  for (const char* text :
       {"", "true", "abc", "1 2", "(1", "'a", "1..2", "[1,,2]", "--", "{1}", "1e", "__import__('os')"}) {
    EXPECT_THROW(optim::parse_python_literal(text, "test"), UsageError) << text;
  }
  EXPECT_THROW(optim::parse_python_literal(std::string(10000, '('), "test"), UsageError);
}

TEST(KeywordArgs, UnknownOnesNameTheKnown) {
  optim::KeywordArgs args({"weight_decai=0.1"}, "--optimizer_args");
  args.number("weight_decay", 0);
  try {
    args.finish("AdamW");
    FAIL();
  } catch (const UsageError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("'weight_decai'"), std::string::npos) << text;
    EXPECT_NE(text.find("Did you mean 'weight_decay'"), std::string::npos) << text;
  }
}

TEST(KeywordArgs, KeepOrderAndTakeTheLastValue) {
  optim::KeywordArgs args({"b=1", "a=0.5", "b=2"}, "--optimizer_args");
  EXPECT_EQ(args.formatted(), "b=2,a=0.5");
  EXPECT_EQ(args.integer("b", 0), 2);
  args.set("momentum", {0.9});
  EXPECT_EQ(args.formatted(), "b=2,a=0.5,momentum=0.9");
}

TEST(KeywordArgs, WrongFormsAndTypesAreRefused) {
  EXPECT_THROW(optim::KeywordArgs({"a"}, "f"), UsageError);
  EXPECT_THROW(optim::KeywordArgs({"a=b=c"}, "f"), UsageError);
  optim::KeywordArgs args({"a='x'", "b=(1, 2, 3)", "c=1"}, "f");
  EXPECT_THROW(args.number("a", 0), UsageError);
  EXPECT_THROW(args.numbers("b", {0.9, 0.99}), UsageError);
  EXPECT_THROW(args.flag("c", false), UsageError);
}

}  // namespace
}  // namespace loraptor
