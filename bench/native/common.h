// What the native benchmarks share: the machine's limits they are compared with, timing, random weights.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/limits.h"
#include "engine/backend.h"

namespace bench {

// What this machine's limits allow at least, for products in one precision.
struct Roofline {
  double bytes_per_second, flops;
  double share(double bytes, double flop, double seconds) const { return std::max(flop / flops, bytes / bytes_per_second) / seconds; }
};
inline Roofline roofline(skrr::Precision precision, int threads) {
  const skrr::cpu::Limits limits(threads);
  const skrr::CancelFlag none;
  return {limits.read_rate(none), limits.multiply_rate(skrr::cpu::tile_kernel(skrr::cpu::kernels(), precision), none)};
}

inline skrr::Precision parse_precision(const std::string& name) {
  if (name == "f32") return skrr::Precision::kF32;
  if (name == "bf16") return skrr::Precision::kBF16;
  if (name == "int8") return skrr::Precision::kInt8;
  if (name == "int4") return skrr::Precision::kInt4;
  std::fprintf(stderr, "precision: found %s, expected f32, bf16, int8 or int4\n", name.c_str());
  std::exit(2);
}

struct Times {
  double median, min;  // seconds
  double cpu;          // median of processor seconds, all threads: hardly changed by other load on the machine
};

inline double processor_seconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

// Times `work(i)` until `seconds` have passed, five times or more; the first run is not counted.
template <class Work>
Times time_runs(double seconds, Work work) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); };
  work(0);
  std::vector<double> runs, cpu;
  const Clock::time_point start = Clock::now();
  for (int i = 1; runs.size() < 5 || since(start) < seconds; i++) {
    const Clock::time_point before = Clock::now();
    const double cpu_before = processor_seconds();
    work(i);
    cpu.push_back(processor_seconds() - cpu_before);
    runs.push_back(since(before));
  }
  std::sort(runs.begin(), runs.end());
  std::sort(cpu.begin(), cpu.end());
  return {runs[runs.size() / 2], runs[0], cpu[cpu.size() / 2]};
}

// bf16 numbers, uniform in +-scale: bits of a seeded generator, so that two runs time the same work.
inline std::vector<uint16_t> random_bf16(size_t count, uint32_t seed, float scale) {
  std::vector<uint16_t> values(count);
  for (uint16_t& value : values) {
    seed = seed * 1664525u + 1013904223u;
    const float uniform = (float(seed >> 8) * (1.0f / (1 << 23)) - 1) * scale;
    uint32_t bits;
    std::memcpy(&bits, &uniform, 4);
    value = uint16_t(bits >> 16);
  }
  return values;
}

}  // namespace bench
