// Models and networks that lie on another device: nothing of a step may stay behind on the CPU. The device of the tests
// is `meta`, which has shapes but no numbers: every machine has it.
#include <ATen/ExpandUtils.h>
#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/library.h>

#include <array>
#include <set>

#include "golden_lora.h"
#include "models/clip_text.h"
#include "models/conditioning.h"
#include "models/t5_encoder.h"
#include "models/vae.h"
#include "network/network.h"

namespace loraptor::network {
namespace {

using models::Part;

const at::Device kElsewhere(at::kMeta);

at::Tensor there(const at::Tensor& t) { return t.defined() ? t.to(kElsewhere) : t; }

models::PartReader part_elsewhere(const std::string& model, Part part, at::ScalarType dtype) {
  return test::golden_part(model, part, {dtype, kElsewhere});
}

NetworkConfig network_of(const std::string& module, const std::vector<std::string>& args) {
  NetworkConfig config;
  config.network_module = module;
  config.network_args = args;
  config.network_dropout = 0.1;
  return config;
}

// Shapes of what LibTorch leaves to Python on this device.
using ThreeTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Optional = std::optional<at::Tensor>;

ThreeTensors norm_shapes(const at::Tensor& x, const Optional&, const Optional&, const Optional&, const Optional&, bool,
                         double, double) {
  const auto statistics = at::empty({x.size(1)}, x.options().dtype(at::kFloat));
  return {at::empty_like(x), statistics, statistics};
}

ThreeTensors norm_backward_shapes(const at::Tensor&, const at::Tensor& x, at::IntArrayRef, const at::Tensor&,
                                  const at::Tensor&, const Optional&, const Optional&, std::array<bool, 3>) {
  return {at::empty_like(x), at::Tensor(), at::Tensor()};
}

at::Tensor& where_out_shape(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b, at::Tensor& out) {
  out.resize_(at::infer_size(condition.sizes(), at::infer_size(a.sizes(), b.sizes())));
  return out;
}

at::Tensor where_shape(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
  auto out = at::empty({0}, (a.dim() > 0 ? a : b).options());
  return where_out_shape(condition, a, b, out);
}

at::Tensor index_select_shape(const at::Tensor& x, int64_t dim, const at::Tensor& index) {
  auto shape = x.sizes().vec();
  shape[static_cast<size_t>(dim)] = index.numel();
  return at::empty(shape, x.options());
}

at::Tensor convolution_shape(const at::Tensor& x, const at::Tensor& kernel, const Optional&, at::IntArrayRef stride,
                             at::IntArrayRef padding, at::IntArrayRef, bool, at::IntArrayRef, int64_t) {
  std::vector<int64_t> shape{x.size(0), kernel.size(0)};
  for (size_t i = 0; i < 2; ++i) {
    const auto dim = static_cast<int64_t>(i) + 2;
    shape.push_back((x.size(dim) + 2 * padding[i] - kernel.size(dim)) / stride[i] + 1);
  }
  return at::empty(shape, x.options());
}

TORCH_LIBRARY_IMPL(aten, Meta, library) {
  library.impl("native_batch_norm", norm_shapes);
  library.impl("native_layer_norm_backward", norm_backward_shapes);
  library.impl("where.self", where_shape);
  library.impl("where.self_out", where_out_shape);
  library.impl("index_select", index_select_shape);
  library.impl("convolution_overrideable", convolution_shape);
}

/// Notes the operators that get tensors of two devices while it lives. Scalars of the CPU go with any device, and
/// copies are what goes from one to another.
class MixWatch {
 public:
  MixWatch() {
    handle_ = at::addGlobalCallback(at::RecordFunctionCallback(look).needsInputs(true));
    found().clear();
  }
  ~MixWatch() { at::removeCallback(handle_); }
  MixWatch(const MixWatch&) = delete;
  MixWatch& operator=(const MixWatch&) = delete;

  /// Names of the operators.
  static std::set<std::string>& found() {
    static std::set<std::string> names;
    return names;
  }

 private:
  static std::unique_ptr<at::ObserverContext> look(const at::RecordFunction& call) {
    static const std::set<std::string> copies{"aten::copy_", "aten::_to_copy", "aten::to"};
    bool on_cpu = false, elsewhere = false;
    const auto add = [&](const at::Tensor& t) {
      if (!t.defined()) return;
      if (!t.device().is_cpu()) elsewhere = true;
      if (t.device().is_cpu() && t.dim() > 0) on_cpu = true;
    };
    for (const auto& input : call.inputs()) {
      if (input.isTensor()) add(input.toTensor());
      if (input.isTensorList()) {
        for (const at::Tensor& t : input.toTensorList()) add(t);
      }
    }
    if (on_cpu && elsewhere && !copies.contains(call.name())) found().insert(call.name());
    return nullptr;
  }

  at::CallbackHandle handle_;
};

struct Models {
  Models(const std::string& model, at::ScalarType dtype)
      : clip_l(part_elsewhere(model, Part::clip_l, dtype)),
        clip_g(part_elsewhere(model, Part::clip_g, dtype)),
        t5(part_elsewhere(model, Part::t5xxl, dtype)),
        mmdit(part_elsewhere(model, Part::mmdit, dtype), {}) {}

  std::vector<TargetLinear> targets() {
    std::vector<TargetLinear> all;
    test::append_targets(all, TargetModel::clip_l, clip_l);
    test::append_targets(all, TargetModel::clip_g, clip_g);
    test::append_targets(all, TargetModel::t5, t5);
    test::append_targets(all, TargetModel::mmdit, mmdit);
    return all;
  }

  models::Conditioning encode() const {
    const auto options = at::TensorOptions().dtype(at::kLong).device(kElsewhere);
    const auto ids = at::ones({2, 77}, options), mask = at::ones({2, 77}, options);
    const auto l = clip_l.forward(ids, mask), g = clip_g.forward(ids, std::nullopt);
    return models::assemble_conditioning(
        {at::cat({l.hidden, g.hidden}, -1), t5.forward(ids, mask), at::cat({l.pooled, g.pooled}, -1)});
  }

  models::ClipText clip_l, clip_g;
  models::T5Encoder t5;
  models::MMDiT mmdit;
};

/// Forward and backward of all models with the network.
void expect_step(const std::string& model, at::ScalarType dtype, const NetworkConfig& config,
                 memory::BlockRunner& runner) {
  const MixWatch watch;
  Models models(model, dtype);
  const auto network = create_network(config, models.targets(), {.device = kElsewhere});
  network->begin_micro_step(1);
  const auto text = models.encode();
  const auto velocity = models.mmdit.forward({there(at::zeros({2, 16, 8, 12})), there(at::zeros({2})), text.context,
                                              text.pooled, models::PositionCrop{1, 2}},
                                             runner);
  EXPECT_EQ(velocity.device().type(), kElsewhere.type());
  velocity.square().mean().backward();
  EXPECT_EQ(network->flat_gradients().device().type(), kElsewhere.type());
  EXPECT_EQ(MixWatch::found(), std::set<std::string>());
}

std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  for (const auto& path : test::golden_files("models", "mmdit_tiny", ".safetensors")) {
    const std::string name = path.stem().string().substr(std::string("mmdit_").size());
    if (name.find("compat") == std::string::npos) names.push_back(name);
  }
  return names;
}

TEST(Placement, operators_that_mix_devices_are_noticed) {
  const MixWatch watch;
  const auto here = at::ones({2, 2});
  there(here).copy_(here);
  there(here).mul(at::scalar_tensor(2));
  EXPECT_EQ(MixWatch::found(), std::set<std::string>());
  here.mm(there(here));
  EXPECT_EQ(MixWatch::found(), std::set<std::string>{"aten::mm"});
}

TEST(Placement, images_are_encoded_and_decoded_on_the_device_of_the_vae) {
  const MixWatch watch;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const models::Vae vae(part_elsewhere("tiny_sd35m", Part::vae, dtype));
    EXPECT_EQ(vae.encode(there(at::zeros({1, 3, 64, 64}))).device().type(), kElsewhere.type());
    EXPECT_EQ(vae.decode(there(at::zeros({1, 16, 8, 8}))).device().type(), kElsewhere.type());
  }
  EXPECT_EQ(MixWatch::found(), std::set<std::string>());
}

TEST(Placement, a_step_of_every_model_stays_on_its_device) {
  for (const auto& model : golden_models()) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      SCOPED_TRACE(model + " " + at::toString(dtype));
      memory::PlainRunner plain;
      memory::CheckpointRunner checkpoints;
      expect_step(model, dtype, network_of("networks.lora_sd3", {}), plain);
      expect_step(model, dtype, network_of("networks.lora_sd3", {}), checkpoints);
    }
  }
}

TEST(Placement, a_step_with_every_kind_of_network_stays_on_its_device) {
  memory::PlainRunner plain;
  for (const auto& args : std::vector<std::vector<std::string>>{
           {"split_qkv=True"}, {"rank_dropout=0.2", "module_dropout=0.2"}, {"emb_dims=[4,4,4,4,4,4]"}}) {
    SCOPED_TRACE(args.front());
    expect_step("tiny_sd35m", at::kFloat, network_of("networks.lora_sd3", args), plain);
  }
  for (const auto& name : network_names()) {
    SCOPED_TRACE(name);
    expect_step("tiny_sd35m", at::kFloat, network_of(name, {}), plain);
  }
}

}  // namespace
}  // namespace loraptor::network
