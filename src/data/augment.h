// Random changes to an image: where it is cut, and its colours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "data/bucket.h"
#include "data/image_transform.h"
#include "data/python_random.h"
#include "io/image.h"

namespace loraptor::data {

/// Resize as `choice` says, then cut at a random place: the left edge is drawn first, then the top, each only if there
/// is something to cut.
/// Source: sd-scripts@48d368f library/train_util.py:trim_and_resize_if_required.
ResizeCrop random_crop(const BucketChoice& choice, PythonRandom& random);

/// Cuts `target` at a random place of the image without resizing; the top edge is drawn first. `image` covers `target`.
/// Source: sd-scripts@48d368f library/train_util.py:BaseDataset.__getitem__ (without buckets).
ResizeCrop random_crop_unresized(const Size& image, const Size& target, PythonRandom& random);

/// Centre and size of a face, px.
struct FaceBox {
  int64_t centre_x = 0, centre_y = 0, width = 0, height = 0;
};

/// The face that a face detector wrote into the file name, <name>_<cx>_<cy>_<width>_<height>; nullopt without one.
std::optional<FaceBox> face_in_name(const std::string& stem);

struct FaceCropConfig {
  std::pair<double, double> range{2, 4};  // target side divided by face side, lowest and highest
  bool random_crop = false;               // anywhere, instead of near the face
};

/// Resizes and cuts around a face; `image` covers `target`. An image of the target's size stays as it is, without
/// draws. Source: sd-scripts@48d368f library/train_util.py:BaseDataset.crop_target.
ResizeCrop crop_around_face(const Size& image, const FaceBox& face, const Size& target, const FaceCropConfig& config,
                            PythonRandom& random);

/// With probability 0.33 turns the hue by up to 8/180 of the circle or raises the values to a power near 1. Alpha
/// stays. Source: sd-scripts@48d368f library/train_util.py:AugHelper.color_aug.
void change_colours(io::Image& image, PythonRandom& random);

}  // namespace loraptor::data
