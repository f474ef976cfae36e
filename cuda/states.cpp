#include "cuda/states.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "engine/position_bucket.h"

namespace skrr::cuda {
namespace {

// Appends a token's flags for each of [first, last): kSeesNone where it sees no key, kSomeSeeNone where one of its kQueries sees none.
void add_unseeing(const Distance& distance, const Batch& batch, int first, int last, std::vector<int>& flags) {
  std::vector<int> keys;
  for (int t = first; t < last; t++) {
    if (batch.visible[t]) keys.push_back(batch.indices[t]);
  }
  const size_t begin = flags.size();
  for (int t = first; t < last; t++) {
    const int from = distance.back == Distance::kUnlimited ? 0 : batch.indices[t] - distance.back;
    const auto key = std::lower_bound(keys.begin(), keys.end(), from);
    const bool sees = batch.visible[t] || (key != keys.end() && distance.sees(*key - batch.indices[t]));
    flags.push_back(sees ? 0 : kSeesNone);
  }
  for (size_t group = begin; group < flags.size(); group += kQueries) {
    const auto from = flags.begin() + std::ptrdiff_t(group);
    const auto to = from + std::ptrdiff_t(std::min(flags.size() - group, size_t(kQueries)));
    if (std::find(from, to, kSeesNone) == to) continue;
    for (auto flag = from; flag != to; ++flag) *flag |= kSomeSeeNone;
  }
}

// Appends the angles of every token by one rope, `turns` floats each (Rows::angles). A position's angles are computed once.
void add_angles(const Rope& rope, const Batch& batch, int turns, std::vector<int>& ints) {
  std::unordered_map<int, size_t> known;
  std::vector<float> values(static_cast<size_t>(turns));
  for (int t = 0; t < batch.tokens; t++) {
    const int position = batch.positions ? batch.positions[t] : batch.indices[t];
    const size_t at = ints.size();
    const auto [found, fresh] = known.emplace(position, at);
    ints.resize(at + size_t(turns));
    if (!fresh) {
      std::copy_n(ints.begin() + std::ptrdiff_t(found->second), turns, ints.begin() + std::ptrdiff_t(at));
      continue;
    }
    values[0] = float(1 + double(rope.query_beta) * std::log1p(double(position / rope.query_period)));
    for (size_t j = 0; j < rope.frequencies.size(); j++) {
      const double angle = position * rope.frequencies[j], magnitude = double(rope.magnitude);
      values[1 + 2 * j] = float(std::cos(angle) * magnitude), values[2 + 2 * j] = float(std::sin(angle) * magnitude);
    }
    std::memcpy(&ints[at], values.data(), values.size() * sizeof(float));
  }
}

}  // namespace

size_t BatchRows::Extent::ints() const {
  return size_t(sequences + 1) + 2 * size_t(tokens) + size_t(distances) * size_t(tokens + 2 * span + 1) +
         size_t(ropes) * size_t(tokens) * size_t(turns);
}

int span_of(const std::vector<Distance>& distances, int last_index) {
  if (std::none_of(distances.begin(), distances.end(), [](const Distance& d) { return d.buckets > 0; })) return 0;
  int span = 0;
  for (const Distance& d : distances) span = std::max({span, d.buckets > 0 ? d.max_distance : 0, d.ahead + 1, d.back + 1});
  return std::min(span, last_index);
}

BatchRows::BatchRows(Pool& pool, const Sights& sights, const Batch& batch)
    : extent_{batch.sequences, batch.tokens, 0, 0, int(sights.distances.size()), int(sights.ropes.size()), sights.turns()},
      starts_(batch.starts, batch.starts + batch.sequences + 1) {
  int last_index = 0;
  for (int t = 0; t < batch.tokens; t++) last_index = std::max(last_index, batch.indices[t]);
  for (int s = 0; s < batch.sequences; s++) extent_.longest = std::max(extent_.longest, starts_[size_t(s) + 1] - starts_[size_t(s)]);
  extent_.span = span_of(sights.distances, last_index);

  std::vector<int> ints = starts_;  // in the order in which view() takes them apart
  ints.reserve(extent_.ints());
  ints.insert(ints.end(), batch.indices, batch.indices + batch.tokens);
  for (int t = 0; t < batch.tokens; t++) ints.push_back(batch.visible[t] ? batch.indices[t] : -1);
  for (const Distance& distance : sights.distances) {
    for (int s = 0; s < batch.sequences; s++) add_unseeing(distance, batch, starts_[size_t(s)], starts_[size_t(s) + 1], ints);
  }
  for (const Distance& distance : sights.distances) {
    for (int d = -extent_.span; d <= extent_.span; d++) {
      const int bucket = distance.buckets > 0 ? position_bucket(d, distance.buckets, distance.max_distance) : 0;
      ints.push_back(distance.sees(d) ? bucket : kOutOfReach);
    }
  }
  for (const Rope& rope : sights.ropes) add_angles(rope, batch, extent_.turns, ints);

  ints_ = pool.take(Pool::kRows, ints.size() * sizeof(int));
  pool.device().upload(ints_.as<int>(), ints.data(), ints_.bytes());
}

Rows BatchRows::view(const Extent& e, const int* data) {
  Rows rows{};
  rows.starts = data;
  rows.indices = rows.starts + e.sequences + 1;
  rows.key_indices = rows.indices + e.tokens;
  rows.unseeing = rows.key_indices + e.tokens;
  rows.buckets = rows.unseeing + e.distances * e.tokens;
  rows.angles = reinterpret_cast<const float*>(rows.buckets + e.distances * (2 * e.span + 1));
  rows.sequences = e.sequences;
  rows.tokens = e.tokens;
  rows.longest = e.longest;
  rows.span = e.span;
  rows.turns = e.turns;
  return rows;
}

std::unique_ptr<States> CudaStates::clone() const {
  auto copy = std::make_unique<CudaStates>();
  copy->rows = rows;
  Gpu& device = hidden.pool().device();
  device.use();
  copy->hidden = hidden.pool().take(Pool::kStream, hidden.bytes());
  device.copy(copy->hidden.as<float>(), hidden.as<float>(), hidden.bytes());
  return copy;
}

}  // namespace skrr::cuda
