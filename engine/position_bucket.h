// T5's relative-position buckets.
#pragma once

namespace skrr {

// Bucket of the distance `key - query` for a bidirectional encoder: half the buckets for each sign, of those half exact,
// the rest logarithmic up to max_distance. (Hugging Face T5Attention._relative_position_bucket.)
int position_bucket(int distance, int buckets, int max_distance);

}  // namespace skrr
