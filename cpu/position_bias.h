// T5's relative-position bias: a learned number per head and bucket of the distance key - query.
#pragma once

#include <vector>

#include "engine/tensor.h"

namespace skrr::cpu {

// The bias of all distances of a batch, looked up in a table [buckets, heads].
class PositionBias {
 public:
  // `longest`: distances run from -(longest - 1) to longest - 1. `surplus`: numbers that may be read past the last.
  PositionBias(const std::vector<float>& table, int heads, int buckets, int max_distance, int longest, int surplus);

  // Pointer p with p[query - key] the bias, negative differences included.
  const float* of_head(int head) const { return &values_[size_t(head) * size_t(span_) + size_t(longest_ - 1)]; }

 private:
  int longest_, span_;
  std::vector<float> values_;  // [heads][2 * longest - 1 + surplus]
};

}  // namespace skrr::cpu
