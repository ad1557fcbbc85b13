// Outputs are compared with inputs before any work.
#include "cli/output_files.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/error.h"
#include "support/temp_folder.h"

namespace loraptor::cli {
namespace {

namespace fs = std::filesystem;

/// What check_outputs says of reading `input` and writing `outputs` (flags --a, --b); "" if nothing.
std::string objection(const fs::path& input, const std::vector<fs::path>& outputs) {
  std::vector<NamedFile> named;
  for (const auto& path : outputs) named.push_back({named.empty() ? "--a" : "--b", path});
  try {
    check_outputs({{"--in", input}}, named);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(OutputFiles, OverAnInputAreRefusedHoweverItIsNamed) {
  const test::TempFolder folder;
  write_file(folder / "in", "x");
  fs::create_directory(folder / "sub");
  fs::create_symlink(folder / "in", folder / "link");
  fs::create_hard_link(folder / "in", folder / "hard");
  fs::create_directory_symlink(folder.path(), folder / "sub/up");
  for (const char* name : {"in", "link", "hard", "sub/../in", "sub/up/in"}) {
    const auto text = objection(folder / "in", {folder / name});
    EXPECT_NE(text.find("[--a]"), std::string::npos) << name;
    EXPECT_NE(text.find("read as --in"), std::string::npos) << name;
  }
  EXPECT_EQ(objection(folder / "in", {folder / "new"}), "");
  write_file(folder / "old", "x");
  EXPECT_EQ(objection(folder / "in", {folder / "old"}), "");
}

TEST(OutputFiles, OverEachOtherAreRefusedBeforeTheyExist) {
  const test::TempFolder folder;
  fs::create_directory(folder / "sub");
  for (const char* name : {"new", "sub/../new"}) {
    const auto text = objection(folder / "in", {folder / "new", folder / name});
    EXPECT_NE(text.find("[--b]"), std::string::npos) << name;
    EXPECT_NE(text.find("written as --a"), std::string::npos) << name;
  }
  EXPECT_EQ(objection(folder / "in", {folder / "new", folder / "other"}), "");
}

TEST(OutputFiles, FoldersAreRefused) {
  const test::TempFolder folder;
  EXPECT_NE(objection(folder / "in", {folder.path()}).find("a folder"), std::string::npos);
}

}  // namespace
}  // namespace loraptor::cli
