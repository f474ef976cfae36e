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
                       int64_t longest) {
  const int64_t deepest = std::max({g.width, g.inner(), g.ff});
  return std::max({kernel.columns * deepest, kernel.rows * deepest,
                   multiply_scratch(kernel, tokens, g.gated ? 2 : 1),
                   AttentionScratch(kernels.f32, longest, g.head_dim).floats()});
}

}  // namespace

Estimate estimate(const Geometry& g, const std::vector<int>& sub_blocks, const Options& options, int tokens,
                  int longest) {
  const Kernels& kernels = cpu::kernels();
  const TileKernel& kernel = options.precision == Precision::kBF16 ? kernels.bf16 : kernels.f32;
  const int64_t threads = options.threads > 0 ? options.threads : available_threads();

  size_t weights = size_t(g.width + (g.bias_per_block ? 0 : g.buckets * g.heads)) * sizeof(float);
  for (int s : sub_blocks) weights += weights_of(g, kernel, s);

  const auto whole = [&](int64_t n) { return ceil_div(n, kernel.columns) * kernel.columns; };
  const int64_t rows = ceil_div(tokens, kernel.rows) * kernel.rows * std::max({g.width, g.inner(), g.ff});
  const int64_t wide = tokens * std::max(3 * whole(g.inner()), whole(g.ff));
  const int64_t mixed = int64_t(tokens) * g.inner();
  const int64_t streams = 3 * int64_t(tokens) * g.width;  // embeddings, residual stream, result
  const int64_t floats = rows + wide + mixed + streams + threads * scratch_floats(g, kernels, kernel, tokens, longest);
  return {weights, size_t(floats) * sizeof(float)};
}

}  // namespace skrr::cpu
