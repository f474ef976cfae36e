// What a backend holds matrices in.
#pragma once

namespace skrr {

// kInt8: one scale per output channel, and activations quantised row by row. kInt4: the same with 4-bit weights in groups of
// 32. Norms, biases, the residual stream and attention itself are float32 in all of them. (In the order of src/model/precision.ts.)
enum class Precision { kF32, kBF16, kInt8, kInt4 };
constexpr int kPrecisions = 4;

}  // namespace skrr
