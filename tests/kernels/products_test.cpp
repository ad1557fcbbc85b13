// Products with narrow and with whole matrices, and the tiles of the loops that make products themselves.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/narrow_product.h"
#include "kernels/register_tile.h"
#include "kernels/wide_product.h"
#include "support/thread_count.h"

namespace loraptor::kernels {
namespace {

/// The greatest difference over the norm of what a sum in float64 gives.
double error_of(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want).abs().max() / want.norm()).item<double>();
}

TEST(NarrowProduct, equals_products_in_float64) {
  for (const int64_t rows : {1, 3, 4, 7, 8, 16, 17}) {
    for (const auto& [count, width] :
         {std::pair<int64_t, int64_t>{1, 256}, {333, 1024}, {5, 7}, {60, 50}, {1000, 17}}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, " << count << " x " << width);
      const auto wide = at::randn({count, 2 * width}).narrow(1, width, width);  // a part of a fused projection
      const auto narrow = at::randn({rows, width}), factors = at::randn({2 * rows, count}).narrow(0, rows, rows);
      const auto x = wide.to(at::kDouble), a = narrow.to(at::kDouble), h = factors.to(at::kDouble);
      EXPECT_LT(error_of(narrow_dots(narrow, wide), a.mm(x.t())), 1e-6);
      EXPECT_LT(error_of(narrow_sums(factors, wide), h.mm(x)), 1e-6);
      EXPECT_LT(error_of(narrow_sums(factors, wide, 0.5), h.mm(x) * 0.5), 1e-6);
      const auto tall = at::randn({width, 2 * rows}).narrow(1, rows, rows);
      EXPECT_TRUE(narrow_transposed(tall, 0.5).equal(tall.t() * 0.5));
      EXPECT_TRUE(narrow_transposed(tall).is_contiguous());
      add_narrow(wide, factors, narrow, 0.5);
      EXPECT_LT(error_of(wide, x + h.t().mm(a) * 0.5), 1e-6);
    }
  }
}

TEST(NarrowProduct, sums_over_a_matrix_that_no_cache_holds_are_right_too) {
  const auto wide = at::randn({3000, 1500}), factors = at::randn({2, 3000});
  EXPECT_LT(error_of(narrow_sums(factors, wide, 0.5), factors.to(at::kDouble).mm(wide.to(at::kDouble)) * 0.5), 1e-6);
}

TEST(NarrowProduct, does_not_depend_on_the_number_of_threads) {
  const auto wide = at::randn({500, 300}), narrow = at::randn({4, 300}), factors = at::randn({4, 500});
  const auto results = [&](int threads) {
    const test::ThreadCount setting(threads);
    const auto y = wide.clone();
    add_narrow(y, factors, narrow, 2);
    return std::vector<at::Tensor>{narrow_dots(narrow, wide), narrow_sums(factors, wide), y};
  };
  const auto one = results(1), two = results(2);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(two[i])) << i;
}

TEST(WideProduct, equals_products_in_float64) {
  for (const int threads : {1, 2, 5}) {
    const test::ThreadCount setting(threads);
    for (const int64_t columns : {1, 63, 255, 256, 270, 1000}) {
      SCOPED_TRACE(::testing::Message() << threads << " threads, " << columns << " columns");
      const auto a = at::randn({21, 40}), weight = at::randn({columns, 40}), bias = at::randn({columns});
      const auto exact = a.to(at::kDouble).mm(weight.t().to(at::kDouble));
      EXPECT_LT(error_of(wide_product({}, a, weight.t()), exact), 1e-6);
      EXPECT_LT(error_of(wide_product({}, a, weight.t().contiguous()), exact), 1e-6);
      EXPECT_LT(error_of(wide_product(bias, a, weight.t()), exact + bias.to(at::kDouble)), 1e-6);
      // Into a part of a wider result, and onto what is there.
      const auto wider = at::zeros({21, columns + 6});
      const auto part = wider.narrow(1, 3, columns);
      wide_product(part, {}, a, weight.t());
      wide_product(part, part, a, weight.t());
      EXPECT_LT(error_of(part, 2 * exact), 1e-6);
      EXPECT_EQ(wider.narrow(1, 0, 3).count_nonzero().item<int64_t>(), 0);
      EXPECT_EQ(wider.narrow(1, columns + 3, 3).count_nonzero().item<int64_t>(), 0);
    }
  }
}

TEST(WideProduct, takes_every_dtype_and_no_rows) {
  const test::ThreadCount setting(2);
  const auto a = at::randn({9, 32}, at::kDouble), b = at::randn({32, 256}, at::kDouble);
  EXPECT_TRUE(at::equal(wide_product({}, a, b), a.mm(b)));
  const auto half = wide_product({}, a.to(at::kBFloat16), b.to(at::kBFloat16));
  EXPECT_EQ(half.scalar_type(), at::kBFloat16);
  EXPECT_EQ(wide_product({}, at::empty({0, 32}), at::empty({32, 256})).sizes(), (std::vector<int64_t>{0, 256}));
}

/// a b (+ c) by tiles of one width, against plain sums.
template <int kLanes>
void check_tiles() {
  constexpr int64_t kColumns = cpu::kTileColumns<kLanes>;
  for (int64_t rows = 0; rows <= 14; ++rows) {
    SCOPED_TRACE(::testing::Message() << kLanes << " lanes, " << rows << " rows");
    const int64_t depth = 5, columns = kColumns - 3;  // a panel with columns that are not there
    const auto a = at::randn({rows, depth}), b = at::randn({depth, columns}), c = at::randn({rows, kColumns + 1});
    const cpu::Rows b_rows{b.const_data_ptr<float>(), columns, depth, columns};
    const auto flipped = b.t().contiguous();
    const cpu::Rows flipped_rows{flipped.const_data_ptr<float>(), depth, columns, depth};
    std::vector<float> panel(depth * kColumns, NAN), same = panel;
    cpu::pack_panel<kLanes>(b_rows, 0, panel.data());
    cpu::pack_transposed_panel<kLanes>(flipped_rows, 0, 1, same.data());
    EXPECT_EQ(panel, same);
    const auto want = at::cat({a.mm(b), at::zeros({rows, 3})}, 1);
    auto got = c.clone();
    const cpu::LeftFactor by_rows{a.const_data_ptr<float>(), depth, 1};
    const auto turned = a.t().contiguous();
    const cpu::LeftFactor by_columns{turned.const_data_ptr<float>(), 1, rows};
    cpu::multiply_panel<kLanes, false>(by_rows, panel.data(), depth, got.mutable_data_ptr<float>(), kColumns + 1, rows);
    EXPECT_TRUE(at::allclose(got.narrow(1, 0, kColumns), want, 1e-5, 1e-6));
    cpu::multiply_panel<kLanes, true>(by_columns, panel.data(), depth, got.mutable_data_ptr<float>(), kColumns + 1,
                                      rows);
    EXPECT_TRUE(at::allclose(got.narrow(1, 0, kColumns), 2 * want, 1e-5, 1e-6));
    EXPECT_TRUE(at::equal(got.select(1, kColumns), c.select(1, kColumns)));
  }
}

TEST(RegisterTile, multiplies_in_every_width) {
  check_tiles<8>();
  check_tiles<16>();
}

}  // namespace
}  // namespace loraptor::kernels
