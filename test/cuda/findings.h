// What the emulated machine found wrong since the last call, as failures of the test; and its count of bank conflicts. On
// hardware there is nothing to ask.
#pragma once

#include "test/engine/check.h"

#if defined(SKRR_ON_HARDWARE)
inline void check_findings() {}
inline uint64_t ldmatrix_conflicts() { return 0; }
#else
#include "test/simt/machine.h"
#include "test/simt/report.h"
inline void check_findings() {
  for (const simt::Finding& finding : simt::take_findings()) {
    failures++;
    std::printf("[%s] %d times: %s\n", finding.kind.c_str(), finding.count, finding.text.c_str());
  }
}
// Since the last call.
inline uint64_t ldmatrix_conflicts() { return simt::take_counters().ldmatrix_conflicts; }
#endif
