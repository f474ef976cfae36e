#include "cpu/kernels.h"

#include <cstdlib>
#include <string>

#include "engine/error.h"

namespace skrr::cpu {
namespace {

struct Candidate {
  const Kernels& (*table)();  // only called where it runs: making the kernel table may use its instructions
  bool runs_here;
  bool pays = true;  // faster here than the candidates that follow
};

const Kernels& portable_table() { return portable_kernels; }
#if defined(__x86_64__)
const Kernels& avx2_table() { return avx2_kernels; }
const Kernels& avx512_table() { return avx512_kernels; }
#endif

std::vector<Candidate> best_first() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  const bool bf16 = vnni && __builtin_cpu_supports("avx512bf16");
  return {{amx_kernels, avx512 && amx_runs_here()},
          {avx512bf16_kernels, bf16, __builtin_cpu_is("amd") != 0},
          {vnni_kernels, vnni},
          {avx512_table, avx512},
          {avxvnni_kernels, avx2 && avxvnni_runs_here()},
          {avx2_table, avx2},
          {portable_table, true}};
#elif defined(__aarch64__)
  return {{dotprod_kernels, dotprod_runs_here()}, {portable_table, true}};
#else
  return {{portable_table, true}};
#endif
}

const Kernels& choose() {
  const char* forced = std::getenv("SKRR_CPU_ISA");
  for (const auto& [table, runs_here, pays] : best_first()) {
    if (runs_here && (forced ? table().isa == std::string(forced) : pays)) return table();
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
    if (candidate.runs_here) names.push_back(candidate.table().isa);
  }
  return names;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace skrr::cpu
