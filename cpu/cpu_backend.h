// The CPU backend: the encoder on the processor's own cores; each slot has float32, bf16, int8 or int4 weights.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cpu/matrix.h"
#include "engine/backend.h"
#include "engine/error.h"

namespace skrr::cpu {

inline const TileKernel& tile_kernel(const Kernels& kernels, Precision precision) {
  switch (precision) {
    case Precision::kF32: return kernels.f32;
    case Precision::kBF16: return kernels.bf16;
    case Precision::kInt8: return kernels.int8;
    case Precision::kInt4: return kernels.int4;
  }
  throw Error("ERR_ENGINE", "unknown precision");
}

// A filled slot.
struct Slot {
  ByRole<std::vector<float>> vectors;    // norms and the distance table [buckets, heads]; empty where absent
  PackedMatrix in;                       // attention: q over k over v; feed-forward: up, or gate and up panel by panel
  PackedMatrix out;                      // attention: o; feed-forward: down
  std::vector<float> in_bias, out_bias;  // as the panels stand, zeros in their missing rows; empty without biases

  size_t bytes() const {
    size_t floats = in_bias.size() + out_bias.size();
    for (const std::vector<float>& vector : vectors.all) floats += vector.size();
    return floats * sizeof(float) + in.bytes() + out.bytes();
  }
};

// The residual stream and the row structure it was made with.
struct CpuStates final : States {
  int width = 0;
  int longest = 0;                 // 1 + the largest index: bounds every distance
  Buffer hidden;                   // [tokens, width] float32
  std::vector<int32_t> starts;     // [sequences + 1]
  std::vector<int32_t> indices;    // [tokens], see Batch
  std::vector<int32_t> positions;  // [tokens]
  std::vector<uint8_t> visible;    // [tokens]

  float* row(int64_t token) const { return hidden.as<float>() + token * width; }
  std::unique_ptr<States> clone() const override;
  int tokens() const override { return int(indices.size()); }
  size_t bytes() const override { return hidden.bytes() + indices.size() * 9 + starts.size() * 4; }
};

// A map on the processor: float32 weights, in tiles.
struct CpuMap final : Map {
  struct Layer {
    int64_t inputs = 0, outputs = 0;
    PackedMatrix weight;
    std::vector<float> bias;  // [outputs], empty where there is none
  };
  std::vector<Layer> layers;
  bool residual = false;

  size_t bytes() const override;
};

class CpuBackend final : public Backend {
 public:
  // threads 0: all this process may use
  CpuBackend(const Architecture& architecture, const FixedTensors& fixed, int threads);

  void load(int slot, const Weights& weights, const CancelFlag& cancel) override;
  void unload(int slot) override;
  Packed packed(int slot) const override;
  std::unique_ptr<States> begin(const Batch& batch, const ReadRow& read) override;
  void run(const LayerTable& table, int from, int to, States& states, const CancelFlag& cancel) override;
  std::unique_ptr<Map> load_map(const MapSpec& spec) override;  // map.cpp
  void read(const States& states, bool norm, const Maps& maps, const WriteRow& write) override;
  std::unique_ptr<Features> features(const States& states, const Maps& maps, const CancelFlag& cancel) override;  // measure.cpp
  std::vector<Comparison> compare(const Features& a, const Features& b) override;
  std::vector<Comparison> compare(const States& a, const States& b) override;
  size_t weight_bytes() const override;
  size_t workspace_bytes() const override;
  // Calls `after` with the name of each part of a sub-block once it is done (engine/bench.h). An empty function ends that.
  void listen(std::function<void(const char* part)> after) { context_.after = std::move(after); }

 private:
  void attention(const Attention& attributes, const Slot& weights, float scale, CpuStates& states,
                 const CancelFlag& cancel);  // attention.cpp
  void prepare_heads(const Attention& attributes, const Slot& weights, const CpuStates& states, float* qkv, const CancelFlag& cancel);
  void feed_forward(const FeedForward& attributes, const Slot& weights, float scale, CpuStates& states,
                    const CancelFlag& cancel);
  void pack_normed(const Norm& norm, const Slot& weights, const CpuStates& states, const CancelFlag& cancel);
  void add_bias(const std::vector<float>& bias, int64_t panel, int rows, int columns, float* tile) const;
  void add_product(const Slot& weights, const std::optional<Norm>& post_norm, float scale, CpuStates& states, const CancelFlag& cancel);
  void apply(const CpuMap& map, int64_t tokens, const float* x, float* y, const CancelFlag& cancel);  // map.cpp

  const Architecture architecture_;
  Context context_;
  std::vector<float> final_norm_, final_norm_bias_;  // [width]; the bias may be absent
  std::vector<std::unique_ptr<Slot>> slots_;      // [slot_count]
  PackedRows rows_;                               // the left operand of the running product
  Buffer wide_;                                   // q|k|v, the feed-forward's activations, what is normed before it is added,
                                                  // the output: [tokens, wide]
  Buffer mixed_;                                  // attention's result before o [tokens, inner]; rows between a map's layers
};

}  // namespace skrr::cpu
