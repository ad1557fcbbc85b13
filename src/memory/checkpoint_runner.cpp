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
};

// Trainable tensors are arguments although the block reads them from its adapters: the edges to them make the outputs
// require gradients even where no input does. A list must be an at::TensorList: autograd does not look into a
// std::vector.
struct Recompute : torch::autograd::Function<Recompute> {
  static variable_list forward(AutogradContext* ctx, const c10::intrusive_ptr<Recipe>& recipe, at::TensorList tensors) {
    ctx->saved_data["recipe"] = c10::IValue::make_capsule(recipe);
    ctx->save_for_backward(tensors.vec());
    return recipe->forward(tensors.slice(0, recipe->input_count).vec());  // gradient mode is off here
  }

  static variable_list backward(AutogradContext* ctx, variable_list output_gradients) {
    const auto capsule = ctx->saved_data["recipe"].toCapsule();
    const auto& recipe = static_cast<const Recipe&>(*capsule);
    const auto saved = ctx->get_saved_variables();
    variable_list inputs, wanted;
    std::vector<size_t> places;  // of the wanted tensors among the saved ones
    for (size_t i = 0; i < saved.size(); ++i) {
      const bool is_input = i < recipe.input_count;
      const bool requires_grad = saved[i].requires_grad();
      const auto tensor = is_input ? saved[i].detach().set_requires_grad(requires_grad) : saved[i];
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
  std::vector<at::Tensor> tensors = call.inputs;
  tensors.insert(tensors.end(), call.parameters.begin(), call.parameters.end());
  return Recompute::apply(recipe, at::TensorList(tensors));
}

}  // namespace loraptor::memory
