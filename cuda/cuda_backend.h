// The CUDA backend: the encoder on one GPU, weights and operands bf16, residual stream and sums float32.
//
// The layer table lies in device memory. A whole forward pass is one recorded graph per extent of a batch; it stays valid
// when the plan changes, because kernels find their weights through the table and return at once where it skips a position.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "cuda/forward.h"
#include "cuda/pool.h"
#include "cuda/runtime.h"
#include "cuda/states.h"
#include "cuda/weights.h"
#include "engine/backend.h"
#include "engine/device.h"

namespace skrr::cuda {

struct Options {
  int device = 0;
  std::string products = {};  // product_path() in runtime.h
};

class CudaBackend : public Backend {
 public:
  // Throws ERR_DEVICE when the device is missing or does not work, or the encoder's shape has no kernel.
  CudaBackend(const Architecture& architecture, const FixedTensors& fixed, const Options& options);

  void load(int slot, const Weights& weights, const CancelFlag& cancel) override;
  void unload(int slot) override;
  Packed packed(int slot) const override;
  std::unique_ptr<States> begin(const Batch& batch, const ReadRow& read) override;
  void run(const LayerTable& table, int from, int to, States& states, const CancelFlag& cancel) override;
  std::unique_ptr<Map> load_map(const MapSpec& spec) override;  // map.cpp
  void read(const States& states, bool norm, const Maps& maps, const WriteRow& write) override;  // features.cpp
  std::unique_ptr<Features> features(const States& states, const Maps& maps, const CancelFlag& cancel) override;  // features.cpp
  std::vector<Comparison> compare(const Features& a, const Features& b) override;
  std::vector<Comparison> compare(const States& a, const States& b) override;
  size_t weight_bytes() const override;
  size_t workspace_bytes() const override;

 private:
  // A whole forward pass on addresses of its own: batches are copied there and back.
  struct RecordedPass {
    BatchRows::Extent extent;
    std::unique_ptr<Graph> graph;
  };

  Gpu& device() const { return pool_->device(); }
  StepRef step_at(int position) const;
  void write_table(const LayerTable& table, int from, int to);
  void reserve(const BatchRows::Extent& extent);
  Graph& recorded_pass(const BatchRows::Extent& extent);
  void embed(const CudaStates& states, float* on_device) const;
  void add_map(const Map& map, float* y, int tokens) const;  // map.cpp
  std::vector<Comparison> compare_on_device(const float* a, const std::vector<int>& starts_a, const float* b,
                                            const std::vector<int>& starts_b, int width, int stride);

  const Architecture architecture_;
  const Shape shape_;
  const Sights sights_;
  const std::shared_ptr<Pool> pool_;  // states and features hold it too: they may outlive the backend
  const DeviceFacts facts_;
  const Forward forward_;
  Buffer final_norm_;   // [width padded]
  Buffer final_norm_bias_;  // the same; empty where it is an RMS norm
  Buffer table_;        // [2 * blocks] Step
  Buffer slots_;        // [slot_count] Slot
  std::vector<LoadedSlot> loaded_;  // [slot_count], empty where nothing is loaded
  std::unique_ptr<Loader> loader_;  // while slots are loaded: until the next batch
  Workspace workspace_;
  Buffer pass_hidden_;  // [tokens, width padded]: the residual stream of recorded passes
  Buffer pass_rows_;    // their BatchRows
  std::list<RecordedPass> passes_;  // the last used first
};

}  // namespace skrr::cuda
