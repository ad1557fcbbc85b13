// Training images as a page shows them.
#pragma once

#include "data/dataset.h"
#include "report/contact_sheet.h"

namespace loraptor::train {

/// An image as the first epoch cuts it, small, with its file's name and stored caption. Without data URL, and with a
/// warning, if the file cannot be read.
report::PageImage page_image(const data::Dataset& dataset, const data::ImageEntry& image);

/// The first images of a run, those of regularisation left out.
report::ContactSheet training_images(const data::Dataset& dataset);

}  // namespace loraptor::train
