// Tells whether two devices compute the same, before `auto` trusts a device that no test of ours has run on.
#pragma once

#include "engine/device.h"

namespace skrr {

// Relative difference, in the L2 norm, of the embeddings two devices make of one batch: two sequences, one with hidden tokens,
// under a layer table that skips, re-uses and scales. The model is random, small enough to run at once, and large enough that
// every kernel has more than one tile, and tails. `asked` computes products by `product_path`, in its first precision.
double disagreement(const Device& reference, const Device& asked, const std::string& product_path);

// Tries each of the device's product paths. Throws ERR_DEVICE where one differs from the reference by more than rounding explains.
void require_agreement(const Device& reference, const Device& asked);

}  // namespace skrr
