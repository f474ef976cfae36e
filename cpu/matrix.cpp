#include "cpu/matrix.h"

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
    : kernel_(&kernel), k_(parts[0]->columns) {
  const std::vector<PanelSource> sources = arrange(kernel, parts, order);
  panels_ = int64_t(sources.size());
  const size_t panel_bytes = size_t(kernel.columns * k_) * kernel.b_size;
  buffer_ = Buffer(size_t(panels_) * panel_bytes);
  context.pool.run(int(panels_), cancel, [&](int p, int worker) {
    const auto [tensor, first_row] = sources[size_t(p)];
    const int valid = int(std::min<int64_t>(kernel.columns, tensor->rows - first_row));
    float* rows = context.borrow(worker, valid * k_);
    read_floats(*tensor, first_row * k_, valid * k_, rows);
    kernel.pack_b(rows, valid, int(k_), k_, 1, buffer_.as() + size_t(p) * panel_bytes);
  });
}

}  // namespace skrr::cpu
