// SHA-256 against its published test vectors.
#include "base/hash.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "support/temp_folder.h"

namespace loraptor {
namespace {

TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, OfPartOfAFile) {
  const test::TempFolder folder;
  write_file(folder / "f", "xxabcyy");
  EXPECT_EQ(sha256_hex_of_file(folder / "f", 2, 3), sha256_hex("abc"));
  EXPECT_EQ(sha256_hex_of_file(folder / "f", 100, 3), sha256_hex(""));
}

}  // namespace
}  // namespace loraptor
