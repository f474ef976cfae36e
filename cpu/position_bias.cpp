#include "cpu/position_bias.h"

#include "engine/position_bucket.h"

namespace skrr::cpu {

PositionBias::PositionBias(const std::vector<float>& table, int heads, int buckets, int max_distance, int longest,
                           int surplus)
    : longest_(longest), span_(2 * longest - 1 + surplus), values_(size_t(heads) * size_t(span_)) {
  for (int d = -(longest - 1); d < longest; d++) {
    const int bucket = position_bucket(-d, buckets, max_distance);
    for (int h = 0; h < heads; h++) {
      values_[size_t(h) * size_t(span_) + size_t(d + longest - 1)] = table[size_t(bucket) * size_t(heads) + size_t(h)];
    }
  }
}

}  // namespace skrr::cpu
