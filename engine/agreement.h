// Whether two devices compute the same: asked before `auto` trusts a device no test of ours has run on.
#pragma once

#include "engine/device.h"

namespace skrr {

// Relative difference, in the L2 norm, of the embeddings two devices make of one batch: two sequences, one with hidden tokens,
// under a table that skips, re-uses and scales. The model is random, small enough to be run in no time, and large enough for
// every kernel to have more than one tile, and tails. `asked` computes products by `product_path`, in its first precision.
double disagreement(const Device& reference, const Device& asked, const std::string& product_path);

// Asks by each of the device's product paths. Throws ERR_DEVICE for one that is further from the reference than rounding explains.
void require_agreement(const Device& reference, const Device& asked);

}  // namespace skrr
