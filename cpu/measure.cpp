// What a search for plans measures: projected features, and how far two of them are apart.
#include <cmath>
#include <cstring>

#include "cpu/cpu_backend.h"

namespace skrr::cpu {
namespace {

struct CpuProjection final : Projection {
  struct Layer {
    PackedMatrix weight;
    std::vector<float> bias;  // [out], zeros where there is none
  };
  std::vector<Layer> layers;
};

struct CpuFeatures final : Features {
  int width = 0;
  std::vector<float> values;    // [tokens, width]
  std::vector<int32_t> starts;  // [sequences + 1]
  size_t bytes() const override { return values.size() * sizeof(float) + starts.size() * sizeof(int32_t); }
};

// a, b [tokens, width]; one sum per sequence, in double, token after token: no thread or batch changes the result.
std::vector<Comparison> compare_rows(const float* a, const float* b, size_t width,
                                     const std::vector<int32_t>& starts) {
  std::vector<Comparison> sums(starts.size() - 1);
  for (size_t s = 0; s + 1 < starts.size(); s++) {
    for (size_t t = size_t(starts[s]); t < size_t(starts[s + 1]); t++) {
      double difference = 0, dot = 0, aa = 0, bb = 0;
      for (size_t i = t * width; i < (t + 1) * width; i++) {
        const double x = a[i], y = b[i];
        difference += (x - y) * (x - y), dot += x * y, aa += x * x, bb += y * y;
      }
      sums[s].squared_error += difference;
      sums[s].cosine += aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : 0;
      sums[s].squares_a += aa;
      sums[s].squares_b += bb;
    }
  }
  return sums;
}

void require_same_batch(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  if (a != b) throw Error("ERR_ENGINE", "two states of different batches cannot be compared");
}

}  // namespace

std::unique_ptr<Projection> CpuBackend::load_projection(const std::vector<ProjectionLayer>& layers) {
  auto projection = std::make_unique<CpuProjection>();
  for (const ProjectionLayer& layer : layers) {
    CpuProjection::Layer& loaded = projection->layers.emplace_back();
    loaded.weight = PackedMatrix(context_, context_.kernels.f32, {&layer.weight}, PackedMatrix::Order::kStacked,
                                 CancelFlag());
    loaded.bias.resize(size_t(layer.weight.rows));
    if (layer.bias) read_floats(layer.bias, 0, layer.weight.rows, loaded.bias.data());
  }
  return projection;
}

std::unique_ptr<Features> CpuBackend::features(const States& states, const Compensation* compensation,
                                               const Projection* projection, const CancelFlag& cancel) {
  const CpuStates& s = static_cast<const CpuStates&>(states);
  auto features = std::make_unique<CpuFeatures>();
  features->starts = s.starts;
  features->width = s.width;
  features->values.resize(size_t(s.tokens()) * size_t(s.width));
  finish(states, compensation, rows_to(features->values.data(), s.width));
  if (!projection) return features;

  const auto& layers = static_cast<const CpuProjection*>(projection)->layers;
  for (size_t l = 0; l < layers.size(); l++) {
    const TileKernel& kernel = context_.kernels.f32;
    const std::vector<float>& bias = layers[l].bias;
    const int64_t in = features->width, out = int64_t(bias.size());
    const size_t in_bytes = size_t(in) * sizeof(float);
    rows_.pack(context_, kernel, s.tokens(), in, cancel, [&](int64_t r, float* row) {
      std::memcpy(row, &features->values[size_t(r * in)], in_bytes);
    });
    std::vector<float> projected(size_t(s.tokens()) * size_t(out));
    multiply<1>(context_, rows_, layers[l].weight, cancel,
                [&](int64_t first_row, int rows, int64_t panel, float* const* tiles) {
                  const int64_t column = panel * kernel.columns;
                  const int valid = int(std::min<int64_t>(kernel.columns, out - column));
                  for (int r = 0; r < rows; r++) {
                    float* row = &projected[size_t((first_row + r) * out + column)];
                    for (int c = 0; c < valid; c++) row[c] = tiles[0][r * kernel.columns + c] + bias[size_t(column + c)];
                    if (l + 1 < layers.size()) context_.kernels.gelu_tanh(row, nullptr, valid);
                  }
                });
    features->values = std::move(projected);
    features->width = int(out);
  }
  return features;
}

std::vector<Comparison> CpuBackend::compare(const Features& a, const Features& b) {
  const CpuFeatures& x = static_cast<const CpuFeatures&>(a);
  const CpuFeatures& y = static_cast<const CpuFeatures&>(b);
  require_same_batch(x.starts, y.starts);
  return compare_rows(x.values.data(), y.values.data(), size_t(x.width), x.starts);
}

std::vector<Comparison> CpuBackend::compare(const States& a, const States& b) {
  const CpuStates& x = static_cast<const CpuStates&>(a);
  const CpuStates& y = static_cast<const CpuStates&>(b);
  require_same_batch(x.starts, y.starts);
  return compare_rows(x.row(0), y.row(0), size_t(x.width), x.starts);
}

}  // namespace skrr::cpu
