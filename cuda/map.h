// A map of the output on the device.
#pragma once

#include <memory>
#include <vector>

#include "cuda/pool.h"
#include "engine/map.h"

namespace skrr::cuda {

struct CudaMap final : Map {
  struct Layer {
    Buffer weight;  // [out, in] float32; of a residual map's second layer transposed
    Buffer bias;    // [out], zeros where there is none; empty in a residual map
    int in, out;
  };
  std::shared_ptr<Pool> pool;  // keeps the device
  std::vector<Layer> layers;
  bool residual = false;

  size_t bytes() const override;
};

}  // namespace skrr::cuda
