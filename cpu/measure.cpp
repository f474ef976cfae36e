// What a search for plans measures: features, and how far two of them are apart.
#include "cpu/cpu_backend.h"

namespace skrr::cpu {
namespace {

struct CpuFeatures final : Features {
  int64_t width = 0;
  std::vector<float> values;    // [tokens, width]
  std::vector<int32_t> starts;  // [sequences + 1]
  size_t bytes() const override { return values.size() * sizeof(float) + starts.size() * sizeof(int32_t); }
};

// The sums of row t of a, b [tokens, width].
TokenSums sums_of(const float* a, const float* b, int64_t width, int32_t t) {
  TokenSums sums;
  for (int64_t i = t * width; i < (t + 1) * width; i++) {
    const double x = a[i], y = b[i];
    sums.squared_error += (x - y) * (x - y), sums.dot += x * y;
    sums.squares_a += x * x, sums.squares_b += y * y;
  }
  return sums;
}

}  // namespace

std::unique_ptr<Features> CpuBackend::features(const States& states, const Maps& maps, const CancelFlag& cancel) {
  const CpuStates& s = static_cast<const CpuStates&>(states);
  auto features = std::make_unique<CpuFeatures>();
  features->starts = s.starts;
  features->width = s.width;
  features->values.resize(size_t(s.tokens()) * size_t(s.width));
  read(states, true, {}, rows_to(features->values.data(), s.width));
  for (const Map* map : maps) {
    if (!map) continue;
    const CpuMap& chain = static_cast<const CpuMap&>(*map);
    features->width = chain.layers.back().outputs;
    std::vector<float> mapped(size_t(s.tokens()) * size_t(features->width));
    apply(chain, s.tokens(), features->values.data(), mapped.data(), cancel);
    features->values = std::move(mapped);
  }
  return features;
}

std::vector<Comparison> CpuBackend::compare(const Features& a, const Features& b) {
  const CpuFeatures &x = static_cast<const CpuFeatures&>(a), &y = static_cast<const CpuFeatures&>(b);
  return compare_sequences(x.starts, y.starts, [&](int32_t t) { return sums_of(x.values.data(), y.values.data(), x.width, t); });
}

std::vector<Comparison> CpuBackend::compare(const States& a, const States& b) {
  const CpuStates &x = static_cast<const CpuStates&>(a), &y = static_cast<const CpuStates&>(b);
  return compare_sequences(x.starts, y.starts, [&](int32_t t) { return sums_of(x.row(0), y.row(0), x.width, t); });
}

}  // namespace skrr::cpu
