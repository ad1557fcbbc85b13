// JPEG files for previews, written by libjpeg-turbo.
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <jpeglib.h>

#include "base/error.h"
#include "io/image.h"

namespace loraptor::io {

std::vector<uint8_t> encode_jpeg(const Image& image, int quality) {
  // libjpeg's own error handler ends the program; with a picture of legal size only a lack of memory gets there.
  LORAPTOR_ASSERT(image.width > 0 && image.height > 0 && image.width <= JPEG_MAX_DIMENSION &&
                  image.height <= JPEG_MAX_DIMENSION);
  jpeg_compress_struct cinfo{};
  jpeg_error_mgr errors{};
  cinfo.err = jpeg_std_error(&errors);
  jpeg_create_compress(&cinfo);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&cinfo, &bytes, &size);
  cinfo.image_width = static_cast<JDIMENSION>(image.width);
  cinfo.image_height = static_cast<JDIMENSION>(image.height);
  cinfo.input_components = 3;
  cinfo.in_color_space = JCS_RGB;
  jpeg_set_defaults(&cinfo);
  jpeg_set_quality(&cinfo, quality, TRUE);
  jpeg_start_compress(&cinfo, TRUE);
  std::vector<uint8_t> line(static_cast<size_t>(3 * image.width));
  for (int64_t y = 0; y < image.height; ++y) {
    const uint8_t* from = image.row(y);
    for (int64_t x = 0; x < image.width; ++x, from += image.channels)
      std::copy_n(from, 3, &line[static_cast<size_t>(3 * x)]);
    JSAMPROW row = line.data();
    jpeg_write_scanlines(&cinfo, &row, 1);
  }
  jpeg_finish_compress(&cinfo);
  jpeg_destroy_compress(&cinfo);
  const std::unique_ptr<unsigned char, void (*)(void*)> owner(bytes, std::free);
  return {bytes, bytes + size};
}

}  // namespace loraptor::io
