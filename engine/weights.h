// Weights as they lie in their files or in memory: bytes, encoding, shape; and those of a sub-block by role.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/encoding.h"
#include "engine/roles.h"
#include "engine/weight_file.h"

namespace skrr {

// Rows are outputs: y = W x, W [rows, columns].
struct Tensor {
  std::string name;                 // for messages
  const std::byte* data = nullptr;  // in memory, maybe unaligned; null: it is read from `file`
  Encoding encoding = Encoding::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  float scale = 1;  // factor on every element
  const WeightFile* file = nullptr;
  uint64_t offset = 0;  // in the file
  float plus = 0;       // added to every element after the scale

  explicit operator bool() const { return data || file; }
  size_t bytes() const { return bytes_of(encoding, rows * columns); }
};

// [rows, columns] float32 of the host, which must outlive the tensor.
inline Tensor view_of(const char* name, const float* values, int64_t rows, int64_t columns) {
  return {name, reinterpret_cast<const std::byte*>(values), Encoding::kF32, rows, columns};
}

// Reads `count` elements from element `first` on as float32, both in whole blocks of the encoding. Exact for every encoding.
// Throws ERR_CHECKPOINT when one is NaN or infinite: embeddings would be NaN, and the reason should be found
// here, not in an image. Of a tensor in a file no more than a small piece is in memory at a time; where the file was cut, it throws
// ERR_CHECKPOINT too.
void read_floats(const Tensor& tensor, int64_t first, int64_t count, float* out);

// A packed matrix (engine/packed_layout.h), used where it lies in memory.
struct PackedTensor {
  const std::byte* data = nullptr;
  size_t bytes = 0;
  const float* scales = nullptr;
  size_t scale_count = 0;  // panels * 32

  explicit operator bool() const { return data != nullptr; }
};

// Something for each role; absent tensors are empty.
template <class T>
struct ByRole {
  std::array<T, kRoles> all{};

  T& operator[](Role role) { return all[size_t(role)]; }
  const T& operator[](Role role) const { return all[size_t(role)]; }
};

// The weights of one sub-block. Where Role::kIn and kOut are there, they stand in place of the matrices, and outlive the
// slot they are loaded into.
using Weights = ByRole<Tensor>;

inline PackedTensor packed_in(const Weights& weights, Role data, Role scales) {
  const Tensor &bytes = weights[data], &factors = weights[scales];
  if (!bytes) return {};
  return {bytes.data, bytes.bytes(), reinterpret_cast<const float*>(factors.data), factors.bytes() / sizeof(float)};
}

// What every plan keeps.
struct FixedTensors {
  Tensor embedding;        // [vocab, width], read from the file row by row
  Tensor positions;        // [positions, width], likewise; absent without a position table
  Tensor final_norm;       // [1, width]
  Tensor final_norm_bias;  // [1, width], absent where it is an RMS norm
};

}  // namespace skrr
