// The low-rank map of the embedding, y += (y down^T) up, in float32: two thin products after the final norm.
#include <cstring>

#include "cpu/cpu_backend.h"

namespace skrr::cpu {
namespace {

struct CpuCompensation final : Compensation {
  PackedMatrix down;  // [rank, width]
  PackedMatrix up;    // [width, rank]: rows are outputs
  int64_t rank = 0;
  size_t bytes() const override { return down.bytes() + up.bytes(); }
};

Tensor view(const std::string& name, const float* values, int64_t rows, int64_t columns) {
  return {name, reinterpret_cast<const std::byte*>(values), DType::kF32, rows, columns, 1};
}

}  // namespace

size_t compensation_bytes(const Kernels& kernels, int64_t width, int64_t rank) {
  return PackedMatrix::bytes_for(kernels.f32, rank, width) + PackedMatrix::bytes_for(kernels.f32, width, rank);
}

std::unique_ptr<Compensation> CpuBackend::load_compensation(const float* down, const float* up, int rank) {
  const int64_t width = geometry_.width;
  std::vector<float> transposed(size_t(width * rank));
  for (int64_t j = 0; j < rank; j++) {
    for (int64_t i = 0; i < width; i++) transposed[size_t(i * rank + j)] = up[j * width + i];
  }
  const Tensor in = view("compensation.down", down, rank, width);
  const Tensor out = view("compensation.up", transposed.data(), width, rank);
  const auto packed = [&](const Tensor& tensor) {
    return PackedMatrix(context_, context_.kernels.f32, {&tensor}, PackedMatrix::Order::kStacked, CancelFlag());
  };
  auto compensation = std::make_unique<CpuCompensation>();
  compensation->down = packed(in);
  compensation->up = packed(out);
  compensation->rank = rank;
  return compensation;
}

// y [tokens, width]
void CpuBackend::compensate(const Compensation& compensation, int64_t tokens, float* y) {
  const auto& c = static_cast<const CpuCompensation&>(compensation);
  mixed_.reserve(size_t(tokens * c.rank) * sizeof(float));
  // y (+)= x w^T, x [tokens, k], y [tokens, n]
  const auto product = [&](const float* x, int64_t k, const PackedMatrix& w, int64_t n, bool add, float* result) {
    const TileKernel& kernel = w.kernel();
    rows_.pack(context_, kernel, tokens, k, CancelFlag(),
               [&](int64_t r, float* row) { std::memcpy(row, x + r * k, size_t(k) * sizeof(float)); });
    multiply<1>(context_, rows_, w, CancelFlag(), [&](int64_t first, int rows, int64_t panel, float* const* tiles) {
      const int64_t column = panel * kernel.columns, valid = std::min<int64_t>(kernel.columns, n - column);
      for (int r = 0; r < rows; r++) {
        float* row = result + (first + r) * n + column;
        for (int64_t i = 0; i < valid; i++) row[i] = (add ? row[i] : 0.0f) + tiles[0][r * kernel.columns + i];
      }
    });
  };
  product(y, geometry_.width, c.down, c.rank, false, mixed_.as<float>());
  product(mixed_.as<float>(), c.rank, c.up, geometry_.width, true, y);
}

}  // namespace skrr::cpu
