#include "cpu/position_bias.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace skrr::cpu {

int position_bucket(int distance, int buckets, int max_distance) {
  const int half = buckets / 2;
  const int exact = half / 2;
  const int side = distance > 0 ? half : 0;
  const int length = std::abs(distance);
  if (length < exact) return side + length;
  // float32 as in Hugging Face: at the edges of buckets double would round the other way.
  const float ratio = std::log(float(length) / float(exact)) / float(std::log(double(max_distance) / exact));
  return side + std::min(half - 1, exact + int(ratio * float(half - exact)));
}

PositionBias::PositionBias(const std::vector<float>& table, int heads, int buckets, int max_distance, int longest)
    : longest_(longest), span_(2 * longest - 1), values_(size_t(heads) * size_t(span_)) {
  for (int d = -(longest - 1); d < longest; d++) {
    const int bucket = position_bucket(d, buckets, max_distance);
    for (int h = 0; h < heads; h++) {
      values_[size_t(h) * size_t(span_) + size_t(d + longest - 1)] = table[size_t(bucket) * size_t(heads) + size_t(h)];
    }
  }
}

}  // namespace skrr::cpu
