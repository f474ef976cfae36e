// The processor as a device.
#pragma once

#include <memory>

#include "engine/device.h"
#include "engine/regression.h"

namespace skrr::cpu {

// threads 0: all this process may use
std::unique_ptr<Device> make_device(int threads);

std::unique_ptr<Regression> make_regression(int width, int threads);

}  // namespace skrr::cpu
