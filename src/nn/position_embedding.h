// Tables of two-dimensional sine/cosine positions, and the windows that are cut from them.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace loraptor::nn {

/// Upper left corner of a window in a position table, in patches.
struct PositionCrop {
  int64_t top = 0;
  int64_t left = 0;
};

/// A window of `rows` x `columns` cells of a square table.
///   table   [side*side,D] or [1,side*side,D], row-major, any float dtype, any device
///   crop    its corner; centred (rounded towards the corner) if absent
/// Returns float32 [1,rows*columns,D] on the device of the table.
/// Throws UsageError if the window does not fit into the table.
/// Ref: sd-scripts@48d368f library/sd3_models.py:MMDiT.cropped_pos_embed.
at::Tensor position_window(const at::Tensor& table, int64_t rows, int64_t columns,
                           std::optional<PositionCrop> crop = std::nullopt);

/// Tables made for the resolutions of a data set, so that positions of every resolution span the same 16 units
/// (`--enable_scaled_pos_embed`).
/// Ref: sd-scripts@48d368f library/sd3_models.py:MMDiT.enable_scaled_pos_embed, cropped_scaled_pos_embed.
class ScaledPositions {
 public:
  /// One table: positions of a grid of 1.5 q cells a side, the middle q of which span 0..16.
  struct Table {
    int64_t q;
    int64_t side;
    at::Tensor values;  // float32 [1,side*side,D]
  };

  /// One table for each distinct size of these resolutions.
  ///   resolutions_px   (width, height) of each data set, not empty
  ///   width            D of the model, divisible by 4
  ScaledPositions(const std::vector<std::pair<int64_t, int64_t>>& resolutions_px, int64_t width);

  /// The table for a window: the first whose area limit holds it. If the window is longer than that table, a table of
  /// its own is made and kept, with a warning; it takes part in later lookups.
  const Table& table_for(int64_t rows, int64_t columns);

  /// The window from the table for it; float32 [1,rows*columns,D] on the CPU.
  at::Tensor window(int64_t rows, int64_t columns, std::optional<PositionCrop> crop = std::nullopt);

  /// Largest window area in patches -> table, ascending.
  const std::map<int64_t, Table>& tables() const { return tables_; }

 private:
  Table make_table(int64_t q) const;

  int64_t width_;
  std::map<int64_t, Table> tables_;
};

}  // namespace loraptor::nn
