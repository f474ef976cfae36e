// Matrix products over packed operands: C [m, n] = X [m, k] W^T, W [n, k] as checkpoints store it.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/stream.h"
#include "cpu/thread_pool.h"
#include "engine/buffer.h"
#include "engine/packed_layout.h"
#include "engine/rotation.h"
#include "engine/weights.h"

namespace skrr::cpu {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// What the parts of a backend share: kernels, threads and scratch.
struct Context {
  const Kernels& kernels;
  ThreadPool pool;
  std::vector<Buffer> scratch;  // one per worker, grows to what the largest task needed
  std::function<void(const char* part)> after;  // called when a part of a sub-block is done; only benchmarks set it

  explicit Context(int threads)
      : kernels(cpu::kernels()), pool(threads), scratch(size_t(pool.threads())) {}

  void finished(const char* part) const {
    if (after) after(part);
  }

  // `floats` of worker-private memory, valid until the worker asks again.
  float* borrow(int worker, int64_t floats) {
    scratch[size_t(worker)].reserve(size_t(floats) * sizeof(float));
    return scratch[size_t(worker)].as<float>();
  }
};

// Rotates x [k] and scales it to integers up to +-`max`. (Packing rounds.)
inline Integers to_integers(const Kernels& kernels, const Rotation& rotation, float* x, int64_t k, int64_t max) {
  kernels.rotate(x, int(k), rotation.block, rotation.lanes);
  return kernels.fit_integers(x, int(k), float(max));
}

// W, or several matrices of equal width: stacked (q over k over v) or with their panels in turn (gate, up).
class PackedMatrix {
 public:
  enum class Order { kStacked, kInterleaved };

  PackedMatrix() = default;
  // Packs: reads the parts and owns the result.
  PackedMatrix(Context& context, const TileKernel& kernel, const std::vector<const Tensor*>& parts, Order order,
               const CancelFlag& cancel);
  // Uses a packed matrix where it lies, in a mapped file or a copy: `panels` panels of kernels.int8 or int4 over k
  // (engine/packed_layout.h), and their scales [panels * columns]. Both must outlive this.
  PackedMatrix(const TileKernel& kernel, const char* data, const float* scales, int64_t k, int64_t panels)
      : kernel_(&kernel), k_(round_up(k, kernel.depth)), panels_(panels), data_(data), scales_(scales) {}

  // Where it lies, owned or not.
  PackedTensor view() const {
    return {reinterpret_cast<const std::byte*>(data_), size_t(panels_ * bytes_of(k_)), scales_,
            size_t(panels_ * kernel_->columns)};
  }

  // Bytes a packed [n, k] takes: whole panels of whole blocks.
  static size_t bytes_for(const TileKernel& kernel, int64_t n, int64_t k) {
    const int64_t panels = ceil_div(n, kernel.columns);
    return size_t(panels * ceil_div(k, kernel.depth) * kernel.block_bytes) +
           size_t(kernel.is_integer() ? panels * kernel.columns : 0) * sizeof(float);
  }

  const TileKernel& kernel() const { return *kernel_; }
  int64_t k() const { return k_; }  // padded
  int64_t panels() const { return panels_; }
  size_t bytes() const { return kernel_ ? bytes_for(*kernel_, panels_ * kernel_->columns, k_) : 0; }
  // Bytes of k in a panel.
  int64_t bytes_of(int64_t k) const { return k / kernel_->depth * kernel_->block_bytes; }
  const char* panel(int64_t p, int64_t k0) const { return data_ + p * bytes_of(k_) + bytes_of(k0); }
  const float* scales(int64_t panel) const { return scales_ + panel * kernel_->columns; }  // [columns]

 private:
  const TileKernel* kernel_ = nullptr;
  int64_t k_ = 0, panels_ = 0;
  const char* data_ = nullptr;
  const float* scales_ = nullptr;  // int8, int4: of each output channel [panels * columns]
  Buffer buffer_, scale_buffer_;   // what data_ and scales_ point into, where this owns them
};

// X, packed [K slice][row tile]; reused for every product that reads the same rows. All row tiles of a slice stand
// together: at a distance of a power of two they would fight for the same lines of the cache.
class PackedRows {
 public:
  // row(r, out) writes row r of X [k] to out.
  template <class Row>
  void pack(Context& context, const TileKernel& kernel, int64_t m, int64_t k, const CancelFlag& cancel, Row row) {
    m_ = m, k_ = round_up(k, kernel.depth), padded_m_ = round_up(m, kernel.rows), a_size_ = kernel.a_size;
    buffer_.reserve(size_t(padded_m_ * k_) * a_size_);
    scales_.resize(kernel.is_integer() ? size_t(padded_m_) : 0), offsets_.resize(scales_.size());
    const Rotation rotation(k);
    // As large as an int32 sum of k products allows.
    const int64_t max = std::min<int64_t>(kernel.integer_max, INT32_MAX / ((127 + kernel.b_offset) * k));
    context.pool.run(int(padded_m_ / kernel.rows), cancel, [&](int tile, int worker) {
      float* rows = context.borrow(worker, kernel.rows * k);
      const int64_t first = int64_t(tile) * kernel.rows;
      const int valid = int(std::min<int64_t>(kernel.rows, m - first));
      for (int r = 0; r < valid; r++) {
        float* x = rows + r * k;
        row(first + r, x);
        if (kernel.is_integer()) {
          const Integers integers = to_integers(context.kernels, rotation, x, k, max);
          scales_[size_t(first + r)] = integers.scale, offsets_[size_t(first + r)] = kernel.b_offset * integers.sum;
        }
      }
      for (int64_t k0 = 0; k0 < k; k0 += kernel.slice) {
        const int depth = int(std::min<int64_t>(kernel.slice, k - k0));
        kernel.pack_a(rows + k0, valid, depth, k, buffer_.as() + offset(first, k0, round_up(depth, kernel.depth)));
      }
    });
  }

  int64_t m() const { return m_; }
  size_t bytes() const { return buffer_.bytes(); }
  // int8 and int4, from `row` on: the factor of a row's integers, and the excess of their sums.
  const float* scales(int64_t row) const { return &scales_[size_t(row)]; }
  const int32_t* offsets(int64_t row) const { return &offsets_[size_t(row)]; }
  // The slice of `depth` from k0 on, from row tile `first_row` / kernel.rows on.
  const char* slice(int64_t first_row, int64_t k0, int64_t depth) const {
    return buffer_.as() + offset(first_row, k0, depth);
  }

 private:
  size_t offset(int64_t first_row, int64_t k0, int64_t depth) const {
    return size_t(k0 * padded_m_ + first_row * depth) * a_size_;
  }

  int64_t m_ = 0, k_ = 0, padded_m_ = 0;
  size_t a_size_ = 0;
  Buffer buffer_;
  std::vector<float> scales_;
  std::vector<int32_t> offsets_;
};

// The tiling of a product [m, k] x [panels, k]. It changes no result.
struct Tiling {
  int64_t block_rows;  // rows whose slice of A, and whose part of C for a group of panels, stay in the L2 cache
  int64_t task;        // panels a worker takes at a time: a quarter of its share
  int64_t group;       // panels multiplied in turn by one slice of A: many, so that A is seldom read from memory; few where
                       // all of A fits L2, so that C stays there

  Tiling(const TileKernel& kernel, int64_t m, int64_t k, int64_t panels, int threads, int together)
      : block_rows(std::min<int64_t>(round_up(m, kernel.rows), 512 / kernel.rows * kernel.rows)),
        task(round_up(ceil_div(panels, 4 * threads), together)),
        group(std::min<int64_t>(task, m * k * int64_t(kernel.a_size) <= (1 << 20) ? 2 : 16)) {}

  int64_t panel_floats(const TileKernel& kernel) const { return block_rows * kernel.columns; }
  // C, and behind it the expanded slice of a panel.
  int64_t scratch_floats(const TileKernel& kernel) const {
    return group * panel_floats(kernel) + (kernel.expand ? kernel.slice * kernel.columns / int64_t(sizeof(float)) : 0);
  }
};

// c [panel - first][row tile][kernel.rows][columns] = `rows` rows of X from `row` on times panels [first, last).
// `expanded` has room for a slice of a panel where the kernel expands.
void multiply_group(const PackedRows& x, const PackedMatrix& w, int64_t row, int64_t rows, int64_t first, int64_t last,
                    int64_t panel_floats, float* c, float* expanded);

// C = X W^T. Finished tiles go to
//   epilogue(first_row, rows, panels, tiles)   tiles[i] is [kernel.rows][kernel.columns] of panel panels * together + i
// Each element of C is summed over k in one fixed order, whatever the batch and the number of threads.
template <int together, class Epilogue>
void multiply(Context& context, const PackedRows& x, const PackedMatrix& w, const CancelFlag& cancel,
              Epilogue epilogue) {
  const TileKernel& kernel = w.kernel();
  const Tiling tiling(kernel, x.m(), w.k(), w.panels(), context.pool.threads(), together);
  const int64_t panel_floats = tiling.panel_floats(kernel);
  context.pool.run(int(ceil_div(w.panels(), tiling.task)), cancel, [&](int task, int worker) {
    float* c = context.borrow(worker, tiling.scratch_floats(kernel));
    if (kernel.enter) kernel.enter();
    const int64_t end = std::min((task + 1) * tiling.task, w.panels());
    for (int64_t first = task * tiling.task; first < end; first += tiling.group) {
      const int64_t last = std::min(first + tiling.group, end);
      for (int64_t row = 0; row < x.m() && !cancel.raised(); row += tiling.block_rows) {  // run() throws, once tiles are left
        const int64_t rows = std::min(tiling.block_rows, x.m() - row);
        multiply_group(x, w, row, rows, first, last, panel_floats, c, c + tiling.group * panel_floats);
        for (int64_t r = 0; r < rows; r += kernel.rows) {  // row by row: long runs of memory, few pages at a time
          for (int64_t p = first; p < last; p += together) {
            const int valid = int(std::min<int64_t>(kernel.rows, rows - r));
            float* tiles[2] = {};
            for (int i = 0; i < together; i++) {
              tiles[i] = c + (p - first + i) * panel_floats + r * kernel.columns;
              if (kernel.is_integer()) {
                context.kernels.rescale(tiles[i], valid, kernel.columns, x.scales(row + r), x.offsets(row + r),
                                        w.scales(p + i));
              }
            }
            epilogue(row + r, valid, p / together, tiles);
          }
        }
      }
    }
    fence_streams();
    if (kernel.leave) kernel.leave();
  });
}

}  // namespace skrr::cpu
