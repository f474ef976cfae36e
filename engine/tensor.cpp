#include "engine/tensor.h"

#include <cstring>

#include "engine/error.h"
#include "engine/numeric.h"

namespace skrr {
namespace {

// Converts `count` elements of type T and says whether all results are finite. memcpy: the file may be unaligned.
template <class T, class Convert>
bool convert(const std::byte* source, int64_t count, float* out, Convert to_float) {
  uint32_t all_finite = 1;
  for (int64_t i = 0; i < count; i++) {
    T element;
    std::memcpy(&element, source + i * int64_t(sizeof(T)), sizeof(T));
    out[i] = to_float(element);
    all_finite &= uint32_t(is_finite_bits(bits_of(out[i])));
  }
  return all_finite != 0;
}

bool convert_any(const Tensor& t, int64_t first, int64_t count, float* out) {
  const std::byte* source = t.data + size_t(first) * element_size(t.dtype);
  switch (t.dtype) {
    case DType::kF32: return convert<float>(source, count, out, [](float x) { return x; });
    case DType::kF16: return convert<uint16_t>(source, count, out, from_f16);
    case DType::kBF16: return convert<uint16_t>(source, count, out, from_bf16);
    case DType::kF8E4M3: return convert<uint8_t>(source, count, out, from_f8_e4m3);
    case DType::kInt8:
    case DType::kInt4: break;  // not numbers one by one
  }
  return false;
}

}  // namespace

void read_floats(const Tensor& tensor, int64_t first, int64_t count, float* out) {
  if (!convert_any(tensor, first, count, out)) {
    throw Error("ERR_CHECKPOINT", tensor.name + ": found a weight that is NaN or infinite, expected finite numbers");
  }
  if (tensor.scale != 1) {
    for (int64_t i = 0; i < count; i++) out[i] *= tensor.scale;
  }
}

}  // namespace skrr
