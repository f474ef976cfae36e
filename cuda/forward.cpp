#include "cuda/forward.h"

namespace skrr::cuda {
namespace {

constexpr size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

GemmTiling tile_out(const GpuFacts& device, const Shape& shape, int tokens, int k) {
  return tile_gemm(tokens, shape.width, k, true, device);
}

// In how many parts a product waits to be added; 0: it is added at once.
int parts_of(const GemmTiling& tiling, bool post_norm) { return post_norm || tiling.splits > 1 ? tiling.splits : 0; }

}  // namespace

Workspace::Layout::Layout(const GpuFacts& device, const Shape& shape, int tokens) {
  const size_t m = size_t(tokens);
  squares = aligned(m * size_t(shape.width) * sizeof(bf16));
  mixed = squares + aligned(m * size_t(square_groups(shape.width)) * sizeof(float));
  wide = mixed + aligned(m * size_t(shape.inner) * sizeof(bf16));
  partials = wide + aligned(m * std::max(size_t(std::max(shape.qkv, shape.ff)) * sizeof(bf16),
                                         size_t(shape.width) * sizeof(float)));
  bytes = partials + Forward::max_partial_rows(device, shape, tokens) * size_t(shape.width) * sizeof(float);
}

size_t Workspace::bytes_for(const GpuFacts& device, const Shape& shape, int tokens) {
  return Layout(device, shape, tokens).bytes;
}

Workspace::Workspace(Gpu& device, const Shape& shape, int tokens) : tokens_(tokens) {
  const Layout layout(device.facts(), shape, tokens);
  squares_at_ = layout.squares;
  mixed_at_ = layout.mixed;
  wide_at_ = layout.wide;
  partials_at_ = layout.partials;
  memory_ = Buffer(device, layout.bytes, "activations of " + std::to_string(tokens) + " tokens");
}

size_t Forward::max_partial_rows(const GpuFacts& device, const Shape& shape, int tokens) {
  size_t max_rows = 0;
  for (int m = 1; m <= tokens; m++) {
    const int splits = std::max(parts_of(tile_out(device, shape, m, shape.inner), shape.attention_post_norm),
                                parts_of(tile_out(device, shape, m, shape.ff), shape.feed_forward_post_norm));
    max_rows = std::max(max_rows, size_t(splits) * size_t(m));
  }
  return max_rows;
}

void Forward::begin(StepRef at, int tokens, const float* h, const Workspace& workspace) const {
  begin_rows(device_.stream(), at, h, workspace.normed(), tokens, shape_.width);
}

void Forward::step(StepRef at, const Rows& rows, float* h, const Workspace& workspace) const {
  if (is_attention(at.step)) {
    attention_step(at, rows, h, workspace);
  } else {
    feed_forward_step(at, rows.tokens, h, workspace);
  }
}

// What the product that comes next divides its rows by. A LayerNorm is a kernel of its own.
RowNorm Forward::norm_rows(StepRef at, const Norm& norm, int tokens, const float* h, const Workspace& workspace) const {
  const NormedRows rows = workspace.normed();
  if (norm.kind == Norm::Kind::kRms) return {rows.squares, shape_.true_width, norm.epsilon};
  layer_norm(device_.stream(), at, h, rows.x, tokens, shape_.true_width, shape_.width, norm.epsilon);
  return {};
}

// h += scale * o(softmax(q k^T + line) v), q|k|v = W x
void Forward::attention_step(StepRef at, const Rows& rows, float* h, const Workspace& workspace) const {
  Gemm in{};
  in.at = at;
  in.x = workspace.normed().x;
  in.norm = norm_rows(at, shape_.attention_norm, rows.tokens, h, workspace);
  in.m = rows.tokens, in.n = shape_.qkv, in.k = shape_.width;
  in.epilogue = Epilogue::kStore;
  in.y = workspace.wide();
  gemm(device_.stream(), in, tile_gemm(in.m, in.n, in.k, false, device_.facts()));

  if (shape_.turns) turn_heads(device_.stream(), {at, workspace.wide(), rows, shape_.heads, shape_.true_head_dim});
  attention(device_.stream(), {at, workspace.wide(), workspace.mixed(), rows, shape_.heads, shape_.table});
  add_product(at, workspace.mixed(), rows.tokens, shape_.inner, shape_.attention_post_norm, h, workspace);
}

// h += scale * down(act(gate x) * (up x)); ungated: h += scale * down(act(up x))
void Forward::feed_forward_step(StepRef at, int tokens, float* h, const Workspace& workspace) const {
  Gemm in{};
  in.at = at;
  in.x = workspace.normed().x;
  in.norm = norm_rows(at, shape_.feed_forward_norm, tokens, h, workspace);
  in.m = tokens, in.n = shape_.up, in.k = shape_.width;
  in.epilogue = shape_.gated ? Epilogue::kGate : Epilogue::kActivate;
  in.activation = shape_.activation;
  in.y = workspace.wide();
  gemm(device_.stream(), in, tile_gemm(in.m, in.n, in.k, false, device_.facts()));

  add_product(at, workspace.wide(), tokens, shape_.ff, shape_.feed_forward_post_norm, h, workspace);
}

void Forward::add_product(StepRef at, const bf16* x, int tokens, int k, bool post_norm, float* h, const Workspace& workspace) const {
  const GemmTiling tiling = tile_out(device_.facts(), shape_, tokens, k);
  Gemm out{};
  out.at = at;
  out.out_weights = true;
  out.x = x;
  out.m = tokens, out.n = shape_.width, out.k = k;
  out.epilogue = post_norm ? Epilogue::kPart : Epilogue::kAdd;
  out.h = h;
  out.partials = workspace.partials();
  out.next = workspace.normed();
  gemm(device_.stream(), out, tiling);
  if (post_norm) {
    add_normed(device_.stream(), at, out.partials, tiling.splits, h, out.next, tokens, shape_.true_width, shape_.width);
  } else if (tiling.splits > 1) {
    add_partials(device_.stream(), at, out.partials, tiling.splits, h, out.next, tokens, shape_.width);
  }
}

}  // namespace skrr::cuda
