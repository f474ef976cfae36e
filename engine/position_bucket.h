// Buckets of relative positions.
#pragma once

namespace skrr {

// Bucket of the distance `key - query` for a bidirectional encoder. Each sign has half of the buckets: one half of these is exact,
// the other logarithmic up to max_distance. (Raffel et al. 2020, arXiv 1910.10683, section 2.1; rounded as transformers does.)
int position_bucket(int distance, int buckets, int max_distance);

}  // namespace skrr
