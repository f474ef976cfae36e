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

// How an attention's heads are turned (Rope in engine/architecture.h).
struct Turn {
  int rope = -1;  // which of the batch's tables of angles; -1: they are not turned
  int pairs = 0;
  bool interleaved = false;
};

// The weights of a sub-block, loaded. What it does not have is null.
struct Slot {
  const float* norm;  // [width padded]
  const bf16* in;     // attention: q over k over v [(heads + 2 key_heads) head_dim, width]; feed-forward: up, or rows of gate
                      // and up in turns of 8 [2 ff, width]
  const bf16* out;    // attention: o [width, heads head_dim]; feed-forward: down [width, ff]
  const float* distance;  // [buckets, heads]; the distance table
  WeightFormat format;
  const TensorMap* maps = nullptr;  // of `in` and `out`; null where the device has no copy engine for them
  const float* norm_bias = nullptr;  // [width padded], of a LayerNorm
  const float* in_bias = nullptr;    // one for each row of `in`
  const float* out_bias = nullptr;   // [width padded]
  const float* post_norm = nullptr;  // [width padded]
  float post_epsilon = 0;
  // Attention only:
  Reach reach{};
  float scale = 1, softcap = 0;  // of logits; 0: they are not capped
  const float* q_norm = nullptr;  // [head_dim]
  const float* k_norm = nullptr;
  float head_epsilon = 0;
  Turn turn{};
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

// y and h take the bias of W's rows where the slot has one: it is added to x W^T.
enum class Epilogue : int {
  kStore,     // y = x W^T
  kActivate,  // y = act(x W^T)
  kGate,      // y = act(x W0^T) * (x W1^T), rows of W0 and W1 in turns of 8; y has n / 2 columns
  kAdd,       // h += scale * x W^T
  kPart,      // partials = x W^T: add_normed() goes on from there
};

enum class GemmTile : int { kThin, kSmall, kTall, kMedium, kWide, kHopper };

// How a product is cut into blocks. tile_gemm() finds it: always the same for one shape and device.
struct GemmTiling {
  GemmTile tile;
  int splits;  // of K, kAdd and kPart only: each split writes its part to `partials`, add_partials() sums them in order
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
  bf16* y;          // all but kAdd and kPart: [m, n or n / 2]
  float* h;         // kAdd: [m, n]
  float* partials;  // kPart, and kAdd with splits > 1: [splits, m, n]
  RowNorm norm{};     // all but kAdd and kPart: of x's rows
  NormedRows next{};  // kAdd with splits == 1: of h's rows; null where nothing follows
};

GemmTiling tile_gemm(int m, int n, int k, bool may_split, const GpuFacts& device);
GemmTiling tile_hopper(int m, int n, int splits, int cluster, int sms);
void gemm(Stream stream, const Gemm& gemm, const GemmTiling& tiling);
void hopper_gemm(Stream stream, const Gemm& gemm, const GemmTiling& tiling);  // kHopper

// --- residual.cu ---

// h += scale * (sum over splits of partials [splits, rows, padded] + the slot's out_bias); writes what the next step reads of h, too.
void add_partials(Stream stream, StepRef at, const float* partials, int splits, float* h, const NormedRows& next, int rows,
                  int padded);
// The same with the slot's post-norm of that sum in its place. It overwrites the first split's partials.
void add_normed(Stream stream, StepRef at, float* partials, int splits, float* h, const NormedRows& next, int rows, int width,
                int padded);

// --- layer_norm.cu ---

// x [rows, padded] = the LayerNorm of the step that runs.
void layer_norm(Stream stream, StepRef at, const float* h, bf16* x, int rows, int width, int padded, float epsilon);
// y [rows, width]
void final_layer_norm(Stream stream, const float* weight, const float* bias, const float* h, float* y, int rows, int width,
                      int padded, float epsilon);

// --- compensate.cu ---

// y [rows, width] += (y down^T) up; down, up [rank, width]; all float32.
void compensate(Stream stream, const float* down, const float* up, int rank, float* y, int rows, int width);

// --- attention.cu, heads.cu ---

constexpr int kQueries = 64;  // of a block of attention

// The batch's rows in device memory.
struct Rows {
  const int* starts;       // [sequences + 1]
  const int* indices;      // [tokens], see Batch
  const int* key_indices;  // [tokens]: the same, negative where the token is not attended to
  const int* unseeing;     // [distances][tokens]: kSeesNone where the query sees no key, and kSomeSeeNone where one of its
                           // kQueries sees none
  const int* buckets;      // [distances][2 span + 1]: bucket of the distance d - span, kOutOfReach for what is not seen
  const float* angles;     // [ropes][tokens][turns]: the factor of a query, then the cosine and sine of each pair, times the magnitude
  int sequences, tokens;
  int longest;  // tokens of the longest sequence
  int span;     // distances are clamped to [-span, span]; nothing changes further out
  int turns;    // floats of a token in one table of angles
};

constexpr int kOutOfReach = -1;
constexpr int kSeesNone = 1, kSomeSeeNone = 2;

// Query head h reads key head h / (heads / key_heads).
struct Heads {
  int heads, key_heads;
  int head_dim;  // a multiple of 8, the rest of a head zeros
};

struct AttentionCall {
  StepRef at;
  const bf16* qkv;  // [tokens, (heads + 2 key_heads) head_dim]
  bf16* out;        // [tokens, heads head_dim]
  Rows rows;
  Heads heads;
  bool table;  // a sub-block of the encoder has a distance table
};

constexpr int kMaxHeadDim = 256;
size_t attention_shared_memory(int head_dim, int span, bool table);
void attention(Stream stream, const AttentionCall& call);

// q and k in place: the norm of each head over its first `true_head_dim` elements, then the rotation, both where the slot has them.
struct HeadsCall {
  StepRef at;
  bf16* qkv;
  Rows rows;
  Heads heads;
  int true_head_dim;
};
void turn_heads(Stream stream, const HeadsCall& call);

// --- measure.cu ---

// y [rows, out] = x [rows, in] W^T + bias, then GELU(tanh) where asked; all float32.
void project(Stream stream, const float* x, const float* weight, const float* bias, float* y, int rows, int in, int out,
             bool gelu);
// sums [rows, 4]: of (a - b)^2, a b, a^2, b^2 over each row of a, b [rows, width], in double.
void compare_rows(Stream stream, const float* a, const float* b, double* sums, int rows, int width, int stride);

}  // namespace skrr::cuda
