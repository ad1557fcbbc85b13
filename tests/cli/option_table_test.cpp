// The option tables against the recorded list of the reference's options, and docs/options.md against the tables.
#include "cli/option_table.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "base/atomic_file.h"
#include "cli/help.h"
#include "cli/option_value.h"

namespace loraptor::cli {
namespace {

const std::filesystem::path kSource = LORAPTOR_SOURCE_DIR;

struct Reference {
  std::string type, default_text, choices, status;
};

std::map<std::string, Reference> reference_options() {
  std::map<std::string, Reference> options;
  std::istringstream lines(read_file(kSource / "tests/cli/reference_options.tsv"));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream cells(line);
    std::string name;
    Reference reference;
    for (std::string* cell : {&name, &reference.type, &reference.default_text, &reference.choices, &reference.status}) {
      std::getline(cells, *cell, '\t');
    }
    EXPECT_TRUE(options.emplace(name, reference).second) << name;
  }
  return options;
}

bool is_same_default(const Option& option, const std::string& text) {
  if (option.kind == Kind::flag) return text == "off" && option.default_value == Value(false);
  if (text == "–") {
    return std::holds_alternative<std::monostate>(option.default_value) ||
           option.default_value == Value(std::vector<std::string>{}) ||
           option.default_value == Value(std::vector<double>{});
  }
  if (option.kind == Kind::steps_or_fraction)
    return option.default_value == Value(StepsOrFraction{std::stod(text), false});
  if (text == "\"\"") return option.default_value == Value(std::string());
  return parse_word(option, text) == option.default_value;
}

TEST(OptionsTable, has_each_option_of_the_reference_once_with_its_type_default_and_choices) {
  const auto reference = reference_options();
  ASSERT_EQ(reference.size(), 218u);
  std::set<std::string> seen;
  for (const Option& option : all_options()) {
    EXPECT_TRUE(seen.insert(option.name).second) << option.name << " stands twice";
    const auto found = reference.find(option.name);
    EXPECT_EQ(option.is_addition, found == reference.end()) << option.name;
    if (found == reference.end()) continue;
    const std::string type = found->second.type == "path" ? "str" : found->second.type;
    EXPECT_EQ(kind_name(option.kind), type) << option.name;
    EXPECT_TRUE(is_same_default(option, found->second.default_text))
        << option.name << ": " << python_text(option.default_value) << " instead of " << found->second.default_text;
    std::string choices;
    for (const std::string& choice : option.choices) choices += (choices.empty() ? "" : ",") + choice;
    EXPECT_EQ(choices, found->second.choices) << option.name;
  }
  for (const auto& [name, row] : reference) EXPECT_EQ(seen.count(name), 1u) << name << " is missing";
}

TEST(OptionsTable, refuses_only_what_the_reference_list_calls_refused) {
  const auto reference = reference_options();
  for (const Option& option : all_options()) {
    const auto found = reference.find(option.name);
    if (found == reference.end()) continue;
    EXPECT_EQ(option.status == Status::refused, found->second.status == "refused") << option.name;
  }
}

TEST(OptionsTable, rows_that_do_not_work_say_why) {
  for (const Option& option : all_options()) {
    EXPECT_EQ(option.note.empty(), option.status == Status::works) << option.name;
    if (option.status == Status::works) {
      EXPECT_FALSE(option.help.empty()) << option.name;
    }
  }
}

TEST(OptionsHelp, names_every_option_and_stays_narrow) {
  std::istringstream lines(help_text());
  std::set<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 130u) << line;
    const size_t dashes = line.find("--");
    if (dashes != std::string::npos && dashes <= 4 && line[0] == ' ') {
      names.insert(line.substr(dashes + 2, line.find(' ', dashes) - dashes - 2));
    }
  }
  for (const Option& option : all_options()) EXPECT_EQ(names.count(option.name), 1u) << option.name;
}

TEST(OptionsHelp, docs_options_md_is_what_the_program_prints) {
  EXPECT_EQ(read_file(kSource / "docs/options.md"), options_markdown())
      << "print it again: build/release/loraptor options > docs/options.md";
}

}  // namespace
}  // namespace loraptor::cli
