// The backend's measuring half: projected features, and how far two of them are apart.
#include <cmath>

#include "cuda/cuda_backend.h"

namespace skrr::cuda {
namespace {

struct CudaProjection final : Projection {
  std::shared_ptr<Pool> pool;  // whose device the buffers are on
  struct Layer {
    Buffer weight;  // [out, in] float32
    Buffer bias;    // [out], zeros where there is none
    int in, out;
  };
  std::vector<Layer> layers;
};

struct CudaFeatures final : Features {
  Pool::Lease values;  // [tokens, width] float32
  std::vector<int> starts;
  int width = 0;
  size_t bytes() const override { return values.bytes() + starts.size() * sizeof(int); }
};

}  // namespace

std::unique_ptr<Projection> CudaBackend::load_projection(const std::vector<ProjectionLayer>& layers) {
  device().use();
  auto projection = std::make_unique<CudaProjection>();
  projection->pool = pool_;
  for (const ProjectionLayer& layer : layers) {
    const int in = int(layer.weight.columns), out = int(layer.weight.rows);
    const std::vector<float> weight = read_padded(layer.weight, size_t(out) * size_t(in));
    const std::vector<float> bias = read_padded(layer.bias, size_t(out));
    CudaProjection::Layer loaded{Buffer(device(), weight.size() * sizeof(float), "the projection"),
                                 Buffer(device(), bias.size() * sizeof(float), "the projection's bias"), in, out};
    device().upload(loaded.weight.as<float>(), weight.data(), loaded.weight.bytes());
    device().upload(loaded.bias.as<float>(), bias.data(), loaded.bias.bytes());
    projection->layers.push_back(std::move(loaded));
  }
  return projection;
}

std::unique_ptr<Features> CudaBackend::features(const States& states, const Compensation* compensation,
                                                const Projection* projection, const CancelFlag& cancel) {
  const CudaStates& s = static_cast<const CudaStates&>(states);
  cancel.check();
  device().use();
  const size_t tokens = size_t(s.tokens());
  auto features = std::make_unique<CudaFeatures>();
  features->starts = s.rows->starts();
  features->width = geometry_.width;
  features->values = pool_->take(Pool::kFeatures, tokens * size_t(geometry_.width) * sizeof(float));
  embed(s, compensation, features->values.as<float>());

  const auto* layers = projection ? &static_cast<const CudaProjection*>(projection)->layers : nullptr;
  for (size_t l = 0; layers && l < layers->size(); l++) {
    const CudaProjection::Layer& layer = (*layers)[l];
    Pool::Lease projected = pool_->take(Pool::kFeatures, tokens * size_t(layer.out) * sizeof(float));
    project(device().stream(), features->values.as<float>(), layer.weight.as<float>(), layer.bias.as<float>(),
            projected.as<float>(), s.tokens(), layer.in, layer.out, l + 1 < layers->size());
    features->values = std::move(projected);
    features->width = layer.out;
  }
  device().wait();
  return features;
}

std::vector<Comparison> CudaBackend::compare(const Features& a, const Features& b) {
  const CudaFeatures& x = static_cast<const CudaFeatures&>(a);
  const CudaFeatures& y = static_cast<const CudaFeatures&>(b);
  if (x.starts != y.starts) throw Error("ERR_ENGINE", "two states of different batches cannot be compared");
  return compare_on_device(x.values.as<float>(), y.values.as<float>(), x.starts, x.width, x.width);
}

std::vector<Comparison> CudaBackend::compare(const States& a, const States& b) {
  const CudaStates& x = static_cast<const CudaStates&>(a);
  const CudaStates& y = static_cast<const CudaStates&>(b);
  if (x.rows->starts() != y.rows->starts()) {
    throw Error("ERR_ENGINE", "two states of different batches cannot be compared");
  }
  return compare_on_device(x.hidden.as<float>(), y.hidden.as<float>(), x.rows->starts(), geometry_.width, shape_.width);
}

// Sums of a token come from the device; those of a sequence are made here, token after token.
std::vector<Comparison> CudaBackend::compare_on_device(const float* a, const float* b, const std::vector<int>& starts,
                                                       int width, int stride) {
  device().use();
  const int tokens = starts.back();
  std::vector<double> sums(size_t(tokens) * 4);
  const Pool::Lease on_device = pool_->take(Pool::kFeatures, sums.size() * sizeof(double));
  compare_rows(device().stream(), a, b, on_device.as<double>(), tokens, width, stride);
  device().download(sums.data(), on_device.as<double>(), on_device.bytes());
  std::vector<Comparison> comparisons(starts.size() - 1);
  for (size_t s = 0; s + 1 < starts.size(); s++) {
    for (size_t t = size_t(starts[s]); t < size_t(starts[s + 1]); t++) {
      const double difference = sums[t * 4], dot = sums[t * 4 + 1], aa = sums[t * 4 + 2], bb = sums[t * 4 + 3];
      comparisons[s].squared_error += difference;
      comparisons[s].cosine += aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : 0;
      comparisons[s].squares_a += aa;
      comparisons[s].squares_b += bb;
    }
  }
  return comparisons;
}

}  // namespace skrr::cuda
