// What a model will take on a device, by the sums the backend itself makes when it allocates.
#include <algorithm>

#include "cuda/cuda_backend.h"

namespace skrr::cuda {

Estimate estimate(const DeviceFacts& device, const Geometry& g, const std::vector<int>& sub_blocks, int rank, int tokens,
                  int longest) {
  const Shape shape(g);
  const size_t bias = g.bias_per_block ? 0 : size_t(g.buckets) * size_t(g.heads);
  size_t weights = (size_t(shape.width) + bias + 2 * size_t(rank) * size_t(g.width)) * sizeof(float);
  for (const int s : sub_blocks) weights += SlotLayout(g, s).bytes;

  // The batch itself and the copy a recorded pass works on.
  const BatchRows::Extent extent{(tokens + longest - 1) / longest, tokens, longest, std::min(g.max_distance, longest - 1)};
  const size_t stream = size_t(tokens) * size_t(shape.width) * sizeof(float);
  const size_t tables = size_t(g.sub_blocks()) * sizeof(Step) + size_t(slot_count(g)) * sizeof(Slot);
  return {weights, 2 * (stream + extent.ints() * sizeof(int)) + Workspace::bytes_for(device, g, tokens) + tables};
}

}  // namespace skrr::cuda
