// How the tensors of each part are called in the files people have.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace loraptor::models {

/// The models of one checkpoint.
enum class Part { mmdit, vae, clip_l, clip_g, t5xxl };

/// "mmdit", "vae", "clip_l", "clip_g", "t5xxl".
std::string part_name(Part part);

/// Where the values of one tensor lie in a file.
struct TensorSource {
  std::vector<std::string> pieces;  // names in the file, put together along the first axis
  bool swap_halves = false;         // the two halves of the first axis change places
  bool pointwise = false;           // a matrix [out,in] that stands for a convolution [out,in,1,1]
};

/// Plain name (as in the original files, without prefix) -> source.
using TensorNames = std::map<std::string, TensorSource>;

/// Whether a name is that of a scale beside an 8-bit weight (`.scale_weight`, `.scale_input`) or of the mark of files
/// that have them (`scaled_fp8`): they belong to the weights (PartReader reads them) and are no tensors of their own.
bool is_scale(const std::string& name);

/// Finds the tensors of a part among the names of a file.
///   embedded   true: the file is the main checkpoint, so encoders must carry their prefix there
/// Known forms: MMDiT with prefix `model.diffusion_model.` or without, or in diffusers' names; VAE with prefix
/// `first_stage_model.` or without, or in diffusers' names; encoders with prefix `text_encoders.<name>.transformer.`,
/// `text_encoders.<name>.`, `transformer.` or none.
/// Returns nullopt if the file does not hold the part. VAE tensors of unknown names are listed too (the VAE is read
/// strictly); in the other parts they are harmless.
/// Ref: sd-scripts@48d368f library/sd3_utils.py:load_vae, load_clip_l, load_clip_g, load_t5xxl.
std::optional<TensorNames> find_part(Part part, const std::vector<std::string>& file_names, bool embedded);

}  // namespace loraptor::models
