// The place of a process, as its environment tells it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "base/error.h"
#include "dist/world.h"

namespace loraptor::dist {
namespace {

using Variables = std::map<std::string, std::string>;

const Variables kSecondOfThree{
    {"WORLD_SIZE", "3"}, {"RANK", "1"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node"}, {"MASTER_PORT", "29500"}};

class World_ : public ::testing::Test {
 protected:
  void SetUp() override { clear(); }
  void TearDown() override { clear(); }

  static World read(const Variables& variables) {
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
    return world_from_environment();
  }

 private:
  static void clear() {
    for (const char* name : {"WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT",
                             "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT"}) {
      ::unsetenv(name);
    }
  }
};

TEST_F(World_, is_one_without_variables_and_where_a_launcher_starts_one) {
  EXPECT_TRUE(read({}).is_alone());
  EXPECT_EQ(process_label(), "");
  EXPECT_TRUE(read({{"WORLD_SIZE", "1"}, {"RANK", "0"}}).is_alone());
  EXPECT_EQ(process_label(), "");
}

TEST_F(World_, is_what_torchrun_says) {
  const World world = read(kSecondOfThree);
  EXPECT_EQ(world.rank, 1);
  EXPECT_EQ(world.size, 3);
  EXPECT_EQ(world.local_rank, 1);
  EXPECT_EQ(world.master_address, "node");
  EXPECT_EQ(world.master_port, 29500);
  EXPECT_FALSE(world.store_is_served);
  EXPECT_EQ(process_label(), "process 1 of 3: ");
}

TEST_F(World_, meets_at_the_table_of_the_launcher_where_it_serves_one) {
  Variables variables = kSecondOfThree;
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  variables["TORCHELASTIC_RESTART_COUNT"] = "2";
  const World world = read(variables);
  EXPECT_TRUE(world.store_is_served);
  EXPECT_EQ(world.store_prefix, "/worker/attempt_2");
}

TEST_F(World_, names_the_variable_that_is_missing_or_wrong) {
  const std::pair<std::string, std::string> wrong[] = {
      {"RANK", "3"},       {"RANK", "x"},        {"RANK", ""},           {"WORLD_SIZE", "two"},
      {"MASTER_ADDR", ""}, {"MASTER_PORT", "0"}, {"MASTER_PORT", "1e3"}, {"LOCAL_RANK", "-1"}};
  for (const auto& [name, value] : wrong) {
    Variables variables = kSecondOfThree;
    variables[name] = value;
    try {
      read(variables);
      ADD_FAILURE() << name << "=" << value;
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace loraptor::dist
