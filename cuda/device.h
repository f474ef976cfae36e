// A CUDA device as the engine sees it.
#pragma once

#include <memory>

#include "cuda/runtime.h"
#include "engine/device.h"

namespace skrr::cuda {

// Throws ERR_DEVICE when the device is missing or does not work.
std::unique_ptr<skrr::Device> make_device(int index);

skrr::DeviceFacts facts_of(const GpuFacts& gpu, int index);

// What the slots, a compensation of that rank (0: none) and a batch take on a GPU.
Estimate estimate(const GpuFacts& gpu, const Architecture& architecture, const std::vector<int>& slots, int rank, const Extent& extent);

}  // namespace skrr::cuda
