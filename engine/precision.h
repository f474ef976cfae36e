// The formats in which a backend holds matrices.
#pragma once

namespace skrr {

// kInt8: one scale per output channel, and activations quantised row by row. kInt4: the same with 4-bit weights in groups of
// 32. Norms, biases, the residual stream and attention itself are float32 in all of them.
// (In the order of PRECISIONS in src/model/precision.ts.)
enum class Precision { kF32, kBF16, kInt8, kInt4 };
constexpr const char* kPrecisionNames[] = {"f32", "bf16", "int8", "int4"};
constexpr int kPrecisions = int(sizeof kPrecisionNames / sizeof *kPrecisionNames);

}  // namespace skrr
