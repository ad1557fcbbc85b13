#include "base/hash.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"

namespace loraptor {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) { EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr); }
Sha256::~Sha256() = default;

void Sha256::update(const void* data, size_t bytes) { EVP_DigestUpdate(state_->context, data, bytes); }

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  EVP_DigestFinal_ex(state_->context, digest.data(), nullptr);
  std::string text;
  for (unsigned char byte : digest) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.hex();
}

std::string sha256_hex_of_file(const std::filesystem::path& path, uint64_t offset, uint64_t bytes) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw FileError(path, "cannot be read for hashing.");
  stream.seekg(static_cast<std::streamoff>(offset));
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  while (bytes > 0 && stream) {
    stream.read(buffer.data(), static_cast<std::streamsize>(std::min<uint64_t>(bytes, buffer.size())));
    hash.update(buffer.data(), static_cast<size_t>(stream.gcount()));
    bytes -= static_cast<uint64_t>(stream.gcount());
  }
  return hash.hex();
}

uint64_t xxh3(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

struct Xxh3::State {
  XXH3_state_t state;
};

Xxh3::Xxh3() : state_(std::make_unique<State>()) { XXH3_64bits_reset(&state_->state); }
Xxh3::~Xxh3() = default;

void Xxh3::update(std::string_view bytes) { XXH3_64bits_update(&state_->state, bytes.data(), bytes.size()); }

uint64_t Xxh3::value() const { return XXH3_64bits_digest(&state_->state); }

}  // namespace loraptor
