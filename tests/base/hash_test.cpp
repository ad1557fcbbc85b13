// SHA-256 against its published test vectors, xxh3 in pieces.
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

TEST(Hash, xxh3_of_pieces_is_that_of_the_whole) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i);
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{300}, text.size()}) {
    Xxh3 hash;
    for (size_t at = 0; at < text.size(); at += piece) hash.update(std::string_view(text).substr(at, piece));
    EXPECT_EQ(hash.value(), xxh3(text)) << "pieces of " << piece;
  }
  EXPECT_EQ(Xxh3().value(), xxh3(""));
}

}  // namespace
}  // namespace loraptor
