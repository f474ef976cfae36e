// skrr_cuda_wrong.so: works like skrr_cuda_emulated.so, but for a result that is wrong by a little: one token's embedding is
// another's. What `auto` goes by (engine/agreement.h) must notice.
#define skrr_cuda_device skrr_cuda_right_device
#include "cuda/library.cpp"
#undef skrr_cuda_device

#include "cuda/cuda_backend.h"

namespace {

using namespace skrr;

class WrongBackend final : public cuda::CudaBackend {
 public:
  using CudaBackend::CudaBackend;

  void read(const States& states, bool norm, const Maps& maps, const WriteRow& write) override {
    CudaBackend::read(states, norm, maps, [&](int token, const float* row) {
      if (token != 0) write(token, row);
      if (token == 1) write(0, row);
    });
  }
};

class WrongDevice final : public Device {
 public:
  explicit WrongDevice(int index) : right_(cuda::make_device(index)) {}
  const DeviceFacts& facts() const override { return right_->facts(); }
  Estimate estimate(const Architecture& architecture, const std::vector<int>& slots, int rank, const Extent& extent) const override {
    return right_->estimate(architecture, slots, rank, extent);
  }
  std::unique_ptr<Backend> open(const Architecture& architecture, const FixedTensors& fixed, const std::string& path) const override {
    return std::make_unique<WrongBackend>(architecture, fixed, cuda::Options{0, path});
  }
  bench::Report bench(const Architecture& architecture, const bench::Request& request, const bench::Progress& progress,
                      const CancelFlag& cancel) const override {
    return right_->bench(architecture, request, progress, cancel);
  }

 private:
  const std::unique_ptr<Device> right_;
};

}  // namespace

EXPORTED Device* skrr_cuda_device(int index) { return new WrongDevice(index); }
