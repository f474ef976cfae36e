// What a test needs: CHECK, which prints and counts failures, random numbers, relative error.
#pragma once

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "engine/error.h"

inline int failures = 0;

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      failures++;                                                            \
      std::printf("%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
    }                                                                        \
  } while (0)

#define CHECK_AT_MOST(value, bound)                                                                       \
  do {                                                                                                    \
    const double found = (value);                                                                         \
    if (!(found <= (bound))) {                                                                            \
      failures++;                                                                                         \
      std::printf("%s:%d: %s is %g, expected at most %g\n", __FILE__, __LINE__, #value, found, double(bound)); \
    }                                                                                                     \
  } while (0)

inline int finish(const char* name) {
  std::printf("%s: %s\n", name, failures == 0 ? "ok" : "FAILED");
  return failures == 0 ? 0 : 1;
}

// Leaves with ctest's skip code where SKRR_CPU_ISA names what this processor cannot run.
inline void skip_unless_isa_runs() {
  try {
    std::printf("isa: %s\n", skrr::cpu::kernels().isa);
  } catch (const skrr::Error& error) {
    std::printf("skipped: %s\n", error.what());
    std::exit(77);
  }
}

inline std::vector<float> random_floats(size_t count, unsigned seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

// |a - b| / |b| in the L2 norm
template <class A, class B>
double relative_error(const A& a, const B& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); i++) {
    difference += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    size += double(b[i]) * double(b[i]);
  }
  return std::sqrt(difference / (size > 0 ? size : 1));
}
