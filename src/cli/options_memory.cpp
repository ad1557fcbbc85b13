// Options of precision, memory and speed.
#include "cli/option_table.h"

namespace loraptor::cli {

std::vector<Option> memory_options() {
  return group(
      "Precision, memory and speed",
      {
          option("--mixed_precision", FIELD(memory.mixed_precision),
                 "Type of the frozen models and of their products (on a CPU float32 where it is faster); "
                 "LoRA weights stay float32.")
              .one_of({"no", "fp16", "bf16"}),
          option("--full_fp16", FIELD(memory.full_fp16),
                 "LoRA weights and gradients in fp16; optimizer states stay float32."),
          option("--full_bf16", FIELD(memory.full_bf16),
                 "LoRA weights and gradients in bf16, rounded stochastically; optimizer states stay float32."),
          option(
              "--fp8_base", FIELD(memory.fp8_base),
              "Store the blocks of the MMDiT, and of encoders that stay loaded, as float8 with a scale for each row."),
          option("--fp8_base_unet", FIELD(memory.fp8_base_unet), "The same for the MMDiT alone."),
          option("--gradient_checkpointing", FIELD(memory.gradient_checkpointing),
                 "Compute each block again in the backward pass: less memory, more time."),
          option("--cpu_offload_checkpointing", FIELD(memory.cpu_offload_checkpointing),
                 "Keep what --gradient_checkpointing stores in host memory."),
          option(
              "--blocks_to_swap", FIELD(memory.blocks_to_swap),
              "Keep the weights of this many blocks of the MMDiT in host memory; each is copied to the GPU when it is "
              "used. At most the model's blocks less two; not with --cpu_offload_checkpointing."),
          option("--lowram", FIELD(memory.lowram), "Recorded in the metadata.")
              .no_effect("models are loaded one after the other anyway")
              .silent(),
          option("--highvram", FIELD(memory.highvram), "")
              .no_effect("device memory is kept between cache batches anyway")
              .silent(),
          option("--cpu_matmul", FIELD(memory.cpu_matmul),
                 "Products on the CPU: auto is the faster one of float32 accuracy, fast may go below it.")
              .one_of({"auto", "highest", "fast"})
              .addition(),
          option("--deterministic", FIELD(memory.deterministic),
                 "Only deterministic operations on CUDA; on the CPU a run always repeats exactly.")
              .addition(),
      });
}

}  // namespace loraptor::cli
