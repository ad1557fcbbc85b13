#include "io/safetensors_stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/parallel.h"

namespace loraptor::io {

TensorReader::TensorReader(std::shared_ptr<const SafetensorsFile> file) : file_(std::move(file)) {
  descriptor_ = ::open(file_->path().c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw FileError(file_->path(), fmt::format("cannot be opened: {}.", std::strerror(errno)));
}

TensorReader::~TensorReader() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

at::Tensor TensorReader::read(const std::string& name) const {
  at::Tensor tensor;
  read_into(name, tensor);
  return tensor;
}

void TensorReader::expect(const std::string& name) const {
  const TensorInfo& info = file_->info(name);
  ::posix_fadvise(descriptor_, static_cast<off_t>(info.begin_bytes), static_cast<off_t>(info.size_bytes),
                  POSIX_FADV_WILLNEED);
}

void TensorReader::read_into(const std::string& name, at::Tensor& buffer) const {
  const TensorInfo& info = file_->info(name);
  if (buffer.defined() && buffer.scalar_type() == info.dtype) {
    buffer.resize_(info.shape);
  } else {
    buffer = at::empty(info.shape, at::TensorOptions().dtype(info.dtype));
  }
  auto* next = static_cast<uint8_t*>(buffer.mutable_data_ptr());
  for (uint64_t done = 0; done < info.size_bytes;) {
    const auto offset = static_cast<off_t>(info.begin_bytes + done);
    const ssize_t got = ::pread(descriptor_, next + done, info.size_bytes - done, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw FileError(file_->path(), fmt::format("{}: cannot be read: {}.", name, std::strerror(errno)));
    if (got == 0) {
      throw FileError(
          file_->path(), info.begin_bytes + done,
          fmt::format("{}: got the end of the file, expected {} more bytes.", name, info.size_bytes - done));
    }
    done += static_cast<uint64_t>(got);
  }
}

void write_planned_safetensors(const std::filesystem::path& path, const std::vector<PlannedTensor>& tensors,
                               const Metadata& metadata, const WriteProgress& progress) {
  // Tensors without memory give the layout.
  NamedTensors shapes;
  for (const auto& plan : tensors) {
    shapes.emplace_back(plan.name, at::empty(plan.shape, at::TensorOptions().dtype(plan.dtype).device(at::kMeta)));
  }
  const SafetensorsLayout layout = safetensors_layout(shapes, metadata);
  AtomicFile file(path);
  file.write(layout.header);
  uint64_t done = 0;
  std::future<void> writing;  // the tensor before goes to the disk while the next one is made
  const auto wait = [&] {
    if (writing.valid()) writing.get();
  };
  for (const size_t index : layout.order) {
    const PlannedTensor& plan = tensors[index];
    const at::Tensor values = plan.make().to(at::kCPU).contiguous();
    LORAPTOR_ASSERT(values.scalar_type() == plan.dtype && values.sizes() == at::IntArrayRef(plan.shape));
    wait();
    done += values.nbytes();
    writing = in_background([&file, values] { file.write(values.const_data_ptr(), values.nbytes()); });
    if (progress) progress(done, layout.data_bytes);
  }
  wait();
  file.commit();
}

}  // namespace loraptor::io
