// How numbers lie in a file: one row a format, with its decoder. Every packer of every backend reads through
// read_floats() (engine/weights.h). (Names in the order of ENCODINGS in src/model/encoding.ts.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace skrr {

// kInt8, kInt4: bytes as engine/packed_layout.h lays them out.
enum class Encoding { kF32, kF16, kBF16, kF8E4M3, kInt8, kInt4 };

struct EncodingFacts {
  const char* name;
  int elements;  // of a block
  int bytes;     // of a block
  // Decodes `blocks` blocks to floats, exactly, and says whether all are finite. Null where numbers cannot be decoded one by one.
  bool (*decode)(const std::byte* source, int64_t blocks, float* out);
};

// A row for each Encoding, in its order.
using EncodingTable = std::array<EncodingFacts, int(Encoding::kInt4) + 1>;
const EncodingTable& encodings();

inline const EncodingFacts& facts_of(Encoding encoding) { return encodings()[size_t(encoding)]; }

// `elements`: whole blocks.
inline size_t bytes_of(Encoding encoding, int64_t elements) {
  const EncodingFacts& facts = facts_of(encoding);
  return size_t(elements / facts.elements) * size_t(facts.bytes);
}

}  // namespace skrr
