// The CUDA kernels and the whole encoder in T5-XXL's shape, with random weights: milliseconds, achieved bandwidth and
// arithmetic, and the share of what the device can do; beside them cuBLASLt's products in the same run, where its library is
// found. Needs no Node; `skrr bench --device cuda` is the same through the package.
//
//   skrr_cuda_bench [--json] [--tiny] [--blocks N]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/cuda/cublaslt.h"
#include "cuda/bench.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

// Gated, with heads of 64 and a table of distances, as T5-XXL's encoder.
Architecture slice_of(int blocks, int width, int heads, int inner) {
  Block block;
  block.attention.norm = block.feed_forward.norm = {Norm::Kind::kRms, 1e-6f};
  block.attention.heads = block.attention.key_heads = heads, block.attention.head_dim = 64;
  block.attention.distance.buckets = 32, block.attention.distance.max_distance = 128;
  block.feed_forward.inner = inner, block.feed_forward.gated = true;
  Architecture a;
  a.width = width;
  a.blocks.assign(size_t(blocks), block);
  a.output_norm = block.attention.norm;
  return a;
}

struct Settings {
  Architecture architecture = slice_of(24, 4096, 64, 10240);
  std::vector<int> tokens{1, 77, 128, 256, 512, 1024, 4096};
  int repeats = 20;
  bool json = false;
};

// Dense, and with 10 of 24 blocks' sub-blocks skipped: 41.9 % of T5-XXL's parameters, the paper's largest plan.
std::vector<bench::NamedTable> tables(const Architecture& a) {
  bench::NamedTable dense{"dense", {}}, pruned{"10 of 24 blocks skipped", {}};
  for (int s = 0; s < a.sub_blocks(); s++) {
    const bool skipped = (s / 2 + 1) * 10 / 24 != s / 2 * 10 / 24;
    const int slot = slot_of(s, Precision::kBF16);
    dense.table.push_back({slot, 1});
    pruned.table.push_back({skipped ? kSkipped : slot, 1});
  }
  return {dense, pruned};
}

// The same products by cuBLASLt, bf16 in and out, without our epilogues (norm, activation, gate, residual).
std::vector<bench::Row> beside_cublaslt(const Settings& settings, std::string& why_not) {
  std::vector<bench::Row> rows;
  Gpu device(0);
  device.use();
  const std::unique_ptr<CublasLt> cublas = CublasLt::open(device, why_not);
  if (!cublas) return rows;
  CacheScrub scrub(device);
  for (const BenchProduct& p : bench_products(settings.architecture)) {
    const Buffer w = random_matrix(device, size_t(p.n) * size_t(p.k));
    for (const int tokens : settings.tokens) {
      const Buffer x = random_matrix(device, size_t(tokens) * size_t(p.k));
      const Buffer y(device, size_t(tokens) * size_t(p.n) * sizeof(bf16), "a product");
      const CublasLt::Product product(*cublas, tokens, p.n, p.k);
      bench::Row row;
      row.what = std::string("cuBLASLt ") + p.name, row.tokens = tokens;
      row.time = bench::time_runs(settings.repeats, [&] { scrub(); }, [&] {
        product(x.as<bf16>(), w.as<bf16>(), y.as<bf16>());
        device.wait();
      });
      row.bytes = 2.0 * (double(p.n) * p.k + double(tokens) * (p.k + p.n));
      row.flops = 2.0 * tokens * p.n * p.k;
      rows.push_back(row);
    }
  }
  return rows;
}

void print_json(const std::string& device, const bench::Report& report, const std::string& without) {
  std::printf("{\"device\": \"%s\", \"memoryPromised\": %.0f, \"memoryTaken\": %.0f, ", device.c_str(), report.memory.promised,
              report.memory.taken);
  std::printf("\"copyGBs\": %.1f, \"multiplyTFLOPs\": %.2f, \"cublasLt\": \"%s\", \"rows\": [", report.ceilings.memory * 1e-9,
              report.ceilings.multiply * 1e-12, without.empty() ? "yes" : without.c_str());
  const char* comma = "";
  for (const bench::Row& r : report.rows) {
    std::printf("%s\n{\"what\": \"%s\", \"plan\": \"%s\", \"tokens\": %d, \"ms\": %.5f, \"lower\": %.5f, \"upper\": %.5f, "
                "\"GBs\": %.1f, \"TFLOPs\": %.3f}",
                comma, r.what.c_str(), r.plan.c_str(), r.tokens, r.time.median * 1e3, r.time.lower * 1e3, r.time.upper * 1e3,
                r.bytes / r.time.median * 1e-9, r.flops / r.time.median * 1e-12);
    comma = ",";
  }
  std::printf("]}\n");
}

void print_table(const std::string& device, const bench::Report& report, const std::string& without) {
  const bench::Ceilings& c = report.ceilings;
  std::printf("%s: memory at %.0f GB/s (%s), multiplies at %.1f TFLOP/s at best (%s)\n", device.c_str(), c.memory * 1e-9,
              c.memory_by.c_str(), c.multiply * 1e-12, c.multiply_by.c_str());
  std::printf("weights and the largest batch: %.3f GB promised, %.3f GB taken\n", report.memory.promised * 1e-9,
              report.memory.taken * 1e-9);
  if (!without.empty()) std::printf("without cuBLASLt: %s\n", without.c_str());
  std::printf("\n%-34s %7s %9s %17s %8s %8s %8s\n", "what", "tokens", "ms", "quartiles", "GB/s", "TFLOP/s", "roofline");
  for (const bench::Row& r : report.rows) {
    const double bound = min_seconds(r, c);
    const std::string what = r.plan.empty() ? r.what : r.what + ", " + r.plan;
    std::printf("%-34s %7d %9.4f %8.4f %8.4f %8.0f %8.2f %7.0f%%\n", what.c_str(), r.tokens, r.time.median * 1e3,
                r.time.lower * 1e3, r.time.upper * 1e3, r.bytes / r.time.median * 1e-9, r.flops / r.time.median * 1e-12,
                100 * bound / r.time.median);
  }
}

bool parse(int count, char** arguments, Settings& settings) {
  for (int i = 1; i < count; i++) {
    if (std::strcmp(arguments[i], "--json") == 0) {
      settings.json = true;
    } else if (std::strcmp(arguments[i], "--tiny") == 0) {
      settings.architecture = slice_of(2, 64, 1, 64);
      settings.tokens = {3}, settings.repeats = 2;
    } else if (std::strcmp(arguments[i], "--blocks") == 0 && i + 1 < count && std::atoi(arguments[i + 1]) > 0) {
      settings.architecture = slice_of(std::atoi(arguments[++i]), 4096, 64, 10240);
    } else {
      std::fprintf(stderr, "usage: %s [--json] [--tiny] [--blocks N]\n", arguments[0]);
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  Settings settings;
  if (!parse(count, arguments, settings)) return 2;
  try {
    const std::string device = gpu_facts(0).name;
    const bench::Request request{tables(settings.architecture), settings.tokens, settings.repeats};
    bench::Report report = run_bench(0, settings.architecture, request, [](int, int) {}, CancelFlag());
    std::string without;
    for (bench::Row& row : beside_cublaslt(settings, without)) report.rows.push_back(std::move(row));
    settings.json ? print_json(device, report, without) : print_table(device, report, without);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
