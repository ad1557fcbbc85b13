#include "models/encoder_check.h"

#include <fmt/format.h>

#include "base/error.h"
#include "models/sd3_variant.h"

namespace loraptor::models {
namespace {

/// The axis of a matrix; 0 if it is none, which the encoder itself tells when it is read.
int64_t side_of(const PartReader& reader, const std::string& name, size_t axis) {
  if (!reader.has(name)) return 0;
  const auto& shape = reader.shape(name);
  return shape.size() == 2 ? shape[axis] : 0;
}

struct ClipWidths {
  int64_t hidden, pooled;  // channels; 0: unknown
};

ClipWidths clip_widths(const PartReader& clip) {
  const int64_t hidden = side_of(clip, "text_model.embeddings.token_embedding.weight", 1);
  const char* projection = "text_projection.weight";
  return {hidden, clip.has(projection) ? side_of(clip, projection, 0) : hidden};
}

void check_clip(const PartReader& l, const PartReader& g, const Sd3Variant& mmdit, const PartReader& mmdit_part) {
  const auto of_l = clip_widths(l), of_g = clip_widths(g);
  if (of_l.pooled == 0 || of_g.pooled == 0 || of_l.hidden == 0 || of_g.hidden == 0) return;
  const bool fits = of_l.pooled + of_g.pooled == mmdit.pooled_width && of_l.hidden + of_g.hidden <= mmdit.context_width;
  if (fits) return;
  throw FileError(
      l.path(), fmt::format("the CLIP encoders do not fit the diffusion transformer of {}: got pooled widths {} "
                            "(--clip_l) + {} (--clip_g, {}), token widths {} + {}, expected pooled widths that are {} "
                            "together, token widths of at most {} together.\nHint: give the encoders that belong to "
                            "the model.",
                            mmdit_part.path().string(), of_l.pooled, of_g.pooled, g.path().string(), of_l.hidden,
                            of_g.hidden, mmdit.pooled_width, mmdit.context_width));
}

void check_t5(const PartReader& t5, const Sd3Variant& mmdit, const PartReader& mmdit_part) {
  const int64_t width = side_of(t5, "shared.weight", 1);
  if (width == 0 || width == mmdit.context_width) return;
  throw FileError(t5.path(), fmt::format("the T5 encoder (--t5xxl) does not fit the diffusion transformer of {}: got "
                                         "width {}, expected {}.\nHint: SD3 and SD3.5 were trained with T5-XXL (v1.1).",
                                         mmdit_part.path().string(), width, mmdit.context_width));
}

}  // namespace

void check_encoders_fit(const ModelFiles& files) {
  const auto mmdit = files.part(Part::mmdit, {});
  const auto variant = detect_variant(mmdit);
  if (files.has(Part::clip_l) && files.has(Part::clip_g)) {
    check_clip(files.part(Part::clip_l, {}), files.part(Part::clip_g, {}), variant, mmdit);
  }
  if (files.has(Part::t5xxl)) check_t5(files.part(Part::t5xxl, {}), variant, mmdit);
}

}  // namespace loraptor::models
