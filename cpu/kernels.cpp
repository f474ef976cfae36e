#include "cpu/kernels.h"

#include <cstdlib>
#include <string>

#include "engine/error.h"

namespace skrr::cpu {
namespace {

struct Candidate {
  const Kernels* table;
  bool runs_here;
  bool pays = true;  // faster here than those that follow
};

std::vector<Candidate> best_first() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  const bool bf16 = vnni && __builtin_cpu_supports("avx512bf16");
  return {{&amx_kernels(), avx512 && amx_runs_here()},
          {&avx512bf16_kernels(), bf16, __builtin_cpu_is("amd") != 0},
          {&vnni_kernels(), vnni},
          {&avx512_kernels, avx512},
          {&avxvnni_kernels(), avx2 && __builtin_cpu_supports("avxvnni")},
          {&avx2_kernels, avx2},
          {&portable_kernels, true}};
#else
  return {{&portable_kernels, true}};
#endif
}

const Kernels& choose() {
  const char* forced = std::getenv("SKRR_CPU_ISA");
  for (const Candidate& candidate : best_first()) {
    const bool chosen = forced ? candidate.table->isa == std::string(forced) : candidate.pays;
    if (candidate.runs_here && chosen) return *candidate.table;
  }
  std::string known;
  for (const std::string& isa : isas()) known += (known.empty() ? "" : ", ") + isa;
  throw Error("ERR_DEVICE", "SKRR_CPU_ISA: found \"" + std::string(forced) + "\", expected one of " + known +
                                " on this processor");
}

}  // namespace

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const Candidate& candidate : best_first()) {
    if (candidate.runs_here) names.push_back(candidate.table->isa);
  }
  return names;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace skrr::cpu
