// PNG through libpng.
#include <fmt/format.h>
#include <png.h>

#include <atomic>
#include <csetjmp>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "io/image_codecs.h"

namespace loraptor::io {
namespace {

/// libpng leaves by longjmp, which skips destructors: each function with a setjmp holds plain values only, and all that
/// must survive the jump lies in the object.
class PngDecoder {
 public:
  PngDecoder(const EncodedImage& file, AlphaMode alpha) : file_(file), alpha_(alpha) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    LORAPTOR_ASSERT(png_ != nullptr);
    info_ = png_create_info_struct(png_);
    LORAPTOR_ASSERT(info_ != nullptr);
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  Image decode() {
    if (!read_header()) fail();
    warn_about_wide_grey();
    image_ = make_image(png_get_image_width(png_, info_), png_get_image_height(png_, info_),
                        alpha_ == AlphaMode::keep ? 4 : 3);
    LORAPTOR_ASSERT(png_get_rowbytes(png_, info_) == image_.row_bytes());
    for (int64_t y = 0; y < image_.height; ++y) rows_.push_back(image_.row(y));
    if (!read_pixels()) fail();
    // Pillow does not mind what follows the pixels; neither do we, but a cut file is worth a word.
    if (!read_end()) {
      log::warn_once(fmt::format("[{}] PNG file is damaged after its pixels: {}.", file_.path.string(), error_));
    }
    return std::move(image_);
  }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp text) {
    static_cast<PngDecoder*>(png_get_error_ptr(png))->error_ = text;
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}

  static void on_read(png_structp png, png_bytep to, size_t bytes) {
    auto* self = static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (bytes > self->file_.size - self->position_) png_error(png, "the file ends too early");
    std::memcpy(to, self->file_.data + self->position_, bytes);
    self->position_ += bytes;
  }

  [[noreturn]] void fail() const {
    throw FileError(file_.path, position_, fmt::format("PNG file is corrupt or truncated: {}.", error_));
  }

  bool read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // checked_size has looked at them
    png_read_info(png_, info_);
    const auto type = png_get_color_type(png_, info_);
    const bool transparent_colour = png_get_valid(png_, info_, PNG_INFO_tRNS) != 0;
    png_set_strip_16(png_);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png_);
    if ((type & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png_);
    if (alpha_ == AlphaMode::drop) {
      png_set_strip_alpha(png_);
    } else if (transparent_colour) {
      png_set_tRNS_to_alpha(png_);
    } else if ((type & PNG_COLOR_MASK_ALPHA) == 0) {
      png_set_add_alpha(png_, 255, PNG_FILLER_AFTER);
    }
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read_pixels() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows_.data());
    return true;
  }

  bool read_end() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_end(png_, nullptr);
    return true;
  }

  void warn_about_wide_grey() const {
    static std::atomic<bool> said{false};
    if (file_.data[24] != 16 || file_.data[25] != PNG_COLOR_TYPE_GRAY || said.exchange(true)) return;
    log::warn(
        "[{}] 16-bit grey PNG files are read as v >> 8. sd-scripts saturates them (min(v, 255)), so that they turn "
        "almost white.",
        file_.path.string());
  }

  const EncodedImage& file_;
  AlphaMode alpha_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  size_t position_ = 0;
  std::string error_;
  Image image_;
  std::vector<png_bytep> rows_;
};

/// The writing side, with the same rule about longjmp.
class PngEncoder {
 public:
  explicit PngEncoder(const Image& image) : image_(image) {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, nullptr);
    LORAPTOR_ASSERT(png_ != nullptr);
    info_ = png_create_info_struct(png_);
    LORAPTOR_ASSERT(info_ != nullptr);
  }
  ~PngEncoder() { png_destroy_write_struct(&png_, &info_); }
  PngEncoder(const PngEncoder&) = delete;
  PngEncoder& operator=(const PngEncoder&) = delete;

  std::vector<uint8_t> encode() {
    if (!write()) throw RunError(fmt::format("[PNG] writing failed: {}.", error_));
    return std::move(bytes_);
  }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp text) {
    static_cast<PngEncoder*>(png_get_error_ptr(png))->error_ = text;
    png_longjmp(png, 1);
  }
  static void on_write(png_structp png, png_bytep data, size_t bytes) {
    auto& all = static_cast<PngEncoder*>(png_get_io_ptr(png))->bytes_;
    all.insert(all.end(), data, data + bytes);
  }
  static void on_flush(png_structp) {}

  bool write() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_write_fn(png_, this, on_write, on_flush);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(image_.width), static_cast<png_uint_32>(image_.height), 8,
                 image_.channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    for (int64_t y = 0; y < image_.height; ++y) png_write_row(png_, image_.row(y));
    png_write_end(png_, nullptr);
    return true;
  }

  const Image& image_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::string error_;
  std::vector<uint8_t> bytes_;
};

int64_t big_endian_32(const uint8_t* data) {
  return int64_t{data[0]} << 24 | int64_t{data[1]} << 16 | int64_t{data[2]} << 8 | data[3];
}

}  // namespace

ImageSize png_size(const EncodedImage& file) {
  constexpr size_t kHeaderEnd = 29;  // signature 8, length 4, "IHDR" 4, fields 13
  require_bytes(file, kHeaderEnd, "header");
  if (std::memcmp(file.data + 12, "IHDR", 4) != 0) throw FileError(file.path, 12, "PNG file: IHDR chunk is missing.");
  return checked_size(file, big_endian_32(file.data + 16), big_endian_32(file.data + 20));
}

Image decode_png(const EncodedImage& file, AlphaMode alpha) {
  png_size(file);
  return PngDecoder(file, alpha).decode();
}

std::vector<uint8_t> encode_png(const Image& image) {
  LORAPTOR_ASSERT(image.channels == 3 || image.channels == 4);
  LORAPTOR_ASSERT(image.pixels.size() == image.row_bytes() * static_cast<size_t>(image.height));
  return PngEncoder(image).encode();
}

}  // namespace loraptor::io
