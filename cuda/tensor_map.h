// Maps for Hopper's copy engine. Two implementations: the driver (hopper_tensor_map.cu), and the machine of test/simt.
#pragma once

#include "cuda/types.h"

namespace skrr::cuda {

// Every map copies boxes of this size, rows of 128 bytes swizzled as wgmma reads them.
constexpr int kBoxRows = 64, kBoxColumns = 64;
constexpr int kBoxBytes = kBoxRows * kBoxColumns * int(sizeof(bf16));

// Of a row-major matrix in device memory; columns a multiple of 8. Throws ERR_ENGINE when the driver refuses it.
TensorMap tensor_map(const bf16* matrix, int rows, int columns);

}  // namespace skrr::cuda
