#include "engine/position_bucket.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace skrr {

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

}  // namespace skrr
