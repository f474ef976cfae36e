// The activation functions of feed-forwards, by name. (In the order of ACTIVATIONS in src/model/architecture.ts.)
#pragma once

namespace skrr {

enum class Activation { kRelu, kGeluTanh, kGelu, kQuickGelu, kSilu };
constexpr const char* kActivationNames[] = {"relu", "gelu_tanh", "gelu", "quick_gelu", "silu"};
constexpr int kActivations = int(sizeof kActivationNames / sizeof *kActivationNames);

}  // namespace skrr
