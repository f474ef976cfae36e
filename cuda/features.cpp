// What is read of states: embeddings, maps of them, and how far two of them are apart.
#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/map.h"

namespace skrr::cuda {
namespace {

struct CudaFeatures final : Features {
  Pool::Lease values;  // [tokens, width] float32
  std::vector<int> starts;
  int width = 0;
  size_t bytes() const override { return values.bytes() + starts.size() * sizeof(int); }
};

}  // namespace

std::unique_ptr<Features> CudaBackend::features(const States& states, const Maps& maps, const CancelFlag& cancel) {
  const CudaStates& s = static_cast<const CudaStates&>(states);
  cancel.check();
  device().use();
  const size_t tokens = size_t(s.tokens());
  auto features = std::make_unique<CudaFeatures>();
  features->starts = s.rows->starts();
  features->width = architecture_.width;
  features->values = pool_->take(Pool::kFeatures, tokens * size_t(architecture_.width) * sizeof(float));
  embed(s, features->values.as<float>());
  for (const Map* each : maps) {
    if (!each) continue;
    const CudaMap& map = static_cast<const CudaMap&>(*each);
    if (map.residual) {
      add_map(map, features->values.as<float>(), s.tokens());
      continue;
    }
    for (const CudaMap::Layer& layer : map.layers) {
      Pool::Lease projected = pool_->take(Pool::kFeatures, tokens * size_t(layer.out) * sizeof(float));
      project(device().stream(), features->values.as<float>(), layer.weight.as<float>(), layer.bias.as<float>(),
              projected.as<float>(), s.tokens(), layer.in, layer.out, &layer != &map.layers.back());
      features->values = std::move(projected);
      features->width = layer.out;
    }
  }
  device().wait();
  return features;
}

void CudaBackend::read(const States& states, bool norm, const Maps& maps, const WriteRow& write) {
  const CudaStates& s = static_cast<const CudaStates&>(states);
  const auto write_rows = [&](const float* on_device, int stride) {
    std::vector<float> rows(size_t(s.tokens()) * size_t(stride));
    device().download(rows.data(), on_device, rows.size() * sizeof(float));
    for (int t = 0; t < s.tokens(); t++) write(t, &rows[size_t(t) * size_t(stride)]);
  };
  device().use();
  if (!norm) {
    write_rows(s.hidden.as<float>(), shape_.width);
    return;
  }
  const auto is_residual = [](const Map* map) { return !map || static_cast<const CudaMap&>(*map).residual; };
  if (!std::all_of(maps.begin(), maps.end(), is_residual)) {
    const std::unique_ptr<Features> mapped = features(states, maps, CancelFlag());
    const CudaFeatures& f = static_cast<const CudaFeatures&>(*mapped);
    write_rows(f.values.as<float>(), f.width);
    return;
  }
  reserve(s.rows->extent());
  embed(s, workspace_.result());
  for (const Map* map : maps) {
    if (map) add_map(*map, workspace_.result(), s.tokens());
  }
  write_rows(workspace_.result(), architecture_.width);
}

std::vector<Comparison> CudaBackend::compare(const Features& a, const Features& b) {
  const CudaFeatures &x = static_cast<const CudaFeatures&>(a), &y = static_cast<const CudaFeatures&>(b);
  return compare_on_device(x.values.as<float>(), x.starts, y.values.as<float>(), y.starts, x.width, x.width);
}

std::vector<Comparison> CudaBackend::compare(const States& a, const States& b) {
  const CudaStates &x = static_cast<const CudaStates&>(a), &y = static_cast<const CudaStates&>(b);
  return compare_on_device(x.hidden.as<float>(), x.rows->starts(), y.hidden.as<float>(), y.rows->starts(), architecture_.width,
                           shape_.width);
}

// The device sums over a token, the host over a sequence.
std::vector<Comparison> CudaBackend::compare_on_device(const float* a, const std::vector<int>& starts_a, const float* b,
                                                       const std::vector<int>& starts_b, int width, int stride) {
  device().use();
  const int tokens = std::min(starts_a.back(), starts_b.back());
  std::vector<double> sums(size_t(tokens) * 4);
  const Pool::Lease on_device = pool_->take(Pool::kFeatures, sums.size() * sizeof(double));
  compare_rows(device().stream(), a, b, on_device.as<double>(), tokens, width, stride);
  device().download(sums.data(), on_device.as<double>(), on_device.bytes());
  return compare_sequences(starts_a, starts_b, [&](int t) {
    const double* token = &sums[size_t(t) * 4];
    return TokenSums{token[0], token[1], token[2], token[3]};
  });
}

}  // namespace skrr::cuda
