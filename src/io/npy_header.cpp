#include "io/npy_header.h"

#include <fmt/format.h>

#include <limits>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace loraptor::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kMaxNpyHeaderBytes = 1 << 16;
constexpr size_t kMaxDimensions = 32;
constexpr size_t kAlignment = 64;     // headers are padded so that the numbers are aligned
constexpr size_t kGrowthDigits = 21;  // NumPy leaves room for a longer first dimension

struct DtypeName {
  std::string_view name;  // as a header has it
  at::ScalarType dtype;
};
constexpr DtypeName kDtypes[] = {{"<f4", at::kFloat}, {"<f2", at::kHalf}, {"<f8", at::kDouble},
                                 {"<i8", at::kLong},  {"<i4", at::kInt},  {"<i2", at::kShort},
                                 {"|i1", at::kChar},  {"|u1", at::kByte}, {"|b1", at::kBool}};

[[noreturn]] void fail(const NpyPlace& where, const std::string& what) {
  throw FileError(where.path, fmt::format("array '{}': {}", where.name, what));
}

/// Reads the Python dictionary of a header: {'descr': '<f4', 'fortran_order': False, 'shape': (16, 8, 12), }.
class DictReader {
 public:
  DictReader(const NpyPlace& where, std::string_view text) : where_(where), text_(text) {}

  NpyInfo read() {
    expect('{');
    while (!accept('}')) {
      const std::string key = text();
      expect(':');
      if (key == "descr" && !dtype_) {
        dtype_ = dtype();
      } else if (key == "fortran_order" && !fortran_order_) {
        fortran_order_ = truth();
      } else if (key == "shape" && !shape_) {
        shape_ = shape();
      } else {
        fail(where_, fmt::format("header key: got '{}', expected descr, fortran_order and shape, each once.", key));
      }
      if (!accept(',') && peek() != '}') bad("',' or '}'");
    }
    if (peek() != '\0') bad("the end");
    if (!dtype_ || !fortran_order_ || !shape_) {
      fail(where_, "header: got a dictionary without descr, fortran_order or shape, expected all three.");
    }
    return {*dtype_, *shape_, *fortran_order_};
  }

 private:
  [[noreturn]] void bad(const char* expected) {
    const std::string rest(text_.substr(std::min(at_, text_.size()), 12));
    fail(where_, fmt::format("header at character {}: got '{}', expected {}.", at_, rest, expected));
  }
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    const char text[] = {'\'', wanted, '\'', 0};
    if (!accept(wanted)) bad(text);
  }
  std::string text() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') bad("a quoted text");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) bad("a closing quote");
    std::string result(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return result;
  }
  at::ScalarType dtype() {
    if (peek() == '[') fail(where_, "dtype: got a structure, expected plain numbers.");
    const std::string name = text();
    for (const DtypeName& known : kDtypes) {
      if (name == known.name) return known.dtype;
    }
    const char* what = name.find('O') != std::string::npos ? " (Python objects)"
                       : name.starts_with('>')             ? " (big-endian)"
                                                           : "";
    fail(where_, fmt::format("dtype: got '{}'{}, expected one of <f2 <f4 <f8 <i2 <i4 <i8 |i1 |u1 |b1.", name, what));
  }
  bool truth() {
    peek();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>("True", true), {"False", false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    bad("True or False");
  }
  std::vector<int64_t> shape() {
    std::vector<int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      if (peek() < '0' || peek() > '9') bad("a size");
      int64_t size = 0;
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
        if (size > (std::numeric_limits<int64_t>::max() - 9) / 10) bad("a size that fits");
        size = size * 10 + (text_[at_++] - '0');
      }
      sizes.push_back(size);
      if (sizes.size() > kMaxDimensions) bad("at most 32 dimensions");
      if (!accept(',') && peek() != ')') bad("',' or ')'");
    }
    return sizes;
  }

  const NpyPlace& where_;
  std::string_view text_;
  size_t at_ = 0;
  std::optional<at::ScalarType> dtype_;
  std::optional<bool> fortran_order_;
  std::optional<std::vector<int64_t>> shape_;
};

/// Bytes of the numbers, or nothing if that many cannot be.
std::optional<uint64_t> byte_count(const NpyInfo& info, uint64_t limit) {
  uint64_t bytes = c10::elementSize(info.dtype);
  for (const int64_t size : info.shape) {
    if (size == 0) return 0;
    if (bytes > limit / static_cast<uint64_t>(size)) return std::nullopt;
    bytes *= static_cast<uint64_t>(size);
  }
  return bytes;
}

}  // namespace

NpyHeader read_npy_header(const NpyPlace& where, const std::function<void(char*, uint64_t)>& read, uint64_t size) {
  constexpr uint64_t kPrefixBytes = kMagic.size() + 2;
  char prefix[kPrefixBytes];
  if (size < kPrefixBytes + 2) fail(where, fmt::format("npy header: got {} bytes, expected more.", size));
  read(prefix, kPrefixBytes);
  if (std::string_view(prefix, kMagic.size()) != kMagic) {
    fail(where, "npy header: got another beginning, expected '\\x93NUMPY'.");
  }
  const int version = static_cast<unsigned char>(prefix[kMagic.size()]);
  if (version < 1 || version > 3) fail(where, fmt::format("npy version: got {}, expected 1, 2 or 3.", version));
  const uint64_t length_bytes = version == 1 ? 2 : 4;
  unsigned char digits[4] = {};
  if (size < kPrefixBytes + length_bytes) fail(where, "npy header: the length is cut off.");
  read(reinterpret_cast<char*>(digits), length_bytes);
  uint64_t length = 0;
  for (uint64_t i = 0; i < length_bytes; ++i) length |= uint64_t{digits[i]} << (8 * i);
  const uint64_t before = kPrefixBytes + length_bytes;
  if (length > kMaxNpyHeaderBytes || length > size - before) {
    fail(where, fmt::format("npy header length: got {}, expected at most {}.", length,
                            std::min(kMaxNpyHeaderBytes, size - before)));
  }
  std::string text(length, ' ');
  read(text.data(), length);
  NpyHeader header{DictReader(where, text).read(), size - before - length};
  const auto bytes = byte_count(header.info, header.data_bytes);
  if (!bytes || *bytes != header.data_bytes) {
    fail(where, fmt::format("size: got {} bytes of numbers, expected as many as the shape in the header asks for.",
                            header.data_bytes));
  }
  return header;
}

std::string npy_header(at::ScalarType dtype, at::IntArrayRef shape) {
  const DtypeName* name = nullptr;
  for (const DtypeName& known : kDtypes) {
    if (known.dtype == dtype) name = &known;
  }
  LORAPTOR_ASSERT(name != nullptr);
  std::string sizes;
  for (const int64_t size : shape) sizes += fmt::format("{}{}", sizes.empty() ? "" : ", ", size);
  if (shape.size() == 1) sizes += ',';
  std::string dict = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", name->name, sizes);
  if (!shape.empty()) dict.append(kGrowthDigits - fmt::format("{}", shape[0]).size(), ' ');
  const size_t unpadded = kMagic.size() + 2 + 2 + dict.size() + 1;
  dict.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  dict += '\n';
  std::string header(kMagic);
  header += {'\1', '\0', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  return header + dict;
}

}  // namespace loraptor::io
