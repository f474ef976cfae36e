// A chain of small dense layers on rows, after the final norm: the module of a denoiser that takes the embedding, or a
// low-rank map that makes up for what a plan changes.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/weights.h"

namespace skrr {

struct MapLayer {
  Tensor weight;  // [out, in]
  Tensor bias;    // [1, out], may be absent
};

// y = layers of x, with GELU(tanh) between two layers; where `residual`, y = x + the layers of x and nothing stands between
// them. Always float32.
//
// Residual, down [rank, width] then up [width, rank]: the compensation of a plan, x + sum over j of (down_j . x) up_j.
struct MapSpec {
  std::vector<MapLayer> layers;
  bool residual = false;
};

// A map on the device. It may outlive the backend that made it.
class Map {
 public:
  virtual ~Map() = default;
  virtual size_t bytes() const = 0;
};

}  // namespace skrr
