// cuBLASLt's products, to be timed beside ours. The library is found at run time and its few functions are declared here:
// a machine that builds the benchmark need not have it (NVIDIA's compiler comes without). Values: cublasLt.h of CUDA 11 to 13.
#pragma once

#include <memory>
#include <string>

#include "cuda/runtime.h"

namespace skrr::cuda {

class CublasLt {
 public:
  // Null, with the reason, where there is no library, or no GPU it could run on.
  static std::unique_ptr<CublasLt> open(Gpu& device, std::string& why_not);
  ~CublasLt();

  // y [m, n] = x [m, k] w [n, k]^T, bf16, float32 sums. The algorithm is the first its heuristic names.
  class Product {
   public:
    Product(CublasLt& library, int m, int n, int k);
    ~Product();
    void operator()(const bf16* x, const bf16* w, bf16* y) const;

   private:
    CublasLt& library_;
    void *operation_ = nullptr, *w_ = nullptr, *x_ = nullptr, *y_ = nullptr;
    uint64_t algorithm_[8] = {};
  };

 private:
  struct Functions;
  CublasLt(Gpu& device, std::unique_ptr<Functions> functions);

  Gpu& device_;
  const std::unique_ptr<Functions> call_;
  void* handle_ = nullptr;
  Buffer workspace_;
};

}  // namespace skrr::cuda
