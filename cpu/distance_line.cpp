#include "cpu/distance_line.h"

#include <limits>

#include "engine/position_bucket.h"

namespace skrr::cpu {

DistanceLine::DistanceLine(const Distance& distance, const std::vector<float>& table, int heads, int longest, int surplus)
    : longest_(longest), span_(2 * longest - 1 + surplus), per_head_(!table.empty()) {
  const bool unlimited = distance.ahead == Distance::kUnlimited && distance.back == Distance::kUnlimited;
  if (!per_head_ && unlimited) return;
  const int lines = per_head_ ? heads : 1;
  values_.resize(size_t(lines) * size_t(span_));
  for (int d = -(longest - 1); d < longest; d++) {  // key - query
    float* value = &values_[size_t(longest - 1 - d)];
    const int bucket = per_head_ ? position_bucket(d, distance.buckets, distance.max_distance) : 0;
    for (int h = 0; h < lines; h++, value += span_) {
      if (!distance.sees(d)) {
        *value = -std::numeric_limits<float>::infinity();
      } else if (per_head_) {
        *value = table[size_t(bucket) * size_t(heads) + size_t(h)];
      }
    }
  }
}

const float* DistanceLine::of_head(int head) const {
  if (values_.empty()) return nullptr;
  return &values_[size_t(per_head_ ? head : 0) * size_t(span_) + size_t(longest_ - 1)];
}

}  // namespace skrr::cpu
