// The kernels of the CUDA backend, as host code launches them. Each .cu file has its maths, dtypes and launch shape on top.
//
// Matrices are row-major. Widths of bf16 rows are padded to multiples of 8 elements (16 bytes, what cp.async copies) with
// zeros, in weights and activations alike; so products need no tail in K and every row is aligned.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/types.h"
#include "engine/activation.h"

namespace skrr::cuda {

struct GpuFacts;  // runtime.h

// --- the layer table, in device memory ---

// One position of the layer table.
struct Step {
  int slot;     // whose weights run here; negative: the position is skipped, and its kernels return at once
  float scale;  // of what is added to the residual stream
  int next;     // the slot of the next step that runs; negative: there is none
};

enum class WeightFormat : int { kBF16 };

// What an attention sees (Distance in engine/architecture.h).
struct Reach {
  int distance = 0;           // which of the batch's distances: its buckets, and which queries see no key
  int ahead = -1, back = -1;  // keys after and before a query; -1: all
  bool mean = true;           // a query that sees no key gets the mean of all values, else zeros
};

// The weights of a sub-block, loaded.
struct Slot {
  const float* norm;  // [width padded]
  const bf16* in;     // attention: q over k over v [3 heads head_dim, width]; feed-forward: up, or rows of gate and up
                      // in turns of 8 [2 ff, width]
  const bf16* out;    // attention: o [width, heads head_dim]; feed-forward: down [width, ff]
  const float* bias;  // [buckets, heads]; the distance table; null where the sub-block has none
  WeightFormat format;
  const TensorMap* maps = nullptr;  // of `in` and `out`; null where the device has no copy engine for them
  Reach reach{};                    // attention only
};

// Where a kernel finds its weights: the layer table says which slot runs at `step`, the slot says where its weights are.
struct StepRef {
  const Step* table;
  const Slot* slots;
  int step;
  int steps;  // of the layer table
};

// --- rms_norm.cu, normed_rows.cuh ---

constexpr int kSquareColumns = 32;
SKRR_HOST_DEVICE constexpr int square_groups(int padded) { return (padded + kSquareColumns - 1) / kSquareColumns; }

// What the next step reads of the residual stream; the kernel that writes the stream writes it. x is multiplied by the norm's
// weight, and not yet divided by the root of the mean square.
struct NormedRows {
  bf16* x;         // [rows, padded]
  float* squares;  // [rows, square_groups(padded)]: sums over 32 columns
};

// What a product divides x's rows by: the squares of the stream they come from. Null: x is taken as it is.
struct RowNorm {
  const float* squares;
  int width;  // of the mean
  float epsilon;
};

// Writes what the first step that runs reads of a stream that no step has written.
void begin_rows(Stream stream, StepRef at, const float* h, const NormedRows& rows, int count, int padded);
void final_norm(Stream stream, const float* weight, const float* h, float* y, int rows, int width, int padded,
                float epsilon);

// --- gemm.cu, hopper_gemm.cu ---

enum class Epilogue : int {
  kStore,     // y = x W^T
  kActivate,  // y = act(x W^T)
  kGate,      // y = act(x W0^T) * (x W1^T), rows of W0 and W1 in turns of 8; y has n / 2 columns
  kAdd,       // h += scale * x W^T
};

enum class GemmTile : int { kThin, kSmall, kTall, kMedium, kWide, kHopper };

// How a product is cut into blocks. tile_gemm() finds it: always the same for one shape and device.
struct GemmTiling {
  GemmTile tile;
  int splits;  // of K, kAdd only: each split writes its part to `partials`, add_partials() sums them in order
  // kHopper only:
  int wide = 0;    // tiles of 256 columns, the rest of n in tiles of 128
  int blocks = 0;
  int cluster = 1;  // blocks that share W's columns: 1 or 2
  double cycles = 0;  // by the model of gemm_tiling.cpp
};

struct Gemm {
  StepRef at;
  bool out_weights;  // the slot's `out`, else its `in`
  const bf16* x;     // [m, k]
  int m, n, k;       // n, k multiples of 8
  Epilogue epilogue;
  Activation activation;
  bf16* y;          // all but kAdd: [m, n or n / 2]
  float* h;         // kAdd: [m, n]
  float* partials;  // kAdd with splits > 1: [splits, m, n]
  RowNorm norm{};     // all but kAdd: of x's rows
  NormedRows next{};  // kAdd with splits == 1: of h's rows; null where nothing follows
};

GemmTiling tile_gemm(int m, int n, int k, bool may_split, const GpuFacts& device);
GemmTiling tile_hopper(int m, int n, int splits, int cluster, int sms);
void gemm(Stream stream, const Gemm& gemm, const GemmTiling& tiling);
void hopper_gemm(Stream stream, const Gemm& gemm, const GemmTiling& tiling);  // kHopper

// --- residual.cu ---

// h += scale * sum over splits of partials [splits, rows, padded]; writes what the next step reads of h, too.
void add_partials(Stream stream, StepRef at, const float* partials, int splits, float* h, const NormedRows& next, int rows,
                  int padded);

// --- compensate.cu ---

// y [rows, width] += (y down^T) up; down, up [rank, width]; all float32.
void compensate(Stream stream, const float* down, const float* up, int rank, float* y, int rows, int width);

// --- attention.cu ---

// The batch's rows in device memory.
struct Rows {
  const int* starts;         // [sequences + 1]
  const int* indices;      // [tokens], see Batch
  const int* key_indices;  // [tokens]: the same, negative where the token is not attended to
  const int* unseeing;       // [distances][tokens]: kSeesNone where the query sees no key, and kSomeSeeNone where a query of
                             // its sequence sees none
  const int* buckets;        // [distances][2 span + 1]: bucket of the distance d - span, kOutOfReach for what is not seen
  int sequences, tokens;
  int longest;  // tokens of the longest sequence
  int span;     // distances are clamped to [-span, span]; nothing changes further out
};

constexpr int kOutOfReach = -1;
constexpr int kSeesNone = 1, kSomeSeeNone = 2;

struct AttentionCall {
  StepRef at;
  const bf16* qkv;  // [tokens, 3 heads head_dim]
  bf16* out;        // [tokens, heads head_dim]
  Rows rows;
  int heads;
  int head_dim;  // as padded by padded_head_dim()
};

constexpr int kMaxHeadDim = 128;
// The smallest head dimension with a kernel that holds `head_dim`; 0 when none does.
constexpr int padded_head_dim(int head_dim) {
  return head_dim <= 32 ? 32 : head_dim <= 64 ? 64 : head_dim <= kMaxHeadDim ? kMaxHeadDim : 0;
}
size_t attention_shared_memory(int head_dim, int span);
void attention(Stream stream, const AttentionCall& call);

// --- measure.cu ---

// y [rows, out] = x [rows, in] W^T + bias, then GELU(tanh) where asked; all float32.
void project(Stream stream, const float* x, const float* weight, const float* bias, float* y, int rows, int in, int out,
             bool gelu);
// sums [rows, 4]: of (a - b)^2, a b, a^2, b^2 over each row of a, b [rows, width], in double.
void compare_rows(Stream stream, const float* a, const float* b, double* sums, int rows, int width, int stride);

}  // namespace skrr::cuda
