// Whether text encoders and diffusion transformer belong together.
#pragma once

#include "models/model_files.h"

namespace loraptor::models {

/// Throws FileError, naming file and flag, unless the text encoders that the files hold give the channels that the
/// MMDiT reads: pooled outputs of CLIP-L and CLIP-G side by side [y_embedder], T5 [context_embedder], and CLIP tokens
/// no wider than T5's. Looks at shapes alone; encoders that are in none of the files are passed over.
void check_encoders_fit(const ModelFiles& files);

}  // namespace loraptor::models
