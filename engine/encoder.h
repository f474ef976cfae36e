// An encoder: a checkpoint's tensors, the slots of a backend that hold some of them, and the forward pass.
// Used from the engine thread; memory() may be read from any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/mapped_file.h"

namespace skrr {

// Where a checked tensor lies; file is an index into EncoderSpec::files. An empty name: the tensor is absent.
struct TensorSource {
  std::string name;
  int file = 0;
  uint64_t offset = 0;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  float scale = 1;
};

struct SubBlockSource {
  TensorSource norm, q, k, v, o, bias, wi_0, wi_1, wo;
  TensorSource in, in_scales, out, out_scales;  // packed, in place of the matrices
};

struct EncoderSpec {
  Geometry geometry;
  std::vector<std::string> files;
  TensorSource embedding, final_norm, bias;
  std::vector<SubBlockSource> sub_blocks;  // 2 * blocks
  Precision precision = Precision::kF32;   // of slots that name none
};

struct Memory {
  size_t weights = 0;    // packed weights of the loaded slots
  size_t embedding = 0;  // bytes of the token embedding, mapped from the file: resident as far as rows were used
  size_t workspace = 0;  // activations and scratch, as large as the largest batch so far
};

class Encoder {
 public:
  using MakeBackend = std::function<std::unique_ptr<Backend>(const Geometry&, const FixedTensors&)>;
  using Progress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

  Encoder(const EncoderSpec& spec, const MakeBackend& make_backend);

  // Loads the slots that are not loaded yet. Cancelled or failed, it keeps those that are complete.
  void load(const std::vector<int>& slots, const Progress& progress, const CancelFlag& cancel);
  // Frees every slot that is not in `keep`.
  void keep_only(const std::vector<int>& keep);

  // Copies what a loaded slot of int8 or int4 packed: `in` or `out` of its Packed, of exactly these sizes.
  void copy_packed(int slot, bool out, std::byte* data, size_t bytes, float* scales, size_t scale_count) const;

  // The whole path: rows of the embedding table -> layer table -> final norm, compensation (may be null) -> output rows.
  void encode(const Input& input, const LayerTable& table, const Compensation* compensation, const Output& output,
              const CancelFlag& cancel);

  // The pieces of encode(), for the search of plans: states are kept at sub-block boundaries and compared.
  std::unique_ptr<States> begin(const Input& input);
  void advance(States& states, const LayerTable& table, int from, int to, const CancelFlag& cancel);
  Backend& backend() { return *backend_; }

  Memory memory() const;

 private:
  Tensor view(const TensorSource& source) const;
  SubBlockTensors tensors_of(int slot) const;
  PackedTensor view(const TensorSource& data, const TensorSource& scales) const;
  Precision precision_in(int slot) const;
  std::string name_of(int slot) const;  // for messages
  ReadRow gather(const Input& input) const;
  WriteRow scatter(const Output& output) const;
  void require_loaded(const LayerTable& table, int from, int to) const;
  void update_memory();

  const EncoderSpec spec_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  FixedTensors fixed_;
  std::unique_ptr<Backend> backend_;
  std::vector<bool> loaded_;  // by slot
  std::atomic<size_t> weights_{0}, workspace_{0};
};

}  // namespace skrr
