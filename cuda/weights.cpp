#include "cuda/weights.h"

#include <algorithm>

#include "cuda/tensor_map.h"
#include "engine/numeric.h"

namespace skrr::cuda {
namespace {

// A packed matrix being filled on the host: bf16, all zeros where nothing was placed.
class HostMatrix {
 public:
  HostMatrix(int rows, int columns) : columns_(size_t(columns)), values_(size_t(rows) * size_t(columns)) {}

  // Row r of the tensor becomes row row_of(r). Its columns come in groups of `group`, each padded to `padded_group`.
  template <class RowOf>
  void place(const Tensor& tensor, int group, int padded_group, RowOf row_of, const CancelFlag& cancel) {
    std::vector<float> row(size_t(tensor.columns));
    for (int64_t r = 0; r < tensor.rows; r++) {
      if (r % 256 == 0) cancel.check();
      read_floats(tensor, r * tensor.columns, tensor.columns, row.data());
      uint16_t* out = &values_[size_t(row_of(int(r))) * columns_];
      for (size_t from = 0; from < row.size(); from += size_t(group), out += padded_group) {
        for (size_t i = 0; i < size_t(group); i++) out[i] = to_bf16(row[from + i]);
      }
    }
  }

  const uint16_t* data() const { return values_.data(); }
  size_t bytes() const { return values_.size() * sizeof(uint16_t); }

 private:
  size_t columns_;
  std::vector<uint16_t> values_;
};

// q over k over v, every head's rows padded.
HostMatrix attention_in(const Geometry& g, const Shape& shape, const SubBlockTensors& t, const CancelFlag& cancel) {
  HostMatrix matrix(3 * shape.inner, shape.width);
  int part = 0;
  for (const Tensor* tensor : {&t.q, &t.k, &t.v}) {
    const auto row_of = [&](int r) { return part * shape.inner + r / g.head_dim * shape.head_dim + r % g.head_dim; };
    matrix.place(*tensor, g.width, shape.width, row_of, cancel);
    part++;
  }
  return matrix;
}

HostMatrix attention_out(const Geometry& g, const Shape& shape, const SubBlockTensors& t, const CancelFlag& cancel) {
  HostMatrix matrix(shape.width, shape.inner);
  matrix.place(t.o, g.head_dim, shape.head_dim, [](int r) { return r; }, cancel);
  return matrix;
}

// wi, or wi_0 and wi_1 in turns of 8 rows: gate and value of a column meet in one thread's registers.
HostMatrix feed_forward_in(const Geometry& g, const Shape& shape, const SubBlockTensors& t, const CancelFlag& cancel) {
  HostMatrix matrix(shape.up, shape.width);
  if (!g.gated) {
    matrix.place(t.wi_0, g.width, shape.width, [](int r) { return r; }, cancel);
    return matrix;
  }
  matrix.place(t.wi_0, g.width, shape.width, [](int r) { return r / 8 * 16 + r % 8; }, cancel);
  matrix.place(t.wi_1, g.width, shape.width, [](int r) { return r / 8 * 16 + 8 + r % 8; }, cancel);
  return matrix;
}

HostMatrix feed_forward_out(const Geometry& g, const Shape& shape, const SubBlockTensors& t, const CancelFlag& cancel) {
  HostMatrix matrix(shape.width, shape.ff);
  matrix.place(t.wo, g.ff, shape.ff, [](int r) { return r; }, cancel);
  return matrix;
}

constexpr size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

std::vector<float> read_padded(const Tensor& tensor, size_t padded) {
  std::vector<float> values(padded);
  if (tensor) read_floats(tensor, 0, tensor.rows * tensor.columns, values.data());
  return values;
}

SlotLayout::SlotLayout(const Geometry& g, int sub_block) {
  const Shape shape(g);
  const bool attention = is_attention(sub_block);
  const size_t width = size_t(shape.width);
  in = aligned(width * sizeof(float));
  out = in + aligned(size_t(attention ? 3 * shape.inner : shape.up) * width * sizeof(bf16));
  maps = out + aligned(size_t(attention ? shape.inner : shape.ff) * width * sizeof(bf16));
  bias = maps + aligned(2 * sizeof(TensorMap));
  const bool own_bias = attention && g.bias_per_block;
  bytes = bias + (own_bias ? aligned(size_t(g.buckets) * size_t(g.heads) * sizeof(float)) : 0);
}

LoadedSlot load_slot(Device& device, const Geometry& g, int sub_block, const SubBlockTensors& t,
                     const float* shared_bias, const CancelFlag& cancel) {
  const Shape shape(g);
  const bool attention = is_attention(sub_block);
  const SlotLayout layout(g, sub_block);
  Buffer memory(device, layout.bytes, "sub-block " + std::to_string(sub_block));
  const std::vector<float> norm = read_padded(t.norm, size_t(shape.width));
  device.upload(memory.as<float>(), norm.data(), norm.size() * sizeof(float));
  {
    const HostMatrix in = attention ? attention_in(g, shape, t, cancel) : feed_forward_in(g, shape, t, cancel);
    device.upload(memory.as<bf16>(layout.in), in.data(), in.bytes());
  }
  const HostMatrix out = attention ? attention_out(g, shape, t, cancel) : feed_forward_out(g, shape, t, cancel);
  device.upload(memory.as<bf16>(layout.out), out.data(), out.bytes());
  const float* bias = attention ? shared_bias : nullptr;
  if (attention && g.bias_per_block) {
    const std::vector<float> values = read_padded(t.bias, size_t(g.buckets) * size_t(g.heads));
    device.upload(memory.as<float>(layout.bias), values.data(), values.size() * sizeof(float));
    bias = memory.as<float>(layout.bias);
  }
  Slot slot{memory.as<float>(), memory.as<bf16>(layout.in), memory.as<bf16>(layout.out), bias, WeightFormat::kBF16};
  if (device.hopper()) {
    const TensorMap maps[] = {tensor_map(slot.in, attention ? 3 * shape.inner : shape.up, shape.width),
                              tensor_map(slot.out, shape.width, attention ? shape.inner : shape.ff)};
    device.upload(memory.as<TensorMap>(layout.maps), maps, sizeof maps);
    slot.maps = memory.as<TensorMap>(layout.maps);
  }
  return {std::move(memory), slot};
}

}  // namespace skrr::cuda
