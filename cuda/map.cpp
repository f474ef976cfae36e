// Maps of the output, in float32.
#include "cuda/map.h"

#include "cuda/cuda_backend.h"
#include "engine/error.h"

namespace skrr::cuda {
namespace {

// [rows, columns] -> [columns, rows]
std::vector<float> transposed(const std::vector<float>& values, size_t rows, size_t columns) {
  std::vector<float> result(values.size());
  for (size_t r = 0; r < rows; r++) {
    for (size_t c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c];
  }
  return result;
}

}  // namespace

size_t CudaMap::bytes() const {
  size_t bytes = 0;
  for (const Layer& layer : layers) bytes += layer.weight.bytes() + layer.bias.bytes();
  return bytes;
}

std::unique_ptr<Map> CudaBackend::load_map(const MapSpec& spec) {
  if (spec.residual && (spec.layers.size() != 2 || spec.layers[0].bias || spec.layers[1].bias)) {
    throw Error("ERR_DEVICE", "device cuda adds maps of two layers without biases alone");
  }
  device().use();
  auto map = std::make_unique<CudaMap>();
  map->pool = pool_;
  map->residual = spec.residual;
  for (const auto& [weight, bias] : spec.layers) {
    const size_t in = size_t(weight.columns), out = size_t(weight.rows);
    std::vector<float> values = read_padded(weight, out * in);
    if (spec.residual && map->layers.size() == 1) values = transposed(values, out, in);  // compensate.cu reads up [rank, width]
    CudaMap::Layer layer{Buffer(device(), values.size() * sizeof(float), "a map"), Buffer(), int(in), int(out)};
    device().upload(layer.weight.as<float>(), values.data(), layer.weight.bytes());
    if (!spec.residual) {
      const std::vector<float> added = read_padded(bias, out);  // zeros where there is none
      layer.bias = Buffer(device(), out * sizeof(float), "a map's bias");
      device().upload(layer.bias.as<float>(), added.data(), layer.bias.bytes());
    }
    map->layers.push_back(std::move(layer));
  }
  return map;
}

// y [tokens, width] += the residual map of y.
void CudaBackend::add_map(const Map& map, float* y, int tokens) const {
  const std::vector<CudaMap::Layer>& layers = static_cast<const CudaMap&>(map).layers;
  compensate(device().stream(), layers[0].weight.as<float>(), layers[1].weight.as<float>(), layers[0].out, y, tokens, layers[0].in);
}

}  // namespace skrr::cuda
