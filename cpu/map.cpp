// Maps of the output, in float32: a thin product for each layer.
#include <cstring>

#include "cpu/cpu_backend.h"

namespace skrr::cpu {

size_t CpuMap::bytes() const {
  size_t bytes = 0;
  for (const Layer& layer : layers) bytes += layer.weight.bytes() + layer.bias.size() * sizeof(float);
  return bytes;
}

std::unique_ptr<Map> CpuBackend::load_map(const MapSpec& spec) {
  auto map = std::make_unique<CpuMap>();
  map->residual = spec.residual;
  for (const auto& [weight, bias] : spec.layers) {
    CpuMap::Layer& layer = map->layers.emplace_back();
    layer.inputs = weight.columns, layer.outputs = weight.rows;
    layer.weight = PackedMatrix(context_, context_.kernels.f32, {&weight}, PackedMatrix::Order::kStacked, CancelFlag());
    layer.bias.resize(bias ? size_t(layer.outputs) : 0);
    if (bias) read_floats(bias, 0, layer.outputs, layer.bias.data());
  }
  return map;
}

// y [tokens, outputs] of x [tokens, inputs]; y may be x, where there is room for both.
void CpuBackend::apply(const CpuMap& map, int64_t tokens, const float* x, float* y, const CancelFlag& cancel) {
  const TileKernel& kernel = context_.kernels.f32;
  const float* from = x;
  for (const CpuMap::Layer& layer : map.layers) {
    const bool last = &layer == &map.layers.back();
    const int64_t in = layer.inputs, out = layer.outputs;
    rows_.pack(context_, kernel, tokens, in, cancel,
               [&](int64_t r, float* row) { std::memcpy(row, from + r * in, size_t(in) * sizeof(float)); });
    if (!last) mixed_.reserve(size_t(tokens * out) * sizeof(float));  // `from` is packed by now and may be overwritten
    float* to = last ? y : mixed_.as<float>();
    multiply<1>(context_, rows_, layer.weight, cancel, [&](int64_t first, int rows, int64_t panel, float* const* tiles) {
      const int64_t column = panel * kernel.columns;
      const int valid = int(std::min<int64_t>(kernel.columns, out - column));
      for (int r = 0; r < rows; r++) {
        float* tile = tiles[0] + r * kernel.columns;
        for (int c = 0; !layer.bias.empty() && c < valid; c++) tile[c] += layer.bias[size_t(column + c)];
        if (!last && !map.residual) context_.kernels.gelu_tanh(tile, nullptr, valid);
        const float* residual = last && map.residual ? x + (first + r) * out + column : nullptr;
        float* row = to + (first + r) * out + column;
        for (int c = 0; c < valid; c++) row[c] = residual ? residual[c] + tile[c] : tile[c];
      }
    });
    from = to;
  }
}

}  // namespace skrr::cpu
