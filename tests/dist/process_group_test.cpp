// What processes do together; here each is a thread.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "dist/launcher.h"
#include "dist/process_group.h"

namespace loraptor::dist {
namespace {

/// Runs `work` for each of `count` processes.
void together(int64_t count, const std::function<void(ProcessGroup&)>& work) {
  const int64_t port = free_port();
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < count; ++rank) {
    threads.emplace_back([=, &work] {
      ProcessGroup group({.rank = rank, .size = count, .master_address = "127.0.0.1", .master_port = port}, at::kCPU);
      work(group);
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(ProcessGroup, of_one_leaves_everything_as_it_is) {
  ProcessGroup group;
  const auto tensor = at::randn({5});
  const auto before = tensor.clone();
  group.sum(tensor);
  group.barrier();
  EXPECT_TRUE(at::equal(tensor, before));
  EXPECT_TRUE(group.is_main());
  EXPECT_EQ(group.gather("a"), std::vector<std::string>{"a"});
}

TEST(ProcessGroup, sums_are_right_and_the_same_everywhere) {
  std::vector<at::Tensor> parts;
  for (int i = 0; i < 3; ++i) parts.push_back(at::randn({1000, 7}));
  for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    std::vector<at::Tensor> sums(3);
    together(3, [&](ProcessGroup& group) {
      const auto rank = static_cast<size_t>(group.rank());
      sums[rank] = parts[rank].to(dtype, /*non_blocking=*/false, /*copy=*/true);
      group.sum(sums[rank]);
    });
    const auto want =
        (parts[0].to(dtype).to(at::kDouble) + parts[1].to(dtype).to(at::kDouble) + parts[2].to(dtype).to(at::kDouble));
    const double tolerance = dtype == at::kDouble  ? 1e-12
                             : dtype == at::kFloat ? 1e-6
                             : dtype == at::kHalf  ? 4e-3
                                                   : 4e-2;
    EXPECT_LT((sums[0].to(at::kDouble) - want).abs().max().item<double>(), tolerance);
    for (const auto& sum : sums) {
      EXPECT_EQ(sum.scalar_type(), dtype);
      EXPECT_TRUE(at::equal(sum, sums[0]));
    }
  }
}

TEST(ProcessGroup, texts_come_by_rank_round_after_round) {
  together(3, [](ProcessGroup& group) {
    for (const char* round : {"a", "", "c"}) {
      const auto texts = group.gather(round + std::to_string(group.rank()));
      EXPECT_EQ(texts, (std::vector<std::string>{round + std::string("0"), round + std::string("1"),
                                                 round + std::string("2")}));
    }
    EXPECT_EQ(group.from_main(group.is_main() ? "yes" : "no"), "yes");
    EXPECT_EQ(group.numbers(0.1 * static_cast<double>(group.rank())), (std::vector<double>{0, 0.1, 0.1 * 2}));
    EXPECT_TRUE(group.any(group.rank() == 2));
    EXPECT_FALSE(group.any(false));
  });
}

TEST(ProcessGroup, waits_for_one_that_takes_its_time) {
  together(2, [](ProcessGroup& group) {
    const auto tensor = at::ones({3});
    if (group.rank() == 1) std::this_thread::sleep_for(std::chrono::seconds(2));
    EXPECT_NO_THROW(group.sum(tensor));
    EXPECT_EQ(tensor.sum().item<float>(), 6);
    group.barrier();
  });
}

/// Runs three processes, one of which leaves while the others want its sum.
void expect_lost(int64_t leaver, int64_t heir) {
  const auto begin = std::chrono::steady_clock::now();
  together(3, [&](ProcessGroup& group) {
    group.barrier();
    if (group.rank() == leaver) return;
    try {
      group.sum(at::ones({100000}));
      ADD_FAILURE() << "process " << group.rank() << " waited for nobody";
    } catch (const LostProcess& lost) {
      EXPECT_NE(std::string(lost.what()).find("process " + std::to_string(leaver) + " of 3"), std::string::npos)
          << lost.what();
      EXPECT_EQ(lost.is_heir(), group.rank() == heir);
    }
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST(FaultProcessGroup, a_process_that_left_is_named_and_the_first_of_the_others_inherits) { expect_lost(1, 0); }

TEST(FaultProcessGroup, the_main_process_may_be_the_one_that_left) { expect_lost(0, 1); }

}  // namespace
}  // namespace loraptor::dist
