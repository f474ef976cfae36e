// Runs one sub-block after the other: which kernels, with which operands.
#pragma once

#include <algorithm>

#include "cuda/kernels.h"
#include "cuda/runtime.h"
#include "cuda/shape.h"

namespace skrr::cuda {

// Activations between the kernels of a sub-block, for batches of up to `tokens` tokens.
class Workspace {
 public:
  Workspace() = default;
  Workspace(Gpu& device, const Shape& shape, int tokens);
  static size_t bytes_for(const GpuFacts& device, const Shape& shape, int tokens);

  // The stream as the next step reads it: x [tokens, width], squares [tokens, square_groups(width)].
  NormedRows normed() const { return {memory_.as<bf16>(), memory_.as<float>(squares_at_)}; }
  bf16* mixed() const { return memory_.as<bf16>(mixed_at_); }          // attention's result: [tokens, inner]
  bf16* wide() const { return memory_.as<bf16>(wide_at_); }            // q|k|v or activations: [tokens, qkv or ff]
  float* result() const { return memory_.as<float>(wide_at_); }        // [tokens, width], when nothing else runs
  float* partials() const { return memory_.as<float>(partials_at_); }  // [splits, tokens, width], 1 split before a post-norm
  int tokens() const { return tokens_; }
  size_t bytes() const { return memory_.bytes(); }

 private:
  struct Layout {
    Layout(const GpuFacts& device, const Shape& shape, int tokens);
    size_t squares, mixed, wide, partials, bytes;  // offsets; the normed rows lie at 0
  };

  int tokens_ = 0;
  size_t squares_at_ = 0, mixed_at_ = 0, wide_at_ = 0, partials_at_ = 0;
  Buffer memory_;
};

class Forward {
 public:
  Forward(Gpu& device, const Shape& shape) : device_(device), shape_(shape) {}

  // Queues what the first step that runs reads.
  void begin(StepRef at, int tokens, const float* h, const Workspace& workspace) const;
  // Queues position `at.step`: h += scale * F(norm(h)), h [tokens, width padded].
  void step(StepRef at, const Rows& rows, float* h, const Workspace& workspace) const;

  // Rows of partial products to make room for: the max of parts x tokens over batches of up to `tokens` tokens.
  static size_t max_partial_rows(const GpuFacts& device, const Shape& shape, int tokens);

 private:
  void attention_step(StepRef at, const Rows& rows, float* h, const Workspace& workspace) const;
  void feed_forward_step(StepRef at, int tokens, float* h, const Workspace& workspace) const;
  RowNorm norm_rows(StepRef at, const Norm& norm, int tokens, const float* h, const Workspace& workspace) const;
  void add_product(StepRef at, const bf16* x, int tokens, int k, bool post_norm, float* h, const Workspace& workspace) const;

  Gpu& device_;
  const Shape shape_;
};

}  // namespace skrr::cuda
