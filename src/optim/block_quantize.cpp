// 8-bit optimizer states.
#include "optim/block_quantize.h"

#include <cmath>

namespace loraptor::optim {

at::Tensor make_code_table(bool is_signed) {
  std::vector<at::Tensor> parts;
  for (int i = 0; i < 7; ++i) {
    const int64_t count = int64_t{1} << (is_signed ? i : i + 1);
    const at::Tensor edges = at::linspace(0.1, 1, count + 1, at::kFloat);
    const at::Tensor midpoints = (edges.slice(0, 0, count) + edges.slice(0, 1)) / 2.0 * std::pow(10.0, i - 6);
    parts.push_back(midpoints);
    if (is_signed) parts.push_back(-midpoints);
  }
  parts.push_back(at::tensor({0.0f, 1.0f}));
  return std::get<0>(at::cat(parts).sort());
}

CodeTable::CodeTable(bool is_signed, at::Device device) : values(make_code_table(is_signed).to(device)) {
  borders = (values.slice(0, 0, 255) + values.slice(0, 1)) / 2;
}

at::Tensor dequantize(const at::Tensor& codes, const at::Tensor& absmax, const CodeTable& table) {
  const auto flat = table.values.index_select(0, codes.reshape({-1}).to(at::kInt));
  return flat.view(codes.sizes()).mul_(absmax.unsqueeze(1));
}

void quantize(const at::Tensor& x, const CodeTable& table, at::Tensor codes, at::Tensor absmax) {
  at::amax_out(absmax, x.abs(), 1);
  const auto divisor = at::where(absmax > 0, absmax, at::ones_like(absmax)).unsqueeze(1);
  codes.copy_(at::bucketize(x / divisor, table.borders, /*out_int32=*/true));
}

}  // namespace loraptor::optim
