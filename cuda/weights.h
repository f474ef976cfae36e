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

// How a sub-block's weights lie in their allocation: offsets in bytes.
struct SlotLayout {
  SlotLayout(const Architecture& architecture, int sub_block);

  size_t in, out, maps, bias, bytes;  // the norm lies at 0; `bias` only where the sub-block has a distance table
};

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
