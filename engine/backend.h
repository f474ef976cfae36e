// What a device must be able to do to run an encoder. cpu/ implements it, and so does a CUDA library.
//
// A backend holds weight slots and runs the layer table over the residual stream. It is used from one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "engine/architecture.h"
#include "engine/batch.h"
#include "engine/cancel.h"
#include "engine/comparison.h"
#include "engine/layer_table.h"
#include "engine/map.h"
#include "engine/weights.h"

namespace skrr {

// The residual stream of one batch on the device: [tokens, width] float32, with the batch's row structure.
class States {
 public:
  virtual ~States() = default;
  virtual std::unique_ptr<States> clone() const = 0;
  virtual int tokens() const = 0;
  virtual size_t bytes() const = 0;
};

// The result of maps on the embeddings of one batch, on the device: [tokens, features] float32.
class Features {
 public:
  virtual ~Features() = default;
  virtual size_t bytes() const = 0;
};

// Maps that follow each other; null ones are left out.
using Maps = std::vector<const Map*>;

// Reads or writes the row [width] of one token on the host. A backend calls it once for each token, from any of its threads.
using ReadRow = std::function<void(int token, float* row)>;
using WriteRow = std::function<void(int token, const float* row)>;

// Contiguous rows [tokens, width].
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
  // except packed ones. Throws ERR_DEVICE for a precision the device does not have.
  virtual void load(int slot, const Weights& weights, const CancelFlag& cancel) = 0;
  virtual void unload(int slot) = 0;

  // The packed matrices of a loaded int8 or int4 slot, which still owns them, for a file.
  struct Packed {
    PackedTensor in, out;
  };
  virtual Packed packed(int slot) const = 0;

  // Puts the embedding of each of batch.tokens on the device.
  virtual std::unique_ptr<States> begin(const Batch& batch, const ReadRow& read) = 0;

  // Runs positions [from, to) of the layer table in place. Every slot in the range must be loaded.
  virtual void run(const LayerTable& table, int from, int to, States& states, const CancelFlag& cancel) = 0;

  // Takes rows [width]; the tensors are read during the call. The map belongs to this backend.
  virtual std::unique_ptr<Map> load_map(const MapSpec& spec) = 0;

  // Reads the residual stream, with `norm` after the final norm, and then through the maps, which need a norm before them.
  virtual void read(const States& states, bool norm, const Maps& maps, const WriteRow& write) = 0;
  // The output, then the maps, kept on the device.
  virtual std::unique_ptr<Features> features(const States& states, const Maps& maps, const CancelFlag& cancel) = 0;

  // One Comparison per sequence, of features or of the residual streams themselves.
  virtual std::vector<Comparison> compare(const Features& a, const Features& b) = 0;
  virtual std::vector<Comparison> compare(const States& a, const States& b) = 0;

  virtual size_t weight_bytes() const = 0;     // of the loaded slots, as packed; maps count their own
  virtual size_t workspace_bytes() const = 0;  // everything else it holds now
};

}  // namespace skrr
