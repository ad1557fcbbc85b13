#include "pipeline/dataset_report_preview.h"

#include <algorithm>

#include "data/batch.h"
#include "data/image_transform.h"
#include "io/image_resize.h"

namespace loraptor::pipeline {

io::Image preview(const data::Dataset& dataset, const data::ImageEntry& image, int64_t longest_side) {
  data::BatchPlan plan;
  plan.dataset = image.dataset;
  plan.bucket_width = image.geometry.bucket.width;
  plan.bucket_height = image.geometry.bucket.height;
  plan.images = {image.index};
  plan.occurrences = {image.first_occurrence};
  const data::Batch batch = data::load_batch(dataset, plan, 1, 0, true);
  const io::Image cut = data::tensor_to_image(batch.pixels[0]);
  const int64_t side = std::max(cut.width, cut.height);
  if (side <= longest_side) return cut;
  return io::resize_image(cut, std::max<int64_t>(1, cut.width * longest_side / side),
                          std::max<int64_t>(1, cut.height * longest_side / side), io::Interpolation::area);
}

}  // namespace loraptor::pipeline
