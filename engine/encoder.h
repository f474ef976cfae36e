// An encoder: a checkpoint's tensors, the slots of a backend that hold some of them, and the forward pass.
// Used from the engine thread; memory() may be read from any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/buffer.h"
#include "engine/loaded_plan.h"
#include "engine/weight_file.h"

namespace skrr {

// Where a checked tensor lies; file is an index into EncoderSpec::files. An empty name: the tensor is absent.
struct TensorSource {
  std::string name;
  int file = 0;
  uint64_t offset = 0;
  Encoding encoding = Encoding::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  float scale = 1;  // factor on every element
  float plus = 0;   // added to every element afterwards
};

using SubBlockSource = ByRole<TensorSource>;

struct EncoderSpec {
  Architecture architecture;
  std::vector<std::string> files;
  TensorSource embedding, positions, final_norm, final_norm_bias;  // see FixedTensors
  TensorSource projection;  // [outputs, width], of rows after the final norm; absent where none is asked for
  std::vector<SubBlockSource> sub_blocks;  // 2 * blocks
  bool mapped = true;  // packed weights are used in their mapped files; false: each slot reads a copy
};

struct Memory {
  size_t weights = 0;    // packed weights of the loaded slots
  size_t embedding = 0;  // bytes of the token embedding, which stays in its file: an upper bound of what the system caches of it
  size_t workspace = 0;  // activations and scratch, as large as the largest batch so far
};

class Encoder {
 public:
  using MakeBackend = std::function<std::unique_ptr<Backend>(const Architecture&, const FixedTensors&)>;
  using Progress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

  Encoder(const EncoderSpec& spec, const MakeBackend& make_backend);

  // Loads the slots of the layer table that are not loaded yet, and the map of the output (null: none). When cancelled
  // or failed, it keeps the complete slots.
  std::unique_ptr<LoadedPlan> load_plan(const LayerTable& table, const MapSpec* map, const Progress& progress,
                                        const CancelFlag& cancel);
  // Frees every slot that no loaded plan needs.
  void trim();

  // Copies `in` or `out` of the Packed of a loaded int8 or int4 slot, which must have exactly these sizes.
  void copy_packed(int slot, bool out, std::byte* data, size_t bytes, float* scales, size_t scale_count) const;

  // The whole path: rows of the embedding -> layer table as far as an output needs it -> final norm, maps -> output rows.
  // The plan's map is for the last state after its norm. Outputs are ordered by `after`.
  void encode(const Input& input, const LoadedPlan& plan, const std::vector<Output>& outputs, const CancelFlag& cancel);

  // The pieces of encode(), for the search of plans, which keeps states between sub-blocks and compares them.
  std::unique_ptr<States> begin(const Input& input);
  void advance(States& states, const LoadedPlan& plan, int from, int to, const CancelFlag& cancel);
  Backend& backend() { return *backend_; }

  Memory memory() const;

 private:
  void load(const std::vector<int>& slots, const Progress& progress, const CancelFlag& cancel);
  Tensor view(const TensorSource& source) const;
  const SubBlockSource& source_of(int slot) const;
  Weights weights_of(int slot) const;
  void require_stored_precision(int slot) const;
  void prefetch(int slot) const;
  std::vector<Buffer> place_packed(int slot, Weights& weights, const CancelFlag& cancel) const;
  void drop_packed(int slot);
  void require_weights_in_place(const LoadedPlan& plan, int from, int to) const;
  ReadRow gather(const Input& input) const;
  ReadRow with_positions(const Batch& batch, ReadRow read) const;
  WriteRow scatter(const Output& output, int64_t columns) const;
  void update_memory();

  const EncoderSpec spec_;
  std::vector<std::unique_ptr<WeightFile>> files_;
  std::vector<std::vector<Buffer>> packed_;  // by slot: its packed weights, where they were read
  FixedTensors fixed_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Map> projection_;  // null where the spec has none
  std::vector<bool> loaded_;                // by slot
  const std::shared_ptr<Leases> leases_;  // by slot; shared with plans, which may outlive the encoder
  std::atomic<size_t> weight_bytes_{0}, workspace_{0};
};

}  // namespace skrr
