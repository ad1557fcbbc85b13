// The attention loops against the library's, and what must not change their numbers.
#include "kernels/attention.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "support/thread_count.h"

namespace loraptor::kernels {
namespace {

constexpr int64_t kHeadSize = 64;

struct Sizes {
  int64_t batch, heads, queries, keys, head_size = kHeadSize;
};

std::vector<at::Tensor> operands(const Sizes& n, double scale = 1) {
  return {at::randn({n.batch, n.heads, n.queries, n.head_size}) * scale,
          at::randn({n.batch, n.heads, n.keys, n.head_size}), at::randn({n.batch, n.heads, n.keys, n.head_size})};
}

using Function = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&);

/// The result, and the gradients of sum(result * weights), as float64.
std::vector<at::Tensor> results(Function function, const std::vector<at::Tensor>& in, const at::Tensor& weights) {
  std::vector<at::Tensor> leaves;
  for (const auto& t : in) leaves.push_back(t.detach().requires_grad_());
  const auto out = function(leaves[0], leaves[1], leaves[2]);
  auto all = torch::autograd::grad({(out * weights.to(out.scalar_type())).sum()}, leaves);
  all.push_back(out.detach());
  for (auto& t : all) t = t.to(at::kDouble);
  return all;
}

TEST(GradAttention, is_as_exact_as_the_librarys) {
  // Around the sizes of tiles and of the groups of queries, fewer queries than keys and more, and heads without a loop.
  for (const Sizes& n :
       {Sizes{1, 1, 1, 1}, Sizes{2, 3, 5, 17}, Sizes{1, 2, 48, 64}, Sizes{2, 1, 49, 31}, Sizes{1, 4, 64, 397},
        Sizes{1, 2, 397, 33}, Sizes{1, 1, 13, 3000}, Sizes{2, 2, 20, 20, 32}, Sizes{2, 2, 20, 20, 24}}) {
    SCOPED_TRACE(::testing::Message() << n.batch << " x " << n.heads << " heads of " << n.head_size << ", " << n.queries
                                      << " queries, " << n.keys << " keys");
    const auto in = operands(n);
    const auto weights = at::randn({n.batch, n.queries, n.heads * n.head_size});
    std::vector<at::Tensor> wide;
    for (const auto& t : in) wide.push_back(t.to(at::kDouble));
    const auto exact = results(attention_plain, wide, weights);
    const auto ours = results(attention, in, weights), librarys = results(attention_plain, in, weights);
    for (size_t i = 0; i < exact.size(); ++i) {
      const auto error = [&](const at::Tensor& t) { return (t - exact[i]).abs().max().item<double>(); };
      EXPECT_EQ(ours[i].sizes(), exact[i].sizes());
      EXPECT_LE(error(ours[i]), 2 * error(librarys[i]) + 1e-6) << i;
    }
  }
}

TEST(Attention, a_single_key_leaves_exact_zeros) {
  const Sizes n{2, 3, 5, 1};
  const auto gradients = results(attention, operands(n), at::randn({n.batch, n.queries, n.heads * n.head_size}));
  for (const size_t i : {0, 1}) EXPECT_EQ(gradients[i].count_nonzero().item<int64_t>(), 0) << i;
}

TEST(Attention, takes_operands_whose_tokens_lie_apart) {
  const auto wide = at::randn({2, 10, 3, 4, kHeadSize});  // [B,L,3,h,size], as a fused projection gives them
  const auto part = [&](int64_t i) { return wide.select(2, i).transpose(1, 2); };
  const auto got = attention(part(0), part(1), part(2));
  EXPECT_TRUE(at::allclose(got, attention_plain(part(0), part(1), part(2)), 1e-5, 1e-6));
}

TEST(Attention, takes_a_gradient_of_ones) {
  auto in = operands({1, 2, 7, 9});
  for (auto& t : in) t.requires_grad_();
  const auto got = torch::autograd::grad({attention(in[0], in[1], in[2]).sum()}, in);  // one element, expanded
  const auto want = torch::autograd::grad({attention_plain(in[0], in[1], in[2]).sum()}, in);
  for (size_t i = 0; i < in.size(); ++i) EXPECT_TRUE(at::allclose(got[i], want[i], 1e-4, 1e-5)) << i;
}

TEST(Attention, large_scores_do_not_overflow) {
  const auto in = operands({1, 1, 20, 50}, 1e4);
  const auto got = attention(in[0], in[1], in[2]);
  EXPECT_TRUE(at::isfinite(got).all().item<bool>());
  EXPECT_TRUE(at::allclose(got, attention_plain(in[0], in[1], in[2]), 1e-3, 1e-3));
}

TEST(Attention, what_is_not_a_number_stays_visible) {
  auto in = operands({1, 1, 8, 20});
  in[0][0][0][3][5] = NAN;
  const auto rows = at::isnan(attention(in[0], in[1], in[2])).any(-1)[0];
  EXPECT_TRUE(rows[3].item<bool>());
  EXPECT_EQ(rows.sum().item<int64_t>(), 1);
  in[1][0][0][7][0] = NAN;
  EXPECT_TRUE(at::isnan(attention(in[0], in[1], in[2])).all().item<bool>());
}

TEST(Attention, does_not_depend_on_the_number_of_threads) {
  const auto in = operands({1, 3, 200, 90});
  const auto weights = at::randn({1, 200, 3 * kHeadSize});
  const auto with_threads = [&](int threads) {
    const test::ThreadCount setting(threads);
    return results(attention, in, weights);
  };
  const auto one = with_threads(1), three = with_threads(3);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], three[i])) << i;
}

}  // namespace
}  // namespace loraptor::kernels
