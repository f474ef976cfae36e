#include "engine/encoding.h"

#include <algorithm>
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

// Blocks of a tensor to floats, by pieces that stay in a cache; whether all are finite.
bool decode_from_file(const Tensor& tensor, uint64_t offset, int64_t blocks, float* out) {
  const EncodingFacts& facts = facts_of(tensor.encoding);
  std::byte piece[1 << 16];
  const int64_t at_once = int64_t(sizeof piece) / facts.bytes;
  bool all_finite = true;
  for (int64_t done = 0; done < blocks; done += at_once) {
    const int64_t count = std::min(at_once, blocks - done);
    tensor.file->read(tensor.name, offset + uint64_t(done * facts.bytes), size_t(count * facts.bytes), piece);
    all_finite &= facts.decode(piece, count, out + done * facts.elements);
  }
  return all_finite;
}

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
  const size_t begin = bytes_of(tensor.encoding, first);
  const int64_t blocks = count / facts.elements;
  const bool all_finite = tensor.data ? facts.decode(tensor.data + begin, blocks, out)
                                      : decode_from_file(tensor, tensor.offset + begin, blocks, out);
  if (!all_finite) {
    throw Error("ERR_CHECKPOINT", tensor.name + ": found a weight that is NaN or infinite, expected finite numbers");
  }
  if (tensor.scale != 1) {
    for (int64_t i = 0; i < count; i++) out[i] *= tensor.scale;
  }
  if (tensor.plus != 0) {
    for (int64_t i = 0; i < count; i++) out[i] += tensor.plus;
  }
}

}  // namespace skrr
