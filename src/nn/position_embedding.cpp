#include "nn/position_embedding.h"

#include <cmath>
#include <set>

#include "base/error.h"
#include "base/log.h"

namespace loraptor::nn {
namespace {

constexpr double kCentralSpan = 16;  // the middle of every scaled table runs over 0..16

// sin and cos of coordinate times frequency: [n] -> float64 [n,channels].
at::Tensor one_axis(const at::Tensor& coordinates, int64_t channels) {
  const int64_t half = channels / 2;
  const auto exponent = at::arange(half, at::kDouble) / static_cast<double>(half);
  const auto omega = 1.0 / at::pow(10000.0, exponent);
  const auto angles = at::outer(coordinates.to(at::kDouble), omega);
  return at::cat({angles.sin(), angles.cos()}, 1);
}

}  // namespace

at::Tensor position_window(const at::Tensor& table, int64_t rows, int64_t columns, std::optional<PositionCrop> crop) {
  const int64_t width = table.size(-1), cells = table.numel() / width;
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(cells))));
  LORAPTOR_ASSERT(side * side == cells);
  if (rows > side || columns > side) {
    throw UsageError(fmt::format(
        "[position table] image size in patches (16 px): got {} x {}, expected at most {} x {}.\nHint: train at a "
        "smaller resolution or max_bucket_reso, or give --enable_scaled_pos_embed.",
        columns, rows, side, side));
  }
  const PositionCrop corner = crop.value_or(PositionCrop{(side - rows) / 2, (side - columns) / 2});
  if (corner.top < 0 || corner.left < 0 || corner.top + rows > side || corner.left + columns > side) {
    throw UsageError(
        fmt::format("[position table] corner of a window of {} x {} patches: got column {}, row {}, "
                    "expected the window inside the table of {} x {}.",
                    columns, rows, corner.left, corner.top, side, side));
  }
  return table.reshape({side, side, width})
      .slice(0, corner.top, corner.top + rows)
      .slice(1, corner.left, corner.left + columns)
      .to(at::kFloat)
      .reshape({1, rows * columns, width});
}

ScaledPositions::ScaledPositions(const std::vector<std::pair<int64_t, int64_t>>& resolutions_px, int64_t width)
    : width_(width) {
  LORAPTOR_ASSERT(!resolutions_px.empty() && width % 4 == 0);
  std::set<int64_t> sizes;  // latent cells a side of a square of the same area
  for (const auto& [w, h] : resolutions_px) {
    sizes.insert(static_cast<int64_t>(std::nearbyint(std::sqrt(static_cast<double>(w * h)))) / 8);
  }
  std::vector<int64_t> sides;
  for (int64_t size : sizes) sides.push_back(size / 2);
  for (size_t i = 0; i < sides.size(); ++i) {
    const double longest = 1.5 * static_cast<double>(sides[i]);
    const int64_t limit = i + 1 < sides.size() ? (sides[i] * sides[i] + sides[i + 1] * sides[i + 1]) / 2
                                               : static_cast<int64_t>(longest * longest);
    tables_[limit] = make_table(sides[i]);
  }
}

ScaledPositions::Table ScaledPositions::make_table(int64_t q) const {
  const auto side = static_cast<int64_t>(1.5 * static_cast<double>(q));
  // Coordinates are float32 in the reference; for q that is no power of two this is seen in the sixth digit.
  const auto steps = at::arange(side, at::kFloat) - static_cast<double>(side - q) / 2;
  const auto axis = one_axis(steps * (kCentralSpan / static_cast<double>(q)), width_ / 2).to(at::kFloat);  // [side,D/2]
  const auto columns = axis.unsqueeze(0).expand({side, side, width_ / 2});
  const auto rows = axis.unsqueeze(1).expand({side, side, width_ / 2});
  return {q, side, at::cat({columns, rows}, 2).reshape({1, side * side, width_})};
}

const ScaledPositions::Table& ScaledPositions::table_for(int64_t rows, int64_t columns) {
  auto found = tables_.lower_bound(rows * columns);
  if (found == tables_.end()) found = std::prev(tables_.end());
  if (std::max(rows, columns) <= found->second.side) return found->second;
  log::warn(
      "[position table] no scaled table holds a window of {} x {} patches (the nearest has {} a side): making one.",
      columns, rows, found->second.side);
  Table made = make_table(std::max(rows, columns));
  const int64_t limit = made.side * made.side;
  return tables_.insert_or_assign(limit, std::move(made)).first->second;
}

at::Tensor ScaledPositions::window(int64_t rows, int64_t columns, std::optional<PositionCrop> crop) {
  return position_window(table_for(rows, columns).values, rows, columns, crop);
}

}  // namespace loraptor::nn
