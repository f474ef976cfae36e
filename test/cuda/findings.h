// Where the tests of this folder run. On the emulated machine: what it found wrong since the last call is a failure, and it
// counts bank conflicts. On hardware (SKRR_ON_HARDWARE) there is nothing to ask, and perhaps no device.
#pragma once

#include <cstdlib>
#include <functional>

#include "cuda/runtime.h"
#include "test/engine/check.h"

// The message of the Error that `work` throws; empty where it throws none.
inline std::string failure(const std::function<void()>& work) {
  try {
    work();
  } catch (const skrr::Error& error) {
    return error.what();
  }
  return "";
}

#if defined(SKRR_ON_HARDWARE)

inline void check_findings() {}
inline uint64_t ldmatrix_conflicts() { return 0; }
constexpr bool kMachineCounts = false;
inline uint64_t multiplications() { return 0; }
inline bool products_went_the_wanted_way() { return true; }
template <class Test>
void under_every_schedule(Test test) {
  test();
}

// Leaves with ctest's skip code.
inline void skip_without_device() {
  try {
    std::printf("device: %s\n", skrr::cuda::Gpu(0).name().c_str());
  } catch (const skrr::Error& error) {
    std::printf("skipped: %s\n", error.what());
    std::exit(77);
  }
}
inline void skip_without_hopper() {
  skip_without_device();
  if (skrr::cuda::Gpu(0).hopper()) return;
  std::printf("skipped: not of compute capability 9.0\n");
  std::exit(77);
}

#else

#include "test/simt/counters.h"
#include "test/simt/report.h"

inline void check_findings() {
  for (const simt::Finding& finding : simt::take_findings()) {
    failures++;
    std::printf("[%s] %d times: %s\n", finding.kind.c_str(), finding.count, finding.text.c_str());
  }
  if (failures > 0 && std::getenv("SKRR_STOP_AT_FAILURE")) std::exit(1);  // a planted bug need not be found twice
}
// By wgmma where SKRR_CUDA_GEMM=hopper asks for it, and nowhere else. Before ldmatrix_conflicts(), which forgets.
inline bool products_went_the_wanted_way() {
  const char* wanted = std::getenv("SKRR_CUDA_GEMM");
  return (simt::counters.wgmma > 0) == (wanted && std::string(wanted) == "hopper");
}
template <class Test>
void under_every_schedule(Test test) {
  for (const simt::Schedule::Order order : {simt::Schedule::kInTurn, simt::Schedule::kBackwards, simt::Schedule::kRandom}) {
    simt::set_schedule({order, 3});
    test();
  }
  simt::set_schedule({});
}
// Since the last call.
inline uint64_t ldmatrix_conflicts() { return simt::take_counters().ldmatrix_conflicts; }
// Of mma.sync, since the last call of either.
constexpr bool kMachineCounts = true;
inline uint64_t multiplications() { return simt::take_counters().mma; }
inline void skip_without_device() {}
inline void skip_without_hopper() {}

#endif
