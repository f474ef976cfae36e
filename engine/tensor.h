// A weight matrix as it lies in its file: bytes, format, shape. Rows are outputs: y = W x, W [rows, columns].
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace skrr {

// kInt8, kInt4: bytes as cpu/packed_layout.h lays them out, one an element.
enum class DType { kF32, kF16, kBF16, kF8E4M3, kInt8, kInt4 };

inline size_t element_size(DType type) {
  switch (type) {
    case DType::kF32: return 4;
    case DType::kF16: return 2;
    case DType::kBF16: return 2;
    case DType::kF8E4M3: return 1;
    case DType::kInt8: return 1;
    case DType::kInt4: return 1;
  }
  return 0;
}

struct Tensor {
  std::string name;                 // for messages
  const std::byte* data = nullptr;  // maybe unaligned: old safetensors headers have odd lengths
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  float scale = 1;  // factor on every element (scaled fp8 files)
  bool mapped = false;  // lies in a MappedFile: what was read of it for the last time may be dropped

  explicit operator bool() const { return data != nullptr; }
  size_t bytes() const { return size_t(rows) * size_t(columns) * element_size(dtype); }
};

// Matrices that were packed before (cpu/packed_layout.h), to be used where they lie.
struct PackedTensor {
  const std::byte* data = nullptr;
  size_t bytes = 0;
  const float* scales = nullptr;
  size_t scale_count = 0;  // panels * 32

  explicit operator bool() const { return data != nullptr; }
};

// The weights of one sub-block. Attention uses norm..o (and UMT5's bias); feed-forward norm, wi (or wi_0, wi_1), wo.
struct SubBlockTensors {
  Tensor norm;
  Tensor q, k, v, o, bias;
  Tensor wi_0, wi_1, wo;  // ungated models have wi_0 alone
  // In place of the matrices. in: q over k over v, or wi_0 and wi_1 panel by panel; out: o, or wo. They outlive the slot.
  PackedTensor in, out;
};

// What every plan keeps.
struct FixedTensors {
  Tensor embedding;   // [vocab, width], read from the mapped file row by row
  Tensor final_norm;  // [1, width]
  Tensor bias;        // [buckets, heads], T5's one table
};

// Reads `count` elements from element `first` on as float32. Exact for every format. Throws ERR_CHECKPOINT when one is
// NaN or infinite: such a file gives NaN embeddings, and the reason should be found here, not in an image.
void read_floats(const Tensor& tensor, int64_t first, int64_t count, float* out);

}  // namespace skrr
