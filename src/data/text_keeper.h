// Texts of very many images: copied into a few large pieces instead of each into a string of its own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace loraptor::data {

/// Keeps copies of texts as long as it lives.
class TextKeeper {
 public:
  std::string_view keep(std::string_view text) { return keep(text, {}); }
  /// Keeps both as one text.
  std::string_view keep(std::string_view first, std::string_view second) {
    const size_t size = first.size() + second.size();
    if (size == 0) return {};
    char* const begin = room(size);
    if (!first.empty()) std::memcpy(begin, first.data(), first.size());
    if (!second.empty()) std::memcpy(begin + first.size(), second.data(), second.size());
    return {begin, size};
  }

 private:
  static constexpr size_t kFirstPiece = 4 << 10, kLargestPiece = 256 << 10;  // bytes

  char* room(size_t size) {
    if (size > left_) {
      left_ = std::max(size, piece_bytes_);
      next_ = pieces_.emplace_back(std::make_unique_for_overwrite<char[]>(left_)).get();
      piece_bytes_ = std::min(2 * piece_bytes_, kLargestPiece);
    }
    left_ -= size;
    next_ += size;
    return next_ - size;
  }

  std::vector<std::unique_ptr<char[]>> pieces_;
  size_t piece_bytes_ = kFirstPiece;
  char* next_ = nullptr;
  size_t left_ = 0;
};

/// Those that keep the texts of some images; copies share them.
using TextKeepers = std::vector<std::shared_ptr<const TextKeeper>>;

}  // namespace loraptor::data
