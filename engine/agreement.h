// Whether two backends compute the same: asked before `auto` trusts a device no test of ours has run on.
#pragma once

#include <functional>
#include <memory>

#include "engine/backend.h"

namespace skrr {

struct BackendInQuestion {
  std::function<std::unique_ptr<Backend>(const Geometry&, const FixedTensors&)> make;
  Precision precision;  // of its weights
};

// Relative difference, in the L2 norm, of the embeddings both make of one batch: two sequences, one with hidden tokens, under a
// table that skips, re-uses and scales. The model is random, small enough to be run in no time, and large enough for every
// kernel to have more than one tile, and tails.
double disagreement(const BackendInQuestion& reference, const BackendInQuestion& asked);

}  // namespace skrr
