// What happens to the heads of q and k between their product and the attention, in place: the RMS norm of each, then the rotation
// of its first 2 `pairs` elements, then a query's factor.
//
//   qkv [tokens, (heads + 2 key_heads) head_dim] bf16; the norms' weights and the angles float32
//   grid (tokens, heads + key_heads dealt to 4 warps), a warp per head
#include "cuda/intrinsics.cuh"
#include "cuda/kernels.h"

namespace skrr::cuda {
namespace {

constexpr int kWarps = 4;

// A head on its way: element c is read as x[c] * factor * weight[c].
struct Head {
  bf16* x;
  const float* weight;  // null: of ones
  float factor, scale;  // the norm's, and what the result is multiplied by

  SKRR_DEVICE float at(int c) const { return widen(x[c]) * factor * (weight ? weight[c] : 1.0f); }
  SKRR_DEVICE void put(int c, float value) const { x[c] = narrow(value * scale); }
};

SKRR_DEVICE float norm_factor(const bf16* x, int head_dim, float epsilon) {
  float squares = 0;
  for (int c = int(threadIdx.x) % 32; c < head_dim; c += 32) squares += widen(x[c]) * widen(x[c]);
  for (int lanes = 16; lanes > 0; lanes /= 2) squares += __shfl_xor_sync(0xffffffffu, squares, lanes);
  sync_warp();  // all is read before any of it is written
  return 1.0f / sqrtf(squares / float(head_dim) + epsilon);
}

// Pair j is elements (a, b) of the head.
SKRR_DEVICE void turn(const Head& head, const Turn& t, const float* cosines_and_sines, int head_dim) {
  const int lane = int(threadIdx.x) % 32;
  for (int j = lane; j < t.pairs; j += 32) {
    const int a = t.interleaved ? 2 * j : j, b = t.interleaved ? 2 * j + 1 : j + t.pairs;
    const float cosine = cosines_and_sines[2 * j], sine = cosines_and_sines[2 * j + 1], first = head.at(a), second = head.at(b);
    head.put(a, first * cosine - second * sine);
    head.put(b, second * cosine + first * sine);
  }
  for (int c = 2 * t.pairs + lane; c < head_dim; c += 32) head.put(c, head.at(c));
}

__global__ void __launch_bounds__(kWarps * 32) turn_heads_kernel(HeadsCall a) {
  const Step step = a.at.table[a.at.step];
  const int h = int(blockIdx.y) * kWarps + int(threadIdx.x) / 32;
  if (step.slot < 0 || h >= a.heads.heads + a.heads.key_heads) return;
  const Slot& slot = a.at.slots[step.slot];
  const bool query = h < a.heads.heads;
  const float* weight = query ? slot.q_norm : slot.k_norm;
  const Turn t = slot.turn;
  if (!weight && t.rope < 0) return;

  const int token = int(blockIdx.x), stride = (a.heads.heads + 2 * a.heads.key_heads) * a.heads.head_dim;
  bf16* x = a.qkv + size_t(token) * size_t(stride) + size_t(h * a.heads.head_dim);
  const float* angles = a.rows.angles + (size_t(t.rope < 0 ? 0 : t.rope) * size_t(a.rows.tokens) + size_t(token)) * size_t(a.rows.turns);
  const Head head{x, weight, weight ? norm_factor(x, a.true_head_dim, slot.head_epsilon) : 1.0f,
                  query && t.rope >= 0 ? angles[0] : 1.0f};
  turn(head, t, angles + 1, a.true_head_dim);
}

}  // namespace

void turn_heads(Stream stream, const HeadsCall& a) {
  const int all = a.heads.heads + a.heads.key_heads;
  launch(stream, turn_heads_kernel, dim3(unsigned(a.rows.tokens), unsigned((all + kWarps - 1) / kWarps)), dim3(kWarps * 32), 0, a);
}

}  // namespace skrr::cuda
