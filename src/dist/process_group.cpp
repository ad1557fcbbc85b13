#include "dist/process_group.h"

#include <c10/util/Logging.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>

#include "dist/backend.h"
#include "dist/liveness.h"

namespace loraptor::dist {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kPatience = 15;       // seconds without a sign of life
constexpr double kShortPatience = 3;   // the same once a connection broke
constexpr double kTimeToFindOut = 20;  // who it was, after a connection broke
constexpr std::chrono::hours kForever{24 * 7};

/// Sleeps a little at first and longer the longer it lasts: sums take a millisecond, saving a model many seconds.
class Pause {
 public:
  void operator()() {
    std::this_thread::sleep_for(length_);
    length_ = std::min(length_ * 3 / 2, std::chrono::microseconds(2000));
  }

 private:
  std::chrono::microseconds length_{20};
};

}  // namespace

struct ProcessGroup::Connections {
  Connections(const World& world, at::Device device)
      : world(world),
        device(device),
        store(world),
        backend(device.is_cpu() ? make_gloo(store, world) : make_nccl(store, world)),
        liveness(std::make_unique<Liveness>(store.another(), world.rank, world.size)) {}

  /// Once a process is gone, LibTorch waits in its destructor for operations that will never end, and the table may not
  /// answer any more: the end of this process frees them.
  ~Connections() {
    if (!is_broken) return;
    (void)backend.release();
    (void)liveness.release();
  }

  LostProcess lost(const std::vector<int64_t>& ranks) {
    is_broken = true;
    int64_t heir = 0;
    while (std::find(ranks.begin(), ranks.end(), heir) != ranks.end()) ++heir;
    return {fmt::format("[processes] lost: got no sign of life of process {} of {}, expected all to train on.\n"
                        "Hint: its own message, if it had one, stands above. The run can go on from the last state: "
                        "start all processes again with --resume.",
                        fmt::join(ranks, ", "), world.size),
            heir == world.rank};
  }

  void expect_all(double patience) {
    if (const auto ranks = liveness->silent(patience); !ranks.empty()) throw lost(ranks);
  }

  /// A connection broke: finds out who is gone.
  [[noreturn]] void broken(const std::string& reason) {
    is_broken = true;
    const auto begin = Clock::now();
    while (std::chrono::duration<double>(Clock::now() - begin).count() < kTimeToFindOut) {
      expect_all(kShortPatience);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    throw RunError(fmt::format("[processes] exchange of tensors: got an error, expected none: {}.", reason));
  }

  void all_reduce(at::Tensor& tensor) {
    std::vector<at::Tensor> tensors{tensor};
    c10d::AllreduceOptions options;
    options.reduceOp = c10d::ReduceOp::SUM;
    options.timeout = kForever;  // the signs of life say when to stop
    try {
      const auto work = backend->allreduce(tensors, options);
      for (Pause pause; !work->isCompleted(); pause()) expect_all(kPatience);
      work->wait();
    } catch (const LostProcess&) {
      throw;
    } catch (const std::exception& error) {
      broken(error.what());
    }
  }

  World world;
  at::Device device;
  KeyStore store;
  c10::intrusive_ptr<c10d::Backend> backend;
  std::unique_ptr<Liveness> liveness;
  int64_t gathered = 0;  // rounds of texts so far
  bool is_broken = false;
};

ProcessGroup::ProcessGroup() = default;
ProcessGroup::ProcessGroup(const World& world, at::Device device) : world_(world) {
  if (world.is_alone()) return;
  // Writing to a process that is gone shall be an error, as it is in Python, for which the sockets' code was written.
  std::signal(SIGPIPE, SIG_IGN);
  constexpr int kErrors = 2;  // its warnings about lost connections are stack traces; ours say what is the matter
  FLAGS_caffe2_log_level = std::max(FLAGS_caffe2_log_level, kErrors);
  connections_ = std::make_unique<Connections>(world, device);
}
ProcessGroup::~ProcessGroup() = default;

void ProcessGroup::sum(at::Tensor tensor) {
  if (!connections_) return;
  const at::NoGradGuard no_grad;
  const bool is_narrow = tensor.element_size() < 4;
  auto wide = tensor.to(connections_->device, is_narrow ? at::kFloat : tensor.scalar_type());
  connections_->all_reduce(wide);
  if (!wide.is_same(tensor)) tensor.copy_(wide);
}

std::vector<double> ProcessGroup::numbers(double own) {
  auto all = at::zeros({size()}, at::kDouble);
  all[rank()] = own;
  sum(all);
  return {all.data_ptr<double>(), all.data_ptr<double>() + all.numel()};
}

bool ProcessGroup::any(bool own) {
  const auto all = numbers(own ? 1 : 0);
  return std::any_of(all.begin(), all.end(), [](double said) { return said != 0; });
}

std::vector<std::string> ProcessGroup::gather(const std::string& text) {
  if (!connections_) return {text};
  auto& store = connections_->store;
  const int64_t round = connections_->gathered++;
  const auto key = [&](int64_t rank) { return fmt::format("text/{}/{}", round, rank); };
  std::vector<std::string> texts;
  try {
    store.set(key(rank()), text);
    for (int64_t rank = 0; rank < size(); ++rank) {
      auto found = store.find(key(rank));
      for (Pause pause; !found; found = store.find(key(rank))) {
        connections_->expect_all(kPatience);
        pause();
      }
      texts.push_back(*found);
    }
  } catch (const LostProcess&) {
    throw;
  } catch (const RunError& error) {
    connections_->broken(error.what());
  }
  return texts;
}

}  // namespace loraptor::dist
