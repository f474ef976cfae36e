#include "cpu/matrix.h"

#include "engine/numeric.h"

namespace skrr::cpu {
namespace {

struct PanelSource {
  const Tensor* tensor;
  int64_t first_row;  // of the tensor
};

// Which rows of which matrix each packed panel holds.
std::vector<PanelSource> arrange(const TileKernel& kernel, const std::vector<const Tensor*>& parts,
                                 PackedMatrix::Order order) {
  std::vector<PanelSource> panels;
  if (order == PackedMatrix::Order::kInterleaved) {
    for (int64_t row = 0; row < parts[0]->rows; row += kernel.columns) {
      for (const Tensor* part : parts) panels.push_back({part, row});
    }
    return panels;
  }
  for (const Tensor* part : parts) {
    for (int64_t row = 0; row < part->rows; row += kernel.columns) panels.push_back({part, row});
  }
  return panels;
}

}  // namespace

PackedMatrix::PackedMatrix(Context& context, const TileKernel& kernel, const std::vector<const Tensor*>& parts,
                           Order order, const CancelFlag& cancel)
    : kernel_(&kernel), k_(round_up(parts[0]->columns, kernel.depth)) {
  const std::vector<PanelSource> sources = arrange(kernel, parts, order);
  const int64_t k = parts[0]->columns;
  panels_ = int64_t(sources.size());
  const int64_t panel_bytes = bytes_of(k_);
  buffer_ = Buffer(size_t(panels_ * panel_bytes));
  scale_buffer_ = Buffer(kernel.is_integer() ? size_t(panels_ * kernel.columns) * sizeof(float) : 0);
  data_ = buffer_.as(), scales_ = scale_buffer_.as<float>();
  const Rotation rotation(k);
  context.pool.run(int(panels_), cancel, [&](int p, int worker) {
    const auto [tensor, first_row] = sources[size_t(p)];
    const int valid = int(std::min<int64_t>(kernel.columns, tensor->rows - first_row));
    float* rows = context.borrow(worker, valid * k);
    read_floats(*tensor, first_row * k, valid * k, rows);
    for (int n = 0; kernel.is_integer() && n < valid; n++) {
      const float scale = to_integers(context.kernels, rotation, rows + n * k, k, 127).scale / float(rotation.block);
      if (!is_finite_bits(bits_of(scale))) {
        throw Error("ERR_CHECKPOINT", tensor->name + ": found weights whose sums overflow float32, expected smaller ones for int8 and int4");
      }
      scale_buffer_.as<float>()[p * kernel.columns + n] = scale;
    }
    kernel.pack_b(rows, valid, int(k), k, 1, buffer_.as() + p * panel_bytes);
  });
}

void multiply_group(const PackedRows& x, const PackedMatrix& w, int64_t row, int64_t rows, int64_t first, int64_t last,
                    int64_t panel_floats, float* c, float* expanded) {
  const TileKernel& kernel = w.kernel();
  for (int64_t k0 = 0; k0 < w.k(); k0 += kernel.slice) {
    const int64_t depth = std::min<int64_t>(kernel.slice, w.k() - k0);
    const char* a = x.slice(row, k0, depth);
    for (int64_t p = first; p < last; p++) {
      const void* b = w.panel(p, k0);
      if (kernel.expand) {
        kernel.expand(b, int(depth), expanded);
        b = expanded;
      }
      const char* next = p + 1 < last               ? w.panel(p + 1, k0)
                         : k0 + depth < w.k()       ? w.panel(first, k0 + depth)
                         : last < w.panels()        ? w.panel(last, 0)
                                                    : nullptr;
      kernel.multiply(a, b, next, next ? w.bytes_of(depth) : 0, int(rows), int(depth), k0 > 0,
                      c + (p - first) * panel_floats);
    }
  }
}

}  // namespace skrr::cpu
