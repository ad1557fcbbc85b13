// Which size counts where an image and its latent cache tell different ones.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/bucket.h"
#include "data/scanned_image.h"

namespace loraptor::data {

/// Sizes as the headers of images say, by path.
using HeaderSizes = std::map<std::string, Size>;

/// Goes through images that got their size from the name of a latent cache although their header says another. Where
/// loraptor_cache.json shows that the image was changed after the cache was made, the header counts from now on, which
/// is logged. Else the name does, as in the reference: the cache may be another program's, to be used as it is. Returns
/// the paths of these: an image that is encoded nevertheless is squeezed.
///   headers   of such images
std::vector<std::string> choose_sizes(const HeaderSizes& headers, std::vector<ScannedImage>& images);

}  // namespace loraptor::data
