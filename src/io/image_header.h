// What the first bytes of an image file say, without an error message: the fast way for folders of many images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

namespace loraptor::io {

struct ImageHeader {
  int64_t width = 0;  // px, as read_image_size says
  int64_t height = 0;
  bool is_turned = false;  // EXIF orientation other than 1: viewers turn or mirror the picture, read_image does not
};

/// Reads the header out of a file's first bytes.
///   is_whole   the file has no more bytes
/// Returns nothing if those bytes do not suffice or are wrong: read_image_header then says more.
/// Orientation is looked for in JPEG files and in PNG files before the picture; a WebP file that has EXIF data gives
/// nothing unless it is whole, for they lie at its end.
std::optional<ImageHeader> header_in(std::span<const uint8_t> start, bool is_whole);

/// The header of a file of any kind that read_image reads. Throws FileError.
ImageHeader read_image_header(const std::filesystem::path& path);

}  // namespace loraptor::io
