// The line over key - query that is added to an attention's logits (Distance in engine/architecture.h), and which keys it reaches.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/architecture.h"

namespace skrr::cpu {

// The line of each head, for all distances of a batch.
class DistanceLine {
 public:
  // distance table [buckets, heads], empty without one. `longest`: distances run from -(longest - 1) to longest - 1.
  // `surplus`: numbers that may be read past the last.
  DistanceLine(const Distance& distance, const std::vector<float>& table, int heads, int longest, int surplus);

  // A pointer p whose p[query - key] is added, for negative differences too. Null: zeros.
  const float* of_head(int head) const;

 private:
  int longest_, span_;
  bool per_head_;
  std::vector<float> values_;  // [heads, or 1 without a distance table][2 * longest - 1 + surplus]
};

// Keys [first, last) of `keys` that any of the queries [query, query + queries) reaches, by rows: `first` is rounded down to
// a multiple of `tile`. Indices ascend, so two tokens are never further apart in the packed row than by index: no key that is
// seen is left out.
struct KeyRange {
  int first, last;

  KeyRange(const Distance& distance, int query, int queries, int keys, int tile)
      : first(distance.back == Distance::kUnlimited ? 0 : std::max(0, query - distance.back) / tile * tile),
        last(distance.ahead == Distance::kUnlimited ? keys : int(std::min<long>(keys, long(query) + queries + distance.ahead))) {}
  int count() const { return last - first; }
};

}  // namespace skrr::cpu
