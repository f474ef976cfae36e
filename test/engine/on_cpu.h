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

// Rows are rounded where the hardware multiplies such numbers. A float32 and a double on two sides of a rounding edge
// become two bf16 numbers, 1/256 apart, or two int8 numbers: in few places.
inline encoder_suite::Subject subject(Precision precision) {
  const cpu::TileKernel& kernel = cpu::tile_kernel(cpu::kernels(), precision);
  reference::Rows rows = reference::Rows::kExact;
  if (precision == Precision::kBF16 && kernel.a_size == sizeof(uint16_t)) rows = reference::Rows::kBF16;
  if (kernel.most > 0) rows = reference::Rows::kIntegers;
  return {make(2), precision, rows, kernel.most, false, rows == reference::Rows::kExact ? 1e-5 : 1e-2};
}

}  // namespace on_cpu
