// BMP files: 1, 4, 8 bits with palette, the latter two also as runs; 16, 24, 32 bits with or without bit masks.
#include <fmt/format.h>

#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/image_codecs.h"

namespace loraptor::io {
namespace {

constexpr size_t kFileHeader = 14;
constexpr uint32_t kUncompressed = 0;
constexpr uint32_t kRuns8 = 1;  // run lengths of palette indices, 8 bits each
constexpr uint32_t kRuns4 = 2;
constexpr uint32_t kBitMasks = 3;

uint32_t little_endian(const uint8_t* data, int bytes) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= uint32_t{data[i]} << (8 * i);
  return value;
}

struct BmpHeader {
  int64_t width = 0;
  int64_t height = 0;
  bool top_down = false;
  uint32_t bits = 0;
  uint32_t compression = kUncompressed;
  uint32_t colours = 0;  // palette entries
  size_t palette_begin = 0;
  size_t palette_entry = 4;  // bytes of one
  size_t pixels_begin = 0;
  std::array<uint32_t, 4> masks{};  // red, green, blue, alpha; alpha 0: opaque
};

void read_masks(const EncodedImage& file, size_t header_bytes, BmpHeader& header) {
  if (header.compression == kBitMasks) {
    // The short header is followed by three masks, the longer ones contain three or four.
    const size_t count = header_bytes >= 56 ? 4 : 3;
    require_bytes(file, kFileHeader + 40 + 4 * count, "bit masks");
    for (size_t i = 0; i < count; ++i) header.masks[i] = little_endian(file.data + kFileHeader + 40 + 4 * i, 4);
    return;
  }
  if (header.bits == 16) header.masks = {0x7c00, 0x3e0, 0x1f, 0};
  if (header.bits == 24 || header.bits == 32) header.masks = {0xff0000, 0xff00, 0xff, 0};
}

BmpHeader read_header(const EncodedImage& file) {
  require_bytes(file, kFileHeader + 12, "header");
  const size_t header_bytes = little_endian(file.data + kFileHeader, 4);
  if (header_bytes != 12 && (header_bytes < 40 || header_bytes > 124)) {
    throw FileError(file.path, kFileHeader,
                    fmt::format("BMP header size: got {}, expected 12 or 40 to 124.", header_bytes));
  }
  require_bytes(file, kFileHeader + header_bytes, "header");
  const uint8_t* fields = file.data + kFileHeader + 4;
  BmpHeader header;
  if (header_bytes == 12) {
    header.width = little_endian(fields, 2);
    header.height = little_endian(fields + 2, 2);
    header.bits = little_endian(fields + 6, 2);
    header.palette_entry = 3;
  } else {
    header.width = static_cast<int32_t>(little_endian(fields, 4));
    const int64_t height = static_cast<int32_t>(little_endian(fields + 4, 4));
    header.top_down = height < 0;
    header.height = header.top_down ? -height : height;
    header.bits = little_endian(fields + 10, 2);
    header.compression = little_endian(fields + 12, 4);
    header.colours = little_endian(fields + 28, 4);
  }
  checked_size(file, header.width, header.height);
  if (header.bits <= 8 && header.colours == 0) header.colours = 1u << header.bits;
  header.palette_begin = kFileHeader + header_bytes;
  header.pixels_begin = little_endian(file.data + 10, 4);
  // Some writers forget that the palette comes before the pixels.
  if (header.bits <= 8 && header.pixels_begin == header.palette_begin) {
    header.pixels_begin += header.palette_entry * header.colours;
  }
  read_masks(file, header_bytes, header);
  return header;
}

/// One channel's value, stretched to 0..255.
uint8_t masked(uint32_t value, uint32_t mask) {
  if (mask == 0) return 0;
  const uint64_t largest = mask >> std::countr_zero(mask);
  return static_cast<uint8_t>(uint64_t{(value & mask) >> std::countr_zero(mask)} * 255 / largest);
}

bool is_runs(const BmpHeader& header) {
  return (header.bits == 8 && header.compression == kRuns8) || (header.bits == 4 && header.compression == kRuns4);
}

/// Palette indices of runs, a byte each, in rows of `width`, the lowest row first. What a file skips is 0.
class RunReader {
 public:
  RunReader(const EncodedImage& file, const BmpHeader& header)
      : file_(file),
        four_bits_(header.bits == 4),
        width_(static_cast<size_t>(header.width)),
        at_(header.pixels_begin),
        indices_(width_ * static_cast<size_t>(header.height)) {}

  std::vector<uint8_t> read() {
    constexpr uint8_t kEndOfRow = 0, kEndOfImage = 1, kSkip = 2;
    while (row_ * width_ < indices_.size()) {
      const uint8_t count = next(), value = next();
      if (count > 0) {
        for (uint8_t i = 0; i < count; ++i) put(four_bits_ ? (i % 2 == 0 ? value >> 4 : value & 15) : value);
      } else if (value == kEndOfRow) {
        ++row_;
        column_ = 0;
      } else if (value == kEndOfImage) {
        break;
      } else if (value == kSkip) {
        column_ += next();
        row_ += next();
      } else {
        read_literals(value);
      }
    }
    return std::move(indices_);
  }

 private:
  uint8_t next() {
    require_bytes(file_, at_ + 1, "runs of pixels");
    return file_.data[at_++];
  }

  /// Pixels as they are, filled up to whole 16-bit words.
  void read_literals(uint8_t count) {
    const size_t begin = at_;
    uint8_t pair = 0;
    for (uint8_t i = 0; i < count; ++i) {
      if (!four_bits_ || i % 2 == 0) pair = next();
      put(four_bits_ ? (i % 2 == 0 ? pair >> 4 : pair & 15) : pair);
    }
    if ((at_ - begin) % 2 != 0) next();
  }

  /// What goes beyond the row or the image is lost.
  void put(int index) {
    if (column_ < width_ && row_ * width_ < indices_.size()) {
      indices_[row_ * width_ + column_] = static_cast<uint8_t>(index);
    }
    ++column_;
  }

  const EncodedImage& file_;
  bool four_bits_;
  size_t width_, at_, row_ = 0, column_ = 0;
  std::vector<uint8_t> indices_;
};

/// A row of indices of so many bits.
void decode_palette_row(const EncodedImage& file, const BmpHeader& header, uint32_t bits, const uint8_t* from,
                        uint8_t* to) {
  const uint32_t per_byte = 8 / bits;
  for (int64_t x = 0; x < header.width; ++x, to += 3) {
    const uint32_t shift = bits * (per_byte - 1 - static_cast<uint32_t>(x % per_byte));
    const uint32_t index = from[x / per_byte] >> shift & ((1u << bits) - 1);
    if (index >= header.colours) {
      throw FileError(file.path,
                      fmt::format("BMP palette: got index {}, expected less than {}.", index, header.colours));
    }
    const uint8_t* entry = file.data + header.palette_begin + header.palette_entry * index;
    for (int c = 0; c < 3; ++c) to[c] = entry[2 - c];
  }
}

void decode_masked_row(const BmpHeader& header, const uint8_t* from, uint8_t* to) {
  const int bytes = static_cast<int>(header.bits / 8);
  for (int64_t x = 0; x < header.width; ++x, from += bytes, to += 4) {
    const uint32_t value = little_endian(from, bytes);
    for (size_t c = 0; c < 3; ++c) to[c] = masked(value, header.masks[c]);
    to[3] = header.masks[3] == 0 ? 255 : masked(value, header.masks[3]);
  }
}

}  // namespace

ImageSize bmp_size(const EncodedImage& file) {
  const BmpHeader header = read_header(file);
  return {header.width, header.height};
}

Image decode_bmp(const EncodedImage& file, AlphaMode alpha) {
  const BmpHeader header = read_header(file);
  const uint32_t bits = header.bits;
  const bool palette = bits == 1 || bits == 4 || bits == 8;
  if (!palette && bits != 16 && bits != 24 && bits != 32) {
    throw FileError(file.path, fmt::format("BMP bits per pixel: got {}, expected 1, 4, 8, 16, 24 or 32.", bits));
  }
  const bool runs = is_runs(header);
  if (header.compression != kUncompressed && !runs && (palette || header.compression != kBitMasks)) {
    throw FileError(file.path, fmt::format("BMP compression: got {} with {} bits, expected 0 (none), 1 (runs of 8 "
                                           "bits), 2 (runs of 4) or 3 (bit masks).\nHint: save the image as PNG.",
                                           header.compression, bits));
  }
  if (palette) require_bytes(file, header.palette_begin + header.palette_entry * header.colours, "palette");
  const std::vector<uint8_t> indices = runs ? RunReader(file, header).read() : std::vector<uint8_t>();
  const size_t stride =
      runs ? static_cast<size_t>(header.width) : (static_cast<size_t>(header.width) * bits + 31) / 32 * 4;
  if (!runs) require_bytes(file, header.pixels_begin + stride * static_cast<size_t>(header.height), "pixels");
  const uint8_t* pixels = runs ? indices.data() : file.data + header.pixels_begin;
  Image image = make_image(header.width, header.height, palette ? 3 : 4);
  for (int64_t y = 0; y < header.height; ++y) {
    const int64_t stored = header.top_down ? y : header.height - 1 - y;
    const uint8_t* from = pixels + stride * static_cast<size_t>(stored);
    if (palette) {
      decode_palette_row(file, header, runs ? 8 : bits, from, image.row(y));
    } else {
      decode_masked_row(header, from, image.row(y));
    }
  }
  return with_alpha_mode(std::move(image), alpha);
}

}  // namespace loraptor::io
