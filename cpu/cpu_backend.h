// The CPU backend: the encoder on the processor's own cores, with float32, bf16, int8 or int4 weights, each slot its own.
#pragma once

#include <memory>
#include <vector>

#include "cpu/matrix.h"
#include "cpu/position_bias.h"
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
struct SubBlock {
  std::vector<float> norm;  // [width]
  PackedMatrix in;          // attention: q over k over v; feed-forward: wi, or wi_0 and wi_1 panel by panel
  PackedMatrix out;         // attention: o; feed-forward: wo
  std::vector<float> bias;  // [buckets, heads], UMT5's attention only

  size_t bytes() const { return (norm.size() + bias.size()) * sizeof(float) + in.bytes() + out.bytes(); }
};

// The residual stream and the row structure it was made with.
struct CpuStates final : States {
  int width = 0;
  int longest = 0;                 // 1 + the largest position: bounds every distance
  Buffer hidden;                   // [tokens, width] float32
  std::vector<int32_t> starts;     // [sequences + 1]
  std::vector<int32_t> positions;  // [tokens]
  std::vector<uint8_t> visible;    // [tokens]

  float* row(int64_t token) const { return hidden.as<float>() + token * width; }
  std::unique_ptr<States> clone() const override;
  int tokens() const override { return int(positions.size()); }
  size_t bytes() const override { return hidden.bytes() + positions.size() * 5 + starts.size() * 4; }
};

class CpuBackend final : public Backend {
 public:
  // threads 0: all this process may use
  CpuBackend(const Geometry& geometry, const FixedTensors& fixed, int threads);

  void load(int slot, Precision precision, const SubBlockTensors& tensors, const CancelFlag& cancel) override;
  void unload(int slot) override;
  Packed packed(int slot) const override;
  std::unique_ptr<States> begin(const Batch& batch, const ReadRow& read) override;
  void run(const LayerTable& table, int from, int to, States& states, const CancelFlag& cancel) override;
  std::unique_ptr<Compensation> load_compensation(const float* down, const float* up, int rank) override;  // compensation.cpp
  void finish(const States& states, const Compensation* compensation, const WriteRow& write) override;
  std::unique_ptr<Projection> load_projection(const std::vector<ProjectionLayer>& layers) override;  // measure.cpp
  std::unique_ptr<Features> features(const States& states, const Compensation* compensation,
                                     const Projection* projection, const CancelFlag& cancel) override;
  std::vector<Comparison> compare(const Features& a, const Features& b) override;
  std::vector<Comparison> compare(const States& a, const States& b) override;
  size_t weight_bytes() const override;
  size_t workspace_bytes() const override;
  // Calls `after` with the name of each part of a sub-block when it is over (engine/bench.h). An empty function ends that.
  void listen(std::function<void(const char* part)> after) { context_.after = std::move(after); }

 private:
  void attention(const SubBlock& weights, float scale, CpuStates& states, const CancelFlag& cancel);    // attention.cpp
  void feed_forward(const SubBlock& weights, float scale, CpuStates& states, const CancelFlag& cancel);
  void pack_normed(const SubBlock& weights, const CpuStates& states, const CancelFlag& cancel);
  void add_product(const PackedMatrix& w, float scale, CpuStates& states, const CancelFlag& cancel);
  void compensate(const Compensation& compensation, int64_t tokens, float* y);

  const Geometry geometry_;
  Context context_;
  std::vector<float> final_norm_;                  // [width]
  std::vector<float> bias_;                        // [buckets, heads], T5's shared table; empty for UMT5
  std::vector<std::unique_ptr<SubBlock>> slots_;   // [slot_count]
  PackedRows rows_;                                // the left operand of the product that runs
  Buffer wide_;                                    // q|k|v, the feed-forward's activations, the output: [tokens, wide]
  Buffer mixed_;                                   // attention's result before o [tokens, inner]; y down^T [tokens, rank]
};

// What these slots, `own` being the precision of those that name none, and a compensation of that rank (0: none) will take.
Estimate estimate(const Geometry& geometry, const std::vector<int>& slots, Precision own, int rank, int threads, int tokens,
                  int longest);
size_t compensation_bytes(const Kernels& kernels, int64_t width, int64_t rank);

}  // namespace skrr::cpu
