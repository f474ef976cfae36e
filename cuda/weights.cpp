#include "cuda/weights.h"

#include <algorithm>
#include <functional>

#include "cuda/tensor_map.h"
#include "engine/numeric.h"

namespace skrr::cuda {
namespace {

// Where a row of a device matrix comes from. Without a tensor the row is zeros.
struct SourceRow {
  const Tensor* tensor;
  int row;
};

// A matrix as it lies on the device, bf16. Columns come in groups of `group`, each padded to `padded_group` with zeros.
struct DeviceMatrix {
  int rows, columns;
  int group, padded_group;
  std::function<SourceRow(int row)> source;
};

// A row of the padded heads: each head has head_dim rows, followed by rows of zeros up to the padded head_dim.
SourceRow head_row(const Attention& a, const Shape& shape, const Tensor& tensor, int row) {
  const int head = row / shape.head_dim, i = row % shape.head_dim;
  return i < a.head_dim ? SourceRow{&tensor, head * a.head_dim + i} : SourceRow{};
}

SourceRow row_of(const Tensor& tensor, int row) { return row < tensor.rows ? SourceRow{&tensor, row} : SourceRow{}; }

// q over k over v, every head's rows padded.
DeviceMatrix attention_in(const Attention& a, const Shape& shape, const Weights& w) {
  return {3 * shape.inner, shape.width, shape.true_width, shape.width, [&](int row) {
            const Tensor* const parts[] = {&w[Role::kQ], &w[Role::kK], &w[Role::kV]};
            return head_row(a, shape, *parts[row / shape.inner], row % shape.inner);
          }};
}

DeviceMatrix attention_out(const Attention& a, const Shape& shape, const Weights& w) {
  return {shape.width, shape.inner, a.head_dim, shape.head_dim, [&](int row) { return row_of(w[Role::kO], row); }};
}

// up, or gate and up in turns of 8 rows: both of a column meet in one thread's registers.
DeviceMatrix feed_forward_in(const FeedForward& f, const Shape& shape, const Weights& w) {
  return {shape.up, shape.width, shape.true_width, shape.width, [&](int row) {
            if (!f.gated) return row_of(w[Role::kUp], row);
            return row_of(w[row % 16 < 8 ? Role::kGate : Role::kUp], row / 16 * 8 + row % 8);
          }};
}

DeviceMatrix feed_forward_out(const FeedForward& f, const Shape& shape, const Weights& w) {
  return {shape.width, shape.ff, f.inner, shape.ff, [&](int row) { return row_of(w[Role::kDown], row); }};
}

void pack_rows(const DeviceMatrix& matrix, int first, int count, uint16_t* out) {
  std::fill_n(out, size_t(count) * size_t(matrix.columns), uint16_t(0));
  std::vector<float> values;
  for (int r = 0; r < count; r++, out += matrix.columns) {
    const auto [tensor, row] = matrix.source(first + r);
    if (!tensor) continue;
    values.resize(size_t(tensor->columns));
    read_floats(*tensor, row * tensor->columns, tensor->columns, values.data());
    uint16_t* to = out;
    for (size_t from = 0; from < values.size(); from += size_t(matrix.group), to += matrix.padded_group) {
      for (size_t i = 0; i < size_t(matrix.group); i++) to[i] = to_bf16(values[from + i]);
    }
  }
}

// Cuts a matrix into pieces of whole rows. `matrix` must outlive them.
void add_pieces(const DeviceMatrix& matrix, bf16* to, size_t piece_bytes, std::vector<Piece>& pieces) {
  const size_t row_bytes = size_t(matrix.columns) * sizeof(bf16);
  const int at_once = int(std::max<size_t>(piece_bytes / row_bytes, 1));
  for (int first = 0; first < matrix.rows; first += at_once) {
    const int count = std::min(at_once, matrix.rows - first);
    pieces.push_back({to + size_t(first) * size_t(matrix.columns), size_t(count) * row_bytes,
                      [&matrix, first, count](void* out) { pack_rows(matrix, first, count, static_cast<uint16_t*>(out)); }});
  }
}

constexpr size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

std::vector<float> read_padded(const Tensor& tensor, size_t padded) {
  std::vector<float> values(padded);
  if (tensor) read_floats(tensor, 0, tensor.rows * tensor.columns, values.data());
  return values;
}

SlotLayout::SlotLayout(const Architecture& a, int sub_block) {
  const Shape shape(a);
  const bool attention = is_attention(sub_block);
  const size_t width = size_t(shape.width);
  in = aligned(width * sizeof(float));
  out = in + aligned(size_t(attention ? 3 * shape.inner : shape.up) * width * sizeof(bf16));
  maps = out + aligned(size_t(attention ? shape.inner : shape.ff) * width * sizeof(bf16));
  bias = maps + aligned(2 * sizeof(TensorMap));
  const int buckets = attention ? a.attention(sub_block).distance.buckets : 0;
  bytes = bias + aligned(size_t(buckets) * size_t(shape.heads) * sizeof(float));
}

LoadedSlot load_slot(Gpu& device, Loader& loader, const Architecture& a, int sub_block, const Weights& w, const CancelFlag& cancel) {
  const Shape shape(a);
  const bool attention = is_attention(sub_block);
  const SlotLayout layout(a, sub_block);
  Buffer memory(device, layout.bytes, "sub-block " + std::to_string(sub_block));
  const std::vector<float> norm = read_padded(w[Role::kNorm], size_t(shape.width));
  device.upload(memory.as<float>(), norm.data(), norm.size() * sizeof(float));
  const DeviceMatrix in = attention ? attention_in(a.attention(sub_block), shape, w) : feed_forward_in(a.feed_forward(sub_block), shape, w);
  const DeviceMatrix out = attention ? attention_out(a.attention(sub_block), shape, w) : feed_forward_out(a.feed_forward(sub_block), shape, w);
  std::vector<Piece> pieces;
  add_pieces(in, memory.as<bf16>(layout.in), loader.piece_bytes(), pieces);
  add_pieces(out, memory.as<bf16>(layout.out), loader.piece_bytes(), pieces);
  loader.run(pieces, cancel);
  Slot slot{memory.as<float>(), memory.as<bf16>(layout.in), memory.as<bf16>(layout.out), nullptr, WeightFormat::kBF16};
  if (attention) {
    const Attention& attributes = a.attention(sub_block);
    slot.reach = {distance_index(a, sub_block), attributes.distance.ahead, attributes.distance.back, attributes.unseeing == Unseeing::kMean};
  }
  if (layout.bytes > layout.bias) {
    const Tensor& table = w[Role::kDistance];
    const std::vector<float> values = read_padded(table, size_t(table.rows * table.columns));
    device.upload(memory.as<float>(layout.bias), values.data(), values.size() * sizeof(float));
    slot.bias = memory.as<float>(layout.bias);
  }
  if (device.hopper()) {
    const TensorMap maps[] = {tensor_map(slot.in, attention ? 3 * shape.inner : shape.up, shape.width),
                              tensor_map(slot.out, shape.width, attention ? shape.inner : shape.ff)};
    device.upload(memory.as<TensorMap>(layout.maps), maps, sizeof maps);
    slot.maps = memory.as<TensorMap>(layout.maps);
  }
  return {std::move(memory), slot};
}

}  // namespace skrr::cuda
