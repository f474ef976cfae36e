#include "engine/encoding.h"

#include <cstring>

#include "engine/error.h"
#include "engine/numeric.h"
#include "engine/weights.h"

namespace skrr {
namespace {

// Elements of type T one by one. memcpy: the file may be unaligned.
template <class T, float (*to_float)(T)>
bool decode_elements(const std::byte* source, int64_t count, float* out) {
  uint32_t all_finite = 1;
  for (int64_t i = 0; i < count; i++) {
    T element;
    std::memcpy(&element, source + i * int64_t(sizeof(T)), sizeof(T));
    out[i] = to_float(element);
    all_finite &= uint32_t(is_finite_bits(bits_of(out[i])));
  }
  return all_finite != 0;
}

float from_f32(float x) { return x; }

}  // namespace

const EncodingTable& encodings() {
  static constexpr EncodingTable table{{
      {"F32", 1, 4, decode_elements<float, from_f32>},
      {"F16", 1, 2, decode_elements<uint16_t, from_f16>},
      {"BF16", 1, 2, decode_elements<uint16_t, from_bf16>},
      {"F8_E4M3", 1, 1, decode_elements<uint8_t, from_f8_e4m3>},
      {"int8", 1, 1, nullptr},
      {"int4", 1, 1, nullptr},
  }};
  return table;
}

void read_floats(const Tensor& tensor, int64_t first, int64_t count, float* out) {
  const EncodingFacts& facts = facts_of(tensor.encoding);
  if (!facts.decode) throw Error("ERR_ENGINE", tensor.name + ": packed weights are not numbers one by one");
  if (!facts.decode(tensor.data + bytes_of(tensor.encoding, first), count / facts.elements, out)) {
    throw Error("ERR_CHECKPOINT", tensor.name + ": found a weight that is NaN or infinite, expected finite numbers");
  }
  if (tensor.scale != 1) {
    for (int64_t i = 0; i < count; i++) out[i] *= tensor.scale;
  }
}

}  // namespace skrr
