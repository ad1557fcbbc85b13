#include "models/checkpoint_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/suggest.h"

namespace loraptor::models {
namespace {

std::string shape_text(at::IntArrayRef shape) { return fmt::format("[{}]", fmt::join(shape, ",")); }

TensorNames sources(const std::map<std::string, std::string>& names) {
  TensorNames result;
  for (const auto& [plain, file_name] : names) result[plain] = {{file_name}};
  return result;
}

/// The name of the scale beside an 8-bit weight.
std::string scale_name(const std::string& file_name) {
  constexpr std::string_view kWeight = ".weight";
  if (!file_name.ends_with(kWeight)) return "";
  return file_name.substr(0, file_name.size() - kWeight.size()) + ".scale_weight";
}

}  // namespace

PartReader::PartReader(std::shared_ptr<const io::SafetensorsFile> file, std::string part, TensorNames names,
                       LoadOptions options)
    : file_(std::move(file)), part_(std::move(part)), options_(options) {
  auto entries = std::make_shared<std::map<std::string, Entry>>();
  for (auto& [name, source] : names) (*entries)[name] = make_entry(name, std::move(source));
  entries_ = std::move(entries);
}

PartReader::PartReader(std::shared_ptr<const io::SafetensorsFile> file, std::string part,
                       const std::map<std::string, std::string>& names, LoadOptions options)
    : PartReader(std::move(file), std::move(part), sources(names), options) {}

PartReader::Entry PartReader::make_entry(const std::string& name, TensorSource source) const {
  std::vector<int64_t> shape = file_->info(source.pieces.front()).shape;
  for (size_t i = 1; i < source.pieces.size(); ++i) {
    const auto& next = file_->info(source.pieces[i]).shape;
    const at::IntArrayRef a(shape), b(next);
    if (a.empty() || b.empty() || a.slice(1) != b.slice(1)) {
      throw FileError(path(),
                      fmt::format("{}: the pieces of '{}' do not fit together: got {} beside {}, expected equal "
                                  "sizes after the first.",
                                  part_, name, shape_text(b), shape_text(a)));
    }
    shape[0] += next[0];
  }
  if (source.pointwise && shape.size() == 2) shape.insert(shape.end(), {1, 1});
  return {std::move(source), std::move(shape)};
}

const PartReader::Entry& PartReader::entry(const std::string& name) const {
  const auto found = entries_->find(name);
  if (found != entries_->end()) return found->second;
  const std::string near = did_you_mean(name, names());
  throw FileError(path(),
                  fmt::format("{}: tensor '{}' is missing: got {} other tensors of this part, expected this one "
                              "too.{}",
                              part_, name, entries_->size(), near.empty() ? "" : "\nHint: " + near));
}

at::ScalarType PartReader::stored_dtype(const std::string& name) const {
  return file_->info(entry(name).source.pieces.front()).dtype;
}

at::Tensor PartReader::piece(const std::string& file_name) const {
  at::Tensor value = file_->tensor(file_name);
  if (!value.is_floating_point()) return value.to(options_.device);
  const std::string scale = scale_name(file_name);
  const bool scaled = value.element_size() == 1 && !scale.empty() && file_->has(scale);
  if (!scaled) return value.to(options_.device, options_.dtype);
  value = value.to(options_.device, at::kFloat);
  value.mul_(file_->tensor(scale).to(options_.device, at::kFloat));
  return value.to(options_.dtype);
}

at::Tensor PartReader::get(const std::string& name, at::IntArrayRef shape) const {
  const Entry& entry = this->entry(name);
  if (shape != at::IntArrayRef(entry.shape)) {
    throw FileError(path(), fmt::format("{}: tensor '{}' has the wrong shape: got {}, expected {}.", part_, name,
                                        shape_text(entry.shape), shape_text(shape)));
  }
  at::Tensor value;
  if (entry.source.pieces.size() == 1) {
    value = piece(entry.source.pieces.front());
  } else {
    std::vector<at::Tensor> pieces;
    for (const auto& file_name : entry.source.pieces) pieces.push_back(piece(file_name));
    value = at::cat(pieces, 0);
  }
  if (entry.source.swap_halves) {
    const auto halves = value.chunk(2, 0);
    value = at::cat({halves[1], halves[0]}, 0);
  }
  return value.view(entry.shape);
}

PartReader PartReader::as(at::ScalarType dtype, std::optional<at::Device> device) const {
  PartReader other = *this;
  other.options_.dtype = dtype;
  other.options_.device = device.value_or(options_.device);
  return other;
}

std::vector<std::string> PartReader::names() const {
  std::vector<std::string> list;
  list.reserve(entries_->size());
  for (const auto& [name, entry] : *entries_) list.push_back(name);
  return list;
}

}  // namespace loraptor::models
