// Times of the backend's kernels and of whole encoders on one device, with random weights (engine/bench.h).
#pragma once

#include <functional>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/pool.h"
#include "cuda/runtime.h"
#include "engine/bench.h"

namespace skrr::cuda {

// A product of the forward pass, as it is timed: y = x W^T on `tokens` rows.
struct BenchProduct {
  const char* name;
  int n, k;
  bool out_weights;
  Epilogue epilogue;
};
std::vector<BenchProduct> bench_products(const Architecture& architecture);

// Random bf16 numbers on the device.
Buffer random_matrix(Gpu& device, size_t count);

// Fills L2 with something else; call it between two repeats.
class CacheScrub {
 public:
  explicit CacheScrub(Gpu& device);
  void operator()();

 private:
  Gpu& device_;
  Buffer memory_;
};

// Times each kernel alone: recorded several times into one graph, with weights that take turns, so that they come from memory.
std::vector<bench::Row> bench_kernels(Pool& pool, const Architecture& architecture, const std::vector<int>& tokens, int repeats,
                                      const CancelFlag& cancel);

// Bytes a second of a copy on the device, read and written both counted.
double copy_rate(Gpu& device, int repeats);

// Times kernels, then encoders under the request's layer tables.
bench::Report run_bench(int device, const Architecture& architecture, const bench::Request& request,
                        const bench::Progress& progress, const CancelFlag& cancel);

}  // namespace skrr::cuda
