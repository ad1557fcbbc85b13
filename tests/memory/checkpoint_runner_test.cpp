// Recomputing blocks gives bit for bit what keeping everything gives.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "memory/block_runner.h"

namespace loraptor::memory {
namespace {

struct Block {
  at::Tensor weight, down, up;  // frozen [D,D], trained [r,D] and [D,r]
};

Block make_block(int64_t width) {
  return {at::randn({width, width}) / 8, at::randn({3, width}).requires_grad_(),
          at::randn({width, 3}).requires_grad_()};
}

// Two streams that see each other, like text and image tokens.
std::vector<at::Tensor> compute(const Block& block, const std::vector<at::Tensor>& in) {
  const auto linear = [&block](const at::Tensor& x) {
    return at::linear(x, block.weight) + at::linear(at::linear(x, block.down), block.up);
  };
  const auto mixed = at::tanh(linear(at::cat({in[0], in[1]}, 0)));
  return {in[0] + mixed.slice(0, 0, in[0].size(0)), in[1] * mixed.slice(0, in[0].size(0))};
}

struct Result {
  at::Tensor loss;
  std::vector<at::Tensor> gradients;
};

Result train_once(BlockRunner& runner, const std::vector<Block>& blocks, std::vector<at::Tensor> streams,
                  const std::vector<at::Tensor>& inputs, bool use_both) {
  std::vector<at::Tensor> trained = inputs;
  for (const auto& block : blocks) {
    streams = runner.run({0, [&block](const auto& in) { return compute(block, in); }, streams, {block.down, block.up}});
    trained.insert(trained.end(), {block.down, block.up});
  }
  auto loss = streams[0].square().mean();
  if (use_both) loss = loss + streams[1].sin().sum();
  return {loss, torch::autograd::grad({loss}, trained)};
}

void expect_same(const Result& a, const Result& b) {
  EXPECT_TRUE(at::equal(a.loss, b.loss));
  ASSERT_EQ(a.gradients.size(), b.gradients.size());
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(a.gradients[i], b.gradients[i])) << "gradient " << i;
    EXPECT_GT(a.gradients[i].abs().max().item<float>(), 0.0f) << "gradient " << i;
  }
}

std::vector<Block> make_blocks() { return {make_block(16), make_block(16), make_block(16)}; }

TEST(CheckpointRunner, equals_the_plain_runner_though_no_input_needs_gradients) {
  const auto blocks = make_blocks();
  const std::vector<at::Tensor> streams{at::randn({5, 16}), at::randn({7, 16})};
  PlainRunner plain;
  CheckpointRunner checkpointing;
  expect_same(train_once(plain, blocks, streams, {}, true), train_once(checkpointing, blocks, streams, {}, true));
}

TEST(CheckpointRunner, equals_the_plain_runner_with_inputs_that_need_gradients) {
  const auto blocks = make_blocks();
  const std::vector<at::Tensor> streams{at::randn({5, 16}).requires_grad_(), at::randn({7, 16}).requires_grad_()};
  PlainRunner plain;
  CheckpointRunner checkpointing;
  expect_same(train_once(plain, blocks, streams, streams, true),
              train_once(checkpointing, blocks, streams, streams, true));
}

TEST(CheckpointRunner, inputs_kept_in_host_memory_change_nothing) {
  const auto blocks = make_blocks();
  const std::vector<at::Tensor> streams{at::randn({5, 16}).requires_grad_(), at::randn({7, 16}).requires_grad_()};
  PlainRunner plain;
  CheckpointRunner offloading(KeepInputs::in_host_memory);
  expect_same(train_once(plain, blocks, streams, streams, true),
              train_once(offloading, blocks, streams, streams, true));
}

TEST(CheckpointRunner, an_output_that_nobody_uses_is_no_obstacle) {
  const auto blocks = make_blocks();
  const std::vector<at::Tensor> streams{at::randn({5, 16}), at::randn({7, 16})};
  PlainRunner plain;
  CheckpointRunner checkpointing;
  expect_same(train_once(plain, blocks, streams, {}, false), train_once(checkpointing, blocks, streams, {}, false));
}

TEST(CheckpointRunner, keeps_no_graph_of_the_block) {
  const auto block = make_block(16);
  int calls = 0;
  CheckpointRunner runner;
  const auto out = runner.run({0,
                               [&](const auto& in) {
                                 ++calls;
                                 const auto result = compute(block, in);
                                 EXPECT_EQ(result[0].requires_grad(), calls == 2);
                                 return result;
                               },
                               {at::randn({5, 16}), at::randn({7, 16})},
                               {block.down, block.up}});
  EXPECT_TRUE(out[0].requires_grad());
  out[0].sum().backward();
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(block.down.grad().defined());
}

TEST(CheckpointRunner, runs_once_where_no_gradients_are_wanted) {
  const auto block = make_block(16);
  at::NoGradGuard no_grad;
  CheckpointRunner runner;
  const auto out = runner.run({0,
                               [&block](const auto& in) { return compute(block, in); },
                               {at::randn({5, 16}), at::randn({7, 16})},
                               {block.down, block.up}});
  EXPECT_FALSE(out[0].requires_grad());
}

}  // namespace
}  // namespace loraptor::memory
