// Which images a folder holds, and how large they are.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/bucket.h"
#include "data/size_choice.h"

namespace loraptor::data {

/// The size in the name of a latent cache, <stem>_<width>x<height>_sd3.npz.
struct CachedSize {
  std::string_view stem;  // of the image
  Size size;
};

/// The files directly in a folder, listed once. The names live as long as the listing.
struct FolderListing {
  std::vector<std::string_view> images;  // names of images, sorted; a zero byte follows each
  std::vector<uint32_t> places;          // of each, in the order in which `on_images` was told of them
  std::vector<CachedSize> cached_sizes;  // sorted by stem, then size
  bool is_plain = true;  // all entries say what they are, none is a link: what they are cannot change from afar
  std::vector<std::unique_ptr<char[]>> texts{};  // what the names are part of

  /// The size of an image as the reference's caches see it.
  ///   name     file name of the image
  ///   header   what the file itself says
  ///   place    in cached_sizes, where the search begins and ends: short for names in about their order
  Size size_with_caches(std::string_view name, const Size& header, size_t& place) const;
};

/// Is told the names of some thousands of images at a time, ordered about as the disk has the files.
using NamesFound = std::function<void(std::span<const std::string_view> names)>;

/// Lists a folder; an empty path is the working folder. Images are files with extension .png .jpg .jpeg .webp .bmp
/// .avif .jxl, all lower or all upper case; names that begin with a dot are left out. Throws FileError if it cannot be
/// listed. Source: sd-scripts@48d368f library/train_util.py:glob_images.
///   on_images   if given, gets the images while the listing goes on
FolderListing list_folder(const std::string& folder, const NamesFound& on_images = {});

/// Paths of the images directly in `folder`, sorted: folder joined with the name.
std::vector<std::string> list_images(const std::string& folder);

/// Sorts names by their bytes and returns where each was before. Fast for many names that begin alike.
std::vector<uint32_t> sort_names(std::vector<std::string_view>& names);

/// Width and height from the file's header. Throws FileError.
Size header_size(const std::string& path);

/// Finds the size of images as the reference's caches see it: from the name of an existing latent cache
/// (<stem>_<width>x<height>_sd3.npz beside the image), else from the file's header. Lists each folder once.
class SizeFinder {
 public:
  /// Throws FileError if the header cannot be read.
  Size size_of(const std::string& image_path);

  /// Headers of the images for which size_of said something else.
  const HeaderSizes& other_headers() const { return other_headers_; }

 private:
  std::unordered_map<std::string, FolderListing> folders_;
  HeaderSizes other_headers_;
};

}  // namespace loraptor::data
