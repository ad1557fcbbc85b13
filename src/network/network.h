// A trainable network beside the frozen models: created, attached, trained, saved, loaded and merged through this seam.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "network/network_config.h"
#include "nn/linear.h"
#include "optim/param_group.h"

namespace loraptor::network {

/// The models that can be trained, in the order of the parameter groups.
enum class TargetModel { clip_l, clip_g, t5, mmdit };

/// One frozen layer that a module may be attached to; the caller collects them with `visit_linears`.
struct TargetLinear {
  TargetModel model;
  std::string path;  // as in the checkpoint, e.g. "joint_blocks.0.x_block.attn.qkv"
  nn::Linear* layer;
};

/// What does not come from the network's own flags.
struct NetworkSetup {
  uint64_t seed = 0;  // initial values and dropout follow from it
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;  // of parameters and gradients; 16 bit for full_fp16 and full_bf16
  bool compat_alpha_qkv = false;      // save split q/k/v pairs with alpha unchanged, as the reference does
};

/// What limiting the weight norms did.
struct WeightNormReport {
  int64_t scaled = 0;    // modules that were scaled down
  double mean_norm = 0;  // of |scale * up * down| after scaling, over all modules
  double max_norm = 0;
};

class Network {
 public:
  virtual ~Network() = default;

  /// The groups that are trained: CLIP-L, CLIP-G, T5, MMDiT, each cut into "normal" and "plus" where LoRA+ applies.
  /// Groups whose learning rate is 0 or undefined are left out.
  virtual std::vector<optim::ParamGroup> param_groups(const LearningRates& rates) const = 0;

  /// Values and gradients of ALL parameters, 1-D, same layout: for zeroing, clipping, all-reduce, exact states.
  virtual const at::Tensor& flat_values() const = 0;
  virtual const at::Tensor& flat_gradients() const = 0;

  /// All parameters with the names they have in files (split q/k/v pairs as `lora_down.0.weight` …), buffer order.
  virtual std::vector<optim::Parameter> parameters() const = 0;

  /// The tensors of a saved file, on the CPU, in `dtype`: `.alpha`, `.lora_down.weight`, `.lora_up.weight` of every
  /// module. Split q/k/v pairs are merged: down stacked [3r,in], up block-diagonal [out,3r], alpha times 3 (so that
  /// alpha / rows of down stays the trained strength).
  virtual io::NamedTensors state(at::ScalarType dtype) const = 0;

  /// Copies values from a LoRA file (native or PEFT names) where module names match; alpha too, and the strength used
  /// in training follows it. Logs keys the network lacks and modules the file lacks, one line each kind.
  /// Throws FileError for a wrong shape, a half pair, or a file with no module of this network.
  virtual void load(const std::filesystem::path& path) = 0;

  /// Adds multiplier * scale * up * down to every target's frozen weight and detaches the modules from the layers.
  virtual void merge_into_targets(double multiplier) = 0;

  /// Training mode: the dropouts act. On after creation.
  virtual void set_training(bool training) = 0;
  /// Factor on all corrections; 0 gives the unchanged models. 1 after creation.
  virtual void set_multiplier(double multiplier) = 0;
  /// Chooses the dropout draws. `micro_step` counts forward-backward passes of the whole run over all processes, so
  /// that no two of them share a mask.
  virtual void begin_micro_step(int64_t micro_step) = 0;

  /// Scales each module down so that |scale * up * down| (Frobenius) is at most `limit` > 0.
  /// Ref: sd-scripts@48d368f networks/lora_sd3.py:apply_max_norm_regularization.
  virtual WeightNormReport limit_weight_norms(double limit) = 0;

  /// One line for the log: modules and parameters per model.
  virtual std::string describe() const = 0;
};

/// Names that --network_module takes.
std::vector<std::string> network_names();

/// Builds the network that `config.network_module` names, gives it its initial values, loads `network_weights`, and
/// attaches it to the layers.
///   targets   layers of all loaded models, in any order; they must live as long as the network is used
/// Throws UsageError for an unknown network, unknown or malformed network_args, or if no module is left to train;
/// FileError for `network_weights`.
std::unique_ptr<Network> create_network(const NetworkConfig& config, const std::vector<TargetLinear>& targets,
                                        const NetworkSetup& setup);

}  // namespace loraptor::network
