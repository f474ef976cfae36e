// Where a 16-byte chunk of a tile lies in shared memory, so that ldmatrix meets no bank twice.
//
// ldmatrix reads 8 rows of one 16-byte column at a time; shared memory serves 128 bytes a cycle if they lie in different
// 16-byte columns of its 128-byte lines. Rows of 128 bytes or more: chunk c of row r goes to column c ^ (r mod 8).
// Rows of 64 bytes: two rows share a line, and c goes to c ^ (r / 2 mod 4).
#pragma once

#include "cuda/intrinsics.cuh"

namespace skrr::cuda {

template <int kRowBytes>
SKRR_DEVICE uint32_t swizzled(int row, int chunk) {
  static_assert(kRowBytes == 64 || kRowBytes % 128 == 0, "");
  const int column = kRowBytes == 64 ? chunk ^ (row >> 1 & 3) : chunk ^ (row & 7);
  return uint32_t(row * kRowBytes + column * 16);
}

}  // namespace skrr::cuda
