// What a model will take, by the sums the backend itself makes when it allocates.
#include <algorithm>

#include "cpu/attention.h"
#include "cpu/cpu_backend.h"

namespace skrr::cpu {
namespace {

size_t weights_of(const Geometry& g, const TileKernel& kernel, int sub_block) {
  const auto packed = [&](int64_t n, int64_t k) { return PackedMatrix::bytes_for(kernel, n, k); };
  const size_t norm = size_t(g.width) * sizeof(float);
  if (is_attention(sub_block)) {
    const size_t bias = g.bias_per_block ? size_t(g.buckets) * size_t(g.heads) * sizeof(float) : 0;
    return norm + bias + 3 * packed(g.inner(), g.width) + packed(g.width, g.inner());
  }
  return norm + size_t(g.gated ? 2 : 1) * packed(g.ff, g.width) + packed(g.width, g.ff);
}

// Scratch one worker grows to: the largest of packing weights, packing rows, a product's tiles, one head of attention.
int64_t scratch_floats(const Geometry& g, const Kernels& kernels, const TileKernel& kernel, int64_t tokens,
                       int64_t longest, int threads) {
  const int64_t deepest = std::max({g.width, g.inner(), g.ff});
  const auto product = [&](int64_t n, int64_t k, int together) {
    const int64_t panels = together * ceil_div(n, kernel.columns);
    return Blocking(kernel, tokens, round_up(k, kernel.depth), panels, threads, together).scratch_floats(kernel);
  };
  return std::max({kernel.columns * deepest, kernel.rows * deepest, product(3 * g.inner(), g.width, 1),
                   product(g.width, g.inner(), 1), product(g.ff, g.width, g.gated ? 2 : 1), product(g.width, g.ff, 1),
                   AttentionScratch(kernels.f32, longest, g.head_dim).floats()});
}

// What sub-blocks of one precision work in, beside the streams all of them share.
size_t workspace_of(const Geometry& g, const Kernels& kernels, const TileKernel& kernel, int64_t tokens, int64_t longest,
                    int threads) {
  const size_t rows = size_t(round_up(tokens, kernel.rows) * round_up(std::max({g.width, g.inner(), g.ff}), kernel.depth));
  const int64_t wide = tokens * std::max({3 * round_up(g.inner(), kernel.columns), round_up(g.ff, kernel.columns),
                                          int64_t(g.width)});
  const int64_t mixed = int64_t(tokens) * g.inner();
  const int64_t scratch = threads * scratch_floats(g, kernels, kernel, tokens, longest, threads);
  return rows * kernel.a_size + size_t(wide + mixed + scratch) * sizeof(float);
}

}  // namespace

Estimate estimate(const Geometry& g, const std::vector<int>& slots, Precision own, int rank, int threads, int tokens,
                  int longest) {
  const Kernels& kernels = cpu::kernels();
  if (threads <= 0) threads = available_threads();
  Estimate sum{size_t(g.width + (g.bias_per_block ? 0 : g.buckets * g.heads)) * sizeof(float), 0};
  if (rank > 0) sum.weights += compensation_bytes(kernels, g.width, rank);
  for (int slot : slots) {
    const TileKernel& kernel = tile_kernel(kernels, precision_of(g, slot, own));
    sum.weights += weights_of(g, kernel, slot);
    sum.workspace = std::max(sum.workspace, workspace_of(g, kernels, kernel, tokens, longest, threads));
  }
  sum.workspace += 2 * size_t(tokens) * size_t(g.width) * sizeof(float);  // residual stream, result
  return sum;
}

}  // namespace skrr::cpu
