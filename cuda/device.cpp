#include "cuda/device.h"

#include <algorithm>

#include "cuda/bench.h"
#include "cuda/cuda_backend.h"

namespace skrr::cuda {
namespace {

class CudaDevice final : public skrr::Device {
 public:
  explicit CudaDevice(int index) : index_(index), gpu_(gpu_facts(index)), facts_(facts_of(gpu_, index)) {
    gpu_.products = product_path("", gpu_);
  }

  const DeviceFacts& facts() const override { return facts_; }

  Estimate estimate(const Architecture& architecture, const std::vector<int>& slots, int rank, const Extent& extent) const override {
    require_kernels(facts_, architecture);
    for (const int slot : slots) require_precision(facts_, slot);
    return cuda::estimate(gpu_, architecture, slots, rank, extent);
  }

  std::unique_ptr<Backend> open(const Architecture& architecture, const FixedTensors& fixed,
                                const std::string& product_path) const override {
    require_kernels(facts_, architecture);
    return std::make_unique<CudaBackend>(architecture, fixed, Options{index_, product_path});
  }

  bench::Report bench(const Architecture& architecture, const bench::Request& request, const bench::Progress& progress,
                      const CancelFlag& cancel) const override {
    require_kernels(facts_, architecture);
    return run_bench(index_, architecture, request, progress, cancel);
  }

 private:
  const int index_;
  GpuFacts gpu_;
  const DeviceFacts facts_;
};

}  // namespace

DeviceFacts facts_of(const GpuFacts& gpu, int index) {
  DeviceFacts facts{"cuda:" + std::to_string(index), gpu.name, {Precision::kBF16}, {"mma"}};
  if (gpu.hopper) facts.product_paths.push_back("hopper");
  facts.attributes = {Attribute::kLayerNorm,  Attribute::kPostNorm, Attribute::kKeyHeads, Attribute::kAttentionBias,
                      Attribute::kHeadNorm,   Attribute::kScale,    Attribute::kSoftcap,  Attribute::kRope,
                      Attribute::kFeedForwardBias, Attribute::kGelu, Attribute::kQuickGelu, Attribute::kSilu};
  return facts;
}

Estimate estimate(const GpuFacts& gpu, const Architecture& a, const std::vector<int>& slots, int rank, const Extent& extent) {
  const Shape shape(a);
  size_t weights = (size_t(shape.width) + final_bias_floats(a) + 2 * size_t(rank) * size_t(a.width)) * sizeof(float);
  for (const int slot : slots) weights += SlotLayout(a, sub_block_of(slot)).bytes;

  // The batch itself and the copy a recorded pass works on.
  const Sights sights(a);
  const int sequences = (extent.tokens + extent.longest - 1) / extent.longest;
  const int span = span_of(sights.distances, extent.longest - 1);
  const BatchRows::Extent rows{sequences, extent.tokens, extent.longest, span, int(sights.distances.size()), int(sights.ropes.size()),
                               sights.turns()};
  const size_t stream = size_t(extent.tokens) * size_t(shape.width) * sizeof(float);
  const size_t tables = size_t(a.sub_blocks()) * sizeof(Step) + size_t(slot_count(a)) * sizeof(Slot);
  return {weights, 2 * (stream + rows.ints() * sizeof(int)) + Workspace::bytes_for(gpu, shape, extent.tokens) + tables};
}

std::unique_ptr<skrr::Device> make_device(int index) { return std::make_unique<CudaDevice>(index); }

}  // namespace skrr::cuda
