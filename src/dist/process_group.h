// What the processes of a run do together: sums, agreements, waiting for each other.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "dist/world.h"

namespace loraptor::dist {

/// Other processes of the run are gone. Thrown by every operation that would wait for them, within half a minute.
class LostProcess : public RunError {
 public:
  LostProcess(const std::string& what, bool is_heir) : RunError(what), is_heir_(is_heir) {}
  /// Whether this process is the first of those left: the one that saves for all.
  bool is_heir() const { return is_heir_; }

 private:
  bool is_heir_;
};

/// All processes call the same operations in the same order. A world of one does nothing in any of them.
class ProcessGroup {
 public:
  /// A world of one.
  ProcessGroup();
  /// Meets the other processes. Throws RunError if they do not come.
  ///   device   of the tensors to be summed: Gloo for the CPU, NCCL for GPUs
  ProcessGroup(const World& world, at::Device device);
  ~ProcessGroup();

  int64_t rank() const { return world_.rank; }
  int64_t size() const { return world_.size; }
  bool is_main() const { return world_.rank == 0; }

  /// Replaces `tensor` by its sum over all processes, the same bits everywhere. 16-bit floats are summed in float32.
  void sum(at::Tensor tensor);

  /// The numbers of all processes, by rank.
  std::vector<double> numbers(double own);

  /// Whether any process says so.
  bool any(bool own);

  /// Waits until all processes are here.
  void barrier() { gather(""); }

  /// The texts of all processes, by rank.
  std::vector<std::string> gather(const std::string& text);

  /// What the main process says.
  std::string from_main(const std::string& text) { return gather(text).front(); }

 private:
  struct Connections;
  World world_;
  std::unique_ptr<Connections> connections_;  // null in a world of one
};

}  // namespace loraptor::dist
