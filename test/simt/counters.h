// The counts take_counters() hands out.
#pragma once

#include "test/simt/machine.h"

namespace simt {

extern Counters counters;

}  // namespace simt
