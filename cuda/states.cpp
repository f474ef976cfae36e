#include "cuda/states.h"

#include <algorithm>

#include "engine/position_bucket.h"

namespace skrr::cuda {

size_t BatchRows::Extent::ints() const {
  return size_t(sequences + 1) + 2 * size_t(tokens) + size_t(sequences) + size_t(2 * span + 1);
}

BatchRows::BatchRows(Pool& pool, const Geometry& g, const Batch& batch)
    : extent_{batch.sequences, batch.tokens, 0, 0}, starts_(batch.starts, batch.starts + batch.sequences + 1) {
  int last_position = 0;
  for (int t = 0; t < batch.tokens; t++) last_position = std::max(last_position, batch.positions[t]);
  for (int s = 0; s < batch.sequences; s++) extent_.longest = std::max(extent_.longest, starts_[size_t(s) + 1] - starts_[size_t(s)]);
  extent_.span = std::min(g.max_distance, last_position);

  std::vector<int> ints = starts_;  // in the order view() takes them apart
  ints.reserve(extent_.ints());
  ints.insert(ints.end(), batch.positions, batch.positions + batch.tokens);
  for (int t = 0; t < batch.tokens; t++) ints.push_back(batch.visible[t] ? batch.positions[t] : -1);
  for (int s = 0; s < batch.sequences; s++) {
    const uint8_t* first = batch.visible + starts_[size_t(s)];
    const uint8_t* last = batch.visible + starts_[size_t(s) + 1];
    ints.push_back(std::all_of(first, last, [](uint8_t visible) { return visible == 0; }) ? 1 : 0);
  }
  for (int d = -extent_.span; d <= extent_.span; d++) ints.push_back(position_bucket(d, g.buckets, g.max_distance));

  ints_ = pool.take(Pool::kRows, ints.size() * sizeof(int));
  pool.device().upload(ints_.as<int>(), ints.data(), ints_.bytes());
}

Rows BatchRows::view(const Extent& e, const int* data) {
  Rows rows{};
  rows.starts = data;
  rows.positions = rows.starts + e.sequences + 1;
  rows.key_positions = rows.positions + e.tokens;
  rows.uniform = rows.key_positions + e.tokens;
  rows.buckets = rows.uniform + e.sequences;
  rows.sequences = e.sequences;
  rows.tokens = e.tokens;
  rows.longest = e.longest;
  rows.span = e.span;
  return rows;
}

std::unique_ptr<States> CudaStates::clone() const {
  auto copy = std::make_unique<CudaStates>();
  copy->rows = rows;
  Device& device = hidden.pool().device();
  device.use();
  copy->hidden = hidden.pool().take(Pool::kStream, hidden.bytes());
  device.copy(copy->hidden.as<float>(), hidden.as<float>(), hidden.bytes());
  return copy;
}

}  // namespace skrr::cuda
