#include "nn/patch_embed.h"

#include "base/error.h"

namespace loraptor::nn {

at::Tensor patchify(const at::Tensor& image, int64_t patch) {
  const int64_t batch = image.size(0), channels = image.size(1), rows = image.size(2) / patch,
                columns = image.size(3) / patch;
  LORAPTOR_ASSERT(rows * patch == image.size(2) && columns * patch == image.size(3));
  return image.reshape({batch, channels, rows, patch, columns, patch})
      .permute({0, 2, 4, 1, 3, 5})  // [B,C,h,p,w,p] -> [B,h,w,C,p,p]
      .reshape({batch, rows * columns, channels * patch * patch});
}

at::Tensor unpatchify(const at::Tensor& tokens, int64_t patch, int64_t height, int64_t width) {
  const int64_t batch = tokens.size(0), rows = height / patch, columns = width / patch,
                channels = tokens.size(2) / (patch * patch);
  LORAPTOR_ASSERT(rows * columns == tokens.size(1));
  return tokens.reshape({batch, rows, columns, patch, patch, channels})
      .permute({0, 5, 1, 3, 2, 4})  // [B,h,w,p,p,C] -> [B,C,h,p,w,p]
      .reshape({batch, channels, height, width});
}

}  // namespace loraptor::nn
