// Times a LoRA training step of a two-block SD3.5-medium-shaped MMDiT, and its matrix products and attention alone.
//
//   bench_train_step [--precision fp32|bf16] [--steps N]        last line: train_step PRECISION SECONDS
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/clock.h"
#include "base/cpu_features.h"
#include "base/error.h"
#include "base/heap.h"
#include "kernels/attention.h"
#include "kernels/wide_product.h"
#include "models/mmdit.h"
#include "network/network.h"
#include "optim/grad_clip.h"
#include "optim/optimizer.h"
#include "tensor/device.h"
#include "train/train_step.h"

namespace loraptor {
namespace {

constexpr int64_t kWidth = 1536, kBlocks = 2, kTextTokens = 333, kImageTokens = 256, kLatentSide = 32, kRank = 16;
constexpr int64_t kContextWidth = 4096, kPooledWidth = 2048, kPositionSide = 384;

/// Shapes of the model's tensors, as in an SD3.5 Medium file with two blocks.
io::NamedTensors make_weights() {
  io::NamedTensors tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    const double scale = shape.size() > 1 ? 1.0 / std::sqrt(static_cast<double>(shape[1])) : 1.0;
    tensors.emplace_back(name, at::randn(shape) * scale);
  };
  const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
    add(name + ".weight", {out, in});
    tensors.emplace_back(name + ".bias", at::zeros({out}));
  };
  add("pos_embed", {1, kPositionSide * kPositionSide, kWidth});
  add("x_embedder.proj.weight", {kWidth, 16, 2, 2});
  tensors.emplace_back("x_embedder.proj.bias", at::zeros({kWidth}));
  linear("t_embedder.mlp.0", kWidth, 256);
  linear("t_embedder.mlp.2", kWidth, kWidth);
  linear("y_embedder.mlp.0", kWidth, kPooledWidth);
  linear("y_embedder.mlp.2", kWidth, kWidth);
  linear("context_embedder", kWidth, kContextWidth);
  for (int64_t i = 0; i < kBlocks; ++i) {
    for (const std::string side : {"context_block", "x_block"}) {
      const std::string block = fmt::format("joint_blocks.{}.{}", i, side);
      const bool is_image = side == "x_block", pre_only = !is_image && i == kBlocks - 1;
      for (const std::string attention : {".attn", ".attn2"}) {
        if (attention == ".attn2" && !is_image) continue;
        linear(block + attention + ".qkv", 3 * kWidth, kWidth);
        if (!pre_only) linear(block + attention + ".proj", kWidth, kWidth);
        tensors.emplace_back(block + attention + ".ln_q.weight", at::ones({64}));
        tensors.emplace_back(block + attention + ".ln_k.weight", at::ones({64}));
      }
      if (!pre_only) {
        linear(block + ".mlp.fc1", 4 * kWidth, kWidth);
        linear(block + ".mlp.fc2", kWidth, 4 * kWidth);
      }
      linear(block + ".adaLN_modulation.1", (pre_only ? 2 : is_image ? 9 : 6) * kWidth, kWidth);
    }
  }
  linear("final_layer.adaLN_modulation.1", 2 * kWidth, kWidth);
  linear("final_layer.linear", 64, kWidth);
  return tensors;
}

models::MMDiT make_model(at::ScalarType dtype) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("loraptor-bench-{}.safetensors", ::getpid());
  io::write_safetensors(path, make_weights());
  const auto file = io::SafetensorsFile::open(path);
  std::filesystem::remove(path);  // the mapping stays
  std::map<std::string, std::string> names;
  for (const auto& name : file->names()) names[name] = name;
  return models::MMDiT(models::PartReader(file, "mmdit", names, {.dtype = dtype}), {});
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// The step's frozen matrix products (forward, and the gradient of their input) and its attention, and nothing else.
class LowerBound {
 public:
  /// Without AVX-512 PyTorch multiplies 16-bit numbers one by one: nobody's bound.
  explicit LowerBound(at::ScalarType dtype) : dtype_(cpu_features().avx512 ? dtype : at::kFloat) {
    for (int64_t block = 0; block < kBlocks; ++block) {
      const bool last = block == kBlocks - 1;
      add(kImageTokens, kWidth, 3 * kWidth, 2);
      add(kImageTokens, kWidth, kWidth, 2);
      add(kImageTokens, kWidth, 4 * kWidth, 1);
      add(kImageTokens, 4 * kWidth, kWidth, 1);
      add(kTextTokens, kWidth, 3 * kWidth, 1);
      if (last) continue;
      add(kTextTokens, kWidth, kWidth, 1);
      add(kTextTokens, kWidth, 4 * kWidth, 1);
      add(kTextTokens, 4 * kWidth, kWidth, 1);
    }
  }

  double seconds() const {
    const Stopwatch watch;
    for (const auto& [x, w, g] : products_) {
      kernels::wide_product({}, x, w.t());
      kernels::wide_product({}, g, w);
    }
    for (int64_t block = 0; block < kBlocks; ++block) {
      attention(kTextTokens + kImageTokens);
      attention(kImageTokens);
    }
    return watch.seconds();
  }

 private:
  struct Product {
    at::Tensor x, w, g;
  };

  void add(int64_t tokens, int64_t in, int64_t out, int times) {
    for (int i = 0; i < times; ++i) {
      products_.push_back(
          {at::randn({tokens, in}).to(dtype_), at::randn({out, in}).to(dtype_), at::randn({tokens, out}).to(dtype_)});
    }
  }

  void attention(int64_t tokens) const {
    const auto make = [&] { return at::randn({1, kWidth / 64, tokens, 64}).to(dtype_).requires_grad_(); };
    const at::AutoGradMode grad(true);
    const auto out = kernels::attention(make(), make(), make());
    out.backward(at::ones_like(out));
  }

  at::ScalarType dtype_;
  std::vector<Product> products_;
};

class Bench {
 public:
  explicit Bench(at::ScalarType dtype) : model_(make_model(dtype)), draws_(1), rng_(1) {
    std::vector<network::TargetLinear> targets;
    model_.visit_linears([&](const std::string& path, nn::Linear& layer) {
      if (path.starts_with("joint_blocks.")) targets.push_back({network::TargetModel::mmdit, path, &layer});
    });
    network::NetworkConfig config;
    config.network_dim = kRank;
    config.network_train_unet_only = true;
    network_ = network::create_network(config, targets, {.seed = 1});
    groups_ = network_->param_groups({.learning_rate = 1e-4, .mmdit_lr = {}, .text_encoder_lr = {}});
    optimizer_ = optim::create_optimizer({}, groups_);
    inputs_.latents = at::randn({1, 16, kLatentSide, kLatentSide});
    inputs_.conditioning = {at::randn({1, kTextTokens, kContextWidth}), at::randn({1, kPooledWidth})};
    inputs_.loss_weights = at::ones({1});
    inputs_.images.occurrences = {0};
  }

  double step() {
    const Stopwatch watch;
    const train::StepContext context{.flow = flow_,
                                     .mmdit = model_,
                                     .runner = runner_,
                                     .network = *network_,
                                     .draws = draws_,
                                     .position_crop_rate = 0,
                                     .rng = rng_,
                                     .timestep_dtype = at::kFloat};
    ++inputs_.images.micro_step;
    train::training_loss(context, inputs_).mean.backward();
    at::Tensor gradients = network_->flat_gradients();
    optim::clip_grad_norm(gradients, 1.0);
    optimizer_->step({1e-4});
    gradients.zero_();
    return watch.seconds();
  }

 private:
  models::MMDiT model_;
  memory::PlainRunner runner_;
  flow::FlowConfig flow_;
  tensor::CounterDraws draws_;
  tensor::CounterRng rng_;
  std::unique_ptr<network::Network> network_;
  std::vector<optim::ParamGroup> groups_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  train::StepInputs inputs_;
};

void run(const std::string& precision, int steps) {
  const auto dtype = precision == "bf16" ? at::kBFloat16 : at::kFloat;
  Bench bench(dtype);
  const LowerBound bound(dtype);
  std::vector<double> step_times, bound_times;
  for (int i = -2; i < steps; ++i) {  // two to warm up
    const double step = bench.step(), products = bound.seconds();
    if (i < 0) continue;
    step_times.push_back(step);
    bound_times.push_back(products);
  }
  std::printf("matrix products and attention alone: %.4f s; the step takes %.2f times that\n", median(bound_times),
              median(step_times) / median(bound_times));
  std::printf("train_step %s %.4f\n", precision.c_str(), median(step_times));
}

}  // namespace
}  // namespace loraptor

int main(int argc, char** argv) {
  std::string precision = "fp32";
  int steps = 10;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (argv[i] == std::string("--precision")) precision = argv[i + 1];
    if (argv[i] == std::string("--steps")) steps = std::max(1, std::atoi(argv[i + 1]));
  }
  if (precision != "fp32" && precision != "bf16") {
    std::fprintf(stderr, "[--precision] got '%s', expected fp32 or bf16.\n", precision.c_str());
    return 2;
  }
  loraptor::keep_freed_memory();
  loraptor::tensor::set_matmul_precision(loraptor::tensor::MatmulPrecision::automatic);
  loraptor::run(precision, steps);
  return 0;
}
