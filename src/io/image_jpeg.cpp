// JPEG through libjpeg-turbo, with its default settings (accurate integer DCT, smooth chroma upsampling).
#include <fmt/format.h>

#include <csetjmp>
#include <cstdio>
#include <string>

#include <jerror.h>
#include <jpeglib.h>

#include "base/error.h"
#include "base/log.h"
#include "io/image_codecs.h"

namespace loraptor::io {
namespace {

/// Product of two fractions of 255, rounded.
uint8_t multiply_255(int a, int b) {
  const int t = a * b + 128;
  return static_cast<uint8_t>(((t >> 8) + t) >> 8);
}

/// `stored` holds inverted CMYK, as Photoshop writes it and Pillow assumes of every file. `from` and `to` may not
/// overlap.
void cmyk_row_to_rgb(const uint8_t* stored, uint8_t* to, int64_t width) {
  for (int64_t x = 0; x < width; ++x, stored += 4, to += 3) {
    const int white = stored[3];  // 255 - K
    for (int c = 0; c < 3; ++c) to[c] = static_cast<uint8_t>(white - multiply_255(255 - stored[c], white));
  }
}

/// libjpeg leaves by longjmp, which skips destructors: each function with a setjmp holds plain values only, and all
/// that must survive the jump lies in the object.
class JpegDecoder {
 public:
  explicit JpegDecoder(const EncodedImage& file) : file_(file) {
    cinfo_.err = jpeg_std_error(&errors_);
    cinfo_.client_data = this;
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    if (!create()) fail();
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&cinfo_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  ImageSize size() {
    if (!read_header()) fail();
    return checked_size(file_, cinfo_.image_width, cinfo_.image_height);
  }

  Image decode() {
    const auto [width, height] = size();
    const int components = cinfo_.num_components;
    if (components != 1 && components != 3 && components != 4) {
      throw FileError(file_.path, fmt::format("JPEG components: got {}, expected 1, 3 or 4.", components));
    }
    cinfo_.out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    image_ = make_image(width, height, 3);
    line_.resize(static_cast<size_t>(width) * static_cast<size_t>(components));
    if (!read_pixels()) fail();
    if (!warning_.empty()) {
      log::warn_once(fmt::format("[{}] JPEG file is damaged, the picture may be wrong in places: {}.",
                                 file_.path.string(), warning_));
    }
    return std::move(image_);
  }

 private:
  static JpegDecoder& self(j_common_ptr cinfo) { return *static_cast<JpegDecoder*>(cinfo->client_data); }

  static void format_message(j_common_ptr cinfo, std::string& to) {
    char text[JMSG_LENGTH_MAX];
    cinfo->err->format_message(cinfo, text);
    to = text;
  }
  [[noreturn]] static void on_error(j_common_ptr cinfo) {
    format_message(cinfo, self(cinfo).error_);
    std::longjmp(self(cinfo).jump_, 1);
  }
  static void on_message(j_common_ptr cinfo, int level) {
    if (level >= 0) return;  // trace
    if (cinfo->err->msg_code == JWRN_JPEG_EOF) on_error(cinfo);
    // Stray bytes between segments and odd version numbers cost no pixel.
    const int code = cinfo->err->msg_code;
    const bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM;
    if (!harmless && self(cinfo).warning_.empty()) format_message(cinfo, self(cinfo).warning_);
  }

  [[noreturn]] void fail() const {
    throw FileError(file_.path, fmt::format("JPEG file is corrupt or truncated: {}.", error_));
  }

  bool create() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&cinfo_);
    jpeg_mem_src(&cinfo_, file_.data, file_.size);
    return true;
  }

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    jpeg_read_header(&cinfo_, TRUE);
    return true;
  }

  bool read_pixels() {
    if (setjmp(jump_) != 0) return false;
    jpeg_start_decompress(&cinfo_);
    while (cinfo_.output_scanline < cinfo_.output_height) {
      uint8_t* to = image_.row(cinfo_.output_scanline);
      JSAMPROW row = cinfo_.output_components == 3 ? to : line_.data();
      jpeg_read_scanlines(&cinfo_, &row, 1);
      if (cinfo_.output_components == 4) cmyk_row_to_rgb(line_.data(), to, image_.width);
      for (int64_t x = 0; cinfo_.output_components == 1 && x < image_.width; ++x) {
        to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = line_[static_cast<size_t>(x)];
      }
    }
    jpeg_finish_decompress(&cinfo_);
    return true;
  }

  const EncodedImage& file_;
  jpeg_decompress_struct cinfo_{};
  jpeg_error_mgr errors_{};
  std::jmp_buf jump_{};
  std::string error_;
  std::string warning_;
  Image image_;
  std::vector<uint8_t> line_;
};

}  // namespace

ImageSize jpeg_size(const EncodedImage& file) { return JpegDecoder(file).size(); }

Image decode_jpeg(const EncodedImage& file, AlphaMode alpha) {
  return with_alpha_mode(JpegDecoder(file).decode(), alpha);
}

}  // namespace loraptor::io
