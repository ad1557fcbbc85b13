// GIF files: the first picture, decoded by LZW.
#include <fmt/format.h>

#include <array>
#include <optional>

#include "base/error.h"
#include "io/image_codecs.h"

namespace loraptor::io {
namespace {

/// A cursor over the file that refuses to run over its end.
class Cursor {
 public:
  Cursor(const EncodedImage& file, size_t position) : file_(file), position_(position) {}

  uint8_t byte() { return take(1)[0]; }
  uint32_t word() {
    const uint8_t* data = take(2);
    return data[0] | uint32_t{data[1]} << 8;
  }
  const uint8_t* take(size_t bytes) {
    require_bytes(file_, position_ + bytes, "blocks");
    const uint8_t* data = file_.data + position_;
    position_ += bytes;
    return data;
  }
  /// Sub-blocks up to the empty one, joined.
  std::vector<uint8_t> sub_blocks() {
    std::vector<uint8_t> all;
    while (const size_t size = byte()) {
      const uint8_t* data = take(size);
      all.insert(all.end(), data, data + size);
    }
    return all;
  }

 private:
  const EncodedImage& file_;
  size_t position_;
};

/// The variable-length codes of one picture, unpacked to palette indices.
class LzwDecoder {
 public:
  LzwDecoder(const EncodedImage& file, const std::vector<uint8_t>& data, int root_bits)
      : file_(file), data_(data), root_bits_(root_bits) {
    if (root_bits < 1 || root_bits > 8) fail("bad code size");
    clear_ = 1u << root_bits;
    for (uint32_t i = 0; i < clear_; ++i) last_[i] = static_cast<uint8_t>(i);
    reset();
  }

  std::vector<uint8_t> decode(size_t count) {
    std::vector<uint8_t> pixels;
    while (pixels.size() < count) {
      const uint32_t code = read_code();
      if (code == clear_) {
        reset();
        continue;
      }
      if (code == clear_ + 1) fail("picture data end too early");
      // The first code after a reset is a plain colour; later ones may name the entry that is just being made.
      if (previous_ == kNone ? code > clear_ : code > next_) fail("bad code");
      append(code, pixels);
    }
    pixels.resize(count);
    return pixels;
  }

 private:
  static constexpr int kMaxBits = 12;
  static constexpr uint32_t kNone = 1u << kMaxBits;

  [[noreturn]] void fail(const char* what) const {
    throw FileError(file_.path, fmt::format("GIF file is corrupt or truncated: {}.", what));
  }

  void reset() {
    next_ = clear_ + 2;
    bits_ = root_bits_ + 1;
    previous_ = kNone;
  }

  uint32_t read_code() {
    for (; held_ < bits_; held_ += 8) {
      if (position_ == data_.size()) fail("picture data end too early");
      buffer_ |= uint32_t{data_[position_++]} << held_;
    }
    const uint32_t code = buffer_ & ((1u << bits_) - 1);
    buffer_ >>= bits_;
    held_ -= bits_;
    return code;
  }

  void append(uint32_t code, std::vector<uint8_t>& pixels) {
    reversed_.clear();
    uint32_t walk = code;
    if (code == next_) {
      reversed_.push_back(first_);
      walk = previous_;
    }
    for (; walk > clear_; walk = prefix_[walk]) reversed_.push_back(last_[walk]);
    first_ = last_[walk];
    pixels.push_back(first_);
    pixels.insert(pixels.end(), reversed_.rbegin(), reversed_.rend());
    if (previous_ != kNone && next_ < (1u << kMaxBits)) {
      prefix_[next_] = static_cast<uint16_t>(previous_);
      last_[next_++] = first_;
      if (next_ == (1u << bits_) && bits_ < kMaxBits) ++bits_;
    }
    previous_ = code;
  }

  const EncodedImage& file_;
  const std::vector<uint8_t>& data_;
  int root_bits_;
  uint32_t clear_ = 0;  // the code that empties the table; the one after it ends the picture
  uint32_t next_ = 0;   // the entry made next
  uint32_t previous_ = kNone;
  uint32_t buffer_ = 0;
  int held_ = 0;  // bits in the buffer
  int bits_ = 0;  // of a code
  size_t position_ = 0;
  uint8_t first_ = 0;  // colour that the previous code began with
  std::array<uint16_t, 1 << kMaxBits> prefix_{};
  std::array<uint8_t, 1 << kMaxBits> last_{};
  std::vector<uint8_t> reversed_;  // a code's pixels, last one first
};

/// Row of the picture that is stored as number `i` of an interlaced one.
int64_t interlaced_row(int64_t i, int64_t height) {
  constexpr int64_t kStart[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};
  for (int pass = 0;; ++pass) {
    const int64_t rows = std::max<int64_t>(0, (height - kStart[pass] + kStep[pass] - 1) / kStep[pass]);
    if (i < rows) return kStart[pass] + i * kStep[pass];
    i -= rows;
  }
}

struct Frame {
  int64_t left, top, width, height;
  const uint8_t* palette;  // RGB entries; null: grey
  uint32_t colours;
  std::vector<uint8_t> indices;
  bool interlaced;
};

Frame read_frame(const EncodedImage& file, Cursor& cursor, const uint8_t* palette, uint32_t colours) {
  Frame frame{cursor.word(), cursor.word(), cursor.word(), cursor.word(), palette, colours, {}, false};
  const uint8_t flags = cursor.byte();
  frame.interlaced = (flags & 0x40) != 0;
  if (flags & 0x80) {
    frame.colours = 2u << (flags & 7);
    frame.palette = cursor.take(3 * frame.colours);
  }
  checked_size(file, frame.width, frame.height);
  const int root_bits = cursor.byte();
  frame.indices =
      LzwDecoder(file, cursor.sub_blocks(), root_bits).decode(static_cast<size_t>(frame.width * frame.height));
  return frame;
}

/// Draws a pixel as the palette says; `transparent` is the index with alpha 0.
void put_pixel(uint8_t* to, const Frame& frame, uint32_t index, std::optional<uint8_t> transparent) {
  for (int c = 0; c < 3; ++c) {
    to[c] = frame.palette == nullptr ? static_cast<uint8_t>(index)
            : index < frame.colours  ? frame.palette[3 * index + static_cast<uint32_t>(c)]
                                     : 0;
  }
  to[3] = transparent == index ? 0 : 255;
}

Image draw(const EncodedImage& file, const Frame& frame, std::optional<uint8_t> transparent) {
  const auto [width, height] = gif_size(file);
  if (frame.left + frame.width > width || frame.top + frame.height > height) {
    throw FileError(file.path, fmt::format("GIF picture: got {}x{} at ({}, {}), expected it within {}x{}.", frame.width,
                                           frame.height, frame.left, frame.top, width, height));
  }
  Image image = make_image(width, height, 4);
  for (int64_t i = 0; i < width * height; ++i)
    put_pixel(&image.pixels[4 * static_cast<size_t>(i)], frame, transparent.value_or(0), transparent);
  for (int64_t i = 0; i < frame.height; ++i) {
    const int64_t y = frame.top + (frame.interlaced ? interlaced_row(i, frame.height) : i);
    for (int64_t x = 0; x < frame.width; ++x) {
      put_pixel(image.row(y) + 4 * (frame.left + x), frame, frame.indices[static_cast<size_t>(i * frame.width + x)],
                transparent);
    }
  }
  return image;
}

}  // namespace

ImageSize gif_size(const EncodedImage& file) {
  Cursor cursor(file, 6);
  const uint32_t width = cursor.word();
  return checked_size(file, width, cursor.word());
}

Image decode_gif(const EncodedImage& file, AlphaMode alpha) {
  Cursor cursor(file, 10);
  const uint8_t flags = cursor.byte();
  cursor.take(2);
  const uint8_t* palette = nullptr;
  const uint32_t colours = 2u << (flags & 7);
  if (flags & 0x80) palette = cursor.take(3 * colours);
  std::optional<uint8_t> transparent;
  for (;;) {
    const uint8_t kind = cursor.byte();
    if (kind == ',') break;
    if (kind != '!') throw FileError(file.path, fmt::format("GIF block: got {:#04x}, expected a picture.", kind));
    const uint8_t label = cursor.byte();
    const std::vector<uint8_t> block = cursor.sub_blocks();
    if (label == 0xf9 && block.size() >= 4 && (block[0] & 1)) transparent = block[3];
  }
  return with_alpha_mode(draw(file, read_frame(file, cursor, palette, colours), transparent), alpha);
}

}  // namespace loraptor::io
