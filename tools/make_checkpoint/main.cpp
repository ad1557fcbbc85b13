// Writes SD3-shaped checkpoints whose weights come from a formula: small ones for demos and tests, full-size ones for
// measurements. Streams: memory stays near one tensor. Rule of the values: tests/golden/make_checkpoint.py, byte for
// byte.
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/atomic_file.h"
#include "base/error.h"
#include "make_checkpoint/shapes.h"

namespace loraptor::tools {
namespace {

constexpr const char* kUsage =
    "make_checkpoint MODEL OUT_DIR [--dtype f32|f16|bf16] [--single-file]\n"
    "  MODEL   demo, sd3-medium, sd3.5-medium, sd3.5-large, or a JSON file with one entry like those of\n"
    "          tests/golden/models.json\n";

struct Arguments {
  nlohmann::json model;
  std::filesystem::path folder;
  std::string dtype = "f32";
  bool single_file = false;
};

struct Tensor {
  std::string part, name, file_name;  // file_name: with the prefix of the file's layout
  Shape shape;
};

int64_t count_of(const Shape& shape) {
  int64_t count = 1;
  for (int64_t side : shape) count *= side;
  return count;
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

/// Offset and amplitude of a tensor's values.
std::pair<double, double> scale_of(const std::string& name, const Shape& shape) {
  const bool is_norm = (contains(name, "norm") || contains(name, "ln_q") || contains(name, "ln_k")) &&
                       name.ends_with(".weight") && shape.size() == 1;
  if (is_norm) return {1.0, 0.2};
  if (name.ends_with(".bias")) return {0.0, 0.1};
  if (contains(name, "token_embedding") || contains(name, "position_embedding")) return {0.0, 0.2};
  if (name == "shared.weight" || contains(name, "relative_attention_bias")) return {0.0, 1.0};
  const double fan_in = static_cast<double>(count_of(shape) / shape[0]);
  return {0.0, (contains(name, "adaLN") ? 0.5 : 1.0) * std::sqrt(3.0 / fan_in)};
}

/// The usual 2-D sine/cosine table: the column fills the first half.
void position_table(const Shape& shape, std::vector<float>& out) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(shape[1]))));
  const int64_t width = shape[2], quarter = width / 4;
  for (int64_t cell = 0; cell < side * side; ++cell) {
    const double place[2] = {static_cast<double>(cell % side), static_cast<double>(cell / side)};
    float* row = out.data() + cell * width;
    for (int axis = 0; axis < 2; ++axis) {
      for (int64_t k = 0; k < quarter; ++k) {
        const double omega = 1.0 / std::pow(10000.0, static_cast<double>(k) / static_cast<double>(quarter));
        row[2 * axis * quarter + k] = static_cast<float>(std::sin(place[axis] * omega));
        row[(2 * axis + 1) * quarter + k] = static_cast<float>(std::cos(place[axis] * omega));
      }
    }
  }
}

void fill(const std::string& seed, const Tensor& tensor, std::vector<float>& out) {
  out.resize(static_cast<size_t>(count_of(tensor.shape)));
  if (tensor.name == "pos_embed") return position_table(tensor.shape, out);
  const auto [offset, amplitude] = scale_of(tensor.name, tensor.shape);
  uint64_t hash = 0xCBF29CE484222325ull;  // FNV-1a
  for (unsigned char byte : seed + "/" + tensor.part + "/" + tensor.name) hash = (hash ^ byte) * 0x100000001B3ull;
  const auto part = [&, offset = offset, amplitude = amplitude](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      uint64_t z = hash + (i + 1) * 0x9E3779B97F4A7C15ull;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
      z ^= z >> 31;
      const double value = 2.0 * static_cast<double>(z >> 40) / static_cast<double>(1 << 24) - 1.0;
      out[i] = static_cast<float>(offset + amplitude * value);
    }
  };
  std::thread other(part, size_t{0}, out.size() / 2);
  part(out.size() / 2, out.size());
  other.join();
}

template <class T>
void write_as(AtomicFile& file, const std::vector<float>& values) {
  std::vector<T> narrow(values.begin(), values.end());
  file.write(narrow.data(), narrow.size() * sizeof(T));
}

void write_values(AtomicFile& file, const std::string& dtype, const std::vector<float>& values) {
  if (dtype == "f32") return file.write(values.data(), values.size() * sizeof(float));
  if (dtype == "f16") return write_as<c10::Half>(file, values);
  write_as<c10::BFloat16>(file, values);
}

void write_checkpoint(const std::filesystem::path& path, const Arguments& arguments,
                      const std::vector<Tensor>& tensors) {
  const std::string type = arguments.dtype == "f32" ? "F32" : arguments.dtype == "f16" ? "F16" : "BF16";
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t offset = 0;
  for (const auto& tensor : tensors) {
    const int64_t bytes = count_of(tensor.shape) * (type == "F32" ? 4 : 2);
    header[tensor.file_name] = {{"dtype", type}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  AtomicFile file(path);
  const uint64_t length = text.size();
  file.write(&length, sizeof length);
  file.write(text);
  std::vector<float> values;
  const bool show_progress = offset > (1 << 30) && ::isatty(STDERR_FILENO) == 1;
  int64_t written = 0;
  for (const auto& tensor : tensors) {
    fill(arguments.model.at("seed"), tensor, values);
    write_values(file, arguments.dtype, values);
    written += count_of(tensor.shape) * (type == "F32" ? 4 : 2);
    if (show_progress) std::fprintf(stderr, "\r%s: %3d %%", path.filename().c_str(), int(100 * written / offset));
  }
  if (show_progress) std::fputc('\n', stderr);
  file.commit();
}

std::vector<Tensor> part_tensors(const nlohmann::json& model, const std::string& part, const std::string& prefix) {
  std::vector<Tensor> tensors;
  for (auto& [name, shape] : part_shapes(model, part)) tensors.push_back({part, name, prefix + name, shape});
  return tensors;
}

void write_all(const Arguments& arguments) {
  const auto& model = arguments.model;
  std::vector<Tensor> main_file = part_tensors(model, "mmdit", "model.diffusion_model.");
  const auto vae = part_tensors(model, "vae", "first_stage_model.");
  main_file.insert(main_file.end(), vae.begin(), vae.end());
  for (const std::string part : {"clip_l", "clip_g", "t5xxl"}) {
    if (arguments.single_file) {
      const auto tensors = part_tensors(model, part, "text_encoders." + part + ".transformer.");
      main_file.insert(main_file.end(), tensors.begin(), tensors.end());
    } else {
      write_checkpoint(arguments.folder / (part + ".safetensors"), arguments, part_tensors(model, part, ""));
    }
  }
  const char* name = arguments.single_file ? "model.safetensors" : "mmdit_vae.safetensors";
  write_checkpoint(arguments.folder / name, arguments, main_file);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  std::vector<std::string> places;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--single-file") {
      arguments.single_file = true;
    } else if (word == "--dtype" && i + 1 < argc) {
      arguments.dtype = argv[++i];
    } else {
      places.push_back(word);
    }
  }
  const bool known_dtype = arguments.dtype == "f32" || arguments.dtype == "f16" || arguments.dtype == "bf16";
  if (places.size() != 2 || !known_dtype || places[0].starts_with("-")) throw UsageError(kUsage);
  arguments.model = builtin_model(places[0]);
  if (arguments.model.is_null()) {
    if (!places[0].ends_with(".json")) throw UsageError(fmt::format("unknown model '{}'\n{}", places[0], kUsage));
    arguments.model = nlohmann::json::parse(read_file(places[0]));
  }
  arguments.folder = places[1];
  return arguments;
}

}  // namespace
}  // namespace loraptor::tools

int main(int argc, char** argv) {
  try {
    loraptor::tools::write_all(loraptor::tools::parse(argc, argv));
  } catch (const loraptor::UsageError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "make_checkpoint: %s\n", e.what());
    return 3;
  }
  return 0;
}
