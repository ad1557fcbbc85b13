// Sizes and EXIF orientation from the first bytes of image files.
#include "io/image_header.h"

#include <string_view>

#include "base/error.h"
#include "io/image_codecs.h"
#include "io/mmap_file.h"

namespace loraptor::io {
namespace {

/// Numbers at places of a byte string; outside of it they are 0.
struct ByteView {
  std::span<const uint8_t> bytes;
  bool is_little = false;

  std::string_view text(size_t at, size_t size) const {
    if (at > bytes.size() || size > bytes.size() - at) return {};
    return {reinterpret_cast<const char*>(bytes.data()) + at, size};
  }
  uint32_t number(size_t at, size_t size) const {
    uint32_t value = 0;
    const std::string_view digits = text(at, size);
    for (size_t i = 0; i < digits.size(); ++i) {
      value = value << 8 | static_cast<uint8_t>(digits[is_little ? digits.size() - 1 - i : i]);
    }
    return value;
  }
};

/// Whether the orientation in the first directory of EXIF data (a TIFF file) is one that turns or mirrors.
bool turns(std::span<const uint8_t> tiff) {
  constexpr uint32_t kOrientation = 0x112;
  ByteView view{tiff};
  view.is_little = view.text(0, 2) == "II";
  if (!view.is_little && view.text(0, 2) != "MM") return false;
  const size_t directory = view.number(4, 4);
  const size_t entries = view.number(directory, 2);
  for (size_t i = 0; i < entries && directory + 14 + 12 * i <= tiff.size(); ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (view.number(entry, 2) != kOrientation) continue;
    const uint32_t orientation = view.number(entry + 8, 2);
    return orientation >= 2 && orientation <= 8;
  }
  return false;
}

/// Walks the segments up to the picture; nothing if one is cut off, strange or of a kind that is not decoded.
std::optional<ImageHeader> jpeg_header(std::span<const uint8_t> start) {
  const ByteView view{start};
  ImageHeader header;
  for (size_t at = 2; at + 4 <= start.size();) {
    if (start[at] != 0xff) return std::nullopt;
    const uint8_t kind = start[at + 1];
    const size_t size = view.number(at + 2, 2);
    if (kind < 0xc0 || (kind >= 0xd0 && kind <= 0xd9) || kind == 0xff || size < 2) return std::nullopt;
    if (kind == 0xda) return header.width > 0 && header.height > 0 ? std::optional(header) : std::nullopt;
    const size_t end = at + 2 + size;
    if (end > start.size()) return std::nullopt;
    const bool is_frame = kind >= 0xc0 && kind <= 0xcf && kind != 0xc4 && kind != 0xc8 && kind != 0xcc;
    if (is_frame) {
      const uint8_t components = size >= 8 ? start[at + 9] : 0;
      const bool is_known = components == 1 || components == 3 || components == 4;
      if (kind > 0xc2 || !is_known || start[at + 4] != 8 || header.width != 0) return std::nullopt;
      header.height = view.number(at + 5, 2);
      header.width = view.number(at + 7, 2);
    }
    constexpr std::string_view kExif("Exif\0\0", 6);
    if (kind == 0xe1 && size > 8 && view.text(at + 4, 6) == kExif) {
      header.is_turned = header.is_turned || turns(start.subspan(at + 10, size - 8));
    }
    at = end;
  }
  return std::nullopt;
}

bool png_turns(std::span<const uint8_t> start) {
  const ByteView view{start};
  for (size_t at = 8; at + 12 <= start.size();) {
    const size_t size = view.number(at, 4);
    const std::string_view kind = view.text(at + 4, 4);
    if (kind == "IDAT" || size > start.size() - at - 12) return false;
    if (kind == "eXIf") return turns(start.subspan(at + 8, size));
    at += 12 + size;
  }
  return false;
}

bool webp_has_exif(std::span<const uint8_t> start) {
  constexpr uint8_t kExifFlag = 0x08;
  return ByteView{start}.text(12, 4) == "VP8X" && start.size() > 20 && (start[20] & kExifFlag) != 0;
}

bool webp_turns(std::span<const uint8_t> file) {
  const ByteView view{file, true};
  for (size_t at = 12; at + 8 <= file.size();) {
    const size_t size = view.number(at + 4, 4);
    if (size > file.size() - at - 8) return false;
    if (view.text(at, 4) == "EXIF") {
      const auto data = file.subspan(at + 8, size);
      // Some writers put the marker of JPEG files in front.
      return turns(view.text(at + 8, 4) == "Exif" && size > 6 ? data.subspan(6) : data);
    }
    at += 8 + size + size % 2;
  }
  return false;
}

}  // namespace

std::optional<ImageHeader> header_in(std::span<const uint8_t> start, bool is_whole) {
  static const std::filesystem::path kNoName;
  const ByteView view{start};
  const EncodedImage file{kNoName, start.data(), start.size()};
  if (view.text(0, 3) == "\xff\xd8\xff") return jpeg_header(start);
  try {
    if (view.text(0, 8) == "\x89PNG\r\n\x1a\n") {
      const auto [width, height] = png_size(file);
      return ImageHeader{width, height, png_turns(start)};
    }
    if (view.text(0, 4) == "RIFF" && view.text(8, 4) == "WEBP") {
      const bool has_exif = webp_has_exif(start);
      if (has_exif && !is_whole) return std::nullopt;
      const auto [width, height] = webp_size(file);
      return ImageHeader{width, height, has_exif && webp_turns(start)};
    }
  } catch (const FileError&) {  // too short or wrong
  }
  return std::nullopt;
}

ImageHeader read_image_header(const std::filesystem::path& path) {
  const auto [width, height] = read_image_size(path);
  const auto bytes = FileBytes::open(path, true);
  const auto header = header_in({bytes->data(), bytes->size()}, true);
  return {width, height, header && header->is_turned};
}

}  // namespace loraptor::io
