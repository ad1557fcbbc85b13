#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "memory/block_runner.h"

namespace loraptor::memory {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Recipe : torch::CustomClassHolder {
  std::function<variable_list(const variable_list&)> forward;
  size_t input_count = 0;
  KeepInputs place = KeepInputs::on_device;
  std::vector<bool> requires_grad;  // of inputs and parameters; a copy in host memory no longer tells
};

/// A copy in host memory, made while the device works on; pinned, so that the way back is as fast.
at::Tensor to_host(const at::Tensor& x) {
  if (x.device().is_cpu()) return x;
  const auto host = at::empty(x.sizes(), x.options().device(at::kCPU).pinned_memory(true));
  host.copy_(x, /*non_blocking=*/true);
  return host;
}

// Trainable tensors are arguments although the block reads them from its adapters: the edges to them make the outputs
// require gradients even where no input does. A list must be an at::TensorList: autograd does not look into a
// std::vector.
struct Recompute : torch::autograd::Function<Recompute> {
  static variable_list forward(AutogradContext* ctx, const c10::intrusive_ptr<Recipe>& recipe, at::TensorList tensors) {
    ctx->saved_data["recipe"] = c10::IValue::make_capsule(recipe);
    auto kept = tensors.vec();
    for (size_t i = 0; i < kept.size(); ++i) {
      recipe->requires_grad.push_back(kept[i].requires_grad());
      if (i < recipe->input_count && recipe->place == KeepInputs::in_host_memory) kept[i] = to_host(kept[i]);
    }
    ctx->saved_data["device"] = tensors[0].device();
    ctx->save_for_backward(kept);
    return recipe->forward(tensors.slice(0, recipe->input_count).vec());  // gradient mode is off here
  }

  static variable_list backward(AutogradContext* ctx, variable_list output_gradients) {
    const auto capsule = ctx->saved_data["recipe"].toCapsule();
    const auto& recipe = static_cast<const Recipe&>(*capsule);
    const auto saved = ctx->get_saved_variables();
    const auto device = ctx->saved_data["device"].toDevice();
    variable_list inputs, wanted;
    std::vector<size_t> places;  // of the wanted tensors among the saved ones
    for (size_t i = 0; i < saved.size(); ++i) {
      const bool is_input = i < recipe.input_count;
      const bool requires_grad = recipe.requires_grad[i];
      const auto tensor = is_input ? saved[i]
                                         .to(saved[i].options().device(device), /*non_blocking=*/true)
                                         .detach()
                                         .set_requires_grad(requires_grad)
                                   : saved[i];
      if (is_input) inputs.push_back(tensor);
      if (!requires_grad) continue;
      wanted.push_back(tensor);
      places.push_back(i);
    }
    variable_list roots, root_gradients;
    {
      at::AutoGradMode with_graph(true);
      const auto outputs = recipe.forward(inputs);
      for (size_t i = 0; i < outputs.size(); ++i) {
        if (!output_gradients[i].defined() || !outputs[i].requires_grad()) continue;
        roots.push_back(outputs[i]);
        root_gradients.push_back(output_gradients[i]);
      }
    }
    variable_list result(1 + saved.size());  // one entry for the recipe, one for each tensor
    if (roots.empty()) return result;
    const auto gradients = torch::autograd::grad(roots, wanted, root_gradients, /*retain_graph=*/false,
                                                 /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < places.size(); ++i) result[1 + places[i]] = gradients[i];
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> CheckpointRunner::run(const BlockCall& call) {
  if (!at::GradMode::is_enabled()) return call.forward(call.inputs);
  auto recipe = c10::make_intrusive<Recipe>();
  recipe->forward = call.forward;
  recipe->input_count = call.inputs.size();
  recipe->place = place_;
  std::vector<at::Tensor> tensors = call.inputs;
  tensors.insert(tensors.end(), call.parameters.begin(), call.parameters.end());
  return Recompute::apply(recipe, at::TensorList(tensors));
}

}  // namespace loraptor::memory
