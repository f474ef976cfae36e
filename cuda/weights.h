// Weights on their way from the file to the device: converted to bf16, padded, and in the order the products read them.
#pragma once

#include <vector>

#include "cuda/kernels.h"
#include "cuda/loader.h"
#include "cuda/runtime.h"
#include "cuda/shape.h"
#include "engine/cancel.h"
#include "engine/architecture.h"
#include "engine/weights.h"

namespace skrr::cuda {

// How a sub-block's weights lie in their allocation: offsets in bytes. What it does not have takes no bytes.
struct SlotLayout {
  SlotLayout(const Architecture& architecture, int sub_block);

  static constexpr size_t kNone = ~size_t(0);
  size_t norm, in, out, maps;
  size_t norm_bias = kNone, in_bias = kNone, out_bias = kNone, post_norm = kNone;
  size_t q_norm = kNone, k_norm = kNone, distance = kNone;
  size_t bytes = 0;
};

// Floats of the final norm's bias: 0 where it is an RMS norm.
size_t final_bias_floats(const Architecture& architecture);

// A sub-block's weights in one allocation of device memory.
struct LoadedSlot {
  Buffer memory;
  Slot slot;  // pointers into it
};

// Matrices are cut into pieces of whole rows, which must fit the loader's.
LoadedSlot load_slot(Gpu& device, Loader& loader, const Architecture& architecture, int sub_block, const Weights& weights,
                     const CancelFlag& cancel);

// All elements as float32, followed by zeros up to `padded` elements. An absent tensor is all zeros.
std::vector<float> read_padded(const Tensor& tensor, size_t padded);

}  // namespace skrr::cuda
