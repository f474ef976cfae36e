// What a device must be able to do to run an encoder. The CPU's is in cpu/; a CUDA library implements the same.
//
// A backend holds weight slots and runs the layer table over the residual stream. It is used from one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "engine/batch.h"
#include "engine/cancel.h"
#include "engine/geometry.h"
#include "engine/layer_table.h"
#include "engine/precision.h"
#include "engine/tensor.h"

namespace skrr {

// The residual stream of one batch on the device: [tokens, width] float32, with the batch's row structure.
class States {
 public:
  virtual ~States() = default;
  virtual std::unique_ptr<States> clone() const = 0;
  virtual int tokens() const = 0;
  virtual size_t bytes() const = 0;
};

// A low-rank linear map of the embedding on the device, which makes up for what a plan changes:
//   y' = y + sum over j < rank of (down_j . y) up_j
class Compensation {
 public:
  virtual ~Compensation() = default;
  virtual size_t bytes() const = 0;
};

// The module of a denoiser that consumes the embedding: y = W x + b, with GELU(tanh) between two layers.
// One layer: SD3's and FLUX's context embedder. Two: PixArt's caption projection.
struct ProjectionLayer {
  Tensor weight;  // [out, in]
  Tensor bias;    // [1, out], may be absent
};

// A projection on the device. Always float32: it is part of the measure, not of the model.
class Projection {
 public:
  virtual ~Projection() = default;
};

// Projected embeddings of one batch on the device, [tokens, features] float32.
class Features {
 public:
  virtual ~Features() = default;
  virtual size_t bytes() const = 0;
};

// Sums over the tokens of one sequence, in double, in a fixed order.
struct Comparison {
  double squared_error = 0;  // sum of (a - b)^2 over tokens and features
  double cosine = 0;         // sum over tokens of cos(a, b)
  double squares_a = 0;      // sum of a^2
  double squares_b = 0;
};

// What an encoder takes on a device, in bytes, by the sums its backend allocates by.
struct Estimate {
  size_t weights;    // Backend::weight_bytes() with the plan's sub-blocks loaded
  size_t workspace;  // everything else while a batch is computed
};

// Rows of the host, [width] of one token: a backend asks for each once and hands each over once, from any of its threads.
using ReadRow = std::function<void(int token, float* row)>;
using WriteRow = std::function<void(int token, const float* row)>;

// Rows that lie together, [tokens, width].
inline ReadRow rows_from(const float* rows, int width) {
  return [=](int token, float* row) { std::copy_n(rows + int64_t(token) * width, width, row); };
}
inline WriteRow rows_to(float* rows, int width) {
  return [=](int token, const float* row) { std::copy_n(row, width, rows + int64_t(token) * width); };
}

class Backend {
 public:
  virtual ~Backend() = default;

  // Fills / empties a slot, one of slot_count() (layer_table.h). The tensors are read during the call and not kept,
  // packed ones excepted. Throws ERR_DEVICE for a precision the device does not have.
  virtual void load(int slot, Precision precision, const SubBlockTensors& tensors, const CancelFlag& cancel) = 0;
  virtual void unload(int slot) = 0;

  // What a loaded slot of int8 or int4 packed, to be written to a file; it stays the slot's.
  struct Packed {
    PackedTensor in, out;
  };
  virtual Packed packed(int slot) const = 0;

  // Puts the embedding of each of batch.tokens on the device.
  virtual std::unique_ptr<States> begin(const Batch& batch, const ReadRow& read) = 0;

  // Runs positions [from, to) of the table in place. Every slot the range names must be loaded.
  virtual void run(const LayerTable& table, int from, int to, States& states, const CancelFlag& cancel) = 0;

  // down, up [rank, width] float32, read during the call. It belongs to this backend and may outlive it.
  virtual std::unique_ptr<Compensation> load_compensation(const float* down, const float* up, int rank) = 0;

  // The encoder's output: final norm, then the compensation unless it is null.
  virtual void finish(const States& states, const Compensation* compensation, const WriteRow& write) = 0;

  // Measuring: the projection of a state's embedding; without a projection the embedding itself.
  virtual std::unique_ptr<Projection> load_projection(const std::vector<ProjectionLayer>& layers) = 0;
  virtual std::unique_ptr<Features> features(const States& states, const Compensation* compensation,
                                             const Projection* projection, const CancelFlag& cancel) = 0;
  // One Comparison per sequence, of features or of the residual streams themselves.
  virtual std::vector<Comparison> compare(const Features& a, const Features& b) = 0;
  virtual std::vector<Comparison> compare(const States& a, const States& b) = 0;

  virtual size_t weight_bytes() const = 0;     // of the loaded slots, as packed; compensations count their own
  virtual size_t workspace_bytes() const = 0;  // everything else it holds now
};

}  // namespace skrr
