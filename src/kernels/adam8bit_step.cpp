#include "kernels/adam8bit_step.h"

#include "base/error.h"
#include "kernels/cpu_parts.h"

namespace loraptor::kernels {

cpu::NearestCode nearest_code(const at::Tensor& values, const at::Tensor& borders) {
  LORAPTOR_ASSERT(values.numel() == 256 && borders.numel() == 255 && values.is_contiguous() && borders.is_contiguous());
  return {values.const_data_ptr<float>(), borders.const_data_ptr<float>()};
}

void adam8bit_step(const std::vector<Adam8bitParameter>& parameters, const cpu::AdamNumbers& numbers,
                   const cpu::NearestCode& codes1, const cpu::NearestCode& codes2) {
  std::vector<cpu::Adam8bitArrays> arrays;
  std::vector<int64_t> begins{0};  // first block of each parameter, counted through all of them
  for (const auto& p : parameters) {
    LORAPTOR_ASSERT(p.value.is_contiguous() && p.gradient.is_contiguous() && p.value.is_cpu());
    arrays.push_back({p.value.numel(), p.value.mutable_data_ptr<float>(), p.gradient.const_data_ptr<float>(),
                      p.code1.mutable_data_ptr<uint8_t>(), p.code2.mutable_data_ptr<uint8_t>(),
                      p.absmax1.mutable_data_ptr<float>(), p.absmax2.mutable_data_ptr<float>()});
    begins.push_back(begins.back() + p.absmax1.numel());
  }
  const int64_t blocks = begins.back();
  for_each_part(blocks, row_parts(blocks, cpu::kAdamBlock), [&](int64_t, int64_t begin, int64_t end) {
    auto index = static_cast<size_t>(std::upper_bound(begins.begin(), begins.end(), begin) - begins.begin() - 1);
    for (int64_t block = begin; block < end; ++index) {
      const int64_t last = std::min(end, begins[index + 1]);
      cpu::adam8bit_blocks(arrays[index], numbers, codes1, codes2, block - begins[index], last - begins[index]);
      block = last;
    }
  });
}

}  // namespace loraptor::kernels
