// A TensorMap of the machine: what the driver's hides in 128 opaque bytes.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/types.h"

namespace simt {

struct TensorMapFields {
  static constexpr uint64_t kMagic = 0x746573742f6d6170;
  uint64_t magic, base;
  uint64_t rows, columns, row_bytes;  // of a matrix of bf16
  uint64_t box_rows, box_columns;     // box rows of 128 bytes, swizzled
};
static_assert(sizeof(TensorMapFields) <= sizeof(skrr::cuda::TensorMap), "");

// Where byte `offset` of a tile lies in shared memory: 128-byte swizzle exchanges the 16-byte chunks of a 128-byte line by
// the number of the line in its group of 8, by address.
constexpr uint32_t swizzle_128(uint32_t offset) { return offset ^ (offset >> 7 & 7) << 4; }

}  // namespace simt
