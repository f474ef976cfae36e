// skrr_cuda_wrong.so: works like skrr_cuda_emulated.so, but for a result that is wrong by a little: one token's embedding is
// another's. What `auto` goes by (engine/agreement.h) must notice.
#include "engine/cuda_library.h"
#define skrr_cuda_open skrr_cuda_open_the_right_one
#include "cuda/library.cpp"
#undef skrr_cuda_open

namespace {

class WrongBackend final : public skrr::cuda::CudaBackend {
 public:
  WrongBackend(const skrr::Geometry& geometry, const skrr::FixedTensors& fixed, int device)
      : CudaBackend(geometry, fixed, {device}) {}

  void finish(const skrr::States& states, const skrr::Compensation* compensation, const skrr::WriteRow& write) override {
    CudaBackend::finish(states, compensation, [&](int token, const float* row) {
      if (token != 0) write(token, row);
      if (token == 1) write(0, row);
    });
  }
};

}  // namespace

EXPORTED skrr::Backend* skrr_cuda_open(const skrr::Geometry& geometry, const skrr::FixedTensors& fixed, int device) {
  return new WrongBackend(geometry, fixed, device);
}
