// Matrix products over packed operands: C [m, n] = X [m, k] W^T, W [n, k] as checkpoints store it.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/buffer.h"
#include "cpu/kernels.h"
#include "cpu/thread_pool.h"
#include "engine/tensor.h"

namespace skrr::cpu {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// What the pieces of a backend share: how to multiply, on which threads, with which scratch.
struct Context {
  const Kernels& kernels;
  ThreadPool pool;
  std::vector<Buffer> scratch;  // one per worker, grows to what the largest task needed

  explicit Context(int threads)
      : kernels(cpu::kernels()), pool(threads), scratch(size_t(pool.threads())) {}

  // `floats` of worker-private memory, valid until the worker asks again.
  float* borrow(int worker, int64_t floats) {
    scratch[size_t(worker)].reserve(size_t(floats) * sizeof(float));
    return scratch[size_t(worker)].as<float>();
  }
};

// W, or several matrices of equal width: stacked (q over k over v) or with their panels in turn (wi_0, wi_1).
class PackedMatrix {
 public:
  enum class Order { kStacked, kInterleaved };

  PackedMatrix() = default;
  PackedMatrix(Context& context, const TileKernel& kernel, const std::vector<const Tensor*>& parts, Order order,
               const CancelFlag& cancel);

  // Bytes a packed [n, k] takes: whole panels.
  static size_t bytes_for(const TileKernel& kernel, int64_t n, int64_t k) {
    return size_t(ceil_div(n, kernel.columns) * kernel.columns * k) * kernel.b_size;
  }

  const TileKernel& kernel() const { return *kernel_; }
  int64_t k() const { return k_; }
  int64_t panels() const { return panels_; }
  size_t bytes() const { return buffer_.bytes(); }
  const char* panel(int64_t p) const {
    return buffer_.as() + size_t(p * kernel_->columns * k_) * kernel_->b_size;
  }

 private:
  const TileKernel* kernel_ = nullptr;
  int64_t k_ = 0, panels_ = 0;
  Buffer buffer_;
};

// X, packed in row tiles; reused for every product that reads the same rows.
class PackedRows {
 public:
  // row(r, out) writes row r of X [k] to out.
  template <class Row>
  void pack(Context& context, const TileKernel& kernel, int64_t m, int64_t k, const CancelFlag& cancel, Row row) {
    m_ = m, k_ = k, tile_bytes_ = size_t(kernel.rows * k) * kernel.a_size;
    buffer_.reserve(size_t(ceil_div(m, kernel.rows)) * tile_bytes_);
    context.pool.run(int(ceil_div(m, kernel.rows)), cancel, [&](int tile, int worker) {
      float* rows = context.borrow(worker, kernel.rows * k);
      const int64_t first = int64_t(tile) * kernel.rows;
      const int valid = int(std::min<int64_t>(kernel.rows, m - first));
      for (int r = 0; r < valid; r++) row(first + r, rows + r * k);
      kernel.pack_a(rows, valid, int(k), k, buffer_.as() + size_t(tile) * tile_bytes_);
    });
  }

  int64_t m() const { return m_; }
  int64_t k() const { return k_; }
  size_t bytes() const { return buffer_.bytes(); }
  const char* tile(int64_t t) const { return buffer_.as() + size_t(t) * tile_bytes_; }

 private:
  int64_t m_ = 0, k_ = 0;
  size_t tile_bytes_ = 0;
  Buffer buffer_;
};

// Columns of K multiplied before moving to the next row tile: a panel's slice then stays in the L1 cache.
constexpr int64_t kSliceBytes = 24 * 1024;

// Multiplies every row tile with `group` neighbouring panels at a time and hands the finished tiles to
//   epilogue(first_row, rows, panel_group, tiles)   tiles[g] is [kernel.rows][kernel.columns] of panel group * G + g
// Each element of C is summed over k in one fixed order, whatever the batch and the number of threads.
template <int group, class Epilogue>
void multiply(Context& context, const PackedRows& x, const PackedMatrix& w, const CancelFlag& cancel,
              Epilogue epilogue) {
  const TileKernel& kernel = w.kernel();
  const int64_t tiles = ceil_div(x.m(), kernel.rows);
  const int64_t tile_floats = int64_t(kernel.rows) * kernel.columns;
  const int64_t slice = kSliceBytes / int64_t(kernel.columns * kernel.b_size);
  context.pool.run(int(w.panels() / group), cancel, [&](int panel_group, int worker) {
    float* c = context.borrow(worker, tiles * group * tile_floats);  // [tile][group][rows][columns]
    for (int64_t k0 = 0; k0 < w.k(); k0 += slice) {
      const int depth = int(std::min(slice, w.k() - k0));
      for (int g = 0; g < group; g++) {
        const char* b = w.panel(int64_t(panel_group) * group + g) + size_t(k0 * kernel.columns) * kernel.b_size;
        for (int64_t t = 0; t < tiles; t++) {
          const char* a = x.tile(t) + size_t(k0 * kernel.rows) * kernel.a_size;
          kernel.multiply(a, b, depth, k0 > 0, c + (t * group + g) * tile_floats);
        }
      }
    }
    for (int64_t t = 0; t < tiles; t++) {
      const int rows = int(std::min<int64_t>(kernel.rows, x.m() - t * kernel.rows));
      epilogue(t * kernel.rows, rows, int64_t(panel_group), c + t * group * tile_floats);
    }
  });
}

// Scratch floats one worker needs for multiply() over m rows.
inline int64_t multiply_scratch(const TileKernel& kernel, int64_t m, int group) {
  return ceil_div(m, kernel.rows) * group * kernel.rows * kernel.columns;
}

}  // namespace skrr::cpu
