// The CPU backend as a subject of the suites.
#pragma once

#include "cpu/cpu_backend.h"
#include "cpu/device.h"
#include "test/engine/encoder_suite.h"

namespace on_cpu {

using namespace skrr;

inline Encoder::MakeBackend make(int threads) {
  return [=](const Architecture& a, const FixedTensors& fixed) { return cpu::make_device(threads)->open(a, fixed, ""); };
}

// Rows are rounded where the hardware multiplies bf16 or integers. In a few places a float32 and a double lie on two sides
// of a rounding edge and become two bf16 numbers, 1/256 apart, or two integers.
inline encoder_suite::Subject subject(Precision precision) {
  const cpu::TileKernel& kernel = cpu::tile_kernel(cpu::kernels(), precision);
  reference::Rows rows = reference::Rows::kExact;
  if (precision == Precision::kBF16 && kernel.a_size == sizeof(uint16_t)) rows = reference::Rows::kBF16;
  if (kernel.is_integer()) rows = reference::Rows::kIntegers;
  return {make(2), precision, rows, kernel.integer_max, false, rows == reference::Rows::kExact ? 1e-5 : 1e-2};
}

}  // namespace on_cpu
