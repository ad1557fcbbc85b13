// LoRA files: read with everything about them checked, written with the hashes that other programs look for.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/safetensors.h"

namespace loraptor::network {

/// The three tensors of one module as they lie in a file.
struct LoraPair {
  at::Tensor down;   // [r,in] or [r,C,kh,kw]
  at::Tensor up;     // [out,r] or [out,r,1,1]
  double alpha = 0;  // of the file; the rank where it has none

  int64_t rank() const { return down.size(0); }
  double scale() const { return alpha / static_cast<double>(rank()); }
  /// scale * up * down, float32 [out,in] with kernels flattened.
  at::Tensor delta() const;
};

struct LoraFile {
  std::filesystem::path path;
  io::Metadata metadata;
  std::map<std::string, LoraPair> modules;  // by module name
  std::vector<std::string> unknown_keys;    // tensors that are no part of a LoRA pair
};

/// Reads a LoRA file with native names or with PEFT names (network/peft_keys.h says where their strength comes from).
/// Tensors are views of the mapped file. Throws FileError for a malformed file, a file without any module, and as
/// native_modules.
LoraFile read_lora_file(const std::filesystem::path& path);

/// The modules among tensors with native names; a module without alpha gets its rank, with a warning.
///   path   of the file they are from
/// Throws FileError for a module without its down or up half, halves that do not fit together, have no rank or are no
/// floats, an alpha that is no finite scalar, and for tensors of a module beside its pair.
LoraFile native_modules(const io::NamedTensors& tensors, const std::filesystem::path& path);

/// The value of an alpha. Throws FileError where it is no finite scalar.
///   key   its name in the file
double alpha_value(const at::Tensor& tensor, const std::string& key, const std::filesystem::path& path);

/// The error for a tensor of a module that is beside what is read of it: without it the module would act otherwise.
FileError foreign_part(const std::filesystem::path& path, const std::string& key);

/// True if `pair` is the merged form of `parts` separate pairs: up is zero outside its diagonal blocks.
bool is_block_diagonal(const LoraPair& pair, int64_t parts);

/// The metadata entry sshs_model_hash: SHA-256 (hex) of the data section these tensors are written as.
/// Ref: sd-scripts@48d368f library/train_util.py:precalculate_safetensors_hashes.
std::string model_hash(const io::NamedTensors& tensors);

/// The metadata entry sshs_legacy_hash: first 8 hex digits of the SHA-256 over bytes 0x100000 … 0x10FFFF of the file as
/// it would be with only the ss_* members of `metadata`.
/// Ref: as above; the file it describes is never written.
std::string legacy_hash(const io::NamedTensors& tensors, const io::Metadata& metadata);

/// Adds sshs_model_hash and sshs_legacy_hash to `metadata` and writes the file atomically. Throws FileError.
void write_lora_file(const std::filesystem::path& path, const io::NamedTensors& tensors, io::Metadata metadata);

}  // namespace loraptor::network
