#include "train/training_images.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "io/image.h"
#include "pipeline/dataset_report_preview.h"
#include "report/data_url.h"

namespace loraptor::train {
namespace {

constexpr int64_t kLongestSide = 320;  // px of an embedded image, shown about half as large
constexpr int kJpegQuality = 80;
constexpr size_t kImagesShown = 24;

}  // namespace

report::PageImage page_image(const data::Dataset& dataset, const data::ImageEntry& image) {
  report::PageImage shown;
  shown.name = std::filesystem::path(image.path).filename().string();
  shown.caption = image.caption;
  try {
    const io::Image small = pipeline::preview(dataset, image, kLongestSide);
    shown.width = small.width;
    shown.height = small.height;
    shown.data_url = report::data_url("image/jpeg", io::encode_jpeg(small, kJpegQuality));
  } catch (const FileError& error) {  // where only headers or caches were read before
    log::warn("not shown: {}", error.what());
  }
  return shown;
}

report::ContactSheet training_images(const data::Dataset& dataset) {
  report::ContactSheet sheet{"Training images", {}, 0};
  for (const auto& image : dataset.images()) {
    if (image.is_regularisation) continue;
    if (sheet.images.size() < kImagesShown) sheet.images.push_back(page_image(dataset, image));
    else ++sheet.left_out;
  }
  std::erase_if(sheet.images, [](const auto& image) { return image.data_url.empty(); });
  return sheet;
}

}  // namespace loraptor::train
