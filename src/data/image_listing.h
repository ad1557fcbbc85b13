// Which images a folder holds, and how large they are.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/bucket.h"

namespace loraptor::data {

/// Paths of the images directly in `folder`, sorted: folder joined with the name. Extensions .png .jpg .jpeg .webp
/// .bmp .avif .jxl, all lower or all upper case; names that begin with a dot are left out. Source: sd-scripts@48d368f
/// library/train_util.py:glob_images.
std::vector<std::string> list_images(const std::string& folder);

/// Finds the size of images as the reference's caches see it: from the name of an existing latent cache
/// (<stem>_<width>x<height>_sd3.npz beside the image), else from the file's header. Lists each folder once.
class SizeFinder {
 public:
  /// Throws FileError if the header cannot be read.
  Size size_of(const std::string& image_path);

 private:
  std::map<std::string, std::multimap<std::string, Size>> folders_;  // folder -> stem -> sizes of its caches
};

}  // namespace loraptor::data
